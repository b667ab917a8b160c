import { Counters } from "./counters";
import { element } from "./dom";
import type { FinalState } from "./protocol";
import { type Actions, StopButton } from "./stop";
import { visible } from "./visible";

const TICK = 200; // ms between two paintings of the counters

/** The line under the answer: dot, model, counters and the Stop button; after the end, the receipt. */
export class Controls {
  readonly root = element("div", "hs-receipt");
  readonly counters = new Counters();
  readonly #model: string;
  readonly #name: HTMLElement;
  readonly #figures = element("span", "hs-figures");
  /** Heard, not seen: only the few turns of an answer, never its text or figures. */
  readonly #spoken = element("span", "hs-spoken");
  readonly #stop: StopButton;
  #over = false;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(model: string, actions: Actions) {
    this.#model = model;
    this.#name = element("span", "hs-model", model);
    this.#stop = new StopButton("Stop", actions, (text) => (this.#spoken.textContent = text));
    this.#spoken.setAttribute("role", "status");
    // The notebook's own shortcuts would take Enter, Space and Esc away from the button.
    this.root.dataset["lmSuppressShortcuts"] = "true";
    this.root.append(
      element("span", "hs-dot"), this.#name, this.#figures, this.#stop.root, this.#spoken,
    );
  }

  start(): void {
    if (this.#ticker !== undefined || this.#over) return;
    this.#ticker = setInterval(() => this.paint(), TICK);
    this.#spoken.textContent = `${this.#model} is answering`;
    this.paint();
  }

  paint(): void {
    this.#name.hidden = this.counters.waiting;
    this.#figures.textContent = this.counters.line(this.#model);
  }

  /** What the button does now; also Esc within the view. */
  press(): void {
    if (!this.#over) this.#stop.press();
  }

  /** The receipt, as under the final picture. */
  end(state: FinalState, summary: string): void {
    this.halt();
    this.#over = true;
    this.#spoken.textContent = `Answer ${state}`;
    const badge = state === "complete" ? [] : [element("span", "hs-state", state), " "];
    this.root.replaceChildren(...badge, element("span", "hs-summary", visible(summary)), this.#spoken);
  }

  /** Ends all that runs by itself; the line stays as it is. */
  halt(): void {
    clearInterval(this.#ticker);
    this.#stop.halt();
    this.#ticker = undefined;
  }
}
