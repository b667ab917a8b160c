import { expect, test, vi } from "vitest";
import { ATTEMPTS, Call, FIRST, SILENCE, type World } from "../../src/relay/call";
import { listModels } from "../../src/relay/models";

const frame = (text: string, reason: string | null = null): string =>
  JSON.stringify({ model: "m", system_fingerprint: "simulated", choices: [{ index: 0, delta: { content: text }, finish_reason: reason }] });
const USAGE = JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } });
const ANSWER = [frame("Hel"), frame("lo"), frame("", "stop"), USAGE, "[DONE]"];
const numbered = (frames: string[], first = 1): string => frames.map((data, at) => `id: ${first + at}\ndata: ${data}\n\n`).join("");

test("a page over plain http, where `randomUUID` is missing, can ask", () => {
  vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
  expect(() => new Script().call()).not.toThrow();
  vi.unstubAllGlobals();
});

type Step = (init: RequestInit, url: string) => Promise<Response> | Response;

/** A relay of which each reply is said beforehand, and which notes what it was asked. */
class Script implements World {
  readonly asked: { method: string; path: string; headers: Record<string, string> }[] = [];
  readonly waits: number[] = [];
  readonly notices: string[] = [];
  text = "";
  readonly #steps: Step[];

  constructor(...steps: Step[]) {
    this.#steps = steps;
  }

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const method = init.method ?? "GET";
    this.asked.push({ method, path: new URL(url).pathname, headers: init.headers as Record<string, string> });
    if (method === "DELETE") return new Response(null, { status: 204 });
    const step = this.#steps.shift();
    if (!step) throw new TypeError("nothing answers");
    return step(init, url);
  }

  async sleep(ms: number): Promise<void> {
    this.waits.push(ms);
  }

  random(): number {
    return 1;
  }

  call(): Call {
    const watcher = { text: (added: string) => void (this.text += added), notice: (said: string) => void this.notices.push(said) };
    return new Call(this, "http://relay/", "the-key", { model: "m" }, watcher);
  }

  get paths(): string[] {
    return this.asked.map(({ method, path }) => `${method} ${path}`);
  }
}

/** A stream that says `text`, and then ends, or breaks. */
function stream(text: string, { id = "s1", breaks = false, hangs = false } = {}): Step {
  return (init) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        init.signal?.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError")));
        if (!breaks && !hangs) controller.close();
      },
      pull(controller) {
        if (breaks) controller.error(new TypeError("network error"));
        return hangs ? new Promise(() => undefined) : undefined;
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8", ...(id && { "x-stream-id": id }) } });
  };
}

const refused = (status: number, message: string): Step => () => new Response(JSON.stringify({ error: { message } }), { status });
const broken: Step = () => Promise.reject(new TypeError("Failed to fetch"));
const POST = "POST /v1/chat/completions";
const GET = "GET /v1/streams/s1";

test("an answer is read to its end", async () => {
  const world = new Script(stream(numbered(ANSWER)));
  const call = world.call();
  expect(await call.run()).toEqual({ state: "complete", note: "" });
  expect([world.text, call.reading.usage, call.reading.simulated, call.resumed]).toEqual(["Hello", { prompt_tokens: 3, completion_tokens: 2 }, true, 0]);
  expect(world.asked[0]!.headers).toMatchObject({ authorization: "Bearer the-key", "x-stream-resume": "1" });
});

test("a connection that breaks is resumed where it was, and nothing comes twice", async () => {
  const half = numbered(ANSWER.slice(0, 1)) + "id: 2\ndata: {";
  const world = new Script(stream(half, { breaks: true }), broken, stream(numbered(ANSWER)));
  const call = world.call();
  expect(await call.run()).toEqual({ state: "complete", note: "" });
  expect([world.text, world.paths]).toEqual(["Hello", [POST, GET, GET]]);
  expect(world.asked[2]!.headers["last-event-id"]).toBe("1");
  expect(world.notices).toContain("The connection broke; resuming (1 of 5)…");
  expect(call.resumed).toBe(2);
});

test("a question whose reply did not begin is asked again by its key", async () => {
  const world = new Script(broken, stream(numbered(ANSWER)));
  expect((await world.call().run()).state).toBe("complete");
  const keys = world.asked.map(({ headers }) => headers["idempotency-key"]);
  expect([world.paths, keys[0]]).toEqual([[POST, POST], keys[1]]);
  expect(keys[0]).toBeTruthy();
});

test("it gives up after five attempts without anything new, each later than the one before", async () => {
  const world = new Script(stream(numbered(ANSWER.slice(0, 1)), { breaks: true }));
  const ending = await world.call().run();
  expect(ending).toEqual({ state: "truncated", note: "the connection broke, and 5 attempts to go on failed" });
  expect(world.paths).toEqual([POST, ...Array<string>(ATTEMPTS).fill(GET)]);
  expect(world.waits).toEqual([250, 500, 1000, 2000, 4000]);
});

test("what is new begins the count again", async () => {
  const pieces = ANSWER.map((data, at) => stream(numbered([data], at + 1), { breaks: at < ANSWER.length - 1 }));
  const world = new Script(...pieces.flatMap((piece) => [broken, broken, broken, piece]));
  expect((await world.call().run()).state).toBe("complete");
  expect(world.text).toBe("Hello");
});

