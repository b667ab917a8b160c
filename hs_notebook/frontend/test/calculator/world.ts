import { readFigures } from "./vectors";
import { type Bar, type Figures } from "../../src/calculator/figures";
import type { Message, Model, Preset } from "../../src/calculator/model";
import { rawCatalog } from "./vectors";

type Slot = (sender: unknown, status: string) => void;

/** Stands for the outside world: anywidget's model, JupyterLab's output and the kernel. */
export class CalculatorWorld {
  readonly saved: Record<string, unknown>[] = [];
  readonly asked: { way: string; action: string }[] = [];
  readonly slots = new Set<Slot>();
  readonly outputs: { data: Record<string, unknown> }[] = [];
  readonly #values: Record<string, unknown>;
  readonly #listeners = new Map<string, Set<(value: never) => void>>();
  readonly model: Model;

  constructor({ inputs = {}, mode = "picture", presets = [] as Preset[], html = "" } = {}) {
    const scenario = { ...rawCatalog.defaults, ...inputs };
    this.#values = { calculator_id: "c1", code: "v1", mode, html, catalog: rawCatalog, presets, start: scenario, inputs: scenario };
    this.model = {
      get: ((name: string) => this.#values[name]) as Model["get"],
      set: (name, value) => this.#set(name, value),
      save_changes: () => void this.saved.push(structuredClone(this.#values.inputs) as Record<string, unknown>),
      on: (name, callback) => void this.#of(name).add(callback as never),
      off: (name, callback) => void this.#of(name).delete(callback as never),
      send: (content) => void this.asked.push({ way: "widget", action: (content as { action: string }).action }),
      widget_manager: this.#manager(),
    };
  }

  say(message: Message): void {
    for (const callback of this.#of("msg:custom")) callback(message as never);
  }

  /** The kernel, or another page, has set the inputs. */
  hear(inputs: Record<string, unknown>): void {
    this.#set("inputs", { ...(this.#values.inputs as object), ...inputs });
  }

  lose(): void {
    for (const slot of [...this.slots]) slot(undefined, "restarting");
  }

  get listeners(): number {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  #set(name: string, value: unknown): void {
    this.#values[name] = value;
    for (const callback of this.#of(`change:${name}`)) callback(undefined as never);
  }

  #manager(): NonNullable<Model["widget_manager"]> {
    const { outputs } = this;
    return {
      kernel: {
        sendControlMessage: (message) => {
          const { content } = message as { content: { action: string } };
          this.asked.push({ way: "control", action: content.action });
        },
        statusChanged: { connect: (slot) => this.slots.add(slot), disconnect: (slot) => this.slots.delete(slot) },
      },
      context: {
        model: {
          cells: [
            {},
            {
              outputs: {
                get length() {
                  return outputs.length;
                },
                get: (i) => ({ toJSON: () => outputs[i]! }),
                set: (i, output) => void (outputs[i] = output as { data: Record<string, unknown> }),
              },
            },
          ],
        },
      },
    };
  }

  #of(name: string): Set<(value: never) => void> {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set);
    return set;
  }
}

/** A picture with a place for every figure, in JupyterLab's output. */
export function pictureOf(figures: Figures = readFigures("V2 official"), id = "c1"): HTMLElement {
  const child = document.createElement("div");
  child.className = "jp-OutputArea-child";
  child.innerHTML = `<div class="jp-OutputArea-output">${htmlOf(figures, id)}</div>`;
  return child;
}

export function htmlOf(figures: Figures, id = "c1"): string {
  const slots = Object.entries(figures.text).map(([name, text]) => `<span data-slot="${name}">${text}</span>`);
  const bars = Object.entries(figures.bar).map(
    ([name, [x, width]]: [string, Bar]) => `<rect data-bar="${name}" x="${x}" width="${width}"></rect>`,
  );
  const shows = Object.entries(figures.show).map(
    ([name, isShown]) => `<p data-show="${name}"${isShown ? "" : " hidden"}></p>`,
  );
  return `<style>.hs-roi{}</style><div class="hs-roi" data-roi="${id}">${slots.join("")}<svg>${bars.join("")}</svg>${shows.join("")}</div>`;
}
