import { count } from "./words";

/** Numbers as people write them: 100,000 or 1e6; NaN for what is none. */
export function parse(text: string): number {
  const plain = text.trim().replace(/[\s_]|%$/g, "");
  const number = /^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$/.test(plain) ? plain.replaceAll(",", "") : plain;
  return number === "" || !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(number) ? NaN : Number(number);
}

/** A number with a comma between thousands and all of its digits. */
export function written(number: number): string {
  if (!Number.isFinite(number)) return "";
  if (Math.abs(number) >= 1e15) return String(number);
  return number.toLocaleString("en-US", { maximumFractionDigits: 12 });
}

/** A percent as a fraction, without the noise of the division. */
export function fraction(percent: number): number {
  return Number((percent / 100).toPrecision(14));
}

export function percentOf(share: number): number {
  return Number((share * 100).toPrecision(14));
}

export function spoken(number: number, unit: string): string {
  return `${count(number)} ${unit}`;
}
