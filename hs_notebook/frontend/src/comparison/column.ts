import type { ComparisonModel, Kernel, Message, Model } from "../protocol";

type Listener = (message: Message) => void;

/** Plays the model of one answer for the view of one column; what it has of its own are its name and its messages. */
export class Column implements Model {
  readonly #shared: ComparisonModel;
  readonly #names: { stream_id: string; model: string };
  readonly #listeners = new Set<Listener>();

  constructor(shared: ComparisonModel, names: { stream_id: string; model: string }) {
    this.#shared = shared;
    this.#names = names;
  }

  /** Hands on what the kernel says of this column. */
  hear(message: Message): void {
    for (const listener of [...this.#listeners]) listener(message);
  }

  get(name: "stream_id" | "model" | "code"): string {
    return name === "code" ? this.#shared.get(name) : this.#names[name];
  }

  on(name: string, callback: (...args: never[]) => void): void {
    if (name === "msg:custom") this.#listeners.add(callback as Listener);
    else this.#shared.on(name, callback);
  }

  off(name: string, callback: (...args: never[]) => void): void {
    if (name === "msg:custom") this.#listeners.delete(callback as Listener);
    else this.#shared.off(name, callback);
  }

  send(content: unknown): void {
    this.#shared.send(content);
  }

  get widget_manager(): { kernel?: Kernel | null } | undefined {
    return this.#shared.widget_manager;
  }
}
