import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ComparisonModel, Message } from "../src/protocol";
import stream from "../src/stream";
import { World } from "./fakes";

const NAMES = [
  { stream_id: "s1-0", model: "gpt-4.1" },
  { stream_id: "s1-1", model: "deepseek-v3.2" },
];

interface Mounted {
  world: World;
  unmount: () => void;
  say: (...parts: [number, Message][]) => void;
  texts: () => string[];
  column: (index: number) => HTMLElement;
  all: () => HTMLButtonElement;
  line: () => HTMLElement;
}

function mount(): Mounted {
  const world = new World();
  const get = world.model.get;
  (world.model as ComparisonModel).get = ((name: never) => (name === "columns" ? NAMES : get(name))) as never;
  const host = document.createElement("div");
  document.body.append(host);
  const unmount = stream.render({ model: world.model, el: host });
  const columns = [...host.querySelectorAll<HTMLElement>(".hs-column")];
  return {
    world,
    unmount,
    say: (...parts) => world.emit({ type: "columns", parts: parts.map(([column, part]) => ({ column, ...part })) } as never),
    texts: () => columns.map((column) => column.querySelector(".hs-body")!.textContent!.trim()),
    column: (index) => columns[index]!,
    all: () => host.querySelector<HTMLButtonElement>(".hs-all button")!,
    line: () => host.querySelector<HTMLElement>(".hs-all .hs-receipt")!,
  };
}

const snapshot = (text: string): Message => ({ type: "snapshot", text, tokens: text.length, elapsed: 0 });
const delta = (offset: number, text: string): Message => ({ type: "delta", offset, text, tokens: offset });
const end = (note = ""): Message => ({ type: "end", state: "complete", summary: "9 out", note });
const frame = (): void => void vi.advanceTimersByTime(300);
const stopped = (world: World): string[] => world.sent.filter((sent) => sent.action === "stop").map((sent) => sent.stream);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  document.body.replaceChildren();
  vi.useRealTimers();
});

test("each column has its model's name and says hello for itself", () => {
  const { world, column } = mount();
  expect(world.sent.map((sent) => [sent.way, sent.action, sent.stream])).toEqual([
    ["control", "hello", "s1-0"],
    ["control", "hello", "s1-1"],
  ]);
  expect([0, 1].map((index) => column(index).querySelector(".hs-heading")!.textContent)).toEqual(["gpt-4.1", "deepseek-v3.2"]);
});

test("one message brings the texts of several columns", () => {
  const { say, texts } = mount();
  say([0, snapshot("one")], [1, snapshot("ONE")]);
  expect(texts()).toEqual(["one", "ONE"]);
  say([1, delta(3, " TWO")], [0, delta(3, " two")], [7, delta(0, "nobody's")]);
  frame();
  expect(texts()).toEqual(["one two", "ONE TWO"]);
});

test("a gap in one column asks for that one alone", () => {
  const { world, say, texts } = mount();
  say([0, snapshot("ab")], [1, snapshot("AB")]);
  const before = world.sent.length;
  say([0, delta(2, "cd")], [1, delta(4, "EF")]);
  expect(world.sent.slice(before).map((sent) => sent.stream)).toEqual(["s1-1"]);
  say([1, snapshot("ABCD")]);
  frame();
  expect(texts()).toEqual(["abcd", "ABCDEF"]);
});

test("a column's button stops its answer, the line's all of them", () => {
  const { world, column, all } = mount();
  column(1).querySelector("button")!.click();
  expect(stopped(world)).toEqual(["s1-1"]);
  all().click();
  expect(stopped(world)).toEqual(["s1-1", "s1"]);
  expect(all().textContent).toBe("Stopping…");
});

test("Esc stops all, wherever the focus is, until all have ended", () => {
  const { world, say, column } = mount();
  const escape = (): KeyboardEvent => new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
  column(0).querySelector("button")!.dispatchEvent(escape());
  expect(stopped(world)).toEqual(["s1"]);
  say([0, end()], [1, end()]);
  column(0).dispatchEvent(escape());
  expect(stopped(world)).toHaveLength(1);
});

test("the line counts the answers that arrive, and goes when there are none", () => {
  const { say, line } = mount();
  expect(line().textContent).toContain("2 of 2 answers arriving");
  say([1, end()]);
  expect(line().textContent).toContain("1 of 2 answers arriving");
  say([1, end()], [0, end()]);
  expect(line().hidden).toBe(true);
});

test("who stopped all by the keyboard goes on in the cell, and hears the end", () => {
  const { say, all, line } = mount();
  const cell = document.createElement("div");
  cell.className = "jp-Cell";
  cell.append(...document.body.children);
  document.body.append(cell);
  all().focus();
  say([0, end()], [1, end()]);
  expect(document.activeElement).toBe(cell);
  const spoken = document.querySelector('.hs-all > [role="status"]')!;
  expect(spoken.textContent).toBe("All answers ended");
  expect(line().contains(spoken)).toBe(false);
});

test("what an ending has to say stands above its receipt", () => {
  const { say, column } = mount();
  say([0, end("NotFoundError: 404\u202e")]);
  const notice = column(0).querySelector<HTMLElement>(".hs-notice")!;
  expect([notice.hidden, notice.textContent]).toEqual([false, "NotFoundError: 404⟦U+202E⟧"]);
  expect(column(1).querySelector<HTMLElement>(".hs-notice")!.hidden).toBe(true);
});

test("a kernel that restarts ends all of them", () => {
  const { world, column, line } = mount();
  for (const slot of [...world.slots]) slot(null, "restarting");
  expect([0, 1].map((index) => column(index).querySelector<HTMLElement>(".hs-answer")!.dataset["state"])).toEqual(["error", "error"]);
  expect(line().hidden).toBe(true);
});

test("nothing is left of a view that was taken down", () => {
  const { world, say, all, unmount } = mount();
  say([0, snapshot("text")], [0, delta(4, "more")]);
  all().click();
  unmount();
  expect([vi.getTimerCount(), world.listeners, world.slots.size]).toEqual([0, 0, 0]);
});
