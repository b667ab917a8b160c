import { element } from "../dom";
import { Bar } from "./bar";
import { Catalog } from "./catalog";
import { copy } from "./copy";
import { type Figures, figures } from "./figures";
import { Form } from "./form";
import type { Preset } from "./model";
import { Picture } from "./picture";
import { evaluate } from "./roi";
import { type Field, type Inputs, type Problems, type Scenario, asJson, asPython, defaults, problems, same } from "./scenario";

const SETTLED = 400; // ms after the last change
const SPOKEN = 1000; // ms: a screen reader is told no faster
const TYPED = "input[type=text]";
let made = 0;

export interface Settings {
  readonly catalog: Catalog;
  readonly presets: readonly Preset[];
  readonly start: Record<string, unknown>;
  readonly inputs: Record<string, unknown>;
  /** The inputs have settled. */
  readonly settled: (scenario: Scenario) => void;
}

/** A live calculator: a change of an input is on the screen in the same frame, the kernel hears of it later. */
export class Calculator {
  readonly node = element("div", "hs-calc");
  readonly #settings: Settings;
  readonly #catalog: Catalog;
  readonly #form: Form;
  readonly #bar: Bar;
  readonly #picture: Picture;
  readonly #stale = element("p", "hs-calc-stale", "The figures are of the last inputs that were right.");
  readonly #spoken = element("p", "hs-calc-spoken");
  #inputs: Inputs;
  #good: Scenario;
  #figures: Figures;
  #pending: ReturnType<typeof setTimeout> | undefined;
  #speaking: ReturnType<typeof setTimeout> | undefined;

  constructor(root: HTMLElement, settings: Settings) {
    this.#settings = settings;
    this.#catalog = settings.catalog;
    const id = `hs-calc-${++made}`;
    this.#form = new Form(this.#catalog, id, (field, value) => this.#change(field, value));
    this.#bar = new Bar(
      settings.presets.map(({ name, title }) => [name, title] as const),
      id,
      {
        preset: (name) => this.#begin(settings.presets.find((one) => one.name === name)?.scenario ?? {}),
        python: () => void this.#copy(asPython(this.#good, this.#catalog)),
        json: () => void this.#copy(asJson(this.#good, this.#catalog)),
        reset: () => this.#begin(settings.start),
      },
    );
    this.#picture = new Picture(root);
    this.#good = this.#inputs = defaults(this.#catalog);
    this.#figures = figures(evaluate(this.#good, this.#catalog));
    this.#build();
    this.load(settings.inputs) || this.load(settings.start) || this.load({});
  }

  get figures(): Figures {
    return this.#figures;
  }

  /** Take inputs from elsewhere, the kernel or another view; what comes back from there is no news. */
  follow(inputs: Record<string, unknown>): void {
    if (!this.#isAt(this.#complete(inputs))) this.load(inputs);
  }

  /** Show other inputs; returns whether they are right. */
  load(inputs: Record<string, unknown>): boolean {
    const next = this.#complete(inputs);
    if (Object.keys(problems(next, this.#catalog)).length) return false;
    clearTimeout(this.#pending);
    this.#pending = undefined;
    this.#inputs = next;
    this.#form.show(next);
    this.#form.fail({});
    this.#draw(next as unknown as Scenario);
    this.#markPreset();
    return true;
  }

  /** What the kernel refuses is said at its place. */
  refuse(found: Problems): void {
    this.#stale.hidden = false;
    this.#form.fail(found);
  }

  dispose(): void {
    this.#flush();
    this.#bar.dispose();
    clearTimeout(this.#speaking);
    this.node.remove();
  }

  #build(): void {
    this.node.dataset.lmSuppressShortcuts = "true"; // JupyterLab's keys are letters, too
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", "Cost calculator");
    this.#spoken.setAttribute("aria-live", "polite");
    this.#stale.hidden = true;
    const results = element("div", "hs-calc-results");
    results.append(this.#stale, this.#picture.node);
    const columns = element("div", "hs-calc-columns");
    columns.append(this.#form.node, results);
    this.node.append(this.#bar.node, columns, this.#spoken);
    // The notebook would take the focus away, and the menu is the one for text.
    for (const name of ["keydown", "keyup", "keypress", "mousedown", "dblclick"]) {
      this.node.addEventListener(name, (event) => event.stopPropagation());
    }
    this.node.addEventListener("contextmenu", (event) => {
      if (event.target instanceof Element && event.target.matches(TYPED)) event.stopPropagation();
    });
    this.node.addEventListener("pointerup", () => setTimeout(() => this.#flush()));
    this.node.addEventListener("focusout", () => this.#flush());
  }

  #change(field: Field, value: unknown): void {
    this.#inputs = { ...this.#inputs, [field]: value };
    const found = problems(this.#inputs, this.#catalog);
    const isGood = Object.keys(found).length === 0;
    this.#form.fail(found);
    this.#form.mark(this.#inputs);
    this.#stale.hidden = isGood;
    if (!isGood) return; // what was right before it is still to be told
    clearTimeout(this.#pending);
    this.#draw(this.#inputs as unknown as Scenario);
    this.#settle();
  }

  #begin(inputs: Record<string, unknown>): void {
    this.load(inputs);
    this.#settle();
  }

  #settle(): void {
    this.#pending = setTimeout(() => this.#flush(), SETTLED);
    this.#speaking ??= setTimeout(() => this.#speak(), SPOKEN);
  }

  #draw(scenario: Scenario): void {
    this.#good = scenario;
    this.#figures = figures(evaluate(scenario, this.#catalog));
    this.#picture.show(this.#figures);
    this.#stale.hidden = true;
  }

  #speak(): void {
    this.#speaking = undefined;
    this.#spoken.textContent = this.#figures.text.headline ?? "";
  }

  #flush(): void {
    if (this.#pending === undefined) return;
    clearTimeout(this.#pending);
    this.#pending = undefined;
    this.#markPreset();
    this.#settings.settled(this.#good);
  }

  #markPreset(): void {
    const name = this.#settings.presets.find(({ scenario }) => this.#isAt(this.#complete(scenario)))?.name;
    this.#bar.showPreset(name ?? "");
  }

  #isAt(inputs: Inputs): boolean {
    return (Object.keys(inputs) as Field[]).every((field) => same(inputs[field], this.#good[field]));
  }

  /** All inputs, with the models' names as the catalog has them. */
  #complete(inputs: Record<string, unknown>): Inputs {
    const all = { ...defaults(this.#catalog), ...inputs } as Scenario;
    const named = (mix: unknown): Scenario["now"] => Object.fromEntries(this.#catalog.mix(Object(mix)));
    return { ...all, now: named(all.now), then: named(all.then) };
  }

  async #copy(text: string): Promise<void> {
    this.#bar.say((await copy(text)) ? "Copied." : "The browser did not allow it.");
  }
}
