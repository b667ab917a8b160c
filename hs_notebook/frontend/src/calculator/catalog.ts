import { type Amounts, first } from "./formulas";

export type Role = "official" | "relay" | "article";
export const ROLES: readonly Role[] = ["official", "relay", "article"];

/** The catalog as the kernel sends it; amounts are decimal strings, unknown ones null. */
interface RawAmounts {
  input: string | null;
  cache_read: string | null;
  cache_write: string | null;
  output: string | null;
}
interface RawRow extends RawAmounts {
  model: string;
  role: Role;
  seller: string;
  kind: string;
  label: string;
  batch_discount: string;
  above: (RawAmounts & { over: number })[];
}
export interface Limit {
  low: number;
  high: number;
  whole: boolean;
  above: boolean;
}
export interface RawCatalog {
  at: string;
  models: string[];
  names: Record<string, string>;
  rows: RawRow[];
  speeds: Record<string, { ttft: string; tokens_per_second: string }>;
  largest_outputs: Record<string, number | null>;
  sellers: { relay: string; article: string };
  inputs: string[];
  labels: Record<string, string>;
  defaults: Record<string, unknown>;
  choices: Record<string, string[]>;
  limits: Record<string, Limit>;
}

/** One seller's price for one model. */
export interface Offer {
  readonly model: string;
  readonly role: Role;
  readonly label: string;
  readonly batchDiscount: number;
  readonly amounts: Amounts;
  readonly above: readonly { over: number; amounts: Amounts }[];
}
export interface Speed {
  readonly ttft: number;
  readonly tokensPerSecond: number;
}

export class Catalog {
  readonly models: readonly string[];
  readonly offers: readonly Offer[];
  readonly speeds: ReadonlyMap<string, Speed>;
  readonly raw: RawCatalog;
  readonly #byModel = new Map<string, Offer>();

  constructor(raw: RawCatalog) {
    this.raw = raw;
    this.models = raw.models;
    this.offers = raw.rows.map(offerOf);
    for (const offer of this.offers) this.#byModel.set(`${offer.role} ${offer.model}`, offer);
    const speeds = Object.entries(raw.speeds);
    this.speeds = new Map(
      speeds.map(([model, one]) => [model, { ttft: Number(one.ttft), tokensPerSecond: Number(one.tokens_per_second) }]),
    );
  }

  offer(model: string, role: Role): Offer | undefined {
    return this.#byModel.get(`${role} ${model}`);
  }

  /** The model that goes by a name, however it is spelt. */
  model(name: string): string | undefined {
    const plain = plainName(name);
    return Object.hasOwn(this.raw.names, plain) ? this.raw.names[plain] : undefined;
  }

  /** Model → share with the models' names as they stand here; what has no share is left out. */
  mix(shares: Readonly<Record<string, number>>): Map<string, number> {
    const found = new Map<string, number>();
    for (const [name, share] of Object.entries(shares)) {
      const model = this.model(name) ?? name;
      if (share || found.has(model)) found.set(model, (found.get(model) ?? 0) + share);
    }
    return found;
  }

  largestOutput(model: string): number {
    return this.raw.largest_outputs[model] ?? NaN;
  }
}

/** The prices of a call with so much input. */
export function amountsOf(offer: Offer, inputTokens: number): Amounts {
  const long = offer.above.filter(({ over }) => inputTokens > over).at(-1);
  return (long ?? offer).amounts;
}

/** Where the relay has no price for the input, those of the official list stand in. */
export function assumedAmounts(offer: Offer, official: Offer | undefined, inputTokens: number): Amounts {
  const own = amountsOf(offer, inputTokens);
  if (!Number.isNaN(own.input) || !official) return own;
  const listed = amountsOf(official, inputTokens);
  return {
    input: listed.input,
    cacheRead: first(own.cacheRead, listed.cacheRead),
    cacheWrite: first(own.cacheWrite, listed.cacheWrite),
    output: own.output,
  };
}

/** As hs_notebook.pricing.names.plain_name. */
function plainName(model: string): string {
  const short = model.trim().split("/").at(-1) ?? "";
  return short.toLowerCase().replaceAll(".", "-").replace(/-(?:20\d\d-?[01]\d-?[0-3]\d|latest)$/, "");
}

function offerOf(row: RawRow): Offer {
  return {
    model: row.model,
    role: row.role,
    label: row.label,
    batchDiscount: Number(row.batch_discount),
    amounts: amounts(row),
    above: row.above.map((long) => ({ over: long.over, amounts: amounts(long) })),
  };
}

function amounts(raw: RawAmounts): Amounts {
  const known = (amount: string | null): number => (amount === null ? NaN : Number(amount));
  return {
    input: known(raw.input),
    cacheRead: known(raw.cache_read),
    cacheWrite: known(raw.cache_write),
    output: known(raw.output),
  };
}
