/* Bars within formulas, as in `$P(A|B)$`, part no cells of a table. */
import type { StateBlock } from "markdown-it";
import { formulasIn, texOf } from "./math";

export type BlockRule = (state: StateBlock, start: number, end: number, silent: boolean) => boolean;

/** A text has none: control characters are made visible before it is read. */
const HIDDEN = "\x01";
const known = new WeakMap<StateBlock, string>();

/** `table`, which reads the text without the bars that belong to formulas. */
export function besideFormulas(table: BlockRule): BlockRule {
  return (state, start, end, silent) => {
    const { src, tokens } = state;
    const before = tokens.length;
    if (!known.has(state)) known.set(state, withoutBars(src));
    state.src = known.get(state)!;
    try {
      return table(state, start, end, silent);
    } finally {
      state.src = src;
      for (const token of tokens.slice(before)) token.content = token.content.replaceAll(HIDDEN, "|");
    }
  };
}

function withoutBars(source: string): string {
  if (!source.includes("|") || !(source.includes("$") || source.includes("\\("))) return source;
  return source.split("\n").map(withoutBarsIn).join("\n");
}

function withoutBarsIn(line: string): string {
  if (!line.includes("|")) return line;
  let plain = "";
  let at = 0;
  for (const { start, end, markup } of formulasIn(line)) {
    const formula = line.slice(start, end);
    const tex = texOf(formula, markup);
    // "|$x|$y|" are two cells, "$|x|$" is an absolute value.
    const belong = tex.startsWith("|") === tex.endsWith("|");
    plain += line.slice(at, start) + (belong ? formula.replace(/\\[\s\S]|\|/g, (found) => (found === "|" ? HIDDEN : found)) : formula);
    at = end;
  }
  return plain + line.slice(at);
}
