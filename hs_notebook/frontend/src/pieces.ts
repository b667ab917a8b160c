/*
 * What the block splitter asks of the parser: the blocks of a piece of text, and the HTML of a part of them. The
 * splitter never judges Markdown itself, so that it cannot judge otherwise than the renderer.
 */
import type { MarkdownIt, Token } from "markdown-it";
import type { Env, References } from "./markdown";
import { visible } from "./visible";

export interface Block {
  token: Token;
  /** Line after its last one. */
  end: number;
}

/** What the bounds of an answer have seen so far. */
export type Counts = Required<Pick<Env, "emptyCells" | "headings" | "tex">>;

export class Pieces {
  readonly #md: MarkdownIt;
  // What holds from one piece to the next.
  readonly #references: References = {};
  #counts: Counts = { emptyCells: 0, headings: 0, tex: 0 };

  constructor(md: MarkdownIt) {
    this.#md = md;
  }

  get hasDefinitions(): boolean {
    return Object.keys(this.#references).length > 0;
  }

  get counts(): Counts {
    return this.#counts;
  }

  /** Block tokens alone, without the cost of what is within the lines. */
  scan(source: string, emptyCells = this.#counts.emptyCells): Token[] {
    const tokens: Token[] = [];
    this.#md.block.parse(source, this.#md, { emptyCells }, tokens);
    return tokens;
  }

  /** Tokens of text that is settled: the definitions in it hold from now on, and it is counted. */
  settled(source: string, counts = this.#counts): Token[] {
    const env = { ...counts, references: this.#references };
    const tokens = this.#md.parse(source, env);
    this.#counts = { emptyCells: env.emptyCells, headings: env.headings, tex: env.tex };
    return tokens;
  }

  /** Tokens of a table's head with more of its rows; the head, which cost `head`, is counted already. */
  settledRows(source: string, head: Counts): Token[] {
    const before = this.#counts;
    const tokens = this.settled(source, this.under(head));
    this.#counts.emptyCells += before.emptyCells - head.emptyCells;
    return tokens;
  }

  /** What was counted before a table's rows, but for its head. Of the table's empty cells none is too many: it comes in parts. */
  under(head: Counts): Counts {
    return { ...this.#counts, emptyCells: 0, tex: this.#counts.tex - head.tex };
  }

  /** Counts a table's head, and says what it cost. */
  settledHead(source: string): Counts {
    const none: Counts = { emptyCells: 0, headings: 0, tex: 0 };
    const before = this.#counts;
    this.settledRows(source, none);
    const { emptyCells, tex } = this.#counts;
    return { ...none, emptyCells: emptyCells - before.emptyCells, tex: tex - before.tex };
  }

  /** Makes the definitions in `source` hold, which is not counted: it is rendered as what passes. */
  define(source: string): void {
    this.#md.block.parse(source, this.#md, { ...this.#counts, references: this.#references }, []);
  }

  /** Tokens of text that may still change. */
  passing(source: string, counts = this.#counts): Token[] {
    return this.#md.parse(source, { ...counts, references: Object.create(this.#references) as References });
  }

  html(tokens: Token[]): string {
    return visible(this.#md.renderer.render(tokens, this.#md.options, {}));
  }

  /** A list without its items. */
  emptyList(open: Token): string {
    return `<${open.tag}${this.#md.renderer.renderAttrs(open)}>\n</${open.tag}>\n`;
  }

  /** A table of the two lines in `head`, with a body that has no rows yet. */
  emptyTable(head: string): string {
    const tokens = this.passing(`${head}|\n`, { ...this.#counts, emptyCells: 0 });
    const rows = tokens.findIndex((token) => token.type === "tbody_open") + 1;
    return this.html([...tokens.slice(0, rows), ...tokens.slice(-2)]).replace("<tbody>", "<tbody>\n");
  }
}

/** The top-level blocks. */
export function blocksOf(tokens: Token[]): Block[] {
  return tokens
    .filter((token) => token.level === 0 && token.nesting >= 0 && token.map)
    .map((token) => ({ token, end: token.map![1] }));
}

/** Index of the token after the first top-level block. */
export function firstEnd(tokens: Token[]): number {
  if (tokens[0]?.nesting === 0) return 1;
  return tokens.findIndex((token) => token.level === 0 && token.nesting === -1) + 1;
}

/**
 * A line that makes what follows it items of the same list, indented so far that none of them is within it. By
 * themselves they may be something else: "- a | b" is a table's head where "|---|---|" is the next line.
 */
export function listHead(list: Token): string {
  return `   ${list.tag === "ol" ? "1" : ""}${list.markup} x\n`;
}

/** Whether a list that begins with such a line is loose. */
export function isLoose(tokens: Token[]): boolean {
  return !ownParagraphs(tokens)[0]?.hidden;
}

/** Its items, but for that line. */
export function itemTokens(tokens: Token[], loose: boolean): Token[] {
  if (loose) for (const paragraph of ownParagraphs(tokens)) paragraph.hidden = false;
  const headEnd = tokens.findIndex((token) => token.level === 1 && token.type === "list_item_close");
  return tokens.slice(headEnd + 1, firstEnd(tokens) - 1);
}

/** The body rows of the table that `tokens` begin with. */
export function rowTokens(tokens: Token[]): Token[] {
  const open = tokens.findIndex((token) => token.type === "tbody_open");
  return open < 0 ? [] : tokens.slice(open + 1, tokens.findIndex((token) => token.type === "tbody_close"));
}

/** The lines at which the items of the first list begin. */
export function itemStarts(tokens: Token[]): number[] {
  return tokens
    .slice(0, firstEnd(tokens))
    .filter((token) => token.level === 1 && token.type === "list_item_open")
    .map((token) => token.map![0]);
}

export function isList(token: Token | undefined): boolean {
  return token?.type === "bullet_list_open" || token?.type === "ordered_list_open";
}

/** Paragraphs (both their tokens) that stand directly in the items of the first list. */
function ownParagraphs(tokens: Token[]): Token[] {
  return tokens
    .slice(0, firstEnd(tokens))
    .filter((token) => token.level === 2 && (token.type === "paragraph_open" || token.type === "paragraph_close"));
}
