import { type Catalog, type Offer, ROLES, type Role, amountsOf, assumedAmounts } from "./catalog";
import { feasibility } from "./feasible";
import {
  type Amounts,
  UNKNOWN,
  attempts,
  blend,
  breakEven,
  difference,
  months,
  payback,
  relayFactor,
  returnOn,
  scaled,
  shareOf,
  taskCost,
} from "./formulas";
import type { Claim, Feasibility, OfferCost, Report } from "./report";
import type { Mix, Scenario } from "./scenario";
import { type Bills, chances, swings } from "./sensitivity";

interface Prices {
  readonly now: Amounts;
  readonly officialNow: Amounts;
  readonly officialThen: Amounts;
  readonly then: Amounts; // before the relay's factor
}

/** The report of a scenario without problems. Python is the authority; shared vectors hold this to it. */
export function evaluate(scenario: Scenario, catalog: Catalog): Report {
  return new Evaluation(scenario, catalog).report();
}

/** F5: by what relay prices are multiplied. */
function factorOf(scenario: Scenario): number {
  if (!scenario.top_up || scenario.seller !== "relay") return 1;
  return relayFactor(scenario.markup, scenario.top_up_fee, scenario.local_paid, scenario.local_per_usd);
}

function task(scenario: Scenario, price: Amounts): number {
  return taskCost(scenario, price, scenario.input_tokens, scenario.output_tokens);
}

function month(scenario: Scenario, price: Amounts, factor = 1): number {
  return scenario.calls * task(scenario, price) * factor;
}

const outputOnly = (scenario: Scenario): Scenario => ({ ...scenario, input_tokens: 0 });

class Evaluation {
  readonly #scenario: Scenario;
  readonly #output: Scenario;
  readonly #catalog: Catalog;
  readonly #now: Mix;
  readonly #then: Mix;
  readonly #factor: number;
  readonly #prices: Prices;

