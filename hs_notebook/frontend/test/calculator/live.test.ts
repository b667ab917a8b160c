import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import calculator from "../../src/calculator/index";
import { figures } from "../../src/calculator/figures";
import { evaluate } from "../../src/calculator/roi";
import { catalog, readFigures, scenarioOf } from "./vectors";
import { CalculatorWorld, htmlOf, pictureOf } from "./world";

const ends: (() => void)[] = [];
const begin = (world: CalculatorWorld): void => void ends.push(calculator.initialize({ model: world.model }));
const calcs = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(".hs-calc")];
const host = (child: Element): HTMLElement => child.querySelector<HTMLElement>(".jp-OutputArea-output")!;
const soon = async (ms = 60): Promise<void> => void (await vi.advanceTimersByTimeAsync(ms));

function type(calls: string, at = 0): void {
  const field = calcs()[at]!.querySelector<HTMLInputElement>(".hs-calc-number")!;
  field.value = calls;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function figuresAt(calls: number) {
  return figures(evaluate({ ...scenarioOf({ scenario: {} }), calls }, catalog));
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  for (const end of ends.splice(0)) end();
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("over its picture", () => {
  test("it is laid beside the renderer's node, which it hides", () => {
    const child = pictureOf();
    document.body.append(child);
    begin(new CalculatorWorld());
    expect(host(child).nextElementSibling).toBe(calcs()[0]);
    expect(host(child).style.display).toBe("none");
  });

  test("it comes when the picture comes, and goes with it", async () => {
    begin(new CalculatorWorld());
    expect(calcs()).toEqual([]);
    const child = pictureOf();
    document.body.append(child);
    await soon();
    expect(calcs()).toHaveLength(1);
    child.remove();
    await soon();
    expect(host(child).style.display).toBe("");
    expect(child.querySelector(".hs-calc")).toBeNull();
    document.body.append(child);
    await soon();
    expect(calcs()).toHaveLength(1);
  });

  test("it keeps its element when the picture is drawn again", async () => {
    const child = pictureOf();
    document.body.append(child);
    begin(new CalculatorWorld());
    const [before] = calcs();
    host(child).innerHTML = htmlOf(readFigures("V2 official"));
    await soon();
    expect(calcs()).toEqual([before]);
  });

  test("it leaves others alone", async () => {
    document.body.append(pictureOf(undefined, "another"));
    begin(new CalculatorWorld());
    await soon();
    expect(calcs()).toEqual([]);
  });

  test("each picture of it has one, and they say the same", () => {
    document.body.append(pictureOf(), pictureOf());
    const world = new CalculatorWorld();
    begin(world);
    type("777", 0);
    vi.advanceTimersByTime(400);
    expect(world.saved.at(-1)?.calls).toBe(777);
    const fields = calcs().map((one) => one.querySelector<HTMLInputElement>(".hs-calc-number")!.value);
    expect(fields).toEqual(["777", "777"]);
    expect(world.saved).toHaveLength(1);
  });

  test("its end gives the picture back", () => {
    const child = pictureOf();
    document.body.append(child);
    const world = new CalculatorWorld();
    const end = calculator.initialize({ model: world.model });
    end();
    expect(calcs()).toEqual([]);
    expect(host(child).style.display).toBe("");
    expect(world.listeners).toBe(0);
    expect(world.slots.size).toBe(0);
  });

  test("what was not sent is sent at the end", () => {
    document.body.append(pictureOf());
    const world = new CalculatorWorld();
    const end = calculator.initialize({ model: world.model });
    type("777");
    end();
    expect(world.saved.at(-1)?.calls).toBe(777);
  });

  test("inputs from elsewhere are taken", () => {
    document.body.append(pictureOf());
    const world = new CalculatorWorld();
    begin(world);
    world.hear({ calls: 1234 });
    expect(calcs()[0]!.querySelector<HTMLInputElement>(".hs-calc-number")!.value).toBe("1,234");
    expect(world.saved).toEqual([]);
  });

  test("a lost kernel leaves the picture, and says so", async () => {
    const child = pictureOf();
    document.body.append(child);
    const world = new CalculatorWorld();
    begin(world);
    world.lose();
    await soon();
    expect(calcs()).toEqual([]);
    expect(host(child).style.display).toBe("");
    expect(host(child).textContent).toContain("The kernel is gone");
  });
});

describe("where the kernel's picture does not come", () => {
  test("it is asked for, and written into the notebook", async () => {
    document.body.append(pictureOf(figuresAt(100000)));
    const world = new CalculatorWorld();
    world.outputs.push(
      { data: { "text/plain": "another" } },
      { data: { "text/html": ['<div data-roi="c1">', "</div>"], "text/plain": "old" } },
    );
    begin(world);
    await soon(600);
    expect(world.asked).toEqual([]); // the picture is the one of the inputs
    type("777");
    await soon(400);
    world.say({ type: "shown" });
    await soon(600);
    expect(world.asked).toEqual([{ way: "control", action: "picture" }]);
    world.say({ type: "picture", data: { "text/html": "new", "text/plain": "new" } });
    expect(world.outputs.map(({ data }) => data["text/plain"])).toEqual(["another", "new"]);
  });

  test("where it comes it is not", async () => {
    const child = pictureOf(figuresAt(100000));
    document.body.append(child);
    const world = new CalculatorWorld();
    begin(world);
    type("777");
    await soon(400);
    host(child).innerHTML = htmlOf(figuresAt(777));
    world.say({ type: "shown" });
    await soon(600);
    expect(world.asked).toEqual([]);
  });

  test("an older picture of a page that was loaded again is found at once", async () => {
    document.body.append(pictureOf(figuresAt(100000)));
    const world = new CalculatorWorld({ inputs: { calls: 777 } });
    begin(world);
    await soon(600);
    expect(world.asked).toEqual([{ way: "control", action: "picture" }]);
  });
});

describe("as a widget's view", () => {
  const world = () => new CalculatorWorld({ mode: "widget", html: htmlOf(readFigures("V2 official")) });
  const mount = (of: CalculatorWorld): HTMLElement => {
    const el = document.createElement("div");
    document.body.append(el);
    ends.push(calculator.initialize({ model: of.model }), calculator.render({ model: of.model, el }));
    return el;
  };

  test("it stands in the view, and brings the picture's sheet", () => {
    const el = mount(world());
    expect(el.querySelectorAll(".hs-calc")).toHaveLength(1);
    expect(el.querySelector("style")!.textContent).toBe(".hs-roi{}");
  });

  test("when the focus has left, the picture beside it is renewed, after the inputs", async () => {
    const of = world();
    const el = mount(of);
    type("777");
    el.querySelector(".hs-calc-number")!.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
    expect(of.saved.at(-1)?.calls).toBe(777);
    expect(of.asked).toEqual([{ way: "widget", action: "picture" }]);
  });

  test("a wrong input leaves the right one before it on its way", () => {
    const of = world();
    const el = mount(of);
    type("777");
    type("777x");
    el.querySelector(".hs-calc-number")!.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
    expect(of.saved.at(-1)?.calls).toBe(777);
  });

  test("inputs that reach the kernel after that renew it again, and none while the focus is within", () => {
    const of = world();
    const el = mount(of);
    el.querySelector<HTMLElement>(".hs-calc-number")!.focus();
    of.say({ type: "shown" });
    expect(of.asked).toEqual([]);
    (document.activeElement as HTMLElement).blur();
    of.asked.length = 0;
    of.say({ type: "shown" });
    expect(of.asked).toEqual([{ way: "widget", action: "picture" }]);
  });

  test("a lost kernel leaves the picture", () => {
    const of = world();
    const el = mount(of);
    of.lose();
    expect(el.querySelector(".hs-calc")).toBeNull();
    expect(el.querySelector(".hs-roi")).not.toBeNull();
    expect(el.textContent).toContain("The kernel is gone");
  });
});
