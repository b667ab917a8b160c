import { Ask } from "./ask";
import { type Change, TextBuffer } from "./buffer";
import { Controls } from "./controls";
import { element } from "./dom";
import { KernelLink } from "./kernel";
import { Painter } from "./painter";
import type { FinalState, Message, Model, State } from "./protocol";
import { reserveHeight } from "./reserve";
import { visible } from "./visible";

const HELLO_PATIENCE = 1500; // ms without a snapshot before hello goes the other way too

/** One view of one answer: takes the kernel's messages, paints the text, leads Stop back. */
export class StreamView {
  readonly #model: Model;
  readonly #link: KernelLink;
  readonly #root: HTMLElement;
  readonly #notice = element("div", "hs-notice");
  readonly #ask: Ask;
  readonly #controls: Controls;
  readonly #painter: Painter;
  readonly #buffer = new TextBuffer();
  readonly #unwatch: () => void;
  #asked = false;
  #askAgain: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(model: Model, host: HTMLElement) {
    this.#model = model;
    this.#link = new KernelLink(model, model.get("stream_id"));
    this.#controls = new Controls(model.get("model"), {
      stop: () => this.#link.send("stop"),
      stopAgain: () => this.#link.sendByWidget("stop"),
      canInterrupt: () => this.#link.canInterrupt,
      interrupt: () => void this.#link.interrupt(),
    });
    this.#ask = new Ask((action) => this.#link.send(action), (action) => this.#link.sendByWidget(action), this.#controls);
    const body = element("div", "hs-body");
    this.#painter = new Painter(body);
    this.#root = element("div", "hs-answer hs-live mathjax_ignore tex2jax_ignore");
    this.#notice.hidden = true;
    this.#root.append(body, this.#notice, this.#ask.root, this.#controls.root);
    this.#root.addEventListener("keydown", this.#onKey);
    host.append(this.#root);
    this.#setState("streaming");
    model.on("msg:custom", this.#onMessage);
    this.#unwatch = this.#link.onLost(() => this.#end("error", "the kernel restarted before the answer ended"));
    this.#controls.start();
    this.#hello();
  }

  dispose(): void {
    this.#model.off("msg:custom", this.#onMessage);
    this.#unwatch();
    this.#controls.halt();
    this.#ask.hide();
    this.#painter.dispose();
    clearTimeout(this.#askAgain);
  }

  readonly #onMessage = (message: Message): void => {
    switch (message.type) {
      case "delta":
        return this.#onText(this.#buffer.delta(message.offset, message.text), message.tokens);
      case "snapshot":
        return this.#onSnapshot(message);
      case "notice":
        return this.#tell(message.text);
      case "ask":
        return this.#ask.show(message.number, message.question);
      case "end":
        return this.#end(message.state, message.summary, message.note);
    }
  };

  #onSnapshot(message: Extract<Message, { type: "snapshot" }>): void {
    this.#asked = false;
    clearTimeout(this.#askAgain);
    if (!this.#ended) this.#controls.counters.startedAgo(message.elapsed);
    this.#onText(this.#buffer.snapshot(message.text), message.tokens);
  }

  #onText(change: Change, tokens: number | null): void {
    this.#controls.counters.update(tokens, this.#buffer.text !== "");
    if (change.kind === "gap") this.#hello();
    else if (change.kind === "append") this.#painter.append(change.text);
    else if (change.kind === "replace") this.#painter.replace(change.text);
    if (this.#ended && change.kind !== "none" && change.kind !== "gap") this.#painter.finish();
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || this.#ended) return;
    event.preventDefault();
    event.stopPropagation();
    this.#controls.press();
  };

  #tell(text: string): void {
    this.#notice.textContent = visible(text);
    this.#notice.hidden = !text;
  }

  #end(state: FinalState, summary: string, note = ""): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tell(note);
    this.#ask.hide();
    this.#painter.finish();
    this.#controls.end(state, summary);
    this.#setState(state);
    reserveHeight(this.#root);
  }

  /** Asks for a snapshot, once until it comes; the widget's own way follows where the control channel gave no answer. */
  #hello(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#link.send("hello");
    this.#askAgain = setTimeout(() => this.#link.sendByWidget("hello"), HELLO_PATIENCE);
  }

  #setState(state: State): void {
    this.#root.dataset["state"] = state;
  }
}
