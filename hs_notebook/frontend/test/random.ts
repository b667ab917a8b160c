/** A small generator of random numbers with a seed, so that a failure can be had again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** `text` in pieces of up to `longest` code units, cut anywhere. */
  split(text: string, longest: number): string[] {
    const pieces = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + this.below(longest);
      pieces.push(text.slice(at, at + size));
      at += size;
    }
    return pieces;
  }
}
