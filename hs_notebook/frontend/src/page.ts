import type { Sink, Tail } from "./sink";
import { element } from "./dom";

/** Characters in one box of an open code block: the browser lays out again only the box that grows. */
const BOX = 8_000;
/** Longer code keeps its boxes when its block is settled. */
const LONGEST_UNBOXED = 200_000;
/** A line that is longer is broken between two boxes while its block is open. */
const LONGEST_LINE = 16_000;
/** Nodes in one part, outside of which the browser looks at nothing again. A part begins with what has no margin above it. */
const PART = 64;
const PARAGRAPH = "<p>";

/** The blocks on the page: settled ones, at most one that is still growing, and the tail. HTML comes from our renderer alone. */
export class Page implements Sink {
  readonly #body: HTMLElement;
  #place: Element; // the body, the part of it that is being written, or the note of ours
  #settled = 0; // nodes in it
  #isNote = false;
  readonly #note = element("div", "hs-notice hs-fold");
  #block: Element | null = null;
  #slot: Element | null = null;
  #box: HTMLElement | null = null;
  #boxed = 0; // characters in the box, or in the slot before there are boxes
  #lineEnded = true;
  #tail: ChildNode[] = [];

  constructor(body: HTMLElement) {
    this.#place = this.#body = body;
    this.#note.hidden = true;
  }

  clear(): void {
    this.#body.replaceChildren();
    this.#isNote = false;
    this.#enter(this.#body);
    this.#block = this.#slot = this.#box = null;
    this.#tail = [];
  }

  turn(): void {
    this.#dropTail();
    this.#isNote = !this.#isNote;
    this.#enter(this.#isNote ? (put(this.#body, '<div class="hs-note">\n</div>\n')[0] as Element) : this.#body);
  }

  /** A line under the body; empty for none. */
  note(text: string): void {
    if (text === this.#note.textContent) return;
    this.#note.textContent = text;
    this.#note.hidden = !text;
    this.#body.after(this.#note);
  }

  whole(html: string): void {
    this.clear();
    this.#body.innerHTML = html;
  }

  block(html: string): void {
    this.#dropTail();
    this.#settle(html);
  }

  open(html: string, slot: string): void {
    this.#dropTail();
    this.#block = this.#settle(html).find((node) => node instanceof Element) ?? null;
    this.#slot = (slot && this.#block?.querySelector(slot)) || this.#block;
    this.#box = null;
    this.#boxed = 0;
    this.#lineEnded = true;
  }

  grow(html: string): void {
    this.#dropTail();
    if (this.#slot) put(this.#slot, html);
  }

  growText(text: string): void {
    this.#dropTail();
    const full = this.#boxed > (this.#lineEnded ? BOX : LONGEST_LINE);
    if (full) this.#newBox();
    (this.#box ?? this.#slot)?.append(text);
    this.#boxed += text.length;
    this.#lineEnded = text.endsWith("\n");
  }

  regrow(html: string): void {
    this.#dropTail();
    this.#slot?.replaceChildren(lineBreak());
    this.grow(html);
  }

  close(html?: string): void {
    this.#dropTail();
    if (html !== undefined) {
      this.#block?.nextSibling?.remove(); // the newline after it
      this.#block?.remove();
      put(this.#place, html);
    } else if (this.#box) this.#unbox();
    this.#block = this.#slot = this.#box = null;
  }

  setTail(tail: Tail): void {
    this.#dropTail();
    const inner = tail.inner && this.#slot ? put(this.#box ?? this.#slot, tail.inner) : [];
    this.#tail = [...inner, ...(tail.outer ? put(this.#place, tail.outer) : [])];
  }

  #enter(place: Element): void {
    this.#place = place;
    this.#settled = 0;
  }

  #settle(html: string): ChildNode[] {
    if (this.#settled >= PART && !this.#isNote && html.startsWith(PARAGRAPH)) {
      this.#enter(this.#body.appendChild(element("div", "hs-part")));
    }
    const nodes = put(this.#place, html);
    this.#settled += nodes.length;
    return nodes;
  }

  #dropTail(): void {
    for (const node of this.#tail) node.remove();
    this.#tail = [];
  }

  #newBox(): void {
    this.#box = document.createElement("span");
    this.#box.className = "hs-box";
    this.#slot?.append(this.#box);
    this.#boxed = 0;
  }

  /** The boxes served only while the block grew. */
  #unbox(): void {
    const slot = this.#slot;
    const text = slot?.textContent ?? "";
    if (slot && text.length <= LONGEST_UNBOXED) slot.textContent = text;
  }
}

function put(parent: Element, html: string): ChildNode[] {
  const template = document.createElement("template");
  template.innerHTML = html;
  const nodes = [...template.content.childNodes];
  parent.append(template.content);
  return nodes;
}

function lineBreak(): Text {
  return document.createTextNode("\n");
}
