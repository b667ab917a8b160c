import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createMarkdown, render } from "../src/markdown";
import { MARK } from "../src/notes";
import { Painter } from "../src/painter";
import { withoutParts } from "./both-ways";

/** All of `text` through a painter, in pieces of `size`. */
function painted(text: string, size: number, { finish = true } = {}): HTMLElement {
  const body = document.createElement("div");
  const painter = new Painter(body);
  for (let at = 0; at < text.length; at += size) {
    painter.append(text.slice(at, at + size));
    vi.advanceTimersByTime(50);
  }
  if (finish) painter.finish();
  vi.advanceTimersByTime(5000);
  painter.dispose();
  return body;
}

function whole(text: string): string {
  const body = document.createElement("div");
  body.innerHTML = render(createMarkdown(), text);
  return body.innerHTML;
}

const many = (line: (index: number) => string, count: number): string => Array.from({ length: count }, (_, index) => line(index)).join("");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("long blocks end as they would in one go", () => {
  test.each([
    ["a table", `| a | b |\n|---|---|\n${many((row) => `| ${row} | *x* |\n`, 400)}`],
    ["a list", many((item) => `- item ${item}\n`, 400)],
    ["a list that turns loose late", `${many((item) => `- item ${item}\n`, 300)}\n- last\n`],
    ["code", `\`\`\`py\n${many((line) => `x_${line} = ${line}\n`, 3000)}\`\`\`\n\nafter\n`],
    ["code that is not closed", `\`\`\`\n${many((line) => `x_${line}\n`, 3000)}`],
    ["a paragraph", `${"many words, ".repeat(5000)}\n\nafter`],
    ["many blocks", many((part) => `## ${part}\n\n- item\n\nSome *words*.\n\n`, 200)],
    ["a nested list", `- top\n${many((item) => `  - item ${item}\n`, 300)}`],
  ])("%s", (_name, text) => expect(withoutParts(painted(text, 977)).innerHTML).toBe(whole(text)));
});

test("what replaces half a note of ours stands in no frame of ours", () => {
  const body = document.createElement("div");
  const painter = new Painter(body);
  painter.append(`model says\n\n${MARK}our note, first half `);
  vi.advanceTimersByTime(50);
  painter.replace(`model says\n\n${MARK}our note${MARK}\n\nmodel again`);
  painter.finish();
  vi.advanceTimersByTime(5000);
  painter.dispose();
  expect([...body.querySelectorAll(".hs-note")].map((note) => note.textContent!.trim())).toEqual(["our note"]);
});

test("settled blocks lie in parts, each beginning with a paragraph, and a short answer has none", () => {
  const blocks = (count: number) => [...painted(many((part) => `# ${part}\n\nSome *words*.\n\n`, count), 20).children];
  expect(blocks(10).map((node) => node.localName)).not.toContain("div");
  const parts = blocks(200).filter((node) => node.className === "hs-part");
  expect(parts.length).toBeGreaterThan(5);
  for (const part of parts) expect([part.firstElementChild!.localName, part.children.length < 70]).toEqual(["p", true]);
});

describe("text that is too much for Markdown is all there", () => {
  test("a line without an end", () => {
    const text = "word ".repeat(60_000);
    expect(painted(text, 9_999).textContent!.trim()).toBe(text.trim());
  });

  test("with what follows it as Markdown again", () => {
    const body = painted(`${"word ".repeat(30_000)}\n\n# after\n`, 9_999);
    expect(body.querySelector("h1")?.textContent).toBe("after");
  });
});

test("an answer too long to draw is drawn to a point, and a line below tells it", () => {
  const page = document.createElement("div");
  const body = page.appendChild(document.createElement("div"));
  const painter = new Painter(body);
  painter.append("short");
  vi.advanceTimersByTime(50);
  expect(page.querySelector(".hs-fold:not([hidden])")).toBeNull();
  for (let piece = 0; piece < 40; piece++) painter.append("*".repeat(1_000));
  painter.finish();
  vi.advanceTimersByTime(5000);
  painter.dispose();
  expect(body.textContent!.trim()).toBe(`short${"*".repeat(20_000)}`);
  expect(page.querySelector(".hs-fold")!.textContent).toMatch(/^Only the first 20,005 of 40,005 characters are drawn/);
});

test("a surrogate pair and a line end may be cut", () => {
  expect(painted("a🎉b\r\n\r\nc", 1).innerHTML).toBe(whole("a🎉b\n\nc"));
});

test("half a character at the very end shows", () => {
  expect(painted("a\ud83c", 1).textContent).toContain("⟦U+D83C⟧");
});

describe("work grows with the text, not with its square", () => {
  /** Characters of HTML given to the browser while a text of `count` parts arrives. */
  const work = (part: (index: number) => string, count: number): number => {
    const given = vi.spyOn(HTMLTemplateElement.prototype, "innerHTML", "set");
    painted(`| a |\n|---|\n\n${many(part, count)}`, 100, { finish: false });
    const total = given.mock.calls.reduce((sum, [html]) => sum + String(html).length, 0);
    given.mockRestore();
    return total;
  };

  test.each([
    ["paragraphs", (index: number) => `Paragraph ${index} of *some* length.\n\n`],
    ["items", (index: number) => `- item ${index} of *some* length\n`],
    ["loose items", (index: number) => `${index + 1}. item ${index} of *some* length\n\n`],
    ["rows", (index: number) => (index ? `| row ${index} of *some* length |\n` : "| a |\n|---|\n")],
    ["lines of code", (index: number) => (index ? `line ${index} of some length\n` : "```\n")],
  ])("%s", (_name, part) => expect(work(part, 800) / work(part, 200)).toBeLessThan(6));
});
