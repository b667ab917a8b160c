import type { Offer } from "./catalog";
import { fixed, rounded } from "./digits";
import type { OfferCost, Report, Swing } from "./report";
import { MOVED } from "./sensitivity";
import * as say from "./sentences";
import { about, count, money, percent } from "./words";

/** All texts, bars (x and width, of 100) and flags of the picture, as hs_notebook/display/calculator/figures.py has them. */
export interface Figures {
  readonly text: Record<string, string>;
  readonly bar: Record<string, Bar>;
  readonly show: Record<string, boolean>;
}
export type Bar = readonly [x: number, width: number];

const TICK = 0.6; // how wide the mark of a median is
const NONE: Bar = [0, 0];

export function figures(report: Report): Figures {
  const found: Figures = { text: {}, bar: {}, show: {} };
  for (const fill of [sentences, bills, worth, split, costs, claims, limits, swings, chances]) fill(report, found);
  return found;
}

function sentences(report: Report, { text, show }: Figures): void {
  const infeasible = report.limits.feasible === false;
  Object.assign(text, {
    headline: say.headline(report),
    summary: say.summary(report),
    capped: say.capped(report),
    basis: say.basis(report),
    "top-up": topsUp(report) ? say.topUp(report) : "",
  });
  Object.assign(show, {
    summary: infeasible,
    capped: infeasible,
    basis: report.basis === "output",
    "top-up": topsUp(report),
    "top-up-effect": topsUp(report),
  });
}

function bills(report: Report, { text }: Figures): void {
  Object.assign(text, {
    "now-mix": say.mixOf(report.now),
    "then-mix": say.mixOf(report.then),
    "now-seller": say.sellerName(report, report.scenario.reference),
    "then-seller": say.sellerName(report, report.scenario.seller),
    "now-price": say.kindsOf(report.now_offers),
    "then-price": thenKinds(report),
    "now-1000": say.known(1000 * report.call_now),
    "then-1000": say.known(1000 * report.call_then),
    "now-month": say.bill(report.month_now, report.output_now),
    "then-month": say.bill(report.month_then, report.output_then),
    "now-year": say.known(report.year_now),
    "then-year": say.known(report.year_then),
    saving: say.known(report.saving),
    "saving-share": percent(report.saving_share),
    "year-saving": say.known(report.year_saving),
  });
}

function worth(report: Report, { text }: Figures): void {
  Object.assign(text, {
    net: say.known(report.net),
    payback: say.payback(report),
    roi: percent(report.roi_12_months),
    "break-even": say.breakEven(report),
  });
}

function split(report: Report, { text, bar }: Figures): void {
  const official = (mix: object): (Offer | undefined)[] =>
    Object.keys(mix).map((model) => report.catalog.offer(model, "official"));
  const [now, then] = [say.kindsOf(official(report.now)), say.kindsOf(official(report.then))];
  Object.assign(text, {
    reference: say.known(report.reference_effect),
    "reference-share": percent(report.reference_share),
    "reference-price": `${say.kindsOf(report.now_offers)} less ${now}`,
    model: say.known(report.model_effect),
    "model-share": percent(report.model_share),
    "model-price": `${now} less ${then}`,
    relay: say.known(report.relay_effect),
    "relay-share": percent(report.relay_share),
    "relay-price": `${then} less ${thenKinds(report)}`,
    "top-up-effect": say.known(report.top_up_effect),
  });
  const steps = [
    report.official_now + report.reference_effect,
    report.official_now,
    report.official_then,
    report.official_then - report.relay_effect,
  ];
  const most = greatest(steps);
  for (const [i, name] of ["reference", "model", "relay"].entries()) {
    bar[name] = between(steps[i] ?? NaN, steps[i + 1] ?? NaN, 0, most);
  }
}

function costs(report: Report, { text, bar }: Figures): void {
  const rows: [name: string, month: number, output: number, kinds: string][] = [
    ["now", report.month_now, report.output_now, text["now-price"] ?? ""],
    ["then", report.month_then, report.output_then, text["then-price"] ?? ""],
    ...report.costs.map((cost, i): [string, number, number, string] => {
      return [String(i), cost.month, cost.output, costKinds(report, cost)];
    }),
  ];
  const most = greatest(rows.map(([, month, output]) => drawn(month, output)));
  for (const [name, month, output, kinds] of rows) {
    const inPart = Number.isNaN(month) && !Number.isNaN(output);
    text[`cost-${name}`] = money(inPart ? output : month);
    text[`cost-${name}-price`] = inPart ? `${kinds}, ${say.OUTPUT_ONLY}` : kinds;
    bar[`cost-${name}`] = between(0, drawn(month, output), 0, most);
  }
  for (const [i, cost] of report.costs.entries()) {
    text[`cost-${i}-mark`] = [...(cost.in_now ? ["now"] : []), ...(cost.in_then ? ["then"] : [])].join(", ");
  }
  for (const side of ["now", "then"]) text[`cost-${side}-mix`] = `${text[`${side}-mix`]} at ${text[`${side}-seller`]}`;
}

