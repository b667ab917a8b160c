"""F9's chances: the same thousand draws for every scenario, here and in the page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

DRAWS = 1000
INPUTS = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cached_share",
    "error_rate",
    "growth",
    "local_per_usd",
)

# Digits of pi, so that nobody chose them.
STATE = 0x243F6A8885A308D313198A2E03707344
INCREMENT = 0xA4093822299F31D0082EFA98EC4E6C89
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK_128, _MASK_64 = (1 << 128) - 1, (1 << 64) - 1


def pcg64(state: int, increment: int) -> Iterator[int]:
    """Yield 64-bit numbers of PCG XSL RR 128/64, which numpy calls PCG64.

    state ← state·multiplier + increment (mod 2¹²⁸) comes first, then the number: the halves of the state
    xored, and rotated right by its upper six bits.
    """
    while True:
        state = (state * _MULTIPLIER + increment) & _MASK_128
        mixed, turn = ((state >> 64) ^ state) & _MASK_64, state >> 122
        yield ((mixed >> turn) | (mixed << (64 - turn))) & _MASK_64


def uniform(state: int, increment: int) -> Iterator[float]:
    """Yield doubles in [0, 1): the upper 53 bits of each number."""
    for number in pcg64(state, increment):
        yield (number >> 11) * 2.0**-53


@cache
def draws() -> tuple[tuple[float, ...], ...]:
    """Return 1,000 draws of seven doubles in [-1, 1): 2u − 1.

    Number 7·i + j of the generator is draw i of input j, in the order of `INPUTS`. All seven are drawn for
    every scenario. In draw i an input is its value times 1 + uncertainty·draws()[i][j], cut to what
    it may be.
    """
    numbers = uniform(STATE, INCREMENT)
    return tuple(tuple(2 * next(numbers) - 1 for _ in INPUTS) for _ in range(DRAWS))


def percentile(ordered: Sequence[Decimal], percent: int) -> Decimal:
    """Return the nearest-rank percentile of ascending numbers: the one of rank ceil(n·percent/100)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
