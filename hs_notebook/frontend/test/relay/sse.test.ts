import { expect, test } from "vitest";
import { EventReader, type StreamEvent } from "../../src/relay/sse";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const brief = (events: StreamEvent[]): string[] => events.map(({ data, type, id }) => [data, type === "message" ? "" : type, id].join("|"));

// What it reads of whole streams is tried with the table of tests/event_streams.py, at every split.

test("bytes that are no UTF-8 become U+FFFD", () => {
  const reader = new EventReader();
  expect(brief(reader.push(new Uint8Array([...bytes("data: a"), 0xff, ...bytes("b\n\n")])))).toEqual(["a\ufffdb||"]);
});

test.each(["data: ", "data: x\ndata: "])("an event has a largest size (%j)", (start) => {
  const reader = new EventReader();
  expect(() => {
    reader.push(bytes(start));
    for (let piece = 0; piece < 20; piece++) reader.push(bytes("a".repeat(100_000)));
  }).toThrow(RangeError);
});
