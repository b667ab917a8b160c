import { createMarkdown } from "./markdown";
import { FrameTask } from "./schedule";

/** Puts the answer's text on the page. */
export class Painter {
  readonly #body: HTMLElement;
  readonly #frame = new FrameTask(() => this.#paint());
  readonly #md = createMarkdown();
  #text = "";

  constructor(body: HTMLElement) {
    this.#body = body;
  }

  append(text: string): void {
    const first = this.#text === "";
    this.#text += text;
    if (first) this.#frame.now();
    else this.#frame.request();
  }

  replace(text: string): void {
    this.#text = text;
    this.#frame.now();
  }

  finish(): void {
    this.#frame.now();
  }

  dispose(): void {
    this.#frame.cancel();
  }

  #paint(): void {
    this.#body.innerHTML = this.#md.render(this.#text);
  }
}
