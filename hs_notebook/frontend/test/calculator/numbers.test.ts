import { describe, expect, test } from "vitest";
import { fixed, grouped, rounded } from "../../src/calculator/digits";
import { fraction, parse, percentOf, written } from "../../src/calculator/entry";
import { balanced } from "../../src/calculator/mix";
import { DRAWS, draws, pcg64 } from "../../src/calculator/pcg";
import { linear, logarithmic } from "../../src/calculator/scale";
import { about, count, money, percent } from "../../src/calculator/words";

const KNOWN = [10853697810378764343n, 13106144865693406159n, 536967674023830947n, 13633397775003248548n];

describe("PCG XSL RR 128/64", () => {
  // numpy 2: PCG64 with this state and increment, random_raw(4).
  test("gives numpy's numbers", () => {
    const numbers = pcg64(0x243f6a8885a308d313198a2e03707344n, 0xa4093822299f31d0082efa98ec4e6c89n);
    expect(Array.from({ length: 4 }, () => numbers.next().value)).toEqual(KNOWN);
  });

  test("is drawn once, within its bounds and evenly", () => {
    const drawn = draws(7);
    expect(draws(7)).toBe(drawn);
    expect(drawn).toHaveLength(7 * DRAWS);
    expect(drawn.every((one) => one >= -1 && one < 1)).toBe(true);
    expect(Math.abs(drawn.reduce((sum, one) => sum + one, 0) / drawn.length)).toBeLessThan(0.03);
  });
});

describe("digits", () => {
  test.each([
    [0.125, 2, "0.12"], // ties go to the even digit
    [0.135, 2, "0.14"],
    [1.005, 2, "1.00"], // though the double is below
    [1.015, 2, "1.02"],
    [2.5, 0, "2"],
    [3.5, 0, "4"],
    [0.5, 0, "0"],
    [9.995, 1, "10.0"],
    [0, 2, "0.00"],
    [0.004, 2, "0.00"],
    [0.006, 2, "0.01"],
    [1e-9, 2, "0.00"],
    [1234.5, -2, "1200"],
    [1260, -3, "1000"],
    [999.95, 1, "1000.0"],
    [123456789012.35, 2, "123456789012.35"],
    [0.1 + 0.2, 2, "0.30"],
  ])("%d to %d places is %s", (x, places, text) => {
    expect(fixed(x, places)).toBe(text);
  });

  test.each([
    [1234567.891, 2, "1,234,567.89"],
    [999, 0, "999"],
    [1000, 0, "1,000"],
    [123456, 0, "123,456"],
    [0.5, 2, "0.50"],
  ])("%d is grouped", (x, places, text) => {
    expect(grouped(x, places)).toBe(text);
  });

  // What Python 3's round(x, 2) gives.
  test.each([
    [0.125, 0.12],
    [0.375, 0.38],
    [2.675, 2.67],
    [33.333333, 33.33],
    [100, 100],
    [0.615, 0.61],
  ])("round(%d, 2) is %d", (x, found) => {
    expect(rounded(x)).toBe(found);
  });
});

describe("words", () => {
  test.each([
    [NaN, "unknown"],
    [0, "$0"],
    [0.0237, "$0.02"],
    [0.0062104875, "$0.006210"],
    [0.00999999, "$0.01"],
    [0.01, "$0.01"],
    [551, "$551.00"],
    [-1234.5, "-$1,234.50"],
    [1e-12, "$0.000000000001000"],
  ])("money %d is %s", (amount, text) => {
    expect(money(amount)).toBe(text);
  });

  test.each([
    [551, "$551"],
    [49, "$49.0"],
    [1234567, "$1,230,000"],
    [-999.6, "-$1,000"],
    [0, "$0"],
    [0.012345, "$0.0123"],
  ])("about %d is %s", (amount, text) => {
    expect(about(amount)).toBe(text);
  });

  test.each([
    [0, "0 %"],
    [NaN, "n/a"],
    [0.918333333, "91.83 %"],
    [0.00001, "under 0.01 %"],
    [-0.5, "-50.00 %"],
    [12.5, "1,250.00 %"],
  ])("percent %d is %s", (share, text) => {
    expect(percent(share)).toBe(text);
  });

  test.each([
    [2.616, "2.62"],
    [60, "60"],
    [38.5, "38.5"],
    [5050.6, "5,051"],
    [NaN, "unknown"],
  ])("count %d is %s", (number, text) => {
    expect(count(number)).toBe(text);
  });
});

describe("entries", () => {
  test.each([
    ["100,000", 100000],
    [" 1 000 000 ", 1e6],
    ["1e6", 1e6],
    ["2_500", 2500],
    [".5", 0.5],
    ["75 %", 75],
    ["1,234.5", 1234.5],
    ["-5", -5],
  ])("%s is read", (text, number) => {
    expect(parse(text)).toBe(number);
  });

  test.each(["", "many", "1,5", "0x10", "1e", "--1", "Infinity", "NaN", "1,00"])("%o is no number", (text) => {
    expect(parse(text)).toBeNaN();
  });

  test("a percent and its fraction turn into each other without noise", () => {
    for (let n = 0; n <= 10000; n++) expect(percentOf(fraction(n / 100))).toBe(n / 100);
    expect(fraction(57)).toBe(0.57);
    expect(fraction(0.07)).toBe(0.0007);
  });

  test("all digits of a number are shown", () => {
    expect(written(1234567.125)).toBe("1,234,567.125");
    expect(written(NaN)).toBe("");
  });
});

describe("scales", () => {
  const scales = [logarithmic(2, 8), logarithmic(0, 5, false), linear(0, 1, 0.01), linear(0.1, 20, 0.1)];

  test.each(scales.map((scale) => [scale]))("each place has a value of its own, in order, and is found by it", (scale) => {
    const values = Array.from({ length: scale.last + 1 }, (_, place) => scale.valueAt(place));
    expect(values).toEqual([...new Set(values)].sort((one, other) => one - other));
    expect(values.map((value) => scale.placeOf(value))).toEqual([...values.keys()]);
  });

  test("what lies beyond stands at the end", () => {
    expect(logarithmic(2, 8).placeOf(1e12)).toBe(logarithmic(2, 8).last);
    expect(linear(0, 1, 0.01).placeOf(-3)).toBe(0);
  });
});

describe("a mix that a slider moves", () => {
  const models = ["a", "b", "c"];
  const sum = (mix: Record<string, number>): number => Object.values(mix).reduce((one, other) => one + other, 0);

  test("keeps the others as they stood to each other", () => {
    expect(balanced(models, { a: 0.5, b: 0.4, c: 0.1 }, "a", 0)).toEqual({ b: 0.8, c: 0.2 });
  });

  test("gives the rest of the only model to another", () => {
    expect(balanced(models, { b: 1 }, "b", 0.7)).toEqual({ a: 0.3, b: 0.7 });
  });

  test("always sums to 1", () => {
    for (let share = 0; share <= 1; share += 0.01) {
      const at = Math.round(share * 100) / 100;
      expect(sum(balanced(models, { a: 0.34, b: 0.33, c: 0.33 }, "b", at))).toBeCloseTo(1, 12);
    }
  });
});
