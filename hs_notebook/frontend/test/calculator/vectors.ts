import roi from "../../../../tests/vectors/roi.json";
import { Catalog, type RawCatalog } from "../../src/calculator/catalog";
import type { Figures } from "../../src/calculator/figures";
import type { Inputs, Scenario } from "../../src/calculator/scenario";

/** What Python says of each case: shared with tests/test_roi.py. */
export interface Case {
  name: string;
  scenario: Partial<Inputs>;
  report: Record<string, unknown> | null;
  figures: Figures | null;
  problems: Record<string, string>;
}
const vectors = roi as unknown as { catalog: RawCatalog; cases: Case[] };

export const rawCatalog = vectors.catalog;
export const catalog = new Catalog(vectors.catalog);
export const cases = vectors.cases;

export function scenarioOf(one: Pick<Case, "scenario">): Scenario {
  return { ...structuredClone(vectors.catalog.defaults), ...one.scenario } as unknown as Scenario;
}

/** The figures of a case, by its name. */
export function readFigures(name: string): Figures {
  const found = cases.find((one) => one.name === name)?.figures;
  if (!found) throw new Error(`no case ${name}`);
  return found;
}
