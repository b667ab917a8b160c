import type { Lines } from "./lines";
import type { Block } from "./pieces";

/** A line that may, with a line that is yet to come, swallow all lines between as a formula. */
const MAY_SWALLOW = /^ {0,3}(?:\$\$|\\\[)/;
const ENDED_BY_BLANK = new Set(["paragraph_open", "heading_open", "hr", "hs_math_block", "blockquote_open"]);

/** The line up to which the blocks cannot change any more, as far as they themselves tell. */
export function settledEnd(blocks: Block[], lines: Lines): number {
  const last = blocks.at(-1);
  if (!last) return 0;
  if (ENDED_BY_BLANK.has(last.token.type) && lines.isBlank(last.end)) return lines.skipBlank(last.end);
  const before = blocks.at(-2);
  return before ? lines.skipBlank(before.end) : 0;
}

/** `line`, or 0 where a formula that is perhaps open there forbids the cut; no formula goes over a blank line. */
export function mayCut(lines: Lines, line: number): number {
  for (let at = line - 1; at >= 0 && !lines.isBlank(at); at--) {
    if (MAY_SWALLOW.test(lines.get(at))) return 0;
  }
  return line;
}
