import { describe, expect, test } from "vitest";
import { figures } from "../../src/calculator/figures";
import { Catalog } from "../../src/calculator/catalog";
import { evaluate } from "../../src/calculator/roi";
import { MOVED } from "../../src/calculator/sensitivity";
import { problems } from "../../src/calculator/scenario";
import { summary } from "../../src/calculator/sentences";
import { cases, catalog, rawCatalog, scenarioOf } from "./vectors";

const NEAR = 1e-9;
const good = cases.filter((one) => one.report);

test("what is drawn is what Python draws, in its order", () => {
  expect(MOVED).toEqual(rawCatalog.inputs);
});

test("there are good cases and bad ones", () => {
  expect(good.length).toBeGreaterThan(25);
  expect(cases.length - good.length).toBeGreaterThan(5);
});

describe.each(good.map((one) => [one.name, one] as const))("%s", (_name, one) => {
  const report = evaluate(scenarioOf(one), catalog);

  test("is reckoned as in Python", () => {
    expect(differences(report, one.report)).toEqual([]);
  });

  test("is told and drawn as in Python", () => {
    expect(figures(report)).toEqual(one.figures);
  });
});

test.each(cases.map((one) => [one.name, one] as const))("%s: what is wrong is said as in Python", (_name, one) => {
  expect(problems(scenarioOf(one), catalog)).toEqual(one.problems);
});

describe("why a saving is unknown", () => {
  const without = (role: string) => {
    const rows = rawCatalog.rows.filter((row) => row.model !== "deepseek-v3.2" || row.role !== role);
    return new Catalog({ ...rawCatalog, rows });
  };
  const why = (scenario: object, prices: Catalog) => summary(evaluate(scenarioOf({ scenario }), prices));

  test("names the input price for which the maker's cannot stand", () => {
    const scenario = { now: { "gpt-4.1": 1 }, then: { "deepseek-v3.2": 1 }, reference: "official", assume_official_input: true };
    expect(why(scenario, without("official"))).toContain("the input price of deepseek-v3.2 at HolySheep is unknown");
  });

  test("names no input price where no input is sent", () => {
    const scenario = { now: { "gpt-4.1": 1 }, then: { "gpt-4.1": 0.5, "deepseek-v3.2": 0.5 }, input_tokens: 0 };
    expect(why(scenario, without("relay"))).toBe("n/a: no price of deepseek-v3.2 at HolySheep is known");
  });
});

/** Where ours is not what Python says: numbers within a billionth, all else exactly. */
function differences(ours: unknown, python: unknown, path = ""): string[] {
  if (python === null) return isUnknown(ours) ? [] : [`${path}: ${String(ours)}, not unknown`];
  if (Array.isArray(python)) {
    const list = ours as unknown[];
    if (list.length !== python.length) return [`${path}: ${list.length} and not ${python.length}`];
    return python.flatMap((one, i) => differences(list[i], one, `${path}[${i}]`));
  }
  if (typeof python === "object") {
    return Object.entries(python as object).flatMap(([key, value]) =>
      differences((ours as Record<string, unknown>)[key], value, `${path}.${key}`),
    );
  }
  if (typeof ours === "number") {
    const exact = Number(python);
    return Math.abs(ours - exact) <= NEAR * Math.abs(exact) ? [] : [`${path}: ${ours}, not ${String(python)}`];
  }
  return ours === python ? [] : [`${path}: ${String(ours)}, not ${String(python)}`];
}

function isUnknown(ours: unknown): boolean {
  return ours === undefined || ours === null || Number.isNaN(ours);
}
