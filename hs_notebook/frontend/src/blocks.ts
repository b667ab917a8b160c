/*
 * Splits a growing text into blocks that nothing can change any more and a live tail.
 *
 * A block is settled once the parser, given complete lines only, finds another block after it (or a blank line,
 * where that ends it). Lists and tables settle by item and row, fences by line. What is settled is rendered once;
 * the tail is short, so rendering it anew costs little. All in all the cost is linear in the text.
 */
import type { MarkdownIt, Token } from "markdown-it";
import { cost } from "./cost";
import { mayCut, settledEnd } from "./cuts";
import { firstLineEnd, Lines } from "./lines";
import { MARK } from "./notes";
import {
  blocksOf, type Counts, firstEnd, isList, isLoose, itemStarts, itemTokens, listHead, Pieces, rowTokens,
} from "./pieces";
import type { Sink, Tail } from "./sink";
import { escape } from "./visible";

type Open =
  // What the parser has to see before the tail, so that it takes it for more of the same.
  | { kind: "list"; head: string; source: string; loose: boolean; before: Counts }
  | { kind: "table"; head: string; cost: Counts }
  | { kind: "fence"; closer: RegExp; mayClose: RegExp; midLine: boolean }
  | { kind: "plain"; source: string; midLine: boolean };

type List = Extract<Open, { kind: "list" }>;
type Fence = Extract<Open, { kind: "fence" }>;

/** A tail that costs more is shown as plain text until a blank line; if it costs more than the second, until the final picture. */
const DEAREST_TAIL = 30_000;
const DEAREST_BLOCK = 100_000;

/** The parser ends a table that has too many; here it comes in pieces, of which none has too many. */
const MOST_EMPTY_CELLS = 5_000;

export class BlockSplitter {
  readonly #sink: Sink;
  readonly #pieces: Pieces;
  #open: Open | null = null;
  #complete = ""; // the tail's complete lines
  #partial = ""; // and the beginning of its last one
  #nextTry = 0; // length of #complete below which trying to settle is not worth its cost

  constructor(md: MarkdownIt, sink: Sink) {
    this.#pieces = new Pieces(md);
    this.#sink = sink;
  }

  /** Definitions of links reach back to text that is settled: then the whole is to be rendered once more at the end. */
  get hasDefinitions(): boolean {
    return this.#pieces.hasDefinitions;
  }

  /** A note of ours ends what is open before it: else a fence that the model leaves open would hide it. */
  push(text: string): void {
    const [first, ...rest] = text.split(MARK);
    if (first) this.#push(first);
    for (const part of rest) {
      this.#end();
      if (part) this.#push(part);
    }
  }

