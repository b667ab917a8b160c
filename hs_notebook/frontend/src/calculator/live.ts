import { element } from "../dom";
import { KernelLink } from "../kernel";
import { Calculator } from "./calculator";
import { Catalog } from "./catalog";
import { type Figures, figures } from "./figures";
import type { Message, Model } from "./model";
import { rewrite } from "./notebook";
import { Picture, says } from "./picture";
import { pictures, rendererOf, watch } from "./places";
import { evaluate } from "./roi";
import type { Problems, Scenario } from "./scenario";

const ARRIVES = 500; // ms in which an updated picture is in the page

/** One model's calculators: in `picture` mode one over each of its pictures, else where a view is shown. */
export class Live {
  readonly #model: Model;
  readonly #id: string;
  readonly #catalog: Catalog;
  readonly #over = new Map<HTMLElement, Calculator>();
  readonly #shown = new Set<Calculator>();
  readonly #instead = new Map<Calculator, HTMLElement>(); // the picture of a view
  readonly #ends: (() => void)[] = [];
  readonly #link: KernelLink;
  #checking: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.#id = model.get("calculator_id");
    this.#catalog = new Catalog(model.get("catalog"));
    this.#link = new KernelLink(model, this.#id);
    this.#listen("msg:custom", (message: Message) => this.#take(message));
    this.#listen("change:inputs", () => this.#load());
    this.#ends.push(this.#link.onLost(() => this.#lose()));
  }

  /** Lay a calculator over each picture of it, as long as it is in the page. */
  follow(): void {
    this.#ends.push(watch(() => this.#look()));
    this.#look();
    // The page may have been loaded again since, with an older picture in the notebook.
    this.#check();
  }

  /**
   * Show a calculator in an element, as a widget's view.
   *
   * Drawing the output again would take the view down, and with it the focus: so the picture beside it is renewed when
   * the focus has left.
   */
  mount(el: HTMLElement): void {
    const { root, sheets } = Picture.read(this.#model.get("html"));
    if (!root) return;
    const calculator = this.#make(root);
    el.append(...sheets, calculator.node);
    calculator.node.addEventListener("focusout", ({ relatedTarget }) => {
      if (!calculator.node.contains(relatedTarget as Node | null)) this.#link.sendByWidget("picture");
    });
    this.#instead.set(calculator, root);
  }

  dispose(): void {
    clearTimeout(this.#checking);
    for (const end of this.#ends.splice(0)) end();
    for (const host of [...this.#over.keys()]) this.#uncover(host);
    for (const calculator of [...this.#shown]) this.#drop(calculator);
  }

  #listen<T>(name: string, callback: (value: T) => void): void {
    this.#model.on(name, callback);
    this.#ends.push(() => this.#model.off(name, callback));
  }

  #look(): void {
    for (const host of [...this.#over.keys()]) if (!host.isConnected) this.#uncover(host);
    for (const picture of pictures(this.#id)) {
      const host = rendererOf(picture);
      if (host && !this.#over.has(host)) this.#cover(host, picture);
    }
  }

  #cover(host: HTMLElement, picture: HTMLElement): void {
    const calculator = this.#make(picture);
    calculator.node.style.display = getComputedStyle(host).display;
    this.#over.set(host, calculator);
    host.after(calculator.node);
    host.style.display = "none";
  }

  #uncover(host: HTMLElement): void {
    const calculator = this.#over.get(host);
    this.#over.delete(host);
    host.style.removeProperty("display");
    if (calculator) this.#drop(calculator);
  }

  #make(picture: HTMLElement): Calculator {
    const calculator = new Calculator(picture, {
      catalog: this.#catalog,
      presets: this.#model.get("presets"),
      start: this.#model.get("start"),
      inputs: this.#model.get("inputs"),
      settled: (scenario) => this.#send(scenario),
    });
    this.#shown.add(calculator);
    return calculator;
  }

  #drop(calculator: Calculator): void {
    this.#shown.delete(calculator);
    this.#instead.delete(calculator);
    calculator.dispose();
  }

  #send(scenario: Scenario): void {
    this.#model.set("inputs", scenario);
    this.#model.save_changes();
  }

  #load(): void {
    for (const calculator of this.#shown) calculator.follow(this.#model.get("inputs"));
  }

  #take(message: Message): void {
    if (message.type === "shown") {
      this.#check();
      this.#renew();
    } else if (message.type === "problems") {
      for (const calculator of this.#shown) calculator.refuse(message.problems as Problems);
    } else if (message.type === "picture") rewrite(this.#model.widget_manager, this.#id, message.data);
  }

  /** Where the kernel's picture has not come, it is asked for. */
  #check(): void {
    clearTimeout(this.#checking);
    this.#checking = setTimeout(() => {
      const isOld = [...this.#over.keys()].some((host) => !this.#isCurrent(host));
      if (isOld) this.#link.send("picture");
    }, ARRIVES);
  }

  /** Inputs may reach the kernel after the picture was asked for: ipywidgets holds them back while others are under way. */
  #renew(): void {
    const left = [...this.#instead.keys()].some(({ node }) => !node.contains(document.activeElement));
    if (left) this.#link.sendByWidget("picture");
  }

  #isCurrent(host: HTMLElement): boolean {
    const root = host.querySelector<HTMLElement>("[data-roi]");
    return !root || says(root, this.#figures());
  }

  #figures(): Figures {
    return figures(evaluate(this.#model.get("inputs") as unknown as Scenario, this.#catalog));
  }

  /** Pictures stay. */
  #lose(): void {
    const hosts = [...this.#over.keys()];
    const views = [...this.#instead].map(([calculator, root]) => [root, calculator.node.parentElement] as const);
    this.dispose();
    for (const [root, el] of views) el?.append(root, goneLine());
    for (const host of hosts) host.append(goneLine());
  }
}

function goneLine(): HTMLElement {
  return element("p", "hs-calc-gone", "The kernel is gone; this is the last picture. Run the cell again to go on.");
}