function claims(report: Report, { text }: Figures): void {
  for (const [j, { claimed, official }] of report.claims.entries()) {
    const sign = claimed < 0 ? "-" : "";
    text[`claim-${j}`] = Number.isNaN(claimed) ? "n/a" : `${sign}${fixed(100 * claimed, 0)} %`;
    text[`claim-${j}-official`] = percent(official);
  }
}

function limits(report: Report, { text, show }: Figures): void {
  text.verdict = say.verdict(report);
  for (const [j, model] of report.catalog.models.entries()) {
    const one = report.limits.models.find((check) => check.model === model);
    show[`check-${j}`] = one !== undefined;
    text[`check-${j}-seconds`] = one ? count(one.seconds) : "";
    text[`check-${j}-streams`] = one ? count(one.streams) : "";
    text[`check-${j}-rate`] = one ? count(one.calls_a_minute) : "";
    text[`check-${j}`] = one ? say.checkOf(one) : "";
  }
}

function swings(report: Report, { text, bar, show }: Figures): void {
  const ends = report.swings.flatMap(({ base, low, high }) => [base, low, high]);
  const [least, most] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 0];
  for (const k of MOVED.keys()) {
    const swing = report.swings[k];
    show[`swing-${k}`] = swing !== undefined;
    text[`swing-${k}`] = swing ? swingLabel(report, swing) : "";
    text[`swing-${k}-low`] = swing ? money(swing.low) : "";
    text[`swing-${k}-high`] = swing ? money(swing.high) : "";
    bar[`swing-${k}-low`] = swing ? between(swing.base, swing.low, least, most) : NONE;
    bar[`swing-${k}-high`] = swing ? between(swing.base, swing.high, least, most) : NONE;
  }
}

function swingLabel(report: Report, swing: Swing): string {
  const mean = swing.input === "growth" ? ", mean of 12 months" : "";
  return `${report.catalog.raw.labels[swing.input]} ±${count(100 * report.scenario.uncertainty)} %${mean}`;
}

function chances(report: Report, { text, bar }: Figures): void {
  const { then_p5, then_p50, then_p95, saving_p5, saving_p50, saving_p95 } = report.chances;
  const drawn = { then: [then_p5, then_p50, then_p95], saving: [saving_p5, saving_p50, saving_p95] };
  const ends = [0, ...Object.values(drawn).flat()].filter((end) => !Number.isNaN(end));
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  for (const [side, [low = NaN, middle = NaN, high = NaN]] of Object.entries(drawn)) {
    for (const [rank, value] of [["p5", low], ["p50", middle], ["p95", high]] as const) {
      text[`${side}-${rank}`] = Number.isNaN(value) ? "n/a" : about(value);
    }
    const isKnown = !Number.isNaN(middle);
    const at = isKnown ? between(middle, middle, least, most)[0] : 0;
    bar[`${side}-range`] = between(low, high, least, most);
    bar[`${side}-median`] = [rounded(Math.max(0, at - TICK / 2)), isKnown ? TICK : 0];
  }
}

/** Where a bar begins and how wide it is; nothing where an end is unknown. */
function between(one: number, other: number, least: number, most: number): Bar {
  if (!(most > least) || Number.isNaN(one) || Number.isNaN(other)) return NONE;
  const scale = 100 / (most - least);
  return [rounded((Math.min(one, other) - least) * scale), rounded(Math.abs(one - other) * scale)];
}

function drawn(month: number, output: number): number {
  return Number.isNaN(month) ? output || 0 : month;
}

function greatest(numbers: readonly number[]): number {
  return numbers.reduce((most, one) => (one > most ? one : most), -Infinity);
}

function topsUp(report: Report): boolean {
  return report.scenario.top_up && report.scenario.seller === "relay";
}

function thenKinds(report: Report): string {
  return say.kindsOf(report.then_offers, report.assumed, topsUp(report));
}

function costKinds(report: Report, { offer, assumed }: OfferCost): string {
  return say.kindsOf([offer], assumed, report.scenario.top_up && offer.role === "relay");
}
