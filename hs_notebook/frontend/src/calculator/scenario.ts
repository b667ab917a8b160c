import type { Catalog, Limit } from "./catalog";

/** As hs_notebook.pricing.scenario.Scenario: shares and rates are fractions of 1, money is USD, costs are a month. */
export interface Scenario {
  calls: number;
  input_tokens: number;
  output_tokens: number;
  cached_share: number;
  cache_write_share: number;
  batch_share: number;
  now: Mix;
  then: Mix;
  reference: "official" | "article";
  seller: "relay" | "official";
  assume_official_input: boolean;
  growth: number;
  error_rate: number;
  retries: number;
  switching_cost: number;
  running_cost: number;
  top_up: boolean;
  local_paid: number;
  local_per_usd: number;
  markup: number;
  top_up_fee: number;
  concurrent_streams: number;
  requests_per_minute: number;
  timeout: number;
  uncertainty: number;
}
export type Mix = Readonly<Record<string, number>>;
export type Field = keyof Scenario;
export type Numeric = { [F in Field]: Scenario[F] extends number ? F : never }[Field];
export type Problems = Partial<Record<Field, string>>;

const NEAR = 1e-9;
/** Said of the share that is written to the cache. */
export const TOGETHER = "and cached_share must not sum to more than 1";

/** What a page may hold: anything, until `problems` has nothing to say. */
export type Inputs = { [F in Field]: unknown };

export function defaults(catalog: Catalog): Scenario {
  return structuredClone(catalog.raw.defaults) as unknown as Scenario;
}

/** All that is wrong with inputs, by field in the order of the fields: each the end of a sentence that its name begins. */
export function problems(inputs: Inputs, catalog: Catalog): Problems {
  const { limits, choices } = catalog.raw;
  const found: Problems = {};
  for (const field of Object.keys(catalog.raw.defaults) as Field[]) {
    const problem = problemOf(inputs[field], limits[field], choices[field], isMix(field) ? catalog : undefined);
    if (problem) found[field] = problem;
  }
  if (!found.cached_share && !found.cache_write_share) {
    const sum = Number(inputs.cached_share) + Number(inputs.cache_write_share);
    if (sum > 1 + NEAR / 1000) return ordered({ ...found, cache_write_share: TOGETHER }, catalog);
  }
  return found;
}

function problemOf(value: unknown, limit?: Limit, choice?: string[], catalog?: Catalog): string {
  if (limit) return numberProblem(value, limit);
  if (catalog) return mixProblem(value, catalog);
  if (choice) return choice.includes(value as string) ? "" : `must be ${choice.join(" or ")}`;
  return typeof value === "boolean" ? "" : "must be true or false";
}

export function numberProblem(value: unknown, limit: Limit): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return "must be a number";
  const low = limit.above ? value > limit.low : value >= limit.low;
  if (low && value <= limit.high && !(limit.whole && value % 1)) return "";
  if (limit.above) return `must be above ${plain(limit.low)} and at most ${plain(limit.high)}`;
  return `must be a ${limit.whole ? "whole " : ""}number from ${plain(limit.low)} to ${plain(limit.high)}`;
}

function mixProblem(mix: unknown, catalog: Catalog): string {
  if (typeof mix !== "object" || mix === null || Array.isArray(mix)) return "must give each model a share";
  const shares = Object.entries(mix);
  if (!shares.length) return "names no model";
  for (const [model, share] of shares) {
    if (!catalog.model(model)) return `names ${model.slice(0, 60)}, of which no price is known`;
    const problem = numberProblem(share, { low: 0, high: 1, whole: false, above: false });
    if (problem) return `has a share of ${model} that ${problem}`;
  }
  const total = sumOf(mix as Mix);
  return Math.abs(total - 1) <= NEAR ? "" : `has shares that sum to ${total}, not 1`;
}

/** Without the noise of doubles: 0.1 and 0.2 are 0.3. */
export function sumOf(mix: Mix): number {
  const sum = Object.values(mix).reduce((one, other) => one + other, 0);
  return Number(sum.toPrecision(14));
}

/** What of a scenario differs from the defaults. */
export function changed(scenario: Scenario, catalog: Catalog): Partial<Scenario> {
  const usual = catalog.raw.defaults;
  const differs = (field: Field): boolean => !same(scenario[field], usual[field]);
  const fields = (Object.keys(usual) as Field[]).filter(differs);
  return Object.fromEntries(fields.map((field) => [field, scenario[field]]));
}

export function same(one: unknown, other: unknown): boolean {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => (one as Record<string, unknown>)[key] === (other as Record<string, unknown>)[key])
  );
}

/** What differs from the defaults, as Python: `roi(calls=50000, now={'gpt-4.1': 1})`. */
export function asPython(scenario: Scenario, catalog: Catalog): string {
  const given = Object.entries(changed(scenario, catalog)).map(([field, value]) => `${field}=${python(value)}`);
  return `roi(${given.join(", ")})`;
}

/** All inputs, and the day whose prices they are reckoned at. */
export function asJson(scenario: Scenario, catalog: Catalog): string {
  return JSON.stringify({ scenario, prices_on: catalog.raw.at }, null, 1);
}

function python(value: unknown): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (typeof value !== "object" || value === null) return String(value);
  const items = Object.entries(value).map(([key, item]) => `${quoted(key)}: ${python(item)}`);
  return `{${items.join(", ")}}`;
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

function plain(limit: number): string {
  return limit.toLocaleString("en-US", { maximumFractionDigits: 10 });
}

function isMix(field: Field): boolean {
  return field === "now" || field === "then";
}

function ordered(found: Problems, catalog: Catalog): Problems {
  const fields = (Object.keys(catalog.raw.defaults) as Field[]).filter((field) => found[field]);
  return Object.fromEntries(fields.map((field) => [field, found[field]]));
}
