import { describe, expect, test } from "vitest";
import vectors from "../../../tests/vectors/markdown.json";
import { createMarkdown, render } from "../src/markdown";

describe("the dialect shared with the final picture", () => {
  test.each(vectors)("$name", ({ markdown, html }) => {
    expect(render(createMarkdown(), markdown)).toBe(html);
  });
});
