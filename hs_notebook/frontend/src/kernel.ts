import type { Action, Kernel, Peer } from "./protocol";

const MESSAGE_TYPE = "holysheep_stream";
const LOST = new Set(["restarting", "autorestarting", "terminating", "dead"]);

/**
 * The way from the page to the kernel.
 *
 * A widget's message waits on the kernel's shell channel until the running cell has ended (ipykernel 6 and 7.4), so
 * the control channel comes first. Where there is none (marimo, VS Code) the widget's own way is all there is.
 */
export class KernelLink {
  readonly #model: Peer;
  readonly #id: string;

  /** `id` names the answer or calculator whose view this is. */
  constructor(model: Peer, id: string) {
    this.#model = model;
    this.#id = id;
  }

  send(action: Action): void {
    const kernel = this.#kernel();
    if (!kernel?.sendControlMessage) return this.sendByWidget(action);
    try {
      kernel.sendControlMessage(this.#envelope(kernel, action));
    } catch {
      this.sendByWidget(action);
    }
  }

  sendByWidget(action: Action): void {
    this.#model.send(this.#content(action));
  }

  get canInterrupt(): boolean {
    return typeof this.#kernel()?.interrupt === "function";
  }

  /** A request that fails is offered again by the button. */
  async interrupt(): Promise<void> {
    await this.#kernel()?.interrupt?.().catch(() => undefined);
  }

  /** Calls back when the kernel restarts or dies; returns what ends the watch. */
  onLost(callback: () => void): () => void {
    const signal = this.#kernel()?.statusChanged;
    const slot = (_sender: unknown, status: string): void => {
      if (LOST.has(status)) callback();
    };
    signal?.connect(slot);
    return () => signal?.disconnect(slot);
  }

  #kernel(): Kernel | null | undefined {
    return this.#model.widget_manager?.kernel;
  }

  #content(action: Action): { action: Action; stream_id: string } {
    return { action, stream_id: this.#id };
  }

  #envelope(kernel: Kernel, action: Action): object {
    return {
      channel: "control",
      content: this.#content(action),
      buffers: [],
      metadata: {},
      parent_header: {},
      header: {
        date: new Date().toISOString(),
        msg_id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
        msg_type: MESSAGE_TYPE,
        session: kernel.clientId ?? "",
        username: kernel.username ?? "",
        version: "5.3",
      },
    };
  }
}
