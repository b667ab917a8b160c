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

/** What is counted twice shows before the bound, and what is not counted beyond it. */
describe.each([-1, 1])("what is bounded in an answer is counted once, %i from the bound", (beyond) => {
  const formula = `$${"x".repeat(556)}$`; // twelve are typeset, and not one more
  const display = `$$${"x".repeat(549)}$$`; // the same
  const formulas = Array<string>(12).fill(formula);
  const last = beyond < 0 ? "" : " $xy$";
  const headings = Array.from({ length: 60 + beyond }, (_, number) => `# ${number}`);
  const items = (of: string[]): string => of.map((each) => `- ${each}\n`).join("");

  test.each([
    ["paragraphs", formulas.join("\n\n") + last],
    ["one paragraph", formulas.slice(0, 11).join(" ") + `\n\n${formula}${last}`],
    ["blocks", formulas.map(() => display).join("\n\n") + last],
    ["items", items(formulas) + `- y${last}`],
    ["items that grow loose", items(formulas.slice(0, 5)) + "\n" + items(formulas.slice(5)) + `- y${last}`],
    ["items that end loose", items(formulas) + `\n- y${last}\n`],
    ["rows", `|a|\n|-|\n${formulas.map((each) => `|${each}|\n`).join("")}|y${last}|`],
    ["rows under a formula", `|${formula}|\n|-|\n${formulas.slice(1).map((each) => `|${each}|\n`).join("")}|y${last}|`],
    ["headings", headings.join("\n")],
    ["headings in items", items(headings) + "\n- y\n"],
  ])("%s", (_, markdown) => {
    for (const size of [500, 4_000]) expectSame(markdown.match(new RegExp(`[^]{1,${size}}`, "g"))!);
    expectSame(markdown.split(/(?<=\n)/));
  });
});
