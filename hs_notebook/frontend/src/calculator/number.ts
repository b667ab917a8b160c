import { element } from "../dom";
import type { Limit } from "./catalog";
import { fraction, parse, percentOf, spoken, written } from "./entry";
import type { NumberSpec } from "./fields";
import { Fault } from "./fault";
import { TOGETHER, numberProblem } from "./scenario";

const SAID = new Map([[TOGETHER, "and read from cache must not sum to more than 100 %"]]);

/** A number field with a slider beneath: the field takes any number, the slider goes over useful ones. */
export class NumberEntry {
  readonly node = element("div", "hs-calc-field");
  readonly #spec: NumberSpec;
  readonly #limit: Limit;
  readonly #changed: (value: number) => void;
  readonly #text = element("input", "hs-calc-number");
  readonly #slider = element("input", "hs-calc-slider");
  readonly #fault: Fault;

  constructor(spec: NumberSpec, limit: Limit, id: string, changed: (value: number) => void) {
    this.#spec = spec;
    this.#limit = spec.percent ? { ...limit, low: percentOf(limit.low), high: percentOf(limit.high) } : limit;
    this.#changed = changed;
    const label = element("label", "hs-calc-label", spec.label);
    label.htmlFor = this.#text.id = id;
    Object.assign(this.#text, { type: "text", inputMode: "decimal", autocomplete: "off", spellcheck: false });
    Object.assign(this.#slider, { type: "range", min: "0", max: String(spec.scale.last), step: "1" });
    this.#slider.setAttribute("aria-label", spec.label);
    const unit = element("span", "hs-calc-unit", spec.unit);
    unit.id = `${id}-unit`;
    this.#fault = new Fault(this.#text, `${id}-fault`, unit.id);
    this.node.append(label, this.#text, unit, this.#slider, this.#fault.node);
    this.#text.addEventListener("input", () => this.#take(parse(this.#text.value), this.#slider));
    this.#text.addEventListener("blur", () => this.#tidy());
    this.#text.addEventListener("keydown", (event) => this.#step(event));
    this.#slider.addEventListener("input", () => this.#take(this.#chosen(Number(this.#slider.value)), this.#text));
  }

  show(value: number): void {
    this.#show(this.#spec.percent ? percentOf(value) : value);
  }

  /** `problem` ends a sentence that the label begins; nothing is wrong without. */
  fail(problem: string): void {
    if (!problem) return this.#fault.say("");
    const own = numberProblem(parse(this.#text.value), this.#limit);
    const unit = this.#spec.percent && /\d$/.test(own) ? " %" : "";
    this.#fault.say(`${this.#spec.label} ${own ? own + unit : (SAID.get(problem) ?? problem)}.`);
  }

  /** The slider shows what the field says, and the other way round. */
  #take(number: number, other: HTMLInputElement): void {
    if (other === this.#slider) this.#place(number);
    else {
      this.#text.value = written(number);
      this.#speak(number);
    }
    this.#changed(this.#spec.percent ? fraction(number) : number);
  }

  #show(number: number): void {
    this.#text.value = written(number);
    this.#place(number);
  }

  #place(number: number): void {
    if (Number.isNaN(number)) return;
    this.#slider.value = String(this.#spec.scale.placeOf(this.#spec.percent ? fraction(number) : number));
    this.#speak(number);
  }

  #speak(number: number): void {
    this.#slider.setAttribute("aria-valuetext", spoken(number, this.#spec.unit));
  }

  #chosen(place: number): number {
    const value = this.#spec.scale.valueAt(place);
    return this.#spec.percent ? percentOf(value) : value;
  }

  #tidy(): void {
    const number = parse(this.#text.value);
    if (!Number.isNaN(number)) this.#text.value = written(number);
  }

  #step(event: KeyboardEvent): void {
    const by = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const { scale, percent } = this.#spec;
    const number = parse(this.#text.value);
    const place = Number.isNaN(number) ? 0 : scale.placeOf(percent ? fraction(number) : number);
    const next = this.#chosen(place + by);
    if ((next - number) * by <= 0) return; // beyond the slider's end a step would lead back
    this.#show(next);
    this.#take(next, this.#text);
  }
}
