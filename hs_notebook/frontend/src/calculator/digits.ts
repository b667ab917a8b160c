/** Decimal digits of doubles. Python reckons exactly and rounds half to even; a double is good to 13 digits here. */
const SURE = 13;
const MOST = 16;
const HALF = "5".padEnd(MOST, "0");

/** The power of ten of the first digit: 2 for 551. */
export function magnitude(x: number): number {
  return exponentOf(x.toExponential(SURE - 1));
}

/** |x| with `places` digits after the point, fewer than none for whole tens; ties go to the even digit. */
export function fixed(x: number, places: number): string {
  const size = Math.abs(x);
  let written = size.toExponential(SURE - 1);
  if (exponentOf(written) + places >= SURE - 1) written = size.toExponential(MOST - 1);
  const digits = written[0] + written.slice(2, written.indexOf("e"));
  const kept = exponentOf(written) + 1 + places;
  const head = kept > 0 ? digits.slice(0, kept).padEnd(kept, "0") : "";
  const rest = kept >= 0 ? digits.slice(kept) : "";
  const shown = isUp(head, rest) ? increased(head) : head;
  return pointed(shown || "0", places);
}

/** `fixed` with a comma between thousands. */
export function grouped(x: number, places: number): string {
  let text = fixed(x, places);
  for (let at = (places > 0 ? text.length - places - 1 : text.length) - 3; at > 0; at -= 3) {
    text = `${text.slice(0, at)},${text.slice(at)}`;
  }
  return text;
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

function exponentOf(written: string): number {
  return Number(written.slice(written.indexOf("e") + 1));
}

function isUp(head: string, rest: string): boolean {
  const half = HALF.slice(0, rest.length);
  if (!rest || rest < half) return false;
  return rest > half || "13579".includes(head.at(-1) ?? "0");
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
