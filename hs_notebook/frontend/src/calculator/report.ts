import type { Catalog, Offer } from "./catalog";
import type { Mix, Scenario } from "./scenario";

/** As hs_notebook.pricing.report.Report. Money is USD a month if not said; NaN is unknown. */
export interface Report {
  readonly scenario: Scenario;
  readonly catalog: Catalog;
  readonly now: Mix;
  readonly then: Mix;
  readonly now_offers: readonly (Offer | undefined)[];
  readonly then_offers: readonly (Offer | undefined)[];
  readonly assumed: boolean;
  readonly call_now: number;
  readonly call_then: number;
  readonly month_now: number;
  readonly month_then: number;
  readonly output_now: number;
  readonly output_then: number;
  readonly year_now: number;
  readonly year_then: number;
  readonly saving: number;
  readonly saving_share: number;
  readonly output_saving: number;
  readonly output_saving_share: number;
  readonly year_saving: number;
  readonly basis: "all" | "output";
  readonly official_now: number;
  readonly official_then: number;
  readonly list_then: number;
  readonly reference_effect: number;
  readonly reference_share: number;
  readonly model_effect: number;
  readonly model_share: number;
  readonly relay_effect: number;
  readonly relay_share: number;
  readonly top_up_effect: number;
  readonly relay_factor: number;
  readonly net: number;
  readonly payback_months: number;
  readonly roi_12_months: number;
  readonly break_even_calls: number;
  readonly limits: Feasibility;
  readonly capped_month: number;
  readonly capped_output: number;
  readonly costs: readonly OfferCost[];
  readonly claims: readonly Claim[];
  readonly swings: readonly Swing[];
  readonly chances: Chances;
}

export interface OfferCost {
  readonly offer: Offer;
  readonly month: number;
  readonly output: number;
  readonly in_now: boolean;
  readonly in_then: boolean;
  readonly assumed: boolean;
}

export interface Claim {
  readonly model: string;
  readonly claimed: number;
  readonly official: number;
}

export interface ModelCheck {
  readonly model: string;
  readonly share: number;
  readonly seconds: number;
  readonly streams: number;
  readonly calls_a_minute: number;
  readonly allowed_output: number;
  readonly problems: readonly string[];
}

/** `feasible` is null where a speed is unknown and nothing else forbids. */
export interface Feasibility {
  readonly feasible: boolean | null;
  readonly problems: readonly string[];
  readonly models: readonly ModelCheck[];
  readonly streams: number;
  readonly asked_a_minute: number;
  readonly calls_a_minute: number;
  readonly possible_calls: number;
}

export interface Swing {
  readonly input: string;
  readonly base: number;
  readonly low: number;
  readonly high: number;
}

export interface Chances {
  readonly then_p5: number;
  readonly then_p50: number;
  readonly then_p95: number;
  readonly saving_p5: number;
  readonly saving_p50: number;
  readonly saving_p95: number;
}
