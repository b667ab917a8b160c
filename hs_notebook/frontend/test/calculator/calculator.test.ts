import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Calculator } from "../../src/calculator/calculator";
import { figures } from "../../src/calculator/figures";
import { evaluate } from "../../src/calculator/roi";
import { type Scenario, asJson, asPython } from "../../src/calculator/scenario";
import { cases, catalog, rawCatalog, readFigures, scenarioOf } from "./vectors";
import { htmlOf } from "./world";

const presets = [
  { name: "chat", title: "A chat assistant", scenario: { assume_official_input: true } },
  { name: "article", title: "The article", scenario: cases.find((one) => one.name === "preset article")!.scenario },
];

function mount(inputs: Record<string, unknown> = {}) {
  const template = document.createElement("template");
  template.innerHTML = htmlOf(readFigures("V2 official"));
  const start = { ...rawCatalog.defaults, ...inputs };
  const settled: Scenario[] = [];
  const calculator = new Calculator(template.content.querySelector<HTMLElement>(".hs-roi")!, {
    catalog,
    presets,
    start,
    inputs: start,
    settled: (scenario) => settled.push(scenario),
  });
  document.body.append(calculator.node);
  const { node } = calculator;
  const labelled = (label: string): HTMLInputElement => {
    const found = [...node.querySelectorAll("label")].find((one) => one.textContent === label)!;
    return node.querySelector<HTMLInputElement>(`#${found.htmlFor}`)!;
  };
  return {
    calculator,
    node,
    settled,
    labelled,
    field: labelled,
    slider: (label: string) => node.querySelector<HTMLInputElement>(`input[type=range][aria-label="${label}"]`)!,
    type: (label: string, text: string) => enter(labelled(label), text),
    slot: (name: string) => node.querySelector(`[data-slot="${name}"]`)!.textContent,
    fault: (input: HTMLElement) => node.querySelector(`#${input.getAttribute("aria-describedby")?.split(" ").at(-1)}`)!.textContent,
    press: (text: string) => [...node.querySelectorAll("button")].find((one) => one.textContent === text)!.click(),
  };
}

function enter(input: HTMLInputElement | HTMLSelectElement, value: string): void {
  input.value = value;
  input.dispatchEvent(new Event(input instanceof HTMLSelectElement ? "change" : "input", { bubbles: true }));
}

