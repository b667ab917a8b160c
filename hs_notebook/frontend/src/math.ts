/*
 * The parser's rules for mathematics: `$…$`, `\(…\)`, `$$…$$` and `\[…\]`; the same as in the final picture.
 * The search for a closer ends at the next delimiter of its kind, so that the total work stays linear in the text.
 */
import type { MarkdownIt, RendererRule, StateBlock, StateCore, StateInline, Token } from "markdown-it";
import type { Env } from "./markdown";
import { escape } from "./visible";

/** Longer formulas (in code points) are shown as code: a typesetter may take minutes over them. */
const LONGEST_TEX = 5000;

const DEEPEST = 16; // fractions 400 deep end the process of JupyterLab's page

// What is typeset of one answer. The unit is a letter, for which JupyterLab's page takes 25 µs.
const MOST = 8_000;
const MOST_ALONE = 3_300;
const EACH = 7;
const BOX = 10; // more for one on lines of its own: it scrolls
const SIGN = 3; // an operator, a script, a cell, a letter that is not ASCII
const COMMAND = 5;
const DEAR = 30;
const CHEMISTRY = 5; // what is in such a formula counts so often
const LONG = 3_000; // a formula that counts so much takes twice as long as two halves of it

/** In plain text, as in \text{\right}, an end ends nothing: only one of the group's own kind counts. */
const ENDS = new Map([["}", "{"], ["\\right", "\\left"], ["\\end", "\\begin"]]);
const OPENERS = new Set(ENDS.values());
const CELL_ENDS = new Set(["&", "\\\\", "\\cr"]);

/** A typesetter takes what follows these, up to the end of their group or cell, as within them. */
const DECLARATIONS = new Set(
  (
    "Tiny tiny scriptsize tsize footnotesize small normalsize large Large LARGE huge Huge " +
    "displaystyle textstyle scriptstyle scriptscriptstyle color raise lower moveleft moveright " +
    "rm sf tt bf it cal mit frak scr bbFont oldstyle"
  ).split(" "),
);

/** Commands that are tables or parts of tables within, or many other commands. */
const DEAR_COMMANDS = new Set(
  (
    "binom tbinom dbinom choose brace brack genfrac cfrac substack matrix pmatrix cases pmod boxed " +
    "iff implies impliedby Bra Ket Braket TeX LaTeX tripledash ce pu"
  ).split(" "),
);

/** Commands that load, link, define, style or attach behaviour. */
const DENIED_BEGINNINGS = /^(html|DeclarePairedDelimiter)/;
const DENIED = new Set(
  (
    "href url require unicode class style cssId data includegraphics bbox mmlToken texttip mathtip toggle " +
    "def edef gdef xdef let futurelet newcommand renewcommand providecommand newenvironment renewenvironment " +
    "Newextarrow definecolor newtagform renewtagform usetagform mathtoolsset " +
    "DeclareMathOperator newtheorem csname endcsname expandafter catcode " +
    "verb input include openin openout read write immediate special loop"
  ).split(" "),
);
const CLOSERS: Record<string, string> = { $: "$", $$: "$$", "\\(": "\\)", "\\[": "\\]" };

