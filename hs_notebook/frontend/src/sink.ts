/** Where settled HTML goes; it comes in the order of the text. */
export interface Sink {
  block(html: string): void;
  /** A block that goes on growing, within the first element that `slot` selects (itself where it is empty). */
  open(html: string, slot: string): void;
  grow(html: string): void;
  /** The same for plain text, which may come in great numbers of small parts. */
  growText(text: string): void;
  /** The open block's content anew. */
  regrow(html: string): void;
  /** The open block is settled; `html` stands in its place where it is given. */
  close(html?: string): void;
  /** A note of ours begins, or ends; no block is open. */
  turn(): void;
}

/** HTML of what is not settled yet: the part within the open block, and the part after it. */
export interface Tail {
  inner: string;
  outer: string;
}
