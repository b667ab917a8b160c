import { describe, expect, test } from "vitest";
import vectors from "../../../tests/vectors/markdown.json";
import { bothWays } from "./both-ways";
import { Random } from "./random";

function expectSame(pieces: string[]): void {
  const { whole, grown } = bothWays(pieces);
  expect(grown, JSON.stringify(pieces)).toBe(whole);
}

// Random documents: tests/test_dialects.py.
describe("a growing text looks as if rendered in one go", () => {
  test.each(vectors)("$name", ({ markdown }) => {
    const random = new Random(1);
    expectSame([...markdown]);
    expectSame(markdown.split(/(?<=\n)/));
    for (let run = 0; run < 10; run++) expectSame(random.split(markdown, 20));
  });
});
