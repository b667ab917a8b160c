import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import stream from "../src/stream";
import { World } from "./fakes";

function mount(world = new World()) {
  const host = document.createElement("div");
  document.body.append(host);
  const unmount = stream.render({ model: world.model, el: host });
  const root = () => host.querySelector<HTMLElement>(".hs-ask")!;
  const buttons = () => [...root().querySelectorAll("button")];
  return { world, host, unmount, root, buttons };
}

const ask = (number: number, question = "Run add(x=1)?") => ({ type: "ask", number, question }) as const;
const answers = (world: World) => world.sent.filter(({ action }) => /^(run|refuse) /.test(action));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("a question", () => {
  test("is not there until it is asked, nor after", () => {
    const { world, root, buttons } = mount();
    expect(root().hidden).toBe(true);
    world.emit(ask(1));
    expect(root().hidden).toBe(false);
    expect(root().textContent).toContain("Run add(x=1)?");
    expect(buttons().map((button) => button.textContent)).toEqual(["Run", "Don’t run"]);
    world.emit(ask(1, ""));
    expect(root().hidden).toBe(true);
    expect(buttons()).toEqual([]);
  });

  test.each([
    [0, "run 4"],
    [1, "refuse 4"],
  ])("is answered once, with its number, by button %i", (index, action) => {
    const { world, buttons } = mount();
    world.emit(ask(4));
    buttons()[index]!.click();
    buttons()[index]!.click();
    buttons()[1 - index]!.click();
    expect(answers(world)).toEqual([{ way: "control", action, stream: "s1" }]);
    expect(buttons().every((button) => button.getAttribute("aria-disabled") === "true")).toBe(true);
    world.emit(ask(4, ""), ask(5));
    buttons()[0]!.click();
    expect(answers(world).at(-1)!.action).toBe("run 5");
  });

  test("is said to screen readers, by a region that is there before", () => {
    const { world, host } = mount();
    const region = host.querySelector("[role=status]")!;
    world.emit(ask(1));
    expect(region.textContent).toBe("Run add(x=1)?");
    expect(host.querySelectorAll("[role=status]").length).toBe(1);
  });

  test("hands the keyboard to Stop when it goes", () => {
    const { world, host, buttons } = mount();
    world.emit(ask(1));
    buttons()[0]!.focus();
    world.emit(ask(1, ""));
    expect(document.activeElement).toBe(host.querySelector(".hs-receipt button"));
  });

  test("whose answer had no effect is answered by the widget's own way, too", () => {
    const { world, buttons } = mount();
    world.emit(ask(1));
    buttons()[0]!.click();
    vi.advanceTimersByTime(2100);
    expect(world.ways("run 1")).toEqual(["control", "widget"]);
  });

  test("that was taken in is not answered again", () => {
    const { world, buttons } = mount();
    world.emit(ask(1));
    buttons()[0]!.click();
    world.emit(ask(1, ""));
    vi.advanceTimersByTime(5000);
    expect(world.ways("run 1")).toEqual(["control"]);
  });

  test("that is told again keeps its buttons and the focus on them", () => {
    const { world, buttons } = mount();
    world.emit(ask(1));
    const before = buttons();
    before[1]!.focus();
    world.emit(ask(1));
    expect(buttons()).toEqual(before);
    expect(document.activeElement).toBe(before[1]);
  });

  test("is text, not HTML, and shows what hides", () => {
    const { world, root } = mount();
    world.emit(ask(1, "Run f(x='<b>\u202e')?"));
    expect(root().querySelector("b")).toBeNull();
    expect(root().textContent).toContain("<b>⟦U+202E⟧");
  });

  test("goes with the end of the answer, and with the view", () => {
    const { world, root, buttons, unmount } = mount();
    world.emit(ask(1), { type: "end", state: "stopped", summary: "" } as never);
    expect(root().hidden).toBe(true);
    world.emit(ask(2));
    buttons()[0]?.click();
    unmount();
    vi.advanceTimersByTime(5000);
    expect(world.ways("run 2").filter((way) => way === "widget")).toEqual([]);
  });

  test("does not hear the notebook's shortcuts", () => {
    expect(mount().root().dataset["lmSuppressShortcuts"]).toBe("true");
  });
});