test("a gap is never silent", async () => {
  const world = new Script(stream(numbered(ANSWER.slice(0, 1)) + numbered(ANSWER.slice(3), 4)));
  expect(await world.call().run()).toEqual({ state: "truncated", note: "events 2 to 3 of the answer are lost" });
  expect(world.text).toBe("Hel");
});

test.each([404, 410])("a stream that is gone (%i) leaves what was said", async (status) => {
  const world = new Script(stream(numbered(ANSWER.slice(0, 2)), { breaks: true }), refused(status, "gone"));
  expect(await world.call().run()).toEqual({ state: "truncated", note: "the rest of the answer is not kept any more" });
});

test("a relay that is away for a moment is waited for", async () => {
  const world = new Script(stream(numbered(ANSWER.slice(0, 2)), { breaks: true }), refused(502, "bad gateway"), stream(numbered(ANSWER.slice(2), 3)));
  expect((await world.call().run()).state).toBe("complete");
});

test("a stream that cannot be resumed is never asked for twice", async () => {
  const plain = ANSWER.slice(0, 1).map((data) => `data: ${data}\n\n`).join("");
  const world = new Script(stream(plain, { id: "", breaks: true }));
  expect(await world.call().run()).toEqual({ state: "truncated", note: "the connection broke" });
  expect(world.paths).toEqual([POST]);
});

test("a refusal is shown as it was said", async () => {
  const world = new Script(refused(401, "The relay does not know this key."));
  const call = world.call();
  expect(await call.run()).toEqual({ state: "error", note: "The relay does not know this key." });
  expect([world.paths, call.refused]).toEqual([[POST], true]);
});

test.each([
  ["no reason and no end", ANSWER.slice(0, 2), "truncated", "the relay has no more of it"],
  ["the limit", [frame("Hel", "length"), "[DONE]"], "truncated", "cut at the largest number of tokens"],
  ["an error in a frame", [frame("Hel"), JSON.stringify({ error: { message: "overloaded" } })], "error", "overloaded"],
  ["no JSON", [frame("Hel"), "{"], "error", "the stream holds a frame that is no JSON object"],
  ["nothing at all", ["[DONE]"], "error", "the answer is empty"],
])("%s", async (_name, frames, state, note) => {
  expect(await new Script(stream(numbered(frames))).call().run()).toEqual({ state, note });
});

test("a reply that is no stream is an answer too", async () => {
  const body = JSON.stringify({ model: "m", choices: [{ index: 0, message: { content: "Hello" }, finish_reason: "stop" }] });
  const world = new Script(() => new Response(body, { headers: { "content-type": "application/json" } }));
  expect([(await world.call().run()).state, world.text]).toEqual(["complete", "Hello"]);
});

test("Stop keeps what was said and leaves the stream", async () => {
  const world = new Script(stream(numbered(ANSWER.slice(0, 1)), { hangs: true }));
  const call = world.call();
  const ending = call.run();
  await expect.poll(() => world.text).toBe("Hel");
  call.stop();
  expect(await ending).toEqual({ state: "stopped", note: "" });
  expect(world.paths).toEqual([POST, "DELETE /v1/streams/s1"]);
});

test("Stop before the reply begins is at once, and the stream is left by its question's key, and again when it begins", async () => {
  let begin!: (reply: Response) => void;
  const world = new Script(() => new Promise<Response>((resolve) => (begin = resolve)));
  const call = world.call();
  const ending = call.run();
  call.stop();
  expect(await ending).toEqual({ state: "stopped", note: "" });
  const LEFT = [POST, "DELETE /v1/streams"];
  expect(world.paths).toEqual(LEFT);
  const [asked, left] = world.asked;
  expect(left!.headers["idempotency-key"]).toBe(asked!.headers["idempotency-key"]);
  begin(new Response("", { headers: { "x-stream-id": "s1" } }));
  await expect.poll(() => world.paths).toEqual([...LEFT, "DELETE /v1/streams/s1"]);
});

test("a connection that says nothing for too long is taken for broken", async () => {
  vi.useFakeTimers();
  try {
    const silent = stream(numbered(ANSWER.slice(0, 1)), { hangs: true });
    const never: Step = (init) =>
      new Promise((_, reject) => init.signal!.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError"))));
    const world = new Script(silent, never, stream(numbered(ANSWER.slice(1), 2)));
    const call = world.call();
    const ending = call.run();
    await vi.advanceTimersByTimeAsync(SILENCE - 1);
    expect(world.paths).toEqual([POST]);
    await vi.advanceTimersByTimeAsync(2);
    expect(world.paths).toEqual([POST, GET]);
    await vi.advanceTimersByTimeAsync(FIRST + 1);
    expect([await ending, world.text, call.resumed]).toEqual([{ state: "complete", note: "" }, "Hello", 2]);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("models are listed, and what is wrong is said", async () => {
  const list = JSON.stringify({ data: [{ id: "a" }, {}, null, { id: "b" }] });
  expect(await listModels(new Script(() => new Response(list)), "http://relay/", "k")).toEqual({ models: ["a", "b"], problem: "", refused: false });
  expect(await listModels(new Script(refused(401, "no")), "http://relay/", "k")).toEqual({ models: [], problem: "no", refused: true });
  expect((await listModels(new Script(refused(503, "no")), "http://relay/", "k")).refused).toBe(false);
  expect((await listModels(new Script(broken), "http://relay/", "k")).problem).toBe("The relay cannot be reached.");
});
