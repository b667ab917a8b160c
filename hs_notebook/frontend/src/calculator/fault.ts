import { element } from "../dom";

/** What is wrong with an input, said at its place. */
export class Fault {
  readonly node = element("p", "hs-calc-fault");
  readonly #of: HTMLElement;
  readonly #describedBy: string;
  #said = "";

  /** `described` names what else describes the input. */
  constructor(of: HTMLElement, id: string, described = "") {
    this.#of = of;
    this.node.id = id;
    this.node.hidden = true;
    this.#describedBy = described;
    this.#describe();
  }

  say(problem: string): void {
    if (this.#said === problem) return;
    this.#said = problem;
    this.node.textContent = problem;
    this.node.hidden = !problem;
    if (problem) this.#of.setAttribute("aria-invalid", "true");
    else this.#of.removeAttribute("aria-invalid");
    this.#describe();
  }

  #describe(): void {
    const ids = [this.#describedBy, this.node.hidden ? "" : this.node.id].filter(Boolean);
    if (ids.length) this.#of.setAttribute("aria-describedby", ids.join(" "));
    else this.#of.removeAttribute("aria-describedby");
  }
}
