import { BlockSplitter } from "./blocks";
import { Fold } from "./fold";
import { createMarkdown, render } from "./markdown";
import { Page } from "./page";
import { FrameTask } from "./schedule";
import { Intake } from "./visible";

const SLICE = 2_000; // characters taken in at a time: of marks alone they are hundreds of blocks
const BEHIND = 16_000; // characters waiting that are painted at once, rest or not
const BUDGET = 8; // ms that taking in may cost a frame
const RESTRAINT = 3; // the next painting is so many times as far away as the last one cost, layout included

/** Paints a growing text: the first of it at once, the rest at most once a frame, never for long. */
export class Painter {
  readonly #page: Page;
  readonly #md: ReturnType<typeof createMarkdown>;
  readonly #frame = new FrameTask(() => this.#paint());
  #splitter!: BlockSplitter;
  #intake!: Intake;
  #fold!: Fold;
  #waiting = "";
  #painted = false;
  #finished = false;
  #final = false; // the page has its last form, to which nothing can be added
  #restUntil = 0;
  #measure: ReturnType<typeof setTimeout> | undefined;
  #whole = "";
  #drawn = "";
  #tailed = 0; // characters drawn when the tail was painted

  constructor(body: HTMLElement, md = createMarkdown()) {
    this.#md = md;
    this.#page = new Page(body);
    this.#reset();
  }

  append(text: string): void {
    if (this.#final) return this.replace(this.#whole + text);
    this.#waiting += text;
    this.#whole += text;
    if (this.#painted) this.#frame.request();
    else this.#frame.now();
  }

  replace(text: string): void {
    this.#page.clear();
    this.#reset();
    this.append(text);
  }

  /** No more text is awaited (should some come all the same, it is painted). */
  finish(): void {
    this.#finished = true;
    this.#restUntil = 0;
    this.#frame.now();
  }

  dispose(): void {
    this.#frame.cancel();
    clearTimeout(this.#measure);
  }

  #reset(): void {
    this.#splitter = new BlockSplitter(this.#md, this.#page);
    this.#intake = new Intake();
    this.#fold = new Fold();
    this.#waiting = this.#whole = this.#drawn = "";
    this.#painted = this.#final = false;
    this.#tailed = 0;
    this.#restUntil = 0;
  }

  #paint(): void {
    const start = performance.now();
    const behind = this.#waiting.length > BEHIND;
    if (start < this.#restUntil && !behind) return this.#frame.request();
    while (this.#waiting && performance.now() - start < BUDGET) this.#take();
    this.#page.note(this.#fold.line);
    if (this.#waiting) return this.#frame.request();
    if (this.#final || (this.#finished && this.#finish())) return;
    this.#painted ||= this.#whole !== "";
    if (this.#finished || this.#tailed !== this.#drawn.length) this.#page.setTail(this.#splitter.tail());
    this.#tailed = this.#drawn.length;
    this.#rest(start);
  }

  /** A big table or paragraph is laid out anew for each of its words: then they come less often. */
  #rest(start: number): void {
    clearTimeout(this.#measure);
    // A timer set in an animation frame fires after the frame was laid out and painted.
    this.#measure = setTimeout(() => {
      const now = performance.now();
      this.#restUntil = this.#finished ? 0 : now + RESTRAINT * (now - start);
    });
  }

  #take(): void {
    const last = this.#finished && this.#waiting.length <= SLICE;
    this.#draw(this.#intake.push(this.#waiting.slice(0, SLICE), last));
    this.#waiting = this.#waiting.slice(SLICE);
  }

  /** True where the page holds the whole already. */
  #finish(): boolean {
    this.#final = true;
    this.#draw(this.#intake.push("", true));
    this.#splitter.finish();
    if (!this.#splitter.hasDefinitions) return false;
    this.#page.whole(render(this.#md, this.#drawn));
    return true;
  }

  #draw(text: string): void {
    const drawn = this.#fold.take(text);
    this.#drawn += drawn;
    if (drawn) this.#splitter.push(drawn);
  }
}
