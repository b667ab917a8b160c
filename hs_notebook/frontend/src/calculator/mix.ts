import { element, option } from "../dom";
import type { Catalog } from "./catalog";
import { fraction, parse, percentOf, written } from "./entry";
import { Fault } from "./fault";
import { type Mix, sumOf } from "./scenario";
import { count } from "./words";

const SEVERAL = "";

/** One model, or several with a share each. */
export class MixEntry {
  readonly node = element("div", "hs-calc-mix");
  readonly #models: readonly string[];
  readonly #label: string;
  readonly #changed: (mix: Mix) => void;
  readonly #select = element("select", "hs-calc-select");
  readonly #shares = element("div", "hs-calc-shares");
  readonly #rest = element("p", "hs-calc-rest");
  readonly #rows = new Map<string, Share>();
  readonly #fault: Fault;

  constructor(label: string, catalog: Catalog, id: string, changed: (mix: Mix) => void) {
    this.#models = catalog.models;
    this.#label = label;
    this.#changed = changed;
    const name = element("label", "hs-calc-label", label);
    name.htmlFor = this.#select.id = id;
    this.#select.append(...this.#models.map((model) => option(model, model)), option(SEVERAL, "several models …"));
    this.#shares.setAttribute("role", "group");
    this.#shares.setAttribute("aria-label", `${label}: share of each model`);
    for (const [i, model] of this.#models.entries()) {
      const row = new Share(model, `${id}-${i}`, {
        typed: () => this.#tell(this.#typed()),
        slid: (share) => this.#balance(model, share),
        filled: () => this.#fill(model),
      });
      this.#rows.set(model, row);
      this.#shares.append(row.node);
    }
    this.#fault = new Fault(this.#select, `${id}-fault`);
    this.#shares.append(this.#rest);
    this.node.append(name, this.#select, this.#shares, this.#fault.node);
    this.#select.addEventListener("change", () => this.#choose());
  }

  show(mix: Mix): void {
    const whole = this.#models.find((model) => mix[model] === 1);
    const isOne = whole !== undefined && Object.values(mix).filter(Boolean).length === 1;
    this.#select.value = isOne ? whole : SEVERAL;
    this.#shares.hidden = isOne;
    for (const [model, row] of this.#rows) row.show(mix[model] ?? 0);
    this.#showRest(mix);
  }

  fail(problem: string): void {
    const bad = problem ? [...this.#rows].find(([, row]) => !(row.share >= 0 && row.share <= 1)) : undefined;
    for (const [model, row] of this.#rows) row.fail(bad?.[0] === model);
    if (!problem) return this.#fault.say("");
    if (this.#shares.hidden) return this.#fault.say(`${this.#label} ${problem}.`);
    if (bad) return this.#fault.say(`The share of ${bad[0]} must be a number from 0 to 100 %.`);
    const sum = sumOf(this.#typed());
    const said = sum < 1 ? `${percent(1 - sum)} are left over` : `${percent(sum - 1)} too many`;
    this.#fault.say(`The shares must sum to 100 %: ${said}.`);
  }

  #choose(): void {
    const one = this.#select.value;
    if (one !== SEVERAL) return this.#showAndTell({ [one]: 1 });
    this.#shares.hidden = false;
    this.#rows.values().next().value?.focus();
  }

  #typed(): Mix {
    const shares = [...this.#rows].map(([model, row]) => [model, row.share] as const);
    return Object.fromEntries(shares.filter(([, share]) => share !== 0));
  }

  #tell(mix: Mix): void {
    this.#showRest(mix);
    this.#changed(mix);
  }

  #showAndTell(mix: Mix): void {
    this.show(mix);
    this.#shares.hidden = this.#select.value !== SEVERAL;
    this.#changed(mix);
  }

  /** A slider moves the other shares, so that they go on summing to 1. */
  #balance(model: string, share: number): void {
    const mix = balanced(this.#models, this.#typed(), model, share);
    for (const [name, row] of this.#rows) if (name !== model) row.show(mix[name] ?? 0);
    this.#tell(mix);
  }

  #fill(model: string): void {
    const others = { ...this.#typed(), [model]: 0 };
    const share = Math.max(0, Number((1 - sumOf(others)).toPrecision(12)));
    this.#rows.get(model)?.show(share);
    this.#tell(this.#typed());
  }

  #showRest(mix: Mix): void {
    const rest = Number((1 - sumOf(mix)).toPrecision(12));
    const isRest = Math.abs(rest) > 1e-9;
    const sum = Number.isNaN(rest) ? "" : isRest ? `sum ${percent(1 - rest)}` : "sum 100 %";
    if (this.#rest.textContent !== sum) this.#rest.textContent = sum;
    for (const row of this.#rows.values()) row.offer(isRest && row.share + rest >= 0);
  }
}

interface Heard {
  typed(): void;
  slid(share: number): void;
  filled(): void;
}

/** One model's row: its share in percent, a slider, and a way to fill it up. */
class Share {
  readonly node = element("div", "hs-calc-share");
  readonly #text = element("input", "hs-calc-number");
  readonly #slider = element("input", "hs-calc-slider");
  readonly #button = element("button", "hs-calc-button", "fill up");
  #isBad = false;

  constructor(model: string, id: string, heard: Heard) {
    const label = element("label", "hs-calc-model", model);
    label.htmlFor = this.#text.id = id;
    Object.assign(this.#text, { type: "text", inputMode: "decimal", autocomplete: "off" });
    Object.assign(this.#slider, { type: "range", min: "0", max: "100", step: "1" });
    this.#slider.setAttribute("aria-label", `${model}, the others share the rest`);
    this.#button.type = "button";
    this.#button.setAttribute("aria-label", `Fill up to 100 % with ${model}`);
    this.node.append(label, this.#text, element("span", "hs-calc-unit", "%"), this.#button, this.#slider);
    this.#text.addEventListener("input", () => {
      this.#place();
      heard.typed();
    });
    this.#slider.addEventListener("input", () => {
      this.#text.value = this.#slider.value;
      heard.slid(fraction(Number(this.#slider.value)));
    });
    this.#button.addEventListener("click", () => heard.filled());
  }

  /** As typed; NaN for what is no number. */
  get share(): number {
    return fraction(parse(this.#text.value || "0"));
  }

  focus(): void {
    this.#text.focus();
  }

  show(share: number): void {
    this.#text.value = written(percentOf(share));
    this.#place();
  }

  fail(isBad: boolean): void {
    if (isBad === this.#isBad) return;
    this.#isBad = isBad;
    if (isBad) this.#text.setAttribute("aria-invalid", "true");
    else this.#text.removeAttribute("aria-invalid");
  }

  offer(canFill: boolean): void {
    this.#button.disabled = !canFill;
  }

  #place(): void {
    const share = this.share;
    if (!Number.isNaN(share)) this.#slider.value = String(Math.round(percentOf(share)));
    this.#slider.setAttribute("aria-valuetext", `${count(percentOf(share))} %`);
  }
}

/** The mix with one model's share set, and the rest spread over the others as they stood to each other. */
export function balanced(models: readonly string[], mix: Mix, model: string, share: number): Mix {
  const others = models.filter((one) => one !== model);
  const known = others.map((one) => Math.max(0, mix[one] || 0));
  const sum = known.reduce((one, other) => one + other, 0);
  const rest = 1 - share;
  const shares = others.map((_, i) => hundredth(sum ? ((known[i] ?? 0) / sum) * rest : i ? 0 : rest));
  const left = hundredth(rest - shares.reduce((one, other) => one + other, 0));
  const most = shares.indexOf(Math.max(...shares));
  const spread = others.map((one, i) => [one, hundredth((shares[i] ?? 0) + (i === most ? left : 0))] as const);
  const found = { ...Object.fromEntries(spread), [model]: share };
  return Object.fromEntries(models.map((one) => [one, found[one] ?? 0] as const).filter(([, part]) => part > 0));
}

function hundredth(share: number): number {
  return Math.round(share * 1e4) / 1e4;
}

function percent(share: number): string {
  return `${count(percentOf(Number(share.toPrecision(10))))} %`;
}
