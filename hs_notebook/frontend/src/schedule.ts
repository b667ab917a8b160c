const FALLBACK = 250; // ms; a hidden page gets no animation frames

/** Runs a task at most once per animation frame, and also where there are no frames. */
export class FrameTask {
  readonly #task: () => void;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(task: () => void) {
    this.#task = task;
  }

  request(): void {
    if (this.#timer !== undefined) return;
    this.#frame = requestAnimationFrame(() => this.now());
    this.#timer = setTimeout(() => this.now(), FALLBACK);
  }

  now(): void {
    this.cancel();
    this.#task();
  }

  cancel(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
