import { expect, test } from "vitest";
import { EventReader, type StreamEvent } from "../../src/relay/sse";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const brief = (events: StreamEvent[]): string[] => events.map(({ data, type, id }) => [data, type === "message" ? "" : type, id].join("|"));

/** What the HTML standard and the tests of its authors say of each. */
const VECTORS: [string, string, string[]][] = [
  ["one event", "data: a\n\n", ["a||"]],
  ["two lines", "data: a\ndata: b\n\n", ["a\nb||"]],
  ["no space", "data:a\n\n", ["a||"]],
  ["one space is taken away, not two", "data:  a\n\n", [" a||"]],
  ["a field without a colon", "data\n\n", ["||"]],
  ["two of them", "data\ndata\n\n", ["\n||"]],
  ["an empty field", "data:\n\n", ["||"]],
  ["a comment", ": hello\n\ndata: a\n\n", ["a||"]],
  ["only a comment", ":\n\n", []],
  ["an unknown field", "dat: x\nDATA: y\n data: z\n\n", []],
  ["what is not ended is no event", "data: a\n\ndata: b\n", ["a||"]],
  ["carriage returns", "data: a\r\rdata: b\r\r", ["a||", "b||"]],
  ["both", "data: a\r\n\r\ndata: b\r\n\n", ["a||", "b||"]],
  ["a type, for one event", "event: e\ndata: a\n\ndata: b\n\n", ["a|e|", "b||"]],
  ["a type alone dispatches nothing and is forgotten", "event: e\n\ndata: a\n\n", ["a||"]],
  ["an id stays", "id: 1\ndata: a\n\ndata: b\n\n", ["a||1", "b||1"]],
  ["an id without data counts", "id: 7\n\ndata: a\n\n", ["a||7"]],
  ["an empty id is one", "id: 1\ndata: a\n\nid\ndata: b\n\n", ["a||1", "b||"]],
  ["an id with a NUL is none", "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", ["a||1", "b||1"]],
  ["a byte order mark", "\ufeffdata: a\n\n", ["a||"]],
  ["two of them", "\ufeff\ufeffdata: a\n\n", []],
  ["one later on", "data: \ufeffa\n\n", ["\ufeffa||"]],
  ["other line ends are none", "data: a\u2028b\u0085c\u000bd\n\n", ["a\u2028b\u0085c\u000bd||"]],
  ["characters of many bytes", "data: äöü€😀\n\n", ["äöü€😀||"]],
];

test.each(VECTORS)("%s", (_name, text, expected) => {
  expect(brief(new EventReader().push(bytes(text)))).toEqual(expected);
});

test.each(VECTORS)("%s, wherever it is cut", (_name, text, expected) => {
  const all = bytes(text);
  for (let size = 1; size <= 5; size++) {
    const reader = new EventReader();
    const events: StreamEvent[] = [];
    for (let at = 0; at < all.length; at += size) events.push(...reader.push(all.slice(at, at + size)));
    expect(brief(events)).toEqual(expected);
  }
});

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
