import { element } from "./dom";
import type { Action } from "./protocol";
import { visible } from "./visible";

const PATIENCE = 2000; // ms that an answer may take before it goes the other way, too

type Send = (action: Action) => void;

/** What stands around the question. */
interface Place {
  /** Says it to screen readers: a text that comes into the page with its region goes unheard. */
  tell(text: string): void;
  focus(): void;
}

/** A question of the kernel's with two buttons, above the line of figures; the answer goes back with its number. */
export class Ask {
  readonly root = element("div", "hs-ask");
  readonly #send: Send;
  readonly #sendAgain: Send;
  readonly #place: Place;
  #number = 0;
  #decided = false;
  #patience: ReturnType<typeof setTimeout> | undefined;

  constructor(send: Send, sendAgain: Send, place: Place) {
    this.#send = send;
    this.#sendAgain = sendAgain;
    this.#place = place;
    this.root.hidden = true;
    this.root.setAttribute("role", "group");
    // As for Stop: the notebook's own shortcuts would take the keys away from the buttons.
    this.root.dataset["lmSuppressShortcuts"] = "true";
  }

  /** The same question again (a page that reloaded, a second hello) leaves the buttons and their focus alone. */
  show(number: number, question: string): void {
    if (!question) return this.hide();
    if (number === this.#number && !this.root.hidden) return;
    this.hide();
    this.#number = number;
    this.#decided = false;
    const text = element("span", "hs-question", visible(question));
    this.root.setAttribute("aria-label", "The model asks to run a function");
    this.root.replaceChildren(
      text,
      this.#button("hs-run", "Run", `run ${number}`),
      this.#button("hs-refuse", "Don’t run", `refuse ${number}`),
    );
    this.root.hidden = false;
    this.#place.tell(text.textContent ?? "");
  }

  hide(): void {
    clearTimeout(this.#patience);
    if (this.root.contains(document.activeElement)) this.#place.focus();
    this.root.hidden = true;
    this.root.replaceChildren();
  }

  #button(kind: string, label: string, action: Action): HTMLElement {
    const button = element("button", `hs-stop ${kind}`, label);
    button.type = "button";
    button.addEventListener("click", () => this.#decide(action));
    return button;
  }

  #decide(action: Action): void {
    if (this.#decided) return;
    this.#decided = true;
    // Not `disabled`: that would drop the keyboard's focus.
    for (const button of this.root.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
    this.#send(action);
    this.#patience = setTimeout(() => this.#sendAgain(action), PATIENCE);
  }
}
