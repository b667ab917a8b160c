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
    this.#stop = new StopButton("Stop", actions, (text) => this.tell(text));
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
    this.tell(`${this.#model} is answering`);
    this.paint();
  }

  paint(): void {
    this.#name.hidden = this.counters.waiting;
    this.#figures.textContent = this.counters.line(this.#model);
  }

  tell(text: string): void {
    this.#spoken.textContent = text;
  }

  focus(): void {
    this.#stop.root.focus();
  }

  /** What the button does now; also Esc within the view. */
  press(): void {
    if (!this.#over) this.#stop.press();
  }

  /** The receipt, as under the final picture. */
  end(state: FinalState, summary: string): void {
    this.halt();
    this.#over = true;
    const focused = this.root.contains(document.activeElement);
    const badge = state === "complete" ? [] : [element("span", "hs-state", state), " "];
    this.root.replaceChildren(...badge, element("span", "hs-summary", visible(summary)), this.#spoken);
    this.tell(`Answer ${state}`);
    if (focused) focusCell(this.root);
  }

  /** Ends all that runs by itself; the line stays as it is. */
  halt(): void {
    clearInterval(this.#ticker);
    this.#stop.halt();
    this.#ticker = undefined;
  }
}

/** The keyboard goes on in the cell: from the body of the page the notebook's shortcuts are not heard. */
export function focusCell(inside: HTMLElement): void {
  const cell = inside.closest<HTMLElement>(".jp-Cell");
  if (!cell) return;
  if (!cell.hasAttribute("tabindex")) cell.tabIndex = -1;
  cell.focus({ preventScroll: true });
}
