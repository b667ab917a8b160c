import { element, option } from "../dom";

export interface Chosen {
  preset(name: string): void;
  python(): void;
  json(): void;
  reset(): void;
}

/** Where to begin from, and what to take along. */
export class Bar {
  readonly node = element("div", "hs-calc-bar");
  readonly #select = element("select", "hs-calc-select");
  readonly #said = element("span", "hs-calc-said");
  #quiet: ReturnType<typeof setTimeout> | undefined;

  constructor(presets: readonly (readonly [name: string, title: string])[], id: string, chosen: Chosen) {
    const label = element("label", "hs-calc-label", "Begin from");
    label.htmlFor = this.#select.id = `${id}-preset`;
    const none = option("", "these inputs");
    this.#select.append(none, ...presets.map(([name, title]) => option(name, title)));
    this.#select.addEventListener("change", () => this.#select.value && chosen.preset(this.#select.value));
    this.#said.setAttribute("role", "status");
    this.node.append(
      label,
      this.#select,
      button("Reset", chosen.reset),
      button("Copy as Python", chosen.python),
      button("Copy as JSON", chosen.json),
      this.#said,
    );
    if (!presets.length) label.hidden = this.#select.hidden = true;
  }

  /** The name of the preset that the inputs are, or nothing. */
  showPreset(name: string): void {
    if (this.#select.value !== name) this.#select.value = name;
  }

  /** For a few seconds. */
  say(text: string): void {
    this.#said.textContent = text;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => (this.#said.textContent = ""), 4000);
  }

  dispose(): void {
    clearTimeout(this.#quiet);
  }
}

function button(text: string, act: () => void): HTMLButtonElement {
  const made = element("button", "hs-calc-button", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}
