import { describe, expect, test } from "vitest";
import vectors from "../../../tests/vectors/fold.json";
import { Fold } from "../src/fold";
import { Intake } from "../src/visible";

/** A text through the fold in pieces of `size` code units; how many characters of it are drawn. */
function folded(text: string, size: number): { shown: number; line: string } {
  const fold = new Fold();
  const intake = new Intake();
  let drawn = "";
  for (let at = 0; at < text.length; at += size) drawn += fold.take(intake.push(text.slice(at, at + size)));
  drawn += fold.take(intake.push("", true));
  expect(text.startsWith(drawn)).toBe(true);
  return { shown: [...drawn].length, line: fold.line };
}

describe("ends where the final picture ends, wherever deltas are cut", () => {
  test.each(vectors)("$name", ({ unit, times, shown }) => {
    const text = unit.repeat(times);
    const whole = [...text].length;
    const [most, all] = [shown, whole].map((count) => count.toLocaleString("en-US"));
    const line = shown < whole ? `Only the first ${most} of ${all} characters are drawn; the answer's text holds all of them.` : "";
    for (const size of [997, 4_096, text.length]) expect(folded(text, size)).toEqual({ shown, line });
  });
});
