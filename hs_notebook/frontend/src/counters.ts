/** Now, in seconds, on a clock that never goes back. */
const now = (): number => performance.now() / 1000;

/** The figures under a live answer. Rates are taken over what this view saw itself, so that they hold after a reload too. */
export class Counters {
  #start = now();
  #tokens: number | null = null;
  #first: { tokens: number; at: number } | null = null;
  #hasText = false;

  /** `elapsed`: seconds since the request was sent. */
  startedAgo(elapsed: number): void {
    this.#start = now() - elapsed;
  }

  update(tokens: number | null, hasText: boolean): void {
    this.#hasText ||= hasText;
    if (tokens === null) return;
    this.#tokens = tokens;
    if (this.#hasText) this.#first ??= { tokens, at: now() };
  }

  get waiting(): boolean {
    return !this.#hasText;
  }

  line(model: string): string {
    const seconds = `${(now() - this.#start).toFixed(1)} s`;
    if (!this.#hasText) return `waiting for ${model}… ${seconds}`;
    return [this.#count(), this.#rate(), seconds].filter(Boolean).join(" · ");
  }

  #count(): string {
    return this.#tokens === null ? "" : `≈${this.#tokens.toLocaleString("en")} tokens`;
  }

  /** Nothing in the first half second: a rate over so short a time says nothing. */
  #rate(): string {
    if (this.#tokens === null || this.#first === null) return "";
    const seconds = now() - this.#first.at;
    return seconds < 0.5 ? "" : `${Math.round((this.#tokens - this.#first.tokens) / seconds)} tokens/s`;
  }
}
