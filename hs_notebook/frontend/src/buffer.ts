/** What a message did to the text: nothing new, new text at its end, another text altogether, or a hole before it. */
export type Change =
  | { kind: "none" }
  | { kind: "append"; text: string }
  | { kind: "replace"; text: string }
  | { kind: "gap" };

interface Late {
  offset: number;
  text: string;
}

/** The answer's text, put together from deltas that may come twice, late or not at all, and from snapshots. */
export class TextBuffer {
  #text = "";
  #late: Late[] = [];

  get text(): string {
    return this.#text;
  }

  delta(offset: number, text: string): Change {
    if (offset > this.#text.length) {
      this.#late.push({ offset, text });
      return { kind: "gap" };
    }
    return this.#appended(this.#fresh(offset, text));
  }

  /** The whole text so far. Where it only continues ours, the change is an append: what is on the page stays. */
  snapshot(text: string): Change {
    if (text.startsWith(this.#text)) return this.#appended(text.slice(this.#text.length));
    this.#text = text;
    this.#drain();
    return { kind: "replace", text: this.#text };
  }

  #appended(fresh: string): Change {
    const before = this.#text.length;
    this.#text += fresh;
    this.#drain();
    if (this.#text.length === before) return { kind: "none" };
    return { kind: "append", text: this.#late.length || this.#text.length > before + fresh.length ? this.#text.slice(before) : fresh };
  }

  /** Deltas that came before what they follow on. They are kept in the order of their arrival, which is that of their offsets. */
  #drain(): void {
    let next = this.#late[0];
    while (next && next.offset <= this.#text.length) {
      this.#text += this.#fresh(next.offset, next.text);
      this.#late.shift();
      next = this.#late[0];
    }
  }

  #fresh(offset: number, text: string): string {
    return text.slice(this.#text.length - offset);
  }
}