/** Teaches `md` the rules; their tokens, `hs_math` and `hs_math_block`, hold the source as content. */
export function useMathematics(md: MarkdownIt): void {
  md.inline.ruler.before("escape", "hs_math", inline);
  md.block.ruler.before("fence", "hs_math_block", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
  md.core.ruler.push("hs_typeset", choose);
  md.renderer.rules["hs_math"] = renderInline;
  md.renderer.rules["hs_math_block"] = renderBlock;
}

/** Says of each formula whether it is typeset: it does no harm, and there are not too many before it. */
function choose(state: StateCore): void {
  for (const block of state.tokens) {
    for (const token of [block, ...(block.children ?? [])]) {
      if (token.type === "hs_math" || token.type === "hs_math_block") chooseOne(token, state.env);
    }
  }
}

function chooseOne(token: Token, env: Env): void {
  const costs = cost(texOf(token.content, token.markup), token.markup === "$$" || token.markup === "\\[");
  if (costs !== null) env.tex = (env.tex ?? 0) + costs;
  const fits = costs !== null && env.tex! <= MOST;
  token.meta = { typeset: fits };
  // Ten thousand elements of code would cost the page as much as the formulas.
  if (costs !== null && !fits && token.type === "hs_math") token.type = "text";
}

/** What it costs to typeset a formula, on lines of its own or not; null where it is shown as code. */
function cost(tex: string, boxed: boolean): number | null {
  if ([...tex].length > LONGEST_TEX) return null;
  const depth = new Depth();
  let weight = 0;
  let times = 1;
  for (const [piece, name = ""] of tex.matchAll(/\\(?:([A-Za-z]+)|[\s\S])|[^ \t\n]/gu)) {
    depth.see(piece);
    if (DENIED.has(name) || DENIED_BEGINNINGS.test(name)) return null;
    if (depth.now > DEEPEST || piece === "%") return null; // a comment could hide from this count what closes a group
    weight += piece === "{" ? depth.now : weigh(piece, name);
    if (name === "ce" || name === "pu") times = CHEMISTRY;
  }
  weight *= times;
  const costs = EACH + (boxed ? BOX : 0) + weight + Math.floor((weight * weight) / LONG);
  return costs <= MOST_ALONE ? costs : null;
}

function weigh(piece: string, name: string): number {
  if (piece.startsWith("\\")) return DEAR_COMMANDS.has(name) || isArrow(name) ? DEAR : COMMAND;
  if (piece === "}") return 0;
  return /[A-Za-z0-9]/.test(piece) ? 1 : SIGN;
}

/** An arrow as long as its label, which is made twice: fifteen in one another take 0.2 s. */
function isArrow(name: string): boolean {
  return name.startsWith("x") && name.length > "xmap".length && name !== "xcancel";
}

/** How deep a formula nests: its groups, and the declarations in force in each. */
class Depth {
  now = 0;
  readonly #groups = [{ opener: "", declared: 0 }];

  see(piece: string): void {
    const group = this.#groups.at(-1)!;
    if (OPENERS.has(piece)) {
      this.#groups.push({ opener: piece, declared: 0 });
      this.now += 1;
    } else if (group.opener && ENDS.get(piece) === group.opener) {
      this.#groups.pop();
      this.now -= 1 + group.declared;
    } else if (DECLARATIONS.has(piece.slice(1)) || isArrow(piece.slice(1))) {
      group.declared += 1;
      this.now += 1;
    } else if (CELL_ENDS.has(piece) && group.opener === "\\begin") {
      this.now -= group.declared;
      group.declared = 0;
    }
  }
}

export function texOf(source: string, markup: string): string {
  return source.slice(markup.length, -markup.length).trim();
}

const renderInline: RendererRule = (tokens, index) => {
  const { content, markup, meta } = tokens[index]!;
  const tex = texOf(content, markup);
  if (!meta?.["typeset"]) return `<code>${escape(content)}</code>`;
  return markup === "$" || markup === "\\("
    ? `<span class="hs-math mathjax_process tex2jax_process">\\(${escape(tex)}\\)</span>`
    : `<span class="hs-math hs-math-display mathjax_process tex2jax_process">\\[${escape(tex)}\\]</span>`;
};

const renderBlock: RendererRule = (tokens, index) => {
  const { content, markup, meta } = tokens[index]!;
  const tex = texOf(content, markup);
  if (!meta?.["typeset"]) return `<pre><code>${escape(content)}</code></pre>\n`;
  return `<div class="hs-math mathjax_process tex2jax_process">\\[${escape(tex)}\\]</div>\n`;
};

/** A backslash with what it escapes, a run of dollars, or a backtick: at `from` or after it, before `end`. */
function* pieces(src: string, from: number, end: number): Generator<{ text: string; at: number }> {
  const pattern = /\\[\s\S]|\$+|`/g;
  pattern.lastIndex = from;
  for (let found = pattern.exec(src); found && found.index < end; found = pattern.exec(src)) {
    // A piece is cut where the text to look at ends, and half an escape is none.
    const text = found[0].slice(0, end - found.index);
    if (text !== "\\") yield { text, at: found.index };
  }
}

function inline(state: StateInline, silent: boolean): boolean {
  const first = state.src[state.pos];
  if (first !== "$" && first !== "\\") return false;
  const markup = opener(state);
  const end = inlineEnd(state.src, state.pos, state.posMax, markup);
  if (end < 0) return skipDollars(state, markup, silent);
  if (!silent) {
    const token = state.push("hs_math", "", 0);
    token.content = state.src.slice(state.pos, end);
    token.markup = markup;
  }
  state.pos = end;
  return true;
}

function opener(state: StateInline): string {
  const pattern = /\\[\s\S]|\$+/y;
  pattern.lastIndex = state.pos;
  const text = pattern.exec(state.src)?.[0].slice(0, state.posMax - state.pos) ?? "";
  return text === "\\" ? "" : text;
}

/** Left to themselves, the dollars of a failed run would be tried one by one. */
function skipDollars(state: StateInline, run: string, silent: boolean): boolean {
  if (!run.startsWith("$")) return false;
  if (!silent) state.pending += run;
  state.pos += run.length;
  return true;
}

/** Where the formula at `pos` ends, or -1. */
function inlineEnd(src: string, pos: number, most: number, markup: string): number {
  const start = pos + markup.length;
  if (!(markup in CLOSERS) || (markup === "$" && !mayOpen(src, pos, most))) return -1;
  for (const { text, at } of pieces(src, start, most)) {
    const closes = verdict(text, markup);
    if (closes === null) continue;
    const formula = closes && src.slice(start, at).trim() !== "";
    return formula && (markup !== "$" || mayClose(src, at, most)) ? at + text.length : -1;
  }
  return -1;
}

/** Where each formula within a line begins and ends, and what it begins with. */
export function* formulasIn(line: string): Generator<{ start: number; end: number; markup: string }> {
  let pos = 0;
  for (const { text: markup, at: start } of pieces(line, 0, line.length)) {
    if (start < pos) continue;
    const end = inlineEnd(line, start, line.length, markup);
    if (end < 0) continue;
    yield { start, end, markup };
    pos = end;
  }
}

/** True: `piece` closes `markup`; false: no closer can follow; null: look on. */
function verdict(piece: string, markup: string): boolean | null {
  if (piece === CLOSERS[markup]) return true;
  if (piece === "`" || piece === markup) return false;
  return piece[0] === "$" && markup[0] === "$" && piece.length > markup.length ? false : null;
}

/** "5$" and "US$" are money; so is "$ 5". */
function mayOpen(src: string, at: number, end: number): boolean {
  return !/[A-Za-z0-9]/.test(src[at - 1] ?? " ") && at + 1 < end && !" \t\n".includes(src[at + 1]!);
}

function mayClose(src: string, at: number, end: number): boolean {
  return !" \t\n".includes(src[at - 1]!) && !(at + 1 < end && /[0-9]/.test(src[at + 1]!));
}

function block(state: StateBlock, start: number, end: number, silent: boolean): boolean {
  if (state.sCount[start]! - state.blkIndent >= 4) return false;
  const first = lineOf(state, start);
  const markup = first.slice(0, 2);
  if ((markup !== "$$" && markup !== "\\[") || first.startsWith("$$$")) return false;
  const last = blockEnd(state, start, end, markup);
  if (last < 0) return false;
  const source = sourceOf(state, start, last);
  if (!texOf(source, markup)) return false;
  if (silent) return true;
  const token = state.push("hs_math_block", "", 0);
  token.content = source;
  token.markup = markup;
  token.map = [start, last + 1];
  state.line = last + 1;
  return true;
}

function lineOf(state: StateBlock, line: number): string {
  return state.src.slice(state.bMarks[line]! + state.tShift[line]!, state.eMarks[line]);
}

function sourceOf(state: StateBlock, start: number, last: number): string {
  const lines = [];
  for (let line = start; line <= last; line++) lines.push(lineOf(state, line));
  return lines.join("\n").replace(/[ \t]+$/, "");
}

/** The line with the closer, when it comes before a blank line and nothing follows it; else -1. */
function blockEnd(state: StateBlock, start: number, end: number, markup: string): number {
  for (let number = start; number < end; number++) {
    const line = lineOf(state, number);
    if (!line || (number > start && state.sCount[number]! < state.blkIndent)) return -1;
    for (const { text, at } of pieces(line, number === start ? 2 : 0, line.length)) {
      const closes = verdict(text, markup);
      if (closes === null) continue;
      return closes && !line.slice(at + text.length).trim() ? number : -1;
    }
  }
  return -1;
}
