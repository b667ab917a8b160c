import { describe, expect, test } from "vitest";
import { TextBuffer } from "../src/buffer";
import { Random } from "./random";

describe("deltas", () => {
  test("the next one is appended", () => {
    const buffer = new TextBuffer();
    buffer.delta(0, "ab");
    expect(buffer.delta(2, "cd")).toEqual({ kind: "append", text: "cd" });
    expect(buffer.text).toBe("abcd");
  });

  test("what is there already is dropped", () => {
    const buffer = new TextBuffer();
    buffer.delta(0, "abc");
    expect(buffer.delta(1, "bcd")).toEqual({ kind: "append", text: "d" });
    expect(buffer.delta(0, "ab")).toEqual({ kind: "none" });
    expect(buffer.text).toBe("abcd");
  });

  test("a gap is reported, and closed by a snapshot that reaches it", () => {
    const buffer = new TextBuffer();
    buffer.delta(0, "ab");
    expect(buffer.delta(4, "ef")).toEqual({ kind: "gap" });
    expect(buffer.delta(6, "gh")).toEqual({ kind: "gap" });
    expect(buffer.text).toBe("ab");
    expect(buffer.snapshot("abcde")).toEqual({ kind: "append", text: "cdefgh" });
    expect(buffer.text).toBe("abcdefgh");
  });

  test("offsets count UTF-16 code units", () => {
    const buffer = new TextBuffer();
    buffer.delta(0, "🎉");
    expect(buffer.delta(2, "x")).toEqual({ kind: "append", text: "x" });
  });
});

describe("snapshots", () => {
  test("one that continues is an append", () => {
    const buffer = new TextBuffer();
    buffer.snapshot("ab");
    expect(buffer.snapshot("abc")).toEqual({ kind: "append", text: "c" });
    expect(buffer.snapshot("abc")).toEqual({ kind: "none" });
  });

  test("another text replaces", () => {
    const buffer = new TextBuffer();
    buffer.snapshot("ab");
    expect(buffer.snapshot("xyz")).toEqual({ kind: "replace", text: "xyz" });
    expect(buffer.text).toBe("xyz");
  });
});

test("whatever is lost, doubled or late, the changes add up to the text", () => {
  const random = new Random(3);
  for (let run = 0; run < 500; run++) {
    const text = Array.from({ length: random.below(60) }, () => random.of(["a", "🎉", "\n", "é"])).join("");
    const buffer = new TextBuffer();
    let painted = "";
    const take = (change: ReturnType<TextBuffer["delta"]>): void => {
      if (change.kind === "append") painted += change.text;
      if (change.kind === "replace") painted = change.text;
    };
    let at = 0;
    for (const piece of random.split(text, 7)) {
      const chance = random.below(6);
      if (chance > 0) take(buffer.delta(at, piece));
      if (chance === 1) take(buffer.delta(at, piece));
      at += piece.length;
      if (chance === 2) take(buffer.snapshot(text.slice(0, at)));
    }
    take(buffer.snapshot(text));
    expect(painted).toBe(text);
    expect(buffer.text).toBe(text);
  }
});