const settle = (): void => void vi.advanceTimersByTime(400);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("what is shown", () => {
  test.each(cases.filter((one) => one.figures).map((one) => [one.name, one] as const))("%s", (_name, one) => {
    const { node } = mount(one.scenario as Record<string, unknown>);
    const texts = [...node.querySelectorAll<HTMLElement>("[data-slot]")].map((slot) => [slot.dataset.slot, slot.textContent]);
    expect(Object.fromEntries(texts)).toEqual(one.figures!.text);
    for (const bar of node.querySelectorAll<SVGElement>("[data-bar]")) {
      const [x, width] = one.figures!.bar[bar.dataset.bar!]!;
      expect([bar.getAttribute("x"), bar.getAttribute("width")]).toEqual([String(x), String(width)]);
    }
    for (const flag of node.querySelectorAll<HTMLElement>("[data-show]")) {
      expect(flag.hidden).toBe(!one.figures!.show[flag.dataset.show!]);
    }
  });

  test.each([{ calls: -1 }, { now: null }, { then: "gpt-4.1" }])("is the usual where %o cannot be meant", (inputs) => {
    expect(mount(inputs).field("Calls a month").value).toBe("100,000");
  });

  test("is no second picture by the same name", () => {
    expect(mount().node.querySelector("[data-roi]")).toBeNull();
  });

  test("has a label for every input, and ids of its own", () => {
    const { node } = mount();
    mount();
    for (const input of node.querySelectorAll<HTMLElement>("input, select")) {
      expect(input.getAttribute("aria-label") ?? node.querySelector(`label[for="${input.id}"]`)?.textContent).toBeTruthy();
    }
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("an input that changes", () => {
  test("is on the screen at once, and settled later, once", () => {
    const it = mount({ assume_official_input: true });
    it.type("Calls a month", "5e4");
    const expected = figures(evaluate({ ...scenarioOf({ scenario: {} }), assume_official_input: true, calls: 50000 }, catalog));
    expect(it.slot("headline")).toBe(expected.text.headline);
    it.type("Calls a month", "60000");
    expect(it.settled).toEqual([]);
    settle();
    expect(it.settled.map(({ calls }) => calls)).toEqual([60000]);
    settle();
    expect(it.settled).toHaveLength(1);
  });

  test("settles at once when the focus leaves or the pointer is lifted", () => {
    const it = mount();
    it.type("Calls a month", "50000");
    it.node.dispatchEvent(new Event("focusout"));
    expect(it.settled).toHaveLength(1);
    it.type("Calls a month", "60000");
    it.node.dispatchEvent(new Event("pointerup"));
    vi.advanceTimersByTime(1);
    expect(it.settled).toHaveLength(2);
  });

  test("moves the slider beneath it, and the slider moves the field", () => {
    const it = mount();
    it.type("Calls a month", "1,000,000");
    const slider = it.slider("Calls a month");
    expect(slider.getAttribute("aria-valuetext")).toBe("1,000,000 calls");
    enter(slider, String(Number(slider.value) + 1));
    expect(it.field("Calls a month").value).toBe("1,100,000");
    expect(slider.getAttribute("aria-valuetext")).toBe("1,100,000 calls");
  });

  test("is not overwritten while it is typed", () => {
    const it = mount();
    it.type("Calls a month", "5000.");
    settle();
    it.calculator.follow(it.settled[0] as never);
    expect(it.field("Calls a month").value).toBe("5000.");
  });

  test("steps with the arrows", () => {
    const it = mount();
    const field = it.field("Read from cache");
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
    expect(field.value).toBe("1");
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "PageUp", bubbles: true }));
    expect(field.value).toBe("11");
    settle();
    expect(it.settled.at(-1)?.cached_share).toBe(0.11);
  });

  test("does not step back from beyond the slider's end", () => {
    const it = mount();
    const field = it.field("Calls a month");
    it.type("Calls a month", "500000000");
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
    expect(field.value).toBe("500000000");
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    expect(Number(field.value.replaceAll(",", ""))).toBeLessThan(500_000_000);
  });

  test("keeps its keys from JupyterLab", () => {
    const it = mount();
    const heard = vi.fn();
    document.body.addEventListener("keydown", heard);
    it.field("Calls a month").dispatchEvent(new KeyboardEvent("keydown", { key: "d", bubbles: true }));
    expect(heard).not.toHaveBeenCalled();
    expect(it.node.dataset.lmSuppressShortcuts).toBe("true");
    document.body.removeEventListener("keydown", heard);
  });

  test("marks its folded group", () => {
    const it = mount();
    const fold = it.field("Retries at most").closest("details")!;
    expect(fold.hasAttribute("data-changed")).toBe(false);
    it.type("Retries at most", "3");
    expect(fold.hasAttribute("data-changed")).toBe(true);
  });
});

describe("a wrong input", () => {
  test.each([
    ["Calls a month", "-5", "Calls a month must be a number from 0 to 1,000,000,000."],
    ["Calls a month", "", "Calls a month must be a number."],
    ["Read from cache", "101", "Read from cache must be a number from 0 to 100 %."],
    ["Calls that fail", "99.5", "Calls that fail must be a number from 0 to 99 %."],
    ["Retries at most", "1.5", "Retries at most must be a whole number from 0 to 20."],
    ["Market rate for $1", "0", "Market rate for $1 must be a number from 0.0001 to 1,000,000."],
    ["Longest answer", "0", "Longest answer must be above 0 and at most 1,000,000."],
  ])("%s = %o is said at its place, and the last good picture stays", (label, text, problem) => {
    const it = mount();
    const before = it.slot("headline");
    const field = it.field(label);
    it.type(label, text);
    expect(field.getAttribute("aria-invalid")).toBe("true");
    expect(it.fault(field)).toBe(problem);
    expect(it.slot("headline")).toBe(before);
    settle();
    expect(it.settled).toEqual([]);
    expect(field.closest("details")?.open ?? true).toBe(true);

    it.type(label, "1");
    expect(field.getAttribute("aria-invalid")).toBeNull();
    settle();
    expect(it.settled).toHaveLength(1);
  });

  test("of two shares together is said at one of them", () => {
    const it = mount();
    it.type("Read from cache", "80");
    it.type("Written to cache", "30");
    expect(it.fault(it.field("Written to cache"))).toBe("Written to cache and read from cache must not sum to more than 100 %.");
    it.type("Written to cache", "20");
    expect(it.field("Written to cache").getAttribute("aria-invalid")).toBeNull();
  });

  test("that the kernel refuses is said, too", () => {
    const it = mount();
    it.calculator.refuse({ then: "names gpt-99, of which no price is known" });
    expect(it.fault(it.labelled("Then"))).toBe("Then names gpt-99, of which no price is known.");
  });
});

describe("a mix", () => {
  test("of one model is one choice", () => {
    const it = mount();
    enter(it.labelled("Now"), "claude-sonnet-4.5");
    settle();
    expect(it.settled.at(-1)?.now).toEqual({ "claude-sonnet-4.5": 1 });
    expect(it.slot("now-mix")).toBe("claude-sonnet-4.5");
  });

  test("of several must sum to 100 %, and can be filled up", () => {
    const it = mount();
    const then = it.labelled("Then") as unknown as HTMLSelectElement;
    const group = then.parentElement!;
    enter(then, "");
    const [first] = group.querySelectorAll<HTMLInputElement>("input[type=text]");
    enter(first!, "30");
    expect(it.fault(then)).toBe("The shares must sum to 100 %: 30 % too many.");
    enter(first!, "30");
    const fill = [...group.querySelectorAll("button")].filter((one) => !one.disabled);
    fill.at(-1)!.click();
    settle();
    expect(it.settled.at(-1)?.then).toEqual({ "gpt-4.1": 0.3, "deepseek-v3.2": 0.7 });
    enter(first!, "x");
    expect(it.fault(then)).toBe("The share of gpt-4.1 must be a number from 0 to 100 %.");
  });

  test("keeps its sum when a slider moves", () => {
    const it = mount({ then: { "gpt-4.1": 0.2, "deepseek-v3.2": 0.8 } });
    const [first] = it.labelled("Then").parentElement!.querySelectorAll<HTMLInputElement>("input[type=range]");
    enter(first!, "60");
    settle();
    expect(it.settled.at(-1)?.then).toEqual({ "gpt-4.1": 0.6, "deepseek-v3.2": 0.4 });
  });

  test("with other spellings is shown by the catalog's names", () => {
    const it = mount({ now: { "openai/GPT-4-1": 1 } });
    expect(it.labelled("Now").value).toBe("gpt-4.1");
  });
});

describe("beginning from", () => {
  test("a preset takes its inputs, and the select tells which it is", () => {
    const it = mount();
    enter(it.labelled("Begin from"), "article");
    expect(it.slot("headline")).toBe("infeasible: 193 streams needed, 5 allowed");
    settle();
    expect(it.settled).toHaveLength(1);
    expect(it.labelled("Begin from").value).toBe("article");
    it.type("Calls a month", "7");
    settle();
    expect(it.labelled("Begin from").value).toBe("");
  });

  test("the start again, whatever was wrong", () => {
    const it = mount({ calls: 7 });
    it.type("Calls a month", "many");
    it.press("Reset");
    expect(it.field("Calls a month").value).toBe("7");
    expect(it.field("Calls a month").getAttribute("aria-invalid")).toBeNull();
  });
});

describe("taking along", () => {
  const scenario = { ...scenarioOf({ scenario: {} }), calls: 5000, then: { "gpt-4.1": 0.2, "deepseek-v3.2": 0.8 }, top_up: true };

  test("as Python has only what is not as usual", () => {
    expect(asPython(scenario, catalog)).toBe("roi(calls=5000, then={'gpt-4.1': 0.2, 'deepseek-v3.2': 0.8}, top_up=True)");
    expect(asPython(scenarioOf({ scenario: {} }), catalog)).toBe("roi()");
  });

  test("as JSON has all inputs and no link", () => {
    const json = asJson(scenario, catalog);
    expect(JSON.parse(json)).toEqual({ scenario, prices_on: rawCatalog.at });
    expect(json).not.toMatch(/https?:/);
  });

  test("says so", async () => {
    vi.useRealTimers();
    const it = mount({ calls: 5000 });
    const written: string[] = [];
    vi.stubGlobal("navigator", { clipboard: { writeText: async (text: string) => void written.push(text) } });
    it.press("Copy as Python");
    await vi.waitFor(() => expect(it.node.querySelector("[role=status]")!.textContent).toBe("Copied."));
    expect(written).toEqual(["roi(calls=5000)"]);
    vi.unstubAllGlobals();
  });
});

test("a screen reader hears the headline, no more than once a second", () => {
  const it = mount();
  const spoken = it.node.querySelector("[aria-live=polite]")!;
  vi.advanceTimersByTime(2000);
  expect(spoken.textContent).toBe(""); // nothing has changed
  for (let calls = 1; calls < 50; calls++) {
    it.type("Calls a month", String(calls));
    vi.advanceTimersByTime(10);
  }
  expect(spoken.textContent).toBe("");
  vi.advanceTimersByTime(1000);
  expect(spoken.textContent).toBe(it.slot("headline"));
});
