import type { Field, Numeric } from "./scenario";
import { type Scale, linear, logarithmic } from "./scale";

/** A number that is asked for; a fraction is shown as percent. */
export interface NumberSpec {
  readonly field: Numeric;
  readonly label: string;
  readonly unit: string;
  readonly percent?: boolean;
  readonly scale: Scale;
}
export interface FlagSpec {
  readonly flag: "assume_official_input" | "top_up";
  readonly label: string;
}
/** A model, or a mix of models, and whose prices it is charged at. */
export interface SideSpec {
  readonly mix: "now" | "then";
  readonly label: string;
  readonly choice: "reference" | "seller";
}
export type Spec = NumberSpec | FlagSpec | SideSpec;
export interface Group {
  readonly title: string;
  readonly folded?: boolean;
  readonly note?: string;
  readonly specs: readonly Spec[];
}

const share = (field: Numeric, label: string, to = 1, step = 0.01): NumberSpec => {
  return { field, label, unit: "%", percent: true, scale: linear(0, to, step) };
};
const amount = (field: Numeric, label: string, unit: string, scale: Scale): NumberSpec => {
  return { field, label, unit, scale };
};

export const GROUPS: readonly Group[] = [
  {
    title: "Volume",
    specs: [
      amount("calls", "Calls a month", "calls", logarithmic(2, 8)),
      amount("input_tokens", "Input a call", "tokens", logarithmic(1, 6)),
      amount("output_tokens", "Output a call", "tokens", logarithmic(1, 6)),
      share("cached_share", "Read from cache"),
    ],
  },
  {
    title: "Models",
    specs: [
      { mix: "now", label: "Now", choice: "reference" },
      { mix: "then", label: "Then", choice: "seller" },
      { flag: "assume_official_input", label: "Where the relay publishes no input price, assume the maker’s" },
    ],
  },
  {
    title: "Costs",
    specs: [
      amount("switching_cost", "Switching, once", "USD", logarithmic(1, 6)),
      amount("running_cost", "Running, a month", "USD", logarithmic(0, 5)),
    ],
  },
  {
    title: "Growth and retries",
    folded: true,
    specs: [
      share("growth", "Growth a month", 0.5),
      share("error_rate", "Calls that fail", 0.5),
      amount("retries", "Retries at most", "times", linear(0, 10, 1)),
    ],
  },
  {
    title: "Cache writes and batches",
    folded: true,
    specs: [share("cache_write_share", "Written to cache"), share("batch_share", "Calls sent as batches")],
  },
  {
    title: "Top-up rate",
    folded: true,
    note: "The vendor’s claim, unverified: credit of $1 for 1 CNY, for those who can pay that way.",
    specs: [
      { flag: "top_up", label: "Pay the relay’s prices at this rate" },
      amount("local_paid", "Paid for $1 of credit", "local", linear(0.1, 10, 0.1)),
      amount("local_per_usd", "Market rate for $1", "local", linear(0.1, 20, 0.1)),
      share("markup", "Markup"),
      share("top_up_fee", "Fee of a top-up", 0.5),
    ],
  },
  {
    title: "The relay’s limits",
    folded: true,
    specs: [
      amount("concurrent_streams", "Parallel streams", "streams", linear(1, 200, 1)),
      amount("requests_per_minute", "Requests a minute", "calls", logarithmic(0, 5, false)),
      amount("timeout", "Longest answer", "seconds", logarithmic(0, 5, false)),
    ],
  },
  {
    title: "Uncertainty",
    folded: true,
    specs: [share("uncertainty", "How far inputs may be off", 0.9)],
  },
];

export function fieldsOf(spec: Spec): Field[] {
  if ("field" in spec) return [spec.field];
  return "flag" in spec ? [spec.flag] : [spec.mix, spec.choice];
}
