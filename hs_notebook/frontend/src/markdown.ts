/*
 * The one dialect of the live view and the final picture: CommonMark with tables, strikethrough and mathematics.
 * Everything in the HTML comes from escaped text: raw HTML is shown, not obeyed; images are links.
 */
import Factory, {
  type Env as MarkdownEnv,
  type MarkdownIt,
  type RendererRule,
  type StateBlock,
  type StateCore,
  type Token,
} from "markdown-it";
import { type BlockRule, besideFormulas } from "./bars";
import { filterLinks } from "./links";
import { useMathematics } from "./math";
import { AS_IS, MARK } from "./notes";
import { escape, visible } from "./visible";

const DEEPEST = 16;
const MOST_EMPTY_CELLS = 10_000;
const MOST_HEADINGS = 60;
const LONGEST_LABEL = 80;
/** What is escaped in an address: all but these characters, and what is escaped already. */
const TO_ESCAPE = /%[0-9A-Fa-f]{2}|[^A-Za-z0-9;/?:@&=+$,\-_.!~*'()#[\]]/gu;

export function createMarkdown(): MarkdownIt {
  const md = new Factory("commonmark", { html: false, xhtmlOut: false });
  md.enable(["table", "strikethrough"]);
  md.normalizeLink = (url) => url.replace(TO_ESCAPE, (found) => (found.length === 3 ? found : encodeURIComponent(found)));
  md.normalizeLinkText = (link) => link;
  // All links pass here; those that are not allowed are taken out afterwards, with their text left in place.
  md.validateLink = () => true;
  md.block.ruler.at("table", frugal(besideFormulas(md.block.ruler.getRules("")[0]!)), { alt: ["paragraph", "reference"] });
  md.block.ruler.before("table", "hs_depth", stopNesting);
  md.core.ruler.before("inline", "hs_trim", trimInline);
  md.core.ruler.push("hs_links", filterLinks);
  md.core.ruler.push("hs_headings", fewHeadings);
  useMathematics(md);
  Object.assign(md.renderer.rules, { fence: code, code_block: code, image });
  return md;
}

export type References = NonNullable<MarkdownEnv["references"]>;

/** What a parse takes from the text before it, and adds to it. */
export interface Env extends MarkdownEnv {
  emptyCells?: number;
  headings?: number;
  /** What the formulas cost that were typeset. */
  tex?: number;
}

/** The whole of `source` as HTML, in one go. */
export function render(md: MarkdownIt, source: string): string {
  const env: Env = {};
  const parts = visible(source).split(MARK).map((part) => md.render(part, env));
  return visible(parts.map((html, at) => (at % 2 ? `<div class="hs-note">\n${html}</div>\n` : html)).join(""));
}

/** markdown-it 15 leaves the wide spaces at a paragraph's ends; the final picture's parser does not. */
function trimInline(state: StateCore): void {
  for (const token of state.tokens) {
    if (token.type === "inline") token.content = token.content.trim();
  }
}

/** Lets headings that are too many only look so: JupyterLab's table of contents takes 1 ms over each. */
function fewHeadings(state: StateCore): void {
  const env: Env = state.env;
  for (const token of state.tokens) {
    if (token.type === "heading_open") env.headings = (env.headings ?? 0) + 1;
    if (!token.type.startsWith("heading_") || env.headings! <= MOST_HEADINGS) continue;
    if (token.nesting > 0) token.attrSet("class", `hs-h hs-${token.tag}`);
    token.tag = "p";
  }
}

/** Tables, unless the empty cells that the parser adds to short rows are too many (a kilobyte can ask for 65,000): then they are text. */
function frugal(table: BlockRule): BlockRule {
  return (state, start, end, silent) => {
    const env: Env = state.env;
    const spent = env.emptyCells ?? 0;
    const before = state.tokens.length;
    if (spent > MOST_EMPTY_CELLS || !table(state, start, end, silent)) return false;
    const empty = state.tokens.slice(before).filter((token) => token.type === "inline" && !token.content);
    env.emptyCells = spent + empty.length;
    if (env.emptyCells <= MOST_EMPTY_CELLS) return true;
    state.tokens.length = before;
    state.line = start;
    return false;
  };
}

/** Beyond its nesting limit the parser drops text; ours is lower and keeps it as a paragraph. */
function stopNesting(state: StateBlock, start: number, end: number, silent: boolean): boolean {
  if (state.level < DEEPEST) return false;
  return state.md.block.ruler.getRules("").at(-1)!(state, start, end, silent);
}

const code: RendererRule = (tokens, index) => {
  const { info } = tokens[index]!;
  // Blanks at the end of an open fence in a quote: the final picture's parser leaves them out.
  const content = tokens[index]!.content.replace(/(?<![^\n])[ \t]+$/, "");
  if (info === AS_IS) return `<div class="hs-as-is"><pre><code>${escape(content)}</code></pre></div>\n`;
  const lang = /[A-Za-z0-9][A-Za-z0-9_+#.-]{0,31}/.exec(info)?.[0];
  if (!lang) return `<div class="hs-code"><pre><code>${escape(content)}</code></pre></div>\n`;
  return `<div class="hs-code" data-lang="${lang}"><pre><code class="language-${lang}">${escape(content)}</code></pre></div>\n`;
};

const image: RendererRule = (tokens, index) => {
  const token = tokens[index]!;
  const url = String(token.attrGet("src"));
  const shown = `🖼 ${escape(labelOf(token.children).trim() || shortened(url))}`;
  if (!token.meta?.["anchor"]) return shown;
  return `<a href="${escape(url)}" rel="noopener noreferrer" target="_blank">${shown}</a>`;
};

/** The text of an image's label, without its markup. */
function labelOf(tokens: Token[] | null): string {
  return (tokens ?? [])
    .map((token) => {
      if (token.type === "image") return labelOf(token.children);
      return token.type === "softbreak" || token.type === "hardbreak" ? " " : token.content;
    })
    .join("");
}

function shortened(url: string): string {
  return url.length <= LONGEST_LABEL ? url : `${url.slice(0, LONGEST_LABEL - 1)}…`;
}
