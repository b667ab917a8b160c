import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FinalState } from "../src/protocol";
import stream from "../src/stream";
import { World } from "./fakes";

interface Mounted {
  world: World;
  host: HTMLElement;
  unmount: () => void;
  text: () => string;
  line: () => string;
  button: () => HTMLButtonElement | null;
  root: () => HTMLElement;
}

function mount(world = new World()): Mounted {
  const host = document.createElement("div");
  document.body.append(host);
  const unmount = stream.render({ model: world.model, el: host });
  return {
    world,
    host,
    unmount,
    text: () => host.querySelector(".hs-body")!.textContent!.trim(),
    line: () => host.querySelector(".hs-figures")!.textContent!,
    button: () => host.querySelector("button"),
    root: () => host.querySelector<HTMLElement>(".hs-answer")!,
  };
}

const snapshot = (text: string, elapsed = 0) => ({ type: "snapshot", text, tokens: text.length, elapsed }) as const;
const delta = (offset: number, text: string, tokens: number | null = offset) => ({ type: "delta", offset, text, tokens }) as const;
const end = (state: FinalState = "complete") => ({ type: "end", state, summary: "gpt-4.1 · 9 out" }) as const;
const frame = (): void => void vi.advanceTimersByTime(300);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("hello", () => {
  test("is said at every mount, over the control channel", () => {
    const world = new World();
    mount(world).unmount();
    mount(world);
    expect(world.sent).toEqual([
      { way: "control", action: "hello", stream: "s1" },
      { way: "control", action: "hello", stream: "s1" },
    ]);
  });

  test.each([
    ["without a kernel", { kernel: false }],
    ["where the control channel fails", { broken: true }],
  ])("goes by the widget's own way %s", (_name, options) => {
    expect(mount(new World(options)).world.ways("hello")).toEqual(["widget"]);
  });

  test("is said by the other way too when no snapshot comes", () => {
    const { world } = mount();
    vi.advanceTimersByTime(1600);
    expect(world.ways("hello")).toEqual(["control", "widget"]);
  });

  test("is said once for a gap, until the snapshot", () => {
    const { world, text } = mount();
    world.emit(snapshot("ab"), delta(4, "ef"), delta(6, "gh"));
    expect(world.ways("hello")).toEqual(["control", "control"]);
    world.emit(snapshot("abcd"));
    frame();
    expect(text()).toBe("abcdefgh");
    world.emit(delta(20, "x"));
    expect(world.ways("hello")).toHaveLength(3);
  });
});

describe("text", () => {
  test("the first is painted at once, the next with a frame", () => {
    const { world, text } = mount();
    world.emit(snapshot("one"));
    expect(text()).toBe("one");
    world.emit(delta(3, " two"));
    expect(text()).toBe("one");
    frame();
    expect(text()).toBe("one two");
  });

  test("is painted where there are no animation frames", () => {
    vi.stubGlobal("requestAnimationFrame", () => 0);
    const { world, text } = mount();
    world.emit(snapshot("one"), delta(3, " two"));
    frame();
    expect(text()).toBe("one two");
    vi.unstubAllGlobals();
  });

  test("is the same in a view that is mounted later", () => {
    const first = mount();
    first.world.emit(snapshot("one"), delta(3, " two"));
    const second = mount(first.world);
    first.world.emit(snapshot("one two"), delta(7, " three"));
    frame();
    expect(first.text()).toBe("one two three");
    expect(second.text()).toBe("one two three");
  });

  test("that another snapshot contradicts is replaced", () => {
    const { world, text } = mount();
    world.emit(snapshot("one\n\ntwo\n\nthree"), snapshot("other"));
    frame();
    expect(text()).toBe("other");
  });

  test("links get their definitions at the end, text that comes later still", () => {
    const { world, host, text } = mount();
    world.emit(snapshot("see [x]\n\n# h\n\n[x]: https://e.x/\n"), end());
    expect(host.querySelector("a")?.getAttribute("href")).toBe("https://e.x/");
    world.emit(snapshot("see [x]\n\n# h\n\n[x]: https://e.x/\n\nmore"));
    frame();
    expect(text()).toContain("more");
    expect(host.querySelectorAll("h1")).toHaveLength(1);
  });
});

