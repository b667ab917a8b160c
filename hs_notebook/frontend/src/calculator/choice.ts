import { element, option } from "../dom";
import { Fault } from "./fault";

/** One of a few. */
export class ChoiceEntry {
  readonly node = element("div", "hs-calc-choice");
  readonly #label: string;
  readonly #select = element("select", "hs-calc-select");
  readonly #fault: Fault;

  constructor(label: string, options: readonly (readonly [string, string])[], id: string, changed: (value: string) => void) {
    this.#label = label;
    this.#select.id = id;
    this.#select.setAttribute("aria-label", label);
    this.#select.append(...options.map(([value, text]) => option(value, text)));
    this.#fault = new Fault(this.#select, `${id}-fault`);
    this.node.append(this.#select, this.#fault.node);
    this.#select.addEventListener("change", () => changed(this.#select.value));
  }

  show(value: string): void {
    this.#select.value = value;
  }

  fail(problem: string): void {
    this.#fault.say(problem && `${this.#label} ${problem}.`);
  }
}

/** Yes or no. */
export class FlagEntry {
  readonly node = element("div", "hs-calc-flag");
  readonly #label: string;
  readonly #box = element("input", "hs-calc-box");
  readonly #fault: Fault;

  constructor(label: string, id: string, changed: (value: boolean) => void) {
    this.#label = label;
    this.#box.type = "checkbox";
    this.#box.id = id;
    const text = element("label", "hs-calc-label", label);
    text.htmlFor = id;
    this.#fault = new Fault(this.#box, `${id}-fault`);
    this.node.append(this.#box, text, this.#fault.node);
    this.#box.addEventListener("change", () => changed(this.#box.checked));
  }

  show(value: boolean): void {
    this.#box.checked = value;
  }

  fail(problem: string): void {
    this.#fault.say(problem && `${this.#label}: ${problem}.`);
  }
}
