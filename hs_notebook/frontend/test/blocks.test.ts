import { describe, expect, test } from "vitest";
import vectors from "../../../tests/vectors/markdown.json";
import { BlockSplitter } from "../src/blocks";
import { createMarkdown, render } from "../src/markdown";
import { Page } from "../src/page";
import { Intake } from "../src/visible";
import { Random } from "./random";

const md = createMarkdown();

/** The page after all pieces, with the tail painted now and then on the way. */
function incremental(pieces: string[], paintEvery = 3): { html: string; definitions: boolean } {
  const body = document.createElement("div");
  const page = new Page(body);
  const splitter = new BlockSplitter(md, page);
  const intake = new Intake();
  pieces.forEach((piece, index) => {
    splitter.push(intake.push(piece));
    if (index % paintEvery === 0) page.setTail(splitter.tail());
  });
  splitter.push(intake.push("", true));
  splitter.finish();
  page.setTail(splitter.tail());
  return { html: body.innerHTML, definitions: splitter.hasDefinitions };
}

function inOneGo(source: string): string {
  const body = document.createElement("div");
  body.innerHTML = render(md, source);
  return body.innerHTML;
}

function expectSame(source: string, pieces: string[]): void {
  const { html, definitions } = incremental(pieces);
  // Where links are defined the painter renders the whole once more at the end.
  if (!definitions) expect(html, JSON.stringify(pieces)).toBe(inOneGo(source));
}

describe("a growing text looks as if rendered in one go", () => {
  test.each(vectors)("$name", ({ markdown }) => {
    const random = new Random(1);
    expectSame(markdown, [...markdown]);
    expectSame(markdown, markdown.split(/(?<=\n)/));
    for (let run = 0; run < 10; run++) expectSame(markdown, random.split(markdown, 20));
  });
});

const FRAGMENTS = [
  "# h", "- ", "- a\n", "* b\n", "1. c\n", "2. d\n", "3) e\n", "> ", "```\n", "```py\n", "~~~\n", "````\n", "    ", "  ", " ",
  "\n", "\n", "\n\n", "\n\n\n", "a", "b c", "*x*", "`c`", "$", "$$", "$$\n", "\\[", "\\]\n", "\\", "**", "_", "[r]", "[r]: /u\n",
  "[r]: /u\n't\nu'\n", "| a | b |\n|---|:-:|\n", "| a | b |\n", "|---|:-:|", "| 1 | 2 |\n", "| 3\n", "---\n", "===\n", "***\n", "&amp;",
  "&#x202e;", "<b>", "\r\n", "\r", "🎉", "\u202e", "\t", "text\nmore\n", "- \n", "-\n", "\n  - n\n", "\n\n   c\n", "x\n\n- y\n", "10. z\n",
];

test("random documents, split at random", () => {
  const random = new Random(7);
  for (let run = 0; run < 1500; run++) {
    const source = Array.from({ length: 1 + random.below(24) }, () => random.of(FRAGMENTS)).join("");
    expectSame(source, random.split(source, 1 + random.below(12)));
  }
});
