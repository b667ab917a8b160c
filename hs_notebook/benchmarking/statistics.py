"""What a sample says of what it was taken from: quantiles, shares and their differences, with 95 % intervals.

All is reckoned from the samples alone and comes out the same each time.

- A quantile is interpolated between its neighbours (Hyndman and Fan's type 7, as numpy's default).
- Its interval lies between two of the samples in order (Thompson 1936): so many of them are below the true
  quantile as heads come up in throws of a coin, whatever the distribution is.
- The interval of a share is Wilson's score interval (1927), that of a difference of two shares Newcombe's
  (1998, method 10), which is made of two of Wilson's.
- The interval of a ratio of medians is the percentile bootstrap's.
"""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
DRAWS = 4_000  # of a bootstrap
SEED = 20_261_125
_FEWEST = 6  # on either side: of fewer the bootstrap calls equal runs different far too often


class Interval(NamedTuple):
    """What lies between two ends; None where the samples are too few to bound it."""

    low: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        """Tell whether a value is not outside."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)


UNKNOWN = Interval(None, None)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a `share` of the values, 0 to 1, does not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return low if low == high else low + (place - below) * (high - low)


def median(values: Sequence[float]) -> float:
    """Return the value in the middle; NaN of none."""
    return quantile(values, 0.5)


def quantile_interval(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Interval:
    """Return an interval that holds the true quantile with at least this confidence."""
    ordered, number = sorted(values), len(values)
    tail = (1 - confidence) / 2
    low = high = None
    fewer = 0.0  # the chance that fewer than `rank` samples are below the true quantile
    for rank in range(1, number + 1):
        fewer += _binomial(rank - 1, number, share)
        if fewer <= tail:
            low = ordered[rank - 1]
        if high is None and fewer >= 1 - tail:
            high = ordered[rank - 1]
    return Interval(low, high)


def _binomial(count: int, number: int, share: float) -> float:
    if share in {0.0, 1.0}:
        return float(count == number * share)
    logs = math.lgamma(number + 1) - math.lgamma(count + 1) - math.lgamma(number - count + 1)
    return math.exp(logs + count * math.log(share) + (number - count) * math.log1p(-share))


def wilson(count: int, number: int) -> Interval:
    """Return the interval of a share of which `count` of `number` were seen."""
    return Interval(*_scores(count, number))


def _scores(count: int, number: int) -> tuple[float, float]:
    if not number:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    seen = count / number
    middle = seen + z * z / (2 * number)
    reach = z * math.sqrt(seen * (1 - seen) / number + z * z / (4 * number * number))
    scale = 1 + z * z / number
    low = (middle - reach) / scale if count else 0.0
    return low, (middle + reach) / scale if count < number else 1.0


def newcombe(count: int, number: int, other_count: int, other_number: int) -> Interval:
    """Return the interval of the share `count` of `number` less the other one."""
    if not number or not other_number:
        return Interval(-1.0, 1.0)
    seen, other = count / number, other_count / other_number
    low, high = _scores(count, number)
    other_low, other_high = _scores(other_count, other_number)
    below, above = math.hypot(seen - low, other_high - other), math.hypot(high - seen, other - other_low)
    return Interval(seen - other - below, seen - other + above)


def ratio_of_medians(values: Sequence[float], others: Sequence[float], *, seed: int = SEED) -> Interval:
    """Return the interval of the median of `values` over that of `others`, all above 0; open of too few."""
    if min(len(values), len(others)) < _FEWEST:
        return UNKNOWN
    random = Random(seed)  # noqa: S311 - chosen for being repeatable
    above, below = sorted(values), sorted(others)
    ratios = [_resampled(above, random) / _resampled(below, random) for _ in range(DRAWS)]
    tail = (1 - CONFIDENCE) / 2
    return Interval(quantile(ratios, tail), quantile(ratios, 1 - tail))


def _resampled(ordered: Sequence[float], random: Random) -> float:
    """Return the median of as many values drawn from these, each as likely and with repetition.

    Which values stand in the middle of such a draw is known without drawing all of it: ranks are uniform, and
    the middle one of n uniform numbers has a beta distribution.
    """
    number = len(ordered)
    half = number // 2
    high = random.betavariate(half + 1, number - half)
    above = ordered[min(int(high * number), number - 1)]
    if number % 2:
        return above
    low = high * random.random() ** (1 / half)  # the largest of the half that is below
    return (ordered[min(int(low * number), number - 1)] + above) / 2