  #push(text: string): void {
    const cut = text.lastIndexOf("\n") + 1;
    if (cut > 0) {
      this.#complete += this.#partial + text.slice(0, cut);
      this.#partial = "";
    }
    this.#partial += text.slice(cut);
    while (this.#step());
    if (cost(this.#complete) + cost(this.#partial) > DEAREST_TAIL) this.#openPlain();
  }

  /** Nothing follows: definitions in the tail count, and long text and code get their final form. */
  finish(): void {
    const open = this.#open;
    const text = this.#complete + this.#partial;
    if (open?.kind === "plain") this.#closePlain();
    else if (open?.kind === "fence") this.#finishFence(open, text);
    else this.#pieces.define(text);
    if (open?.kind === "list") this.#loosen(open, this.#pieces.scan(open.head + text));
  }

  #end(): void {
    this.finish();
    const { inner, outer } = this.tail();
    const open = this.#open;
    const text = this.#complete + this.#partial;
    if (open?.kind === "table") this.#pieces.settledRows(open.head + text, open.cost);
    else this.#pieces.settled(open?.kind === "list" ? open.head + text : text);
    if (open) {
      this.#sink.grow(inner);
      this.#close();
    }
    if (outer) this.#sink.block(outer);
    this.#complete = this.#partial = "";
    this.#nextTry = 0;
    this.#sink.turn();
  }

  tail(): Tail {
    const text = this.#complete + this.#partial;
    const open = this.#open;
    if (open?.kind === "fence") return { inner: isCode(text, open.closer) ? escape(text) : "", outer: "" };
    if (!text || open?.kind === "plain") return { inner: "", outer: "" };
    if (!open) return { inner: "", outer: this.#pieces.html(this.#pieces.passing(text)) };
    const tokens = this.#pieces.passing(open.head + text, open.kind === "table" ? this.#pieces.under(open.cost) : undefined);
    const within = open.kind === "list" ? itemTokens(tokens, open.loose) : rowTokens(tokens);
    return { inner: this.#pieces.html(within), outer: this.#pieces.html(tokens.slice(firstEnd(tokens))) };
  }

  /** Settles what it can; true where something was, so that more may follow. */
  #step(): boolean {
    switch (this.#open?.kind) {
      case "fence":
        return this.#stepFence(this.#open);
      case "plain":
        return this.#stepPlain(this.#open);
    }
    if (this.#complete.length <= this.#nextTry) return false;
    const settled = this.#tryStep();
    this.#nextTry = settled ? 0 : this.#complete.length * 1.125;
    return settled;
  }

  #tryStep(): boolean {
    if (this.#open?.kind === "table") return this.#stepTable(this.#open);
    if (this.#open?.kind === "list") return this.#stepList(this.#open);
    const lines = new Lines(this.#complete);
    const tokens = this.#pieces.scan(this.#complete);
    const blocks = blocksOf(tokens);
    const cut = mayCut(lines, settledEnd(blocks, lines));
    if (cut === 0) return blocks.length === 1 && this.#openBlock(tokens, lines);
    this.#sink.block(this.#pieces.html(this.#pieces.settled(lines.before(cut))));
    this.#complete = lines.from(cut);
    return true;
  }

  /** The only block of the tail, where it is of a kind that settles part by part. */
  #openBlock(tokens: Token[], lines: Lines): boolean {
    const [start, end] = tokens[0]!.map!;
    if (lines.skipBlank(0) !== start) return false; // a definition goes before it
    if (isList(tokens[0])) return itemStarts(tokens).length > 1 && this.#openList(tokens[0]!, lines);
    if (tokens[0]!.type === "table_open") return end - start > 2 && mayCut(lines, end) > 0 && this.#openTable(lines, start);
    return tokens[0]!.type === "fence" && this.#openFence(tokens[0]!, lines, start);
  }

  #openList(list: Token, lines: Lines): boolean {
    this.#sink.open(this.#pieces.emptyList(list), "");
    this.#open = { kind: "list", head: listHead(list), source: "", loose: false, before: this.#pieces.counts };
    this.#complete = lines.from(list.map![0]); // a blank line before it would make it loose
    return true;
  }

  #stepList(open: List): boolean {
    const lines = new Lines(open.head + this.#complete);
    const tokens = this.#pieces.scan(lines.text);
    const ended = blocksOf(tokens).length > 1;
    const cut = mayCut(lines, ended ? lines.skipBlank(tokens[0]!.map![1]) : itemStarts(tokens).at(-1)!);
    this.#loosen(open, tokens);
    if (cut <= 1) return false;
    const settled = lines.before(cut).slice(open.head.length);
    this.#sink.grow(this.#items(open, settled, this.#pieces.counts));
    open.source += settled;
    this.#complete = lines.from(cut);
    if (ended) this.#close();
    return true;
  }

  /** One blank line between items makes the whole list loose, once and for all. */
  #loosen(open: List, tokens: Token[]): void {
    if (open.loose || !isLoose(tokens)) return;
    open.loose = true;
    if (open.source) this.#sink.regrow(this.#items(open, open.source, open.before));
  }

  #items(open: List, source: string, before: Counts): string {
    return this.#pieces.html(itemTokens(this.#pieces.settled(open.head + source, before), open.loose));
  }

  #openTable(lines: Lines, start: number): boolean {
    const head = lines.before(start + 2);
    this.#sink.open(this.#pieces.emptyTable(head), "tbody");
    this.#open = { kind: "table", head, cost: this.#pieces.settledHead(head) };
    this.#complete = lines.from(start + 2);
    return true;
  }

