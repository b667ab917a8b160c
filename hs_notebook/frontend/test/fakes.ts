import type { Action, Kernel, Message, Model } from "../src/protocol";

interface Sent {
  way: "control" | "widget";
  action: Action;
  stream: string;
}

type Slot = (sender: unknown, status: string) => void;

/** Stands for the outside world: anywidget's model, and the kernel behind it where `kernel` is true. */
export class World {
  readonly sent: Sent[] = [];
  interrupts = 0;
  readonly slots = new Set<Slot>();
  readonly model: Model;
  readonly #listeners = new Map<string, Set<(message: Message) => void>>();

  constructor({ kernel = true, broken = false } = {}) {
    this.model = {
      get: ((name: string) => ({ stream_id: "s1", model: "gpt-4.1" })[name]) as Model["get"],
      on: (name, callback) => void this.#of(name).add(callback as never),
      off: (name, callback) => void this.#of(name).delete(callback as never),
      send: (content) => this.#note("widget", content as { action: Action; stream_id: string }),
      ...(kernel && { widget_manager: { kernel: this.#kernel(broken) } }),
    };
  }

  emit(...messages: Message[]): void {
    for (const message of messages) for (const callback of this.#of("msg:custom")) callback(message);
  }

  get listeners(): number {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  ways(action: Action): string[] {
    return this.sent.filter((sent) => sent.action === action).map((sent) => sent.way);
  }

  #kernel(broken: boolean): Kernel {
    return {
      clientId: "client",
      sendControlMessage: (message) => {
        if (broken) throw new Error("no control channel");
        const { header, channel, content } = message as { header: { msg_type: string }; channel: string; content: never };
        if (channel === "control" && header.msg_type === "holysheep_stream") this.#note("control", content);
      },
      interrupt: async () => void this.interrupts++,
      statusChanged: { connect: (slot) => this.slots.add(slot), disconnect: (slot) => this.slots.delete(slot) },
    };
  }

  #note(way: Sent["way"], content: { action: Action; stream_id: string }): void {
    this.sent.push({ way, action: content.action, stream: content.stream_id });
  }

  #of(name: string): Set<(message: Message) => void> {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set);
    return set;
  }
}
