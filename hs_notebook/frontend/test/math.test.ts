import { describe, expect, test } from "vitest";
import { createMarkdown, render } from "../src/markdown";

const md = createMarkdown();
const formulas = (markdown: string): string[] =>
  [...render(md, markdown).matchAll(/class="hs-math[^>]*>(?:\\\(|\\\[)([\s\S]*?)(?:\\\)|\\\])</g)].map((found) => found[1]!);

describe("mathematics", () => {
  test.each([
    ["$x$", ["x"]],
    ["\\(x\\)", ["x"]],
    ["$$x$$", ["x"]],
    ["\\[x\\]", ["x"]],
    ["a $x$ and $y$", ["x", "y"]],
    ["$$\nx\n+ y\n$$", ["x\n+ y"]],
    ["- $x$\n- $$\n  y\n  $$", ["x", "y"]],
  ])("%j is", (markdown, tex) => expect(formulas(markdown)).toEqual(tex));

  test.each([
    "costs $5 and $10", "US$5 and US$6", "$ x $", "$x $", "\\$x$", "`$x$`", "```\n$x$\n```", "$$\nx\n\ny\n$$", "$x", "$$", "\\(", "1$ and 2$",
  ])("%j is not", (markdown) => expect(formulas(markdown)).toEqual([]));

  test.each(["\\href{x}{y}", "\\require{x}", "\\def\\x{y}", "\\htmlClass{x}{y}", "\\unicode{x}", "x".repeat(5001)])(
    "%j is shown as code",
    (tex) => {
      expect(render(md, `$${tex}$`)).toBe(`<p><code>$${tex}$</code></p>\n`);
      expect(render(md, `$$\n${tex}\n$$`)).toBe(`<pre><code>$$\n${tex}\n$$</code></pre>\n`);
    },
  );
});