  #stepTable(open: Extract<Open, { kind: "table" }>): boolean {
    const lines = new Lines(open.head + this.#complete);
    const headEnd = new Lines(open.head).count;
    const end = blocksOf(this.#pieces.scan(lines.text, 0))[0]!.end;
    const cut = mayCut(lines, end);
    const ended = cut === end && end < lines.count;
    if (cut <= headEnd && !ended) return false;
    this.#sink.grow(this.#pieces.html(rowTokens(this.#pieces.settledRows(lines.before(cut), open.cost))));
    this.#complete = lines.from(cut);
    if (ended) this.#close();
    else if (this.#pieces.counts.emptyCells > MOST_EMPTY_CELLS) this.#openPlain();
    return this.#complete !== "";
  }

  #openFence(fence: Token, lines: Lines, start: number): boolean {
    const opening = lines.get(start);
    const closer = new RegExp(`^ {0,3}\\${fence.markup[0]}{${fence.markup.length},}[ \\t]*$`, "m");
    const closed = fence.map![1] - start > 1 && closer.test(lines.get(fence.map![1] - 1));
    if (closed || !opening.startsWith(fence.markup)) return false;
    if (opening.includes("|") && lines.count < start + 2) return false; // the next line may make it a table's head
    this.#sink.open(this.#pieces.html(this.#pieces.settled(opening)), "code");
    const mayClose = new RegExp(`^ {0,3}\\${fence.markup[0]}*[ \\t]*$`);
    this.#open = { kind: "fence", closer, mayClose, midLine: false };
    this.#complete = lines.from(start + 1);
    return true;
  }

  #stepFence(open: Fence): boolean {
    const body = open.midLine ? firstLineEnd(this.#complete) : 0;
    const found = open.closer.exec(this.#complete.slice(body));
    const end = found ? body + found.index : this.#complete.length;
    this.#growText(open, this.#complete.slice(0, end));
    this.#complete = this.#complete.slice(end);
    if (found) {
      this.#complete = this.#complete.slice(firstLineEnd(this.#complete));
      this.#close();
      return true;
    }
    if (this.#partial && (open.midLine || !open.mayClose.test(this.#partial))) {
      this.#growText(open, this.#partial);
      this.#partial = "";
    }
    return false;
  }

  #finishFence(open: Fence, text: string): void {
    if (isCode(text, open.closer)) this.#growText(open, text);
    this.#complete = this.#partial = "";
    this.#close();
  }

  #growText(open: { midLine: boolean }, text: string): void {
    if (!text) return;
    this.#sink.growText(text);
    open.midLine = !text.endsWith("\n");
  }

  #openPlain(): void {
    if (this.#open) this.#close();
    this.#sink.open('<div class="hs-plain"></div>\n', "");
    this.#open = { kind: "plain", source: "", midLine: false };
    while (this.#step());
  }

  #stepPlain(open: Extract<Open, { kind: "plain" }>): boolean {
    const body = open.midLine ? firstLineEnd(this.#complete) : 0;
    const blank = /^[ \t]*\n/m.exec(this.#complete.slice(body));
    const text = blank ? this.#complete.slice(0, body + blank.index) : this.#complete + this.#partial;
    this.#growText(open, text);
    open.source += text;
    this.#complete = blank ? this.#complete.slice(text.length) : "";
    if (blank) this.#closePlain();
    else this.#partial = "";
    return blank !== null;
  }

  #closePlain(): void {
    const source = this.#open?.kind === "plain" ? this.#open.source : "";
    this.#close(cost(source) > DEAREST_BLOCK ? undefined : this.#pieces.html(this.#pieces.settled(source)));
  }

  #close(html?: string): void {
    this.#sink.close(html);
    this.#open = null;
    this.#nextTry = 0;
  }
}

/** Whether a fence's last line, without its newline, shows: the closing one does not, nor does white space alone. */
function isCode(line: string, closer: RegExp): boolean {
  return !closer.test(line) && /[^ \t]/.test(line);
}
