/** The places of a slider: whole numbers, each with a value worth choosing. */
export interface Scale {
  readonly last: number;
  valueAt(place: number): number;
  placeOf(value: number): number;
}

// Evenly spread over a decade, as far as round numbers are.
const DECADE = [1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3.2, 3.5, 4, 4.5, 5, 5.6, 6.4, 7, 8, 9];

export function linear(from: number, to: number, step: number): Scale {
  const last = Math.round((to - from) / step);
  const clamp = (place: number): number => Math.min(last, Math.max(0, place));
  return {
    last,
    valueAt: (place) => Number((from + clamp(place) * step).toPrecision(12)),
    placeOf: (value) => clamp(Math.round((value - from) / step)),
  };
}

/** From 10^`from` to 10^`to`, with 0 before it where it is `withZero`. */
export function logarithmic(from: number, to: number, withZero = true): Scale {
  const values = withZero ? [0] : [];
  for (let power = from; power < to; power++) {
    for (const one of DECADE) values.push(Number((one * 10 ** power).toPrecision(2)));
  }
  values.push(10 ** to);
  const last = values.length - 1;
  return {
    last,
    valueAt: (place) => values[Math.min(last, Math.max(0, place))] ?? 0,
    placeOf: (value) => {
      const above = values.findIndex((one) => one >= value);
      if (above <= 0) return above ? last : 0;
      const [low = 0, high = 0] = [values[above - 1], values[above]];
      return value * 2 < low + high ? above - 1 : above;
    },
  };
}
