import { element } from "./dom";

const PATIENCE = 2000; // ms that Stop may take before the interrupt is offered

export interface Actions {
  stop(): void;
  /** Stop had no effect so far: try whatever other way there is. */
  stopAgain(): void;
  canInterrupt(): boolean;
  interrupt(): void;
}

type Phase = "live" | "stopping" | "offering";

/** The button that stops, and offers the interrupt where stopping takes too long. */
export class StopButton {
  readonly root = element("button", "hs-stop");
  readonly #name: string;
  readonly #actions: Actions;
  readonly #tell: (text: string) => void;
  readonly #label = element("span", "");
  #phase: Phase = "live";
  #patience: ReturnType<typeof setTimeout> | undefined;

  /** `tell` hears what the button says now. */
  constructor(name: string, actions: Actions, tell: (text: string) => void) {
    this.#name = this.#label.textContent = name;
    this.#actions = actions;
    this.#tell = tell;
    this.root.type = "button";
    this.root.append(element("span", "hs-square"), this.#label);
    // Growing text may move the button from under the pointer before it is released, which makes no click.
    this.root.addEventListener("pointerdown", (event) => event.button === 0 && this.press());
    this.root.addEventListener("click", () => this.press());
  }

  /** What the button does now; also Esc within the view. */
  press(): void {
    if (this.#phase === "live") this.#stop();
    else if (this.#phase === "offering") this.#interrupt();
  }

  /** Nothing more is awaited. */
  halt(): void {
    clearTimeout(this.#patience);
  }

  #stop(): void {
    this.#show("stopping", "Stopping…");
    this.#actions.stop();
    this.#patience = setTimeout(() => this.#offer(), PATIENCE);
  }

  #offer(): void {
    this.#actions.stopAgain();
    if (this.#actions.canInterrupt()) this.#show("offering", "Interrupt kernel");
    else this.#show("live", this.#name);
  }

  #interrupt(): void {
    this.#show("stopping", "Interrupting…");
    this.#actions.interrupt();
    this.#patience = setTimeout(() => this.#offer(), PATIENCE);
  }

  #show(phase: Phase, label: string): void {
    this.#phase = phase;
    this.#label.textContent = label;
    this.#tell(label);
    // Not `disabled`: that would drop the keyboard's focus.
    this.root.setAttribute("aria-disabled", String(phase === "stopping"));
  }
}
