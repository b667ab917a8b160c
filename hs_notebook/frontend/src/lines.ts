/** A text by its lines; the part after the last newline counts as a line where it is not empty. */
export class Lines {
  readonly text: string;
  readonly #starts: number[] = [];

  constructor(text: string) {
    this.text = text;
    for (let at = 0; at < text.length; at = (text.indexOf("\n", at) + 1) || text.length) this.#starts.push(at);
  }

  get count(): number {
    return this.#starts.length;
  }

  /** Offset of the line's first character; of the text's end for the line after the last. */
  start(line: number): number {
    return this.#starts[line] ?? this.text.length;
  }

  get(line: number): string {
    return this.text.slice(this.start(line), this.start(line + 1));
  }

  isBlank(line: number): boolean {
    return line < this.count && /^[ \t]*\n?$/.test(this.get(line));
  }

  /** The first line from `line` on that is not blank; the number of lines where all are. */
  skipBlank(line: number): number {
    let at = line;
    while (this.isBlank(at)) at++;
    return at;
  }

  before(line: number): string {
    return this.text.slice(0, this.start(line));
  }

  from(line: number): string {
    return this.text.slice(this.start(line));
  }
}

/** Offset after the first newline; 0 where there is none. */
export function firstLineEnd(text: string): number {
  return text.indexOf("\n") + 1;
}
