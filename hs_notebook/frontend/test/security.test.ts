import { describe, expect, test } from "vitest";
import { createMarkdown, render } from "../src/markdown";
import { decodeHTMLStrict } from "../src/stub/entities";
import { visible } from "../src/visible";

const SCHEMES = ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "vbscript:x", "data:text/html,<script>x</script>", "file:///etc/passwd", "blob:x", "//e.x", "/x", "x.html"];
const TRICKS = [
  (url: string) => url,
  (url: string) => url.replace(":", "&colon;"),
  (url: string) => url.replace(":", "&#58;"),
  (url: string) => url.replace("a", "&#x61;"),
  (url: string) => `&#1;${url}`,
  (url: string) => `&Tab;${url}`,
  (url: string) => url.replace("r", "r&NewLine;"),
  (url: string) => `\u0001${url}`,
  (url: string) => `\u00a0${url}`,
  (url: string) => `http:${url}`,
];
const FORMS = [
  (url: string) => `[x](${url})`,
  (url: string) => `[x](<${url}>)`,
  (url: string) => `<${url}>`,
  (url: string) => `![x](${url})`,
  (url: string) => `[![x](${url})](${url})`,
  (url: string) => `[x]\n\n[x]: ${url}`,
  (url: string) => `[x](${url} "onmouseover=alert(1)")`,
];
const HTML = [
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=//e.x></iframe>",
  "<math><mtext><script>x</script></mtext></math>", "<details open ontoggle=alert(1)>", "<style>*{background:url(//e.x)}</style>",
  "<a href=javascript:alert(1)>x", "<!-- <img src=x> -->", "<![CDATA[<script>x</script>]]>", "<form action=//e.x><input autofocus onfocus=alert(1)>",
  "</div></textarea><script>x</script>", "<b", "&lt;script&gt;", "```\n</code></pre><script>x</script>\n```",
  "```\"><img/src=x>\ncode\n```", "$</span><img src=x>$", "$$\n</div><script>x</script>\n$$", "\\[ \\href{javascript:alert(1)}{x} \\]",
  "`<img src=x onerror=alert(1)>`", "| <script>x</script> |\n|---|\n| <img src=x> |", "# <svg/onload=alert(1)>", "[<img src=x>](https://e.x)", "![\"><img src=x>](https://e.x)",
  "[x](https://e.x/\"onmouseover=alert(1))", "[x](https://e.x/'><script>x</script>)", "<https://e.x/\"onclick=alert(1)>",
];
const MAY_BE = new Set("a blockquote br code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul".split(" "));
const MAY_HAVE = new Set("href rel target class data-lang start style".split(" "));

/** What is wrong with the page that `markdown` becomes. */
function faults(markdown: string): string[] {
  const page = document.createElement("div");
  page.innerHTML = render(createMarkdown(), markdown);
  return [...page.querySelectorAll("*")].flatMap((element) => [
    ...(MAY_BE.has(element.localName) ? [] : [`<${element.localName}>`]),
    ...[...element.attributes].filter(({ name, value }) => !fine(name, value)).map(({ name, value }) => `${name}=${value}`),
  ]);
}

function fine(name: string, value: string): boolean {
  if (name === "href") return /^(https?:\/\/|mailto:)/i.test(value);
  if (name === "style") return /^text-align:(left|right|center)$/.test(value);
  return MAY_HAVE.has(name);
}

describe("an answer makes nothing run and nothing load", () => {
  test.each(HTML)("%s", (markdown) => {
    expect(faults(markdown)).toEqual([]);
    expect(faults(`- a\n\n  > ${markdown}\n`)).toEqual([]);
  });

  test.each(SCHEMES)("links to %s", (scheme) => {
    for (const form of FORMS) for (const trick of TRICKS) expect(faults(form(trick(scheme))), form(trick(scheme))).toEqual([]);
  });

  test("links that are allowed open elsewhere and tell nothing", () => {
    expect(render(createMarkdown(), "[x](https://e.x 'title')")).toBe(
      '<p><a href="https://e.x" rel="noopener noreferrer" target="_blank">x</a></p>\n',
    );
  });
});

test("control characters are visible", () => {
  expect(visible("a\u202eb\u0000c\u{e0041}d\ud800e🎉\t\n")).toBe("a⟦U+202E⟧b⟦U+0000⟧c⟦U+E0041⟧d⟦U+D800⟧e🎉\t\n");
});

describe("entities", () => {
  test.each([
    ["&amp;", "&"],
    ["&ngE;", "≧̸"],
    ["&bogus;", "&bogus;"],
    ["&lt", "&lt"],
    ["<img src=x>", "<img src=x>"],
  ])("%s", (entity, character) => expect(decodeHTMLStrict(entity)).toBe(character));
});
