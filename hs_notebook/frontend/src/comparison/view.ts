import { focusCell } from "../controls";
import { element } from "../dom";
import { KernelLink } from "../kernel";
import type { Columns, ComparisonModel, Message } from "../protocol";
import { StopButton } from "../stop";
import { StreamView } from "../view";
import { visible } from "../visible";
import { Column } from "./column";

/** Answers side by side: a column with a view of its own for each, and a line below that can stop all of them. */
export class ComparisonView {
  readonly #model: ComparisonModel;
  readonly #columns: Column[];
  readonly #views: StreamView[];
  readonly #root = element("div", "hs-comparison hs-live mathjax_ignore tex2jax_ignore");
  readonly #line = element("div", "hs-receipt");
  readonly #figures = element("span", "hs-figures");
  readonly #spoken = element("span", "hs-spoken");
  readonly #stop: StopButton;
  readonly #unwatch: () => void;
  readonly #ended = new Set<number>();
  #isOver = false;

  constructor(model: ComparisonModel, host: HTMLElement) {
    this.#model = model;
    const link = new KernelLink(model, model.get("stream_id"));
    this.#stop = new StopButton(
      "Stop all",
      {
        stop: () => link.send("stop"),
        stopAgain: () => link.sendByWidget("stop"),
        canInterrupt: () => link.canInterrupt,
        interrupt: () => void link.interrupt(),
      },
      (text) => (this.#spoken.textContent = text),
    );
    this.#columns = model.get("columns").map((names) => new Column(model, names));
    const grid = element("div", "hs-columns");
    host.append(this.#root);
    this.#root.append(grid, this.#bar());
    model.on("msg:custom", this.#onMessage);
    this.#views = this.#columns.map((column) => this.#mount(column, grid));
    // Before a column takes it for its own.
    this.#root.addEventListener("keydown", this.#onKey, true);
    this.#unwatch = link.onLost(() => this.#over());
    this.#count();
  }

  dispose(): void {
    this.#model.off("msg:custom", this.#onMessage);
    this.#unwatch();
    this.#stop.halt();
    for (const view of this.#views) view.dispose();
  }

  #mount(column: Column, grid: HTMLElement): StreamView {
    const section = element("section", "hs-column");
    const heading = element("p", "hs-heading");
    heading.append(element("strong", "", visible(column.get("model"))));
    section.append(heading);
    grid.append(section);
    return new StreamView(column, section);
  }

  /** In the dress of an answer's own line. */
  #bar(): HTMLElement {
    const dress = element("div", "hs-answer hs-all");
    dress.dataset["state"] = "streaming";
    this.#spoken.setAttribute("role", "status");
    this.#line.dataset["lmSuppressShortcuts"] = "true";
    this.#line.append(element("span", "hs-dot"), this.#figures, this.#stop.root);
    dress.append(this.#line, this.#spoken);
    return dress;
  }

  readonly #onMessage = (message: Columns | { type: "code" }): void => {
    if (message.type !== "columns") return;
    for (const { column, ...part } of message.parts) {
      this.#columns[column]?.hear(part as Message);
      if (part.type === "end") this.#ended.add(column);
    }
    if (message.parts.some((part) => part.type === "end")) this.#count();
  };

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || this.#isOver) return;
    event.preventDefault();
    event.stopPropagation();
    this.#stop.press();
  };

  #count(): void {
    const left = this.#columns.length - this.#ended.size;
    if (left === 0) return this.#over();
    this.#figures.textContent = `${left} of ${this.#columns.length} answers arriving`;
  }

  /** The table takes the place of the line. */
  #over(): void {
    if (this.#line.contains(document.activeElement)) focusCell(this.#line);
    this.#isOver = this.#line.hidden = true;
    this.#stop.halt();
    this.#spoken.textContent = "All answers ended";
  }
}
