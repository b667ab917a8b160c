/** Decimal digits of doubles. Python reckons exactly and rounds half to even; a double is good to 13 digits here. */
const SURE = 13;
const MOST = 16;

/** The power of ten of the first digit: 2 for 551. */
export function magnitude(x: number): number {
  return Number(x.toExponential(SURE - 1).split("e")[1]);
}

/** |x| with `places` digits after the point, fewer than none for whole tens; ties go to the even digit. */
export function fixed(x: number, places: number): string {
  const wanted = magnitude(x) + 1 + places;
  const sure = wanted >= SURE ? MOST : SURE;
  const [mantissa = "0", exponent = "0"] = Math.abs(x).toExponential(sure - 1).split("e");
  const digits = mantissa.replace(".", "");
  const kept = Number(exponent) + 1 + places;
  const head = kept > 0 ? digits.slice(0, kept).padEnd(kept, "0") : "";
  const rest = kept >= 0 ? digits.slice(kept) : "";
  const shown = isUp(head, rest) ? increased(head) : head;
  return pointed(shown || "0", places);
}

/** `fixed` with a comma between thousands. */
export function grouped(x: number, places: number): string {
  const [whole = "0", part] = fixed(x, places).split(".");
  const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part === undefined ? commas : `${commas}.${part}`;
}

/** What Python's round(x, 2) makes of the double that is nearest to the exact number. */
export function rounded(x: number): number {
  const near = settled(x);
  const hundreds = near * 100;
  if (near * 8 === Math.trunc(near * 8) && Math.abs(hundreds % 1) === 0.5) {
    return (2 * Math.round(hundreds / 2)) / 100; // an exact tie
  }
  return Number(near.toFixed(2));
}

/** The double without the noise of its last digits. */
export function settled(x: number): number {
  return Number(x.toPrecision(SURE));
}

function isUp(head: string, rest: string): boolean {
  const half = rest.localeCompare("5".padEnd(rest.length, "0"));
  if (!rest || half < 0) return false;
  return half > 0 || "13579".includes(head.at(-1) ?? "0");
}

function increased(digits: string): string {
  return (BigInt(digits || "0") + 1n).toString().padStart(digits.length, "0");
}

function pointed(digits: string, places: number): string {
  if (places <= 0) return strip(digits.padEnd(digits.length - places, "0"));
  const padded = digits.padStart(places + 1, "0");
  return `${strip(padded.slice(0, -places))}.${padded.slice(-places)}`;
}

function strip(whole: string): string {
  return whole.replace(/^0+(?=\d)/, "");
}
