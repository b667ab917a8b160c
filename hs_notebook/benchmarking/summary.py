"""What samples come to: for each model, one at a time and at the peak."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from hs_notebook.benchmarking.statistics import (
    UNKNOWN,
    Interval,
    median,
    quantile,
    quantile_interval,
    wilson,
)
from hs_notebook.pricing.money import at_least, money

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hs_notebook.benchmarking.sample import Phase, Sample

MEASURED: tuple[Phase, ...] = ("sequential", "parallel")
FEWEST = 20  # for a percentile at the edge


class Spread(NamedTuple):
    """Values with their 5th, 50th and 95th percentile, each with its 95 % interval; NaN of none.

    Of fewer than 20 values none lies beyond the 5th or the 95th: these are NaN, too. The intervals of values
    that are not independent are open: of one another's doing they say nothing of the next.
    """

    values: tuple[float, ...]
    p5: float
    p50: float
    p95: float
    p5_interval: Interval
    p50_interval: Interval
    p95_interval: Interval

    @classmethod
    def of(cls, values: Iterable[float | None], *, independent: bool) -> Spread:
        """Sum up the values that are known."""
        known = tuple(value for value in values if value is not None)
        shares = (0.05, 0.5, 0.95)
        points = [
            math.nan if share != 0.5 and len(known) < FEWEST else quantile(known, share) for share in shares
        ]
        intervals = [quantile_interval(known, share) if independent else UNKNOWN for share in shares]
        return cls(known, points[0], points[1], points[2], intervals[0], intervals[1], intervals[2])


class Summary(NamedTuple):
    """What the samples of one model and phase come to; times in seconds, cost in USD.

    Times are those of whole answers. A request counts as `failed` where an attempt of it did, and as `mended`
    where another one brought the answer all the same. `cost` is None where a part of it is unknown. Tokens,
    and with them the rate, or the cost may be `estimated` in part.

    The requests of a peak are one burst: they met the same moment, so of what they have in common they are
    one observation, and no interval is drawn from them.
    """

    model: str
    phase: Phase
    requests: int
    failed: int
    mended: int
    kinds: dict[str, int]
    error_rate: Interval
    ttft: Spread
    rate: Spread
    duration: Spread
    tokens: float
    estimated: bool
    cost: Decimal | None
    cost_estimated: bool
    known_cost: Decimal

    @property
    def is_burst(self) -> bool:
        """Whether the requests were sent at once."""
        return self.phase == "parallel"

    @property
    def failed_share(self) -> float:
        """The share of requests that failed; NaN of none."""
        return self.failed / self.requests if self.requests else float("nan")


def summarize(samples: Sequence[Sample], models: Sequence[str]) -> list[Summary]:
    """Return what was measured, by `models` in their order and by phase; the warm-up does not count."""
    found = []
    for model in dict.fromkeys([*models, *(sample.model for sample in samples)]):
        for phase in MEASURED:
            mine = [sample for sample in samples if (sample.model, sample.phase) == (model, phase)]
            if mine:
                found.append(_summary(model, phase, mine))
    return found


def _summary(model: str, phase: Phase, samples: Sequence[Sample]) -> Summary:
    over = [sample for sample in samples if sample.over]
    whole = [sample for sample in over if sample.whole]
    failed = [sample for sample in over if sample.failed]
    kinds = Counter(kind for sample in failed for kind in {*sample.mended, sample.error_type} if kind)
    alone = phase != "parallel"
    return Summary(
        model=model,
        phase=phase,
        requests=len(over),
        failed=len(failed),
        mended=sum(sample.whole for sample in failed),
        kinds=dict(kinds.most_common()),
        error_rate=wilson(len(failed), len(over)) if alone else UNKNOWN,
        ttft=Spread.of((sample.ttft for sample in whole), independent=alone),
        rate=Spread.of((sample.tokens_per_second for sample in whole), independent=alone),
        duration=Spread.of((sample.duration for sample in whole), independent=alone),
        tokens=median([sample.output_tokens for sample in whole if sample.output_tokens is not None]),
        estimated=any(sample.estimated for sample in whole),
        cost=total_cost(samples),
        cost_estimated=any(sample.estimated for sample in samples),
        known_cost=sum((sample.known_cost for sample in samples), Decimal(0)),
    )


def total_cost(samples: Sequence[Sample]) -> Decimal | None:
    """Return what samples cost in USD; None where that is unknown of one that may be billed."""
    costs = [sample.cost for sample in samples if sample.input_tokens is not None]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def spent(samples: Sequence[Sample]) -> str:
    """Return in words what samples cost: a part of which is unknown is never shown as the whole."""
    total = total_cost(samples)
    known = sum((sample.known_cost for sample in samples), Decimal(0))
    return at_least(known) if total is None else money(total)
