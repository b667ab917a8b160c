import { fixed, grouped, magnitude } from "./digits";

/** Numbers in words, as hs_notebook.pricing has them. NaN is unknown. */
const DIGITS = 4; // significant ones, of an amount below a cent
const ABOUT = 3; // digits of a figure that chance has a part in

/** USD to the cent, and below one with four significant digits; "$0" is exactly nothing. */
export function money(amount: number): string {
  if (Number.isNaN(amount)) return "unknown";
  if (!amount) return "$0";
  return `${minus(amount)}$${sum(Math.abs(amount))}`;
}

function sum(size: number): string {
  if (magnitude(size) >= -2) return grouped(size, 2);
  const text = grouped(size, DIGITS - 1 - magnitude(size));
  return Number(text) >= 0.01 ? "0.01" : text;
}

/** Whole from 1,000 up, below with two decimals at most. */
export function count(number: number): string {
  if (Number.isNaN(number)) return "unknown";
  const text = grouped(number, Math.abs(number) >= 1000 ? 0 : 2);
  return minus(number) + (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** A fraction of 1 as percent with two decimals. */
export function percent(share: number): string {
  if (Number.isNaN(share)) return "n/a";
  if (!share) return "0 %";
  const text = grouped(100 * share, 2);
  return text === "0.00" ? "under 0.01 %" : `${minus(share)}${text} %`;
}

/** USD with three significant digits. */
export function about(amount: number): string {
  if (Number.isNaN(amount) || !amount) return money(amount);
  const places = ABOUT - 1 - magnitude(amount);
  return `${minus(amount)}$${places > 0 ? grouped(amount, places) : whole(amount, places)}`;
}

function whole(amount: number, places: number): string {
  return grouped(Number(fixed(amount, places)), 0);
}

function minus(number: number): string {
  return number < 0 ? "-" : "";
}