describe("the line under the answer", () => {
  test("says what is awaited, then counts", () => {
    const { world, line } = mount();
    world.emit(snapshot("", 2));
    frame();
    expect(line()).toMatch(/^waiting for gpt-4\.1… 2\.\d s$/);
    world.emit(delta(0, "a", 1));
    vi.advanceTimersByTime(1000);
    world.emit(delta(1, "b", 101));
    vi.advanceTimersByTime(1000);
    expect(line()).toMatch(/^≈101 tokens · 5\d tokens\/s · 4\.\d s$/);
  });

  test("tells no tokens where their number is not known", () => {
    const { world, line } = mount();
    world.emit(delta(0, "a", null));
    vi.advanceTimersByTime(1000);
    expect(line()).toMatch(/^1\.\d s$/);
  });

  test("shows a notice, and clears it", () => {
    const { world, host } = mount();
    const notice = host.querySelector<HTMLElement>(".hs-notice")!;
    world.emit({ type: "notice", text: "rate limited\u202e" });
    expect([notice.hidden, notice.textContent]).toEqual([false, "rate limited⟦U+202E⟧"]);
    world.emit({ type: "notice", text: "" });
    expect(notice.hidden).toBe(true);
  });

  test.each([
    ["complete", "gpt-4.1 · 9 out"],
    ["stopped", "stopped gpt-4.1 · 9 out"],
  ] as const)("is the receipt after the end: %s", (state, receipt) => {
    const { world, host, button, root } = mount();
    world.emit(snapshot("text"), end(state));
    expect(root().dataset["state"]).toBe(state);
    expect(button()).toBeNull();
    const shown = [...host.querySelectorAll(".hs-state, .hs-summary")].map((part) => part.textContent);
    expect(shown.join(" ")).toBe(receipt);
  });

  test("no timer is left after the end, nor after the view is taken down", () => {
    const over = mount();
    over.world.emit(snapshot("text"), end());
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
    const left = mount();
    left.world.emit(snapshot("text"), delta(4, "more"));
    left.button()!.click();
    left.unmount();
    expect(vi.getTimerCount()).toBe(0);
    expect(left.world.listeners + left.world.slots.size).toBe(over.world.listeners + over.world.slots.size - 2);
  });
});

describe("Stop", () => {
  test("is sent at once and says so", () => {
    const { world, button } = mount();
    button()!.click();
    expect(button()!.textContent).toBe("Stopping…");
    expect(world.ways("stop")).toEqual(["control"]);
    button()!.click();
    expect(world.ways("stop")).toHaveLength(1);
  });

  test("is sent when the button is pressed, wherever it is released", () => {
    const { world, button } = mount();
    button()!.dispatchEvent(new PointerEvent("pointerdown", { button: 2 }));
    expect(world.ways("stop")).toEqual([]);
    button()!.dispatchEvent(new PointerEvent("pointerdown", { button: 0 }));
    button()!.click();
    expect(world.ways("stop")).toEqual(["control"]);
  });

  test("without effect tries the other way and offers the interrupt", () => {
    const { world, button } = mount();
    button()!.click();
    vi.advanceTimersByTime(2100);
    expect(world.ways("stop")).toEqual(["control", "widget"]);
    expect(button()!.textContent).toBe("Interrupt kernel");
    button()!.click();
    expect([world.interrupts, button()!.textContent]).toEqual([1, "Interrupting…"]);
  });

  test("can be pressed again where nothing can be interrupted", () => {
    const { world, button } = mount(new World({ kernel: false }));
    button()!.click();
    vi.advanceTimersByTime(2100);
    expect(button()!.textContent).toBe("Stop");
    expect(world.interrupts).toBe(0);
  });

  test("is Esc too, while the answer arrives", () => {
    const { world, button, root } = mount();
    const escape = (): KeyboardEvent => new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
    button()!.dispatchEvent(escape());
    expect(world.ways("stop")).toHaveLength(1);
    const late = mount();
    late.world.emit(snapshot("x"), end());
    late.root().dispatchEvent(escape());
    expect(late.world.ways("stop")).toHaveLength(0);
    expect(root()).toBeTruthy();
  });

  test("keeps the notebook's shortcuts off the button", () => {
    expect(mount().button()!.closest("[data-lm-suppress-shortcuts]")).not.toBeNull();
  });
});

test("a kernel that restarts ends the answer", () => {
  const { world, root, text } = mount();
  world.emit(snapshot("so far"));
  for (const slot of world.slots) slot(null, "restarting");
  expect(root().dataset["state"]).toBe("error");
  expect(text()).toBe("so far");
});

test("the output keeps its height for a moment when the answer ends", () => {
  const { world, host } = mount();
  host.className = "jp-OutputArea";
  Object.defineProperty(host, "offsetHeight", { value: 321 });
  world.emit(snapshot("x"), end());
  expect(host.style.minHeight).toBe("321px");
  vi.advanceTimersByTime(600);
  expect(host.style.minHeight).toBe("");
});

test.each([true, false])("the keyboard goes on in the cell after Stop, where it was on it: %s", (used) => {
  const { world, host, button } = mount();
  host.className = "jp-Cell";
  if (used) button()!.focus();
  world.emit(snapshot("x"), end("stopped"));
  expect(document.activeElement).toBe(used ? host : document.body);
  vi.advanceTimersByTime(600);
});

test("the end is said after the line has changed", () => {
  const { world, root } = mount();
  const region = root().querySelector(".hs-spoken")!;
  world.emit(snapshot("x"), end("stopped"));
  expect(root().contains(region)).toBe(true);
  expect(region.textContent).toBe("Answer stopped");
});
