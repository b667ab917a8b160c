/** PCG XSL RR 128/64 and the thousand draws, as in hs_notebook/pricing/chance.py. */
export const DRAWS = 1000;
const STATE = 0x243f6a8885a308d313198a2e03707344n;
const INCREMENT = 0xa4093822299f31d0082efa98ec4e6c89n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const MASK_128 = (1n << 128n) - 1n;
const MASK_64 = (1n << 64n) - 1n;

export function* pcg64(state: bigint, increment: bigint): Generator<bigint, never> {
  for (;;) {
    state = (state * MULTIPLIER + increment) & MASK_128;
    const mixed = ((state >> 64n) ^ state) & MASK_64;
    const turn = state >> 122n;
    yield ((mixed >> turn) | (mixed << (64n - turn))) & MASK_64;
  }
}

let made: Float64Array | undefined;

/** Number 7·i + j is draw i of input j, in [-1, 1); made once a page. */
export function draws(inputs: number): Float64Array {
  if (made?.length === DRAWS * inputs) return made;
  const numbers = pcg64(STATE, INCREMENT);
  made = Float64Array.from({ length: DRAWS * inputs }, () => 2 * Number(numbers.next().value >> 11n) * 2 ** -53 - 1);
  return made;
}
