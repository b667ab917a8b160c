import type { Bar, Figures } from "./figures";

const ROOT = ".hs-roi";

/** A copy of the saved picture, whose figures are put in place; nothing else of it is drawn again. */
export class Picture {
  readonly node: HTMLElement;
  readonly #texts = new Map<string, Element[]>();
  readonly #bars = new Map<string, Element[]>();
  readonly #shows = new Map<string, HTMLElement[]>();
  #shown: Figures = { text: {}, bar: {}, show: {} };

  constructor(root: HTMLElement) {
    this.node = root.cloneNode(true) as HTMLElement;
    delete this.node.dataset.roi; // there is one picture by this name
    collect(this.node, "slot", this.#texts);
    collect(this.node, "bar", this.#bars);
    collect(this.node, "show", this.#shows);
  }

  /** The picture in a piece of HTML from the kernel, and its sheet. */
  static read(html: string): { root: HTMLElement | null; sheets: Element[] } {
    const template = document.createElement("template");
    template.innerHTML = html;
    return {
      root: template.content.querySelector<HTMLElement>(ROOT),
      sheets: [...template.content.querySelectorAll("style")],
    };
  }

  show(figures: Figures): void {
    const before = this.#shown;
    for (const [name, text] of changes(figures.text, before.text)) {
      for (const node of this.#texts.get(name) ?? []) write(node, text);
    }
    for (const [name, [x, width]] of changes(figures.bar, before.bar, sameBar)) {
      for (const node of this.#bars.get(name) ?? []) {
        node.setAttribute("x", String(x));
        node.setAttribute("width", String(width));
      }
    }
    for (const [name, isShown] of changes(figures.show, before.show)) {
      for (const node of this.#shows.get(name) ?? []) node.hidden = !isShown;
    }
    this.#shown = figures;
  }
}

/** Whether a picture in the page says what the figures say. */
export function says(root: HTMLElement, figures: Figures): boolean {
  return [...root.querySelectorAll<HTMLElement>("[data-slot]")].every(
    (node) => node.textContent === (figures.text[node.dataset.slot ?? ""] ?? node.textContent),
  );
}

/** A new text in the old node: styles that depend on what an element holds need not be looked at again. */
function write(node: Element, text: string): void {
  const held = node.firstChild;
  if (text && held instanceof Text) held.data = text;
  else node.textContent = text;
}

function collect<E extends Element>(root: HTMLElement, name: string, into: Map<string, E[]>): void {
  for (const node of root.querySelectorAll<E>(`[data-${name}]`)) {
    const key = node.getAttribute(`data-${name}`) ?? "";
    into.set(key, [...(into.get(key) ?? []), node]);
  }
}

function* changes<T>(
  after: Record<string, T>,
  before: Record<string, T>,
  same: (one: T, other: T) => boolean = Object.is,
): Generator<[string, T]> {
  for (const name in after) {
    const value = after[name] as T;
    const old = before[name];
    if (old === undefined || !same(value, old)) yield [name, value];
  }
}

function sameBar(one: Bar, other: Bar): boolean {
  return one[0] === other[0] && one[1] === other[1];
}