  constructor(scenario: Scenario, catalog: Catalog) {
    this.#scenario = scenario;
    this.#output = outputOnly(scenario);
    this.#catalog = catalog;
    this.#now = Object.fromEntries(catalog.mix(scenario.now));
    this.#then = Object.fromEntries(catalog.mix(scenario.then));
    this.#factor = factorOf(scenario);
    this.#prices = {
      now: this.#blended(this.#now, scenario.reference),
      officialNow: this.#blended(this.#now, "official"),
      officialThen: this.#blended(this.#then, "official"),
      then: this.#blended(this.#then, scenario.seller),
    };
  }

  report(): Report {
    const scenario = this.#scenario;
    const catalog = this.#catalog;
    const bills: Bills = {
      now: (moved) => month(moved, this.#prices.now),
      then: (moved) => month(moved, this.#prices.then, factorOf(moved)),
    };
    const saving = difference(bills.now(scenario), bills.then(scenario));
    const on = Number.isNaN(saving) ? this.#output : scenario;
    const limits = feasibility(scenario, this.#then, catalog, attempts(scenario.error_rate, scenario.retries));
    return {
      scenario,
      catalog,
      now: this.#now,
      then: this.#then,
      now_offers: Object.keys(this.#now).map((model) => catalog.offer(model, scenario.reference)),
      then_offers: Object.keys(this.#then).map((model) => catalog.offer(model, scenario.seller)),
      assumed: Object.keys(this.#then).some((model) => this.#isAssumed(model, scenario.seller)),
      ...this.#totals(bills),
      basis: on === scenario ? "all" : "output",
      ...this.#split(on),
      relay_factor: this.#factor,
      ...this.#worth(saving),
      limits,
      ...this.#capped(limits),
      costs: catalog.offers.map((offer) => this.#cost(offer)),
      claims: catalog.models.map((model) => this.#claim(model)),
      swings: swings(on, bills, catalog.raw.limits),
      chances: chances(on, bills, catalog.raw.limits),
    };
  }

  #blended(mix: Mix, role: Role): Amounts {
    return blend(Object.entries(mix).map(([model, share]) => [share, this.#price(model, role)]));
  }

  /** What a model costs at one seller, a batch's discount taken in. */
  #price(model: string, role: Role): Amounts {
    const offer = this.#catalog.offer(model, role);
    if (!offer) return UNKNOWN;
    return scaled(this.#own(offer), 1 - this.#scenario.batch_share * offer.batchDiscount);
  }

  #own(offer: Offer): Amounts {
    const tokens = this.#scenario.input_tokens;
    if (!this.#scenario.assume_official_input || offer.role !== "relay") return amountsOf(offer, tokens);
    return assumedAmounts(offer, this.#catalog.offer(offer.model, "official"), tokens);
  }

  /** Whether a bill of the relay rests on the official input price. */
  #isAssumed(model: string, role: Role): boolean {
    const offer = this.#catalog.offer(model, role);
    const { input_tokens: tokens, assume_official_input: assume } = this.#scenario;
    if (role !== "relay" || !assume || !tokens || !offer) return false;
    const [own, taken] = [amountsOf(offer, tokens), this.#own(offer)];
    return (["input", "cacheRead", "cacheWrite", "output"] as const).some((one) => !Object.is(own[one], taken[one]));
  }

  #totals(bills: Bills) {
    const scenario = this.#scenario;
    const [now, then] = [bills.now(scenario), bills.then(scenario)];
    const [outNow, outThen] = [bills.now(this.#output), bills.then(this.#output)];
    const [saving, outSaving] = [difference(now, then), difference(outNow, outThen)];
    const year = months(scenario.growth);
    return {
      call_now: task(scenario, this.#prices.now),
      call_then: task(scenario, this.#prices.then) * this.#factor,
      month_now: now,
      month_then: then,
      output_now: outNow,
      output_then: outThen,
      year_now: now * year,
      year_then: then * year,
      saving,
      saving_share: shareOf(saving, now),
      output_saving: outSaving,
      output_saving_share: shareOf(outSaving, outNow),
      year_saving: saving * year,
    };
  }

  /** The parts of the saving: of the reference, of the model, of the relay. */
  #split(on: Scenario) {
    const prices = this.#prices;
    const asked = month(on, prices.now);
    const [officialNow, officialThen] = [month(on, prices.officialNow), month(on, prices.officialThen)];
    const [listed, then] = [month(on, prices.then), month(on, prices.then, this.#factor)];
    const [reference, model] = [difference(asked, officialNow), difference(officialNow, officialThen)];
    const relay = difference(officialThen, then);
    return {
      official_now: officialNow,
      official_then: officialThen,
      list_then: listed,
      reference_effect: reference,
      reference_share: shareOf(reference, asked),
      model_effect: model,
      model_share: shareOf(model, officialNow),
      relay_effect: relay,
      relay_share: shareOf(relay, officialThen),
      top_up_effect: difference(listed, then),
    };
  }

  /** F6, F7. */
  #worth(saving: number) {
    const scenario = this.#scenario;
    const net = difference(saving, scenario.running_cost);
    const [before, after] = [task(scenario, this.#prices.now), task(scenario, this.#prices.then) * this.#factor];
    return {
      net,
      payback_months: payback(scenario.switching_cost, net, scenario.growth),
      roi_12_months: returnOn(scenario.switching_cost, net, scenario.growth),
      break_even_calls: breakEven(scenario.running_cost, before, after),
    };
  }

  /** F8: what is billed when the limits are kept. */
  #capped(limits: Feasibility) {
    const { input_tokens: input, seller } = this.#scenario;
    const bill = (tokens: number): number =>
      limits.models.reduce((sum, one) => {
        const call = taskCost(this.#scenario, this.#price(one.model, seller), tokens, one.allowed_output);
        return sum + limits.possible_calls * one.share * call * this.#factor;
      }, 0);
    return { capped_month: bill(input), capped_output: bill(0) };
  }

  #cost(offer: Offer): OfferCost {
    const scenario = this.#scenario;
    const { model, role } = offer;
    const price = this.#price(model, role);
    const factor = role === "relay" ? factorOf({ ...scenario, seller: "relay" }) : 1;
    return {
      offer,
      month: month(scenario, price, factor),
      output: month(this.#output, price, factor),
      in_now: model in this.#now && role === scenario.reference,
      in_then: model in this.#then && role === scenario.seller,
      assumed: this.#isAssumed(model, role),
    };
  }

  #claim(model: string): Claim {
    const output = (role: Role): number => this.#catalog.offer(model, role)?.amounts.output ?? NaN;
    const [official = NaN, relay = NaN, article = NaN] = ROLES.map(output);
    return {
      model,
      claimed: shareOf(difference(article, relay), article),
      official: shareOf(difference(official, relay), official),
    };
  }
}
