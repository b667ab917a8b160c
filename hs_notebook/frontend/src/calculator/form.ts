import { element } from "../dom";
import type { Catalog } from "./catalog";
import { FlagEntry, ChoiceEntry } from "./choice";
import { GROUPS, type Group, type SideSpec, type Spec, fieldsOf } from "./fields";
import { MixEntry } from "./mix";
import { NumberEntry } from "./number";
import { type Field, type Inputs, type Mix, type Problems, same } from "./scenario";

interface Entry {
  show(value: never): void;
  fail(problem: string): void;
}

/** All inputs, in groups; each tells what it is changed to, and shows what is wrong with it. */
export class Form {
  readonly node = element("form", "hs-calc-form");
  readonly #catalog: Catalog;
  readonly #id: string;
  readonly #changed: (field: Field, value: unknown) => void;
  readonly #entries = new Map<Field, Entry>();
  readonly #folds: { node: HTMLDetailsElement; fields: readonly Field[]; isChanged: boolean }[] = [];

  /** `id` begins the ids of the inputs, which must differ in a page. */
  constructor(catalog: Catalog, id: string, changed: (field: Field, value: unknown) => void) {
    this.#catalog = catalog;
    this.#id = id;
    this.#changed = changed;
    this.node.noValidate = true;
    this.node.addEventListener("submit", (event) => event.preventDefault());
    this.node.append(...GROUPS.map((group) => this.#group(group)));
  }

  show(inputs: Inputs): void {
    for (const [field, entry] of this.#entries) entry.show(inputs[field] as never);
    this.mark(inputs);
  }

  /** A folded group tells whether something in it is not as usual. */
  mark(inputs: Inputs): void {
    const usual = this.#catalog.raw.defaults;
    for (const fold of this.#folds) {
      const isChanged = fold.fields.some((field) => !same(inputs[field], usual[field]));
      if (fold.isChanged !== isChanged) fold.node.toggleAttribute("data-changed", isChanged);
      fold.isChanged = isChanged;
    }
  }

  fail(problems: Problems): void {
    for (const [field, entry] of this.#entries) entry.fail(problems[field] ?? "");
    for (const { node, fields } of this.#folds) if (fields.some((field) => problems[field])) node.open = true;
  }

  #group({ title, folded, note, specs }: Group): HTMLElement {
    const body = [...(note ? [element("p", "hs-calc-note", note)] : []), ...specs.flatMap((spec) => this.#nodes(spec))];
    if (!folded) {
      const group = element("fieldset", "hs-calc-group");
      group.append(element("legend", "hs-calc-title", title), ...body);
      return group;
    }
    const fold = element("details", "hs-calc-group");
    const head = element("summary", "hs-calc-title", title);
    head.append(element("span", "hs-calc-changed", "changed"));
    fold.append(head, ...body);
    this.#folds.push({ node: fold, fields: specs.flatMap(fieldsOf), isChanged: false });
    return fold;
  }

  #nodes(spec: Spec): HTMLElement[] {
    if ("mix" in spec) return this.#side(spec);
    const tell = (field: Field) => (value: unknown) => this.#changed(field, value);
    if ("flag" in spec) {
      return [this.#add(spec.flag, new FlagEntry(spec.label, this.#idOf(spec.flag), tell(spec.flag)))];
    }
    const limit = this.#catalog.raw.limits[spec.field];
    if (!limit) return [];
    return [this.#add(spec.field, new NumberEntry(spec, limit, this.#idOf(spec.field), tell(spec.field)))];
  }

  #side({ mix, label, choice }: SideSpec): HTMLElement[] {
    const { sellers, choices } = this.#catalog.raw;
    const names = { official: "the official list", relay: sellers.relay, article: sellers.article };
    const options = (choices[choice] ?? []).map((one) => [one, `at ${names[one as keyof typeof names]}`] as const);
    const models = new MixEntry(label, this.#catalog, this.#idOf(mix), (value: Mix) => this.#changed(mix, value));
    const seller = new ChoiceEntry(`${label}: whose prices`, options, this.#idOf(choice), (value) => this.#changed(choice, value));
    return [this.#add(mix, models), this.#add(choice, seller)];
  }

  #add(field: Field, entry: Entry & { node: HTMLElement }): HTMLElement {
    this.#entries.set(field, entry);
    return entry.node;
  }

  #idOf(field: Field): string {
    return `${this.#id}-${field}`;
  }
}
