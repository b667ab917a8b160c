import { type Ending, messageOf, parsed, Reading } from "./reading";
import { EventReader } from "./sse";

/** What a call needs of the world. */
export interface World {
  fetch(url: string, init: RequestInit): Promise<Response>;
  sleep(ms: number): Promise<void>;
  random(): number;
}

export interface Watcher {
  text(added: string): void;
  notice(text: string): void;
}

export const ATTEMPTS = 5; // to go on, in a row, without anything new
const BASE = 250; // ms of the first wait at most; it doubles
const CAP = 8_000;
export const FIRST = 150_000; // ms for a reply to begin; the relay itself gives up before
export const SILENCE = 45_000; // ms without a byte; the relay sends a comment every 15 s

const STOPPED: Ending = { state: "stopped", note: "" };

/** `randomUUID` is missing where the page came over plain http from another machine. */
function unique(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The stream cannot be had any more. */
class Lost extends Error {}

/** One question: asks it, goes on by itself where the connection breaks, and never asks twice. */
export class Call {
  readonly reading = new Reading();
  readonly #world: World;
  readonly #base: string;
  readonly #key: string;
  readonly #body: string;
  readonly #watcher: Watcher;
  readonly #once = unique();
  #stream = "";
  #last = 0;
  #stopped = false;
  #plain = false; // the relay sends streams that cannot be resumed
  #halt!: () => void;
  readonly #halted = new Promise<void>((resolve) => (this.#halt = resolve));
  #abort = new AbortController();
  resumed = 0; // times
  refused = false; // the key, before anything was asked

  /** `base` ends in a slash. */
  constructor(world: World, base: string, key: string, body: object, watcher: Watcher) {
    this.#world = world;
    this.#base = base;
    this.#key = key;
    this.#body = JSON.stringify(body);
    this.#watcher = watcher;
  }

  /** Asks, and returns how the answer ended. */
  run(): Promise<Ending> {
    return Promise.race([this.#halted.then(() => STOPPED), this.#goOn()]);
  }

  /** Keeps what was said, and has the upstream stop too. */
  stop(): void {
    this.#stopped = true;
    this.#halt();
    // Before the reply begins only the key of the question calls the stream, which the relay may not have
    // heard yet: it is left again by its own name as soon as it has one.
    if (this.#stream || this.#plain) this.#abort.abort();
    this.#leave();
  }

  async #goOn(): Promise<Ending> {
    for (let failures = 0; ; ) {
      const before = this.#last;
      try {
        return await this.#connect();
      } catch (error) {
        if (this.#stopped) return STOPPED;
        if (this.#plain) return this.reading.ending("the connection broke");
        if (error instanceof Lost) return this.reading.ending(error.message);
        failures = this.#last > before ? 1 : failures + 1;
        if (failures > ATTEMPTS) return this.reading.ending(`the connection broke, and ${ATTEMPTS} attempts to go on failed`);
        this.#watcher.notice(`The connection broke; resuming (${failures} of ${ATTEMPTS})…`);
        await this.#world.sleep(this.#world.random() * Math.min(CAP, BASE * 2 ** (failures - 1)));
        if (this.#stopped) return STOPPED;
        if (this.#stream) this.resumed += 1;
      }
    }
  }

  async #connect(): Promise<Ending> {
    this.#abort = new AbortController();
    const reply = await this.#inTime(FIRST, this.#open());
    this.#stream = reply.headers.get("x-stream-id") ?? this.#stream;
    if (this.#stopped) {
      this.#leave();
      this.#abort.abort();
      return STOPPED;
    }
    if (!reply.ok) return this.#refused(reply);
    this.#plain = !this.#stream;
    this.#watcher.notice("");
    if (!(reply.headers.get("content-type") ?? "").startsWith("text/event-stream")) return this.#whole(reply);
    await this.#follow(reply);
    return this.reading.ending();
  }

  #open(): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#key}` };
    const common = { headers, signal: this.#abort.signal, cache: "no-store", redirect: "error", credentials: "omit" } as const;
    if (this.#stream) {
      headers["last-event-id"] = String(this.#last);
      return this.#world.fetch(`${this.#base}v1/streams/${this.#stream}`, common);
    }
    headers["content-type"] = "application/json";
    headers["x-stream-resume"] = "1";
    headers["idempotency-key"] = this.#once; // so that a second POST joins the first
    return this.#world.fetch(`${this.#base}v1/chat/completions`, { ...common, method: "POST", body: this.#body });
  }

  async #follow(reply: Response): Promise<void> {
    const events = new EventReader();
    const reader = reply.body!.getReader();
    for (;;) {
      const { done, value } = await this.#inTime(SILENCE, reader.read());
      if (done) return;
      for (const event of this.#read(events, value)) this.#take(event.id, event.data);
      if (this.reading.over) return void reader.cancel().catch(() => undefined);
    }
  }

  #read(events: EventReader, bytes: Uint8Array): ReturnType<EventReader["push"]> {
    try {
      return events.push(bytes);
    } catch (error) {
      throw new Lost(String((error as Error).message));
    }
  }

  #take(id: string, data: string): void {
    const number = this.#stream && /^\d+$/.test(id) ? Number(id) : 0;
    if (number && number <= this.#last) return; // it came before
    if (number > this.#last + 1) throw new Lost(`events ${this.#last + 1} to ${number - 1} of the answer are lost`);
    if (number) this.#last = number;
    const added = this.reading.take(data);
    if (added) this.#watcher.text(added);
  }

  async #whole(reply: Response): Promise<Ending> {
    const added = this.reading.takeWhole(await reply.text());
    if (added) this.#watcher.text(added);
    return this.reading.ending();
  }

  async #refused(reply: Response): Promise<Ending> {
    const said = messageOf(parsed(await reply.text())) || `the relay answered ${reply.status}`;
    this.refused = reply.status === 401 && !this.#stream;
    if (!this.#stream) return { state: "error", note: said };
    if (reply.status >= 500) throw new Error(said); // a proxy, before the relay is back
    throw new Lost(reply.status === 410 || reply.status === 404 ? "the rest of the answer is not kept any more" : said);
  }

  #leave(): void {
    if (this.#plain) return;
    const headers: Record<string, string> = { authorization: `Bearer ${this.#key}` };
    if (!this.#stream) headers["idempotency-key"] = this.#once;
    const url = `${this.#base}v1/streams${this.#stream ? `/${this.#stream}` : ""}`;
    void this.#world.fetch(url, { method: "DELETE", headers, keepalive: true }).catch(() => undefined);
  }

  async #inTime<T>(ms: number, promise: Promise<T>): Promise<T> {
    const abort = this.#abort;
    const timer = setTimeout(() => abort.abort(), ms);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
