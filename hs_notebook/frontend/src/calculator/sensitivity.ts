import type { Limit } from "./catalog";
import { MONTHS, difference, months } from "./formulas";
import { DRAWS, draws } from "./pcg";
import type { Chances, Swing } from "./report";
import type { Scenario } from "./scenario";

/** What chance and sensitivity move, in the order of the draws. */
export const MOVED = [
  "calls",
  "input_tokens",
  "output_tokens",
  "cached_share",
  "error_rate",
  "growth",
  "local_per_usd",
] as const;
export type Moved = (typeof MOVED)[number];

/** The bill of `then` and of `now` for a scenario. */
export interface Bills {
  then(scenario: Scenario): number;
  now(scenario: Scenario): number;
}

export function swings(scenario: Scenario, bills: Bills, limits: Record<string, Limit>): Swing[] {
  const found = MOVED.filter((field) => matters(scenario, field)).map((field) => swing(scenario, field, bills, limits));
  const known = found.filter((one) => ![one.base, one.low, one.high].some(Number.isNaN));
  return known.sort((one, other) => width(other) - width(one));
}

function width(swing: Swing): number {
  return Number(Math.abs(difference(swing.high, swing.low)).toExponential(8));
}

function matters(scenario: Scenario, field: Moved): boolean {
  if (field === "local_per_usd") return scenario.top_up && scenario.seller === "relay";
  if (field === "cached_share" && !scenario.input_tokens) return false;
  return scenario[field] !== 0;
}

function swing(scenario: Scenario, field: Moved, bills: Bills, limits: Record<string, Limit>): Swing {
  const moved = { ...scenario };
  const ends = [0, -scenario.uncertainty, scenario.uncertainty].map((end) => {
    move(moved, scenario, field, 1 + end, limits);
    const saving = difference(bills.now(moved), bills.then(moved));
    return field === "growth" ? (saving * months(moved.growth)) / MONTHS : saving;
  });
  const [base = NaN, low = NaN, high = NaN] = ends;
  return { input: field, base, low, high };
}

function move(moved: Scenario, from: Scenario, field: Moved, factor: number, limits: Record<string, Limit>): void {
  const value = from[field] * factor;
  if (field === "cached_share") moved[field] = Math.min(value, 1 - from.cache_write_share);
  else if (field === "error_rate" || field === "growth") moved[field] = Math.min(value, limits[field]?.high ?? 1);
  else moved[field] = value;
}

const thens = new Float64Array(DRAWS);
const savings = new Float64Array(DRAWS);

/** Percentiles over the same thousand draws for every scenario. */
export function chances(scenario: Scenario, bills: Bills, limits: Record<string, Limit>): Chances {
  const drawn = draws(MOVED.length);
  const { uncertainty, cache_write_share: written } = scenario;
  const worstRate = limits.error_rate?.high ?? 1;
  const moved = { ...scenario };
  for (let i = 0, at = 0; i < DRAWS; i++, at += MOVED.length) {
    const factor = (j: number): number => 1 + uncertainty * (drawn[at + j] as number);
    moved.calls = scenario.calls * factor(0);
    moved.input_tokens = scenario.input_tokens * factor(1);
    moved.output_tokens = scenario.output_tokens * factor(2);
    moved.cached_share = Math.min(scenario.cached_share * factor(3), 1 - written);
    moved.error_rate = Math.min(scenario.error_rate * factor(4), worstRate);
    moved.local_per_usd = scenario.local_per_usd * factor(6); // growth moves no month
    const then = bills.then(moved);
    thens[i] = then;
    savings[i] = difference(bills.now(moved), then);
  }
  const [then, saving] = [ranks(thens), ranks(savings)];
  return {
    then_p5: then[0],
    then_p50: then[1],
    then_p95: then[2],
    saving_p5: saving[0],
    saving_p50: saving[1],
    saving_p95: saving[2],
  };
}

/** The nearest-rank percentiles 5, 50 and 95; unknown where a number is. */
function ranks(numbers: Float64Array): [p5: number, p50: number, p95: number] {
  if (numbers.some(Number.isNaN)) return [NaN, NaN, NaN];
  const rank = (percent: number): number => nth(numbers, Math.ceil((DRAWS * percent) / 100) - 1);
  return [rank(5), rank(50), rank(95)];
}

/** The number that stands at a place once they are in order (Hoare's selection), a third of the time of sorting. */
function nth(numbers: Float64Array, place: number): number {
  let [low, high] = [0, numbers.length - 1];
  while (low < high) {
    const middle = numbers[place] as number;
    let [i, j] = [low, high];
    while (i <= j) {
      while ((numbers[i] as number) < middle) i++;
      while ((numbers[j] as number) > middle) j--;
      if (i > j) break;
      const held = numbers[i] as number;
      numbers[i++] = numbers[j] as number;
      numbers[j--] = held;
    }
    if (j < place) low = i;
    if (place < i) high = j;
  }
  return numbers[place] as number;
}
