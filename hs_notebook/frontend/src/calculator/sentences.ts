import type { Offer, Role } from "./catalog";
import { fixed, grouped } from "./digits";
import { shareOf } from "./formulas";
import type { ModelCheck, Report } from "./report";
import type { Mix } from "./scenario";
import { count, money, percent } from "./words";

/** What the calculator says, as hs_notebook/display/calculator/sentences.py does. */
const ASSUMED = "assumes the official input price";
const UNVERIFIED = "top-up rate, unverified";
export const OUTPUT_ONLY = "output only, input unknown";

export function sellerName(report: Report, role: Role): string {
  return role === "official" ? "the official list" : report.catalog.raw.sellers[role];
}

export function headline(report: Report): string {
  return report.limits.feasible === false ? `infeasible: ${report.limits.problems[0]}` : summary(report);
}

export function summary(report: Report): string {
  if (!Number.isNaN(report.saving)) {
    const said = saves(report.saving, report.saving_share, report.month_now, report.month_then);
    return `${said[0]?.toUpperCase()}${said.slice(1)}${againstTheList(report)}${afterRunningCost(report)}${paidBack(report)}`;
  }
  const why = missing(report).join(" and ") || "a price is unknown";
  if (Number.isNaN(report.output_saving)) return `n/a: ${why}`;
  const alone = saves(report.output_saving, report.output_saving_share, report.output_now, report.output_then);
  return `n/a: ${why}; the output alone ${alone}${againstTheList(report)}`;
}

function saves(saving: number, share: number, before: number, after: number): string {
  const part = Number.isNaN(share) ? "" : ` (${percent(Math.abs(share))})`;
  const [verb, more] = saving < 0 ? ["costs", " more"] : ["saves", ""];
  return `${verb} ${money(Math.abs(saving))}${more} a month${part}: ${money(before)} now, ${money(after)} then`;
}

/** What is left of a saving over the article's own reference. */
function againstTheList(report: Report): string {
  const saved = report.model_effect + report.relay_effect;
  if (report.scenario.reference !== "article" || Number.isNaN(saved)) return "";
  return `; against the official list ${money(saved)} (${percent(shareOf(saved, report.official_now))})`;
}

function afterRunningCost(report: Report): string {
  return report.scenario.running_cost ? `; after running cost ${money(report.net)} a month` : "";
}

function paidBack(report: Report): string {
  if (!report.scenario.switching_cost) return "";
  if (Number.isNaN(report.payback_months)) return "; never paid back";
  return `; paid back in ${monthsOf(report.payback_months)}`;
}

function monthsOf(number: number): string {
  return `${grouped(number, 1)} months`;
}

/** Which prices are unknown that a bill needs. */
function missing(report: Report): string[] {
  const { reference, seller } = report.scenario;
  const sides: [Mix, readonly (Offer | undefined)[], Role][] = [
    [report.now, report.now_offers, reference],
    [report.then, report.then_offers, seller],
  ];
  const found = sides.flatMap(([mix, offers, role]) =>
    Object.keys(mix).map((model, i) => missingOf(report, model, offers[i], role)),
  );
  return [...new Set(found)].filter(Boolean);
}

function missingOf(report: Report, model: string, offer: Offer | undefined, role: Role): string {
  const seller = sellerName(report, role);
  const { scenario, catalog } = report;
  if (!offer) return `no price of ${model} at ${seller} is known`;
  if (scenario.output_tokens && Number.isNaN(offer.amounts.output)) return `the output price of ${model} at ${seller} is unknown`;
  const official = catalog.offer(model, "official")?.amounts.input ?? NaN;
  const taken = role === "relay" && scenario.assume_official_input && !Number.isNaN(official);
  const hidden = scenario.input_tokens && Number.isNaN(offer.amounts.input) && !taken;
  return hidden ? `the input price of ${model} at ${seller} is unknown` : "";
}

export function mixOf(shares: Mix): string {
  const models = Object.entries(shares);
  if (models.length === 1) return models[0]?.[0] ?? "";
  return models.map(([model, share]) => `${count(100 * share)} % ${model}`).join(" + ");
}

/** Kinds and dates of prices, each once, and what else they rest on. */
export function kindsOf(offers: readonly (Offer | undefined)[], assumed = false, unverified = false): string {
  const labels = new Set(offers.map((offer) => offer?.label ?? "no price known"));
  return [[...labels].join("; "), ...(assumed ? [ASSUMED] : []), ...(unverified ? [UNVERIFIED] : [])].join(", ");
}

export function bill(month: number, output: number): string {
  return Number.isNaN(month) && !Number.isNaN(output) ? `${money(output)} (${OUTPUT_ONLY})` : money(month);
}

export function known(amount: number): string {
  return Number.isNaN(amount) ? "n/a" : money(amount);
}

export function basis(report: Report): string {
  if (report.basis === "all") return "";
  return `Split, sensitivity and range are of the output alone: ${missing(report).join(" and ")}.`;
}

export function topUp(report: Report): string {
  return `${UNVERIFIED}: the relay's prices times ${fixed(report.relay_factor, 4)}`;
}

export function verdict(report: Report): string {
  const { limits, scenario } = report;
  if (limits.problems.length) return `infeasible: ${limits.problems.join("; ")}`;
  const rate = `${count(limits.asked_a_minute)} of ${count(scenario.requests_per_minute)} calls a minute`;
  if (Number.isNaN(limits.streams)) return `no verdict, a speed is unknown: ${rate}`;
  return `feasible: ${count(limits.streams)} of ${count(scenario.concurrent_streams)} streams, ${rate}`;
}

export function capped(report: Report): string {
  const { limits } = report;
  const longest = Math.max(...limits.models.map((one) => one.allowed_output));
  const possible = bill(report.capped_month, report.capped_output);
  const asked = bill(report.month_then, report.output_then);
  return (
    `Within the limits: ${count(limits.possible_calls)} calls a month with answers of up to ${count(longest)} tokens, ` +
    `${possible} a month; asked: ${asked}`
  );
}

export function checkOf(one: ModelCheck): string {
  const allowed = `up to ${count(one.allowed_output)} tokens`;
  return Number.isNaN(one.seconds) ? `${allowed}, speed unknown` : allowed;
}

export function payback(report: Report): string {
  if (Number.isNaN(report.net)) return "n/a";
  if (!report.scenario.switching_cost) return "no switching cost";
  return Number.isNaN(report.payback_months) ? "never" : monthsOf(report.payback_months);
}

export function breakEven(report: Report): string {
  if (Number.isNaN(report.saving)) return "n/a";
  if (!report.scenario.running_cost) return "no running cost";
  const calls = report.break_even_calls;
  if (Number.isNaN(calls)) return "never";
  const told = count(calls);
  return `${told} ${told === "1" ? "call" : "calls"} a month`;
}
