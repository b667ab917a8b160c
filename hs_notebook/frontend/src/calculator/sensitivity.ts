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
  const moved = { ...scenario };
  for (let i = 0; i < DRAWS; i++) {
    for (let j = 0; j < MOVED.length; j++) {
      const factor = 1 + scenario.uncertainty * (drawn[i * MOVED.length + j] as number);
      move(moved, scenario, MOVED[j] as Moved, factor, limits);
    }
    const then = bills.then(moved);
    thens[i] = then;
    savings[i] = difference(bills.now(moved), then);
  }
  const [then, saving] = [ranks(thens), ranks(savings)];
  return {
    then_p5: then(5),
    then_p50: then(50),
    then_p95: then(95),
    saving_p5: saving(5),
    saving_p50: saving(50),
    saving_p95: saving(95),
  };
}

/** Nearest-rank percentiles; unknown where a number is, which sorts to the end. */
function ranks(numbers: Float64Array): (percent: number) => number {
  numbers.sort();
  const known = !Number.isNaN(numbers[DRAWS - 1]);
  return (percent) => (known ? (numbers[Math.ceil((DRAWS * percent) / 100) - 1] as number) : NaN);
}
