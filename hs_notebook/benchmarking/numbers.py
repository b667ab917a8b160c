"""The numbers that a run takes, wherever they are named."""

from __future__ import annotations

from typing import NamedTuple


class Number(NamedTuple):
    """What a number is unless it is given, and the least that it may be."""

    default: int
    least: int


REQUESTS = Number(100, 1)
TOKENS = Number(500, 1)
PARALLEL = Number(10, 0)
WARMUP = Number(3, 0)
OUT_OF_REACH = 5  # requests in a row, of all models, that do not reach the relay: the others would not
NUMBERS = {"requests": REQUESTS, "tokens": TOKENS, "parallel": PARALLEL, "warmup": WARMUP}
