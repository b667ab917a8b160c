import type { Scenario } from "./scenario";

/** F1 to F8, as in hs_notebook/pricing/formulas.py, in doubles. NaN is unknown, and so is what it has a part in. */
const MILLION = 1e6;
export const HOURS = 730.5; // in a month
export const MONTHS = 12;
const FAILED_INPUT = 1;
const FAILED_OUTPUT = 0.5;
const NOISE = 1e-9; // a smaller part of what was subtracted is what doubles leave of 0
const GRAIN = 1e-12;

/** USD per million tokens. */
export interface Amounts {
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly output: number;
}
export const UNKNOWN: Amounts = { input: NaN, cacheRead: NaN, cacheWrite: NaN, output: NaN };

export interface Attempts {
  readonly success: number;
  readonly tries: number;
  readonly failed: number;
}

export function difference(one: number, other: number): number {
  const found = one - other;
  return Math.abs(found) <= NOISE * Math.max(Math.abs(one), Math.abs(other)) ? 0 : found;
}

export function shareOf(saving: number, before: number): number {
  return before ? saving / before : NaN;
}

export function first(one: number, other: number): number {
  return Number.isNaN(one) ? other : one;
}

function part(tokens: number, price: number): number {
  return tokens ? (tokens * price) / MILLION : 0;
}

/** F1, with what is left beside the cache as an exact 0 where it is none. */
function inputCost(tokens: number, cached: number, written: number, price: Amounts): number {
  if (!tokens) return 0;
  const rest = 1 - cached - written;
  return (
    part(Math.abs(rest) < GRAIN ? 0 : tokens * rest, price.input) +
    part(tokens * cached, first(price.cacheRead, price.input)) +
    part(tokens * written, first(price.cacheWrite, price.input))
  );
}

export function attempts(errorRate: number, retries: number): Attempts {
  if (!errorRate) return { success: 1, tries: 1, failed: 0 };
  const success = 1 - errorRate ** (retries + 1);
  const tries = success / (1 - errorRate);
  return { success, tries, failed: tries - success };
}

/** F1 and F2: what a call costs with its retries. */
export function taskCost(scenario: Scenario, price: Amounts, input: number, output: number): number {
  const costIn = inputCost(input, scenario.cached_share, scenario.cache_write_share, price);
  const costOut = part(output, price.output);
  if (!scenario.error_rate) return costIn + costOut;
  const { success, failed } = attempts(scenario.error_rate, scenario.retries);
  return success * (costIn + costOut) + failed * (FAILED_INPUT * costIn + FAILED_OUTPUT * costOut);
}

export function scaled(price: Amounts, factor: number): Amounts {
  return {
    input: price.input * factor,
    cacheRead: price.cacheRead * factor,
    cacheWrite: price.cacheWrite * factor,
    output: price.output * factor,
  };
}

/** F3: the prices of a mix, Σ wᵢ·pᵢ. */
export function blend(mix: readonly (readonly [share: number, price: Amounts])[]): Amounts {
  const sum = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0 };
  for (const [share, price] of mix) {
    sum.input += share * price.input;
    sum.cacheRead += share * first(price.cacheRead, price.input);
    sum.cacheWrite += share * first(price.cacheWrite, price.input);
    sum.output += share * price.output;
  }
  return sum;
}

/** F3: how many first months a year is worth. */
export function months(growth: number): number {
  if (growth < 1e-5) return MONTHS + 66 * growth + 220 * growth ** 2; // the power would lose digits
  return ((1 + growth) ** MONTHS - 1) / growth;
}

/** F5. */
export function relayFactor(markup: number, fee: number, paid: number, perUsd: number): number {
  return ((1 + markup) * (1 + fee) * paid) / perUsd;
}

/** F6: months to save `once`; NaN is never or unknown. */
export function payback(once: number, net: number, growth: number): number {
  if (!(net > 0)) return NaN;
  return growth ? Math.log1p((once * growth) / net) / Math.log1p(growth) : once / net;
}

export function returnOn(once: number, net: number, growth: number): number {
  return once ? difference(net * months(growth), once) / once : NaN;
}

/** F7: calls that earn a fee; NaN is never or unknown. */
export function breakEven(fee: number, before: number, after: number): number {
  const gain = difference(before, after);
  return gain > 0 ? ceil(fee / gain) : NaN;
}

/** F8. */
export function callsAMinute(perMinute: number, streams: number, took: number): number {
  return took ? Math.min(perMinute, (60 * streams) / took) : perMinute;
}

export function streamsNeeded(calls: number, tries: number, took: number): number {
  return ceil((calls * tries * took) / (3600 * HOURS));
}

export function ceil(x: number): number {
  return Math.ceil(x - Math.abs(x) * GRAIN);
}

export function floor(x: number): number {
  return Math.floor(x + Math.abs(x) * GRAIN);
}

export function isAbove(one: number, other: number): boolean {
  return one - other > Math.abs(other) * GRAIN;
}
