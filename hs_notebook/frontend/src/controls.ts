import { Counters } from "./counters";
import { element } from "./dom";
import type { FinalState } from "./protocol";
import { visible } from "./visible";

const TICK = 200; // ms between two paintings of the counters
const PATIENCE = 2000; // ms that Stop may take before the interrupt is offered

export interface Actions {
  stop(): void;
  /** Stop had no effect so far: try whatever other way there is. */
  stopAgain(): void;
  canInterrupt(): boolean;
  interrupt(): void;
}

type Phase = "live" | "stopping" | "offering" | "over";

/** The line under the answer: dot, model, counters and the Stop button; after the end, the receipt. */
export class Controls {
  readonly root = element("div", "hs-receipt");
  readonly counters = new Counters();
  readonly #model: string;
  readonly #actions: Actions;
  readonly #name: HTMLElement;
  readonly #figures = element("span", "hs-figures");
  readonly #button = element("button", "hs-stop");
  readonly #label = element("span", "", "Stop");
  /** Heard, not seen: only the few turns of an answer, never its text or figures. */
  readonly #spoken = element("span", "hs-spoken");
  #phase: Phase = "live";
  #ticker: ReturnType<typeof setInterval> | undefined;
  #patience: ReturnType<typeof setTimeout> | undefined;

  constructor(model: string, actions: Actions) {
    this.#model = model;
    this.#actions = actions;
    this.#name = element("span", "hs-model", model);
    this.#button.type = "button";
    this.#button.append(element("span", "hs-square"), this.#label);
    this.#button.addEventListener("click", () => this.press());
    this.#spoken.setAttribute("role", "status");
    // The notebook's own shortcuts would take Enter, Space and Esc away from the button.
    this.root.dataset["lmSuppressShortcuts"] = "true";
    this.root.append(
      element("span", "hs-dot"), this.#name, this.#figures, this.#button, this.#spoken,
    );
  }

  start(): void {
    if (this.#ticker !== undefined || this.#phase === "over") return;
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
    if (this.#phase === "live") this.#stop();
    else if (this.#phase === "offering") this.#interrupt();
  }

  /** The receipt, as under the final picture. */
  end(state: FinalState, summary: string): void {
    this.halt();
    this.#phase = "over";
    this.#spoken.textContent = `Answer ${state}`;
    const badge = state === "complete" ? [] : [element("span", "hs-state", state), " "];
    this.root.replaceChildren(...badge, element("span", "hs-summary", visible(summary)), this.#spoken);
  }

  /** Ends all that runs by itself; the line stays as it is. */
  halt(): void {
    clearInterval(this.#ticker);
    clearTimeout(this.#patience);
    this.#ticker = undefined;
  }

  #stop(): void {
    this.#show("stopping", "Stopping…");
    this.#actions.stop();
    this.#patience = setTimeout(() => this.#offer(), PATIENCE);
  }

  #offer(): void {
    this.#actions.stopAgain();
    if (this.#actions.canInterrupt()) this.#show("offering", "Interrupt kernel");
    else this.#show("live", "Stop");
  }

  #interrupt(): void {
    this.#show("stopping", "Interrupting…");
    this.#actions.interrupt();
    this.#patience = setTimeout(() => this.#offer(), PATIENCE);
  }

  #show(phase: Phase, label: string): void {
    this.#phase = phase;
    this.#label.textContent = label;
    this.#spoken.textContent = label;
    // Not `disabled`: that would drop the keyboard's focus.
    this.#button.setAttribute("aria-disabled", String(phase === "stopping"));
  }
}
