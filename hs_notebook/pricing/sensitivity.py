"""F9: how much a saving depends on each input, and between which numbers chance leaves it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from hs_notebook.pricing.chance import INPUTS, draws, percentile
from hs_notebook.pricing.formulas import MONTHS, year
from hs_notebook.pricing.scenario import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.pricing.scenario import Scenario

    Saving: TypeAlias = Callable[[Scenario], Decimal | None]
    ThenAndSaving: TypeAlias = Callable[[Scenario], tuple[Decimal | None, Decimal | None]]


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """The saving a month as it is (`base`), and with one input `low` and `high`, in USD.

    Growth moves no first month: for it all three are the mean of twelve, a twelfth of the year's saving.
    """

    input: str
    base: Decimal
    low: Decimal
    high: Decimal

    @property
    def width(self) -> Decimal:
        """How far apart low and high are."""
        return abs(self.high - self.low)


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of 1,000 draws; None is unknown."""

    then_p5: Decimal | None = None
    then_p50: Decimal | None = None
    then_p95: Decimal | None = None
    saving_p5: Decimal | None = None
    saving_p50: Decimal | None = None
    saving_p95: Decimal | None = None


def moved(scenario: Scenario, factors: dict[str, Decimal]) -> Scenario:
    """Return a scenario with inputs multiplied, each cut to what it may be."""
    changed = {}
    for field, factor in factors.items():
        value = getattr(scenario, field) * factor
        if field == "cached_share":
            value = min(value, 1 - scenario.cache_write_share)
        elif field in {"error_rate", "growth"}:
            value = min(value, LIMITS[field].high)
        changed[field] = value
    return msgspec.structs.replace(scenario, **changed)


def matters(scenario: Scenario, field: str) -> bool:
    """Tell whether moving an input can change anything: it is not 0, and it has something to act on."""
    if field == "local_per_usd":
        return scenario.top_up and scenario.seller == "relay"
    if field == "cached_share" and not scenario.input_tokens:
        return False
    return bool(getattr(scenario, field))


def swings(scenario: Scenario, saving: Saving) -> tuple[Swing, ...]:
    """Return one swing for each input that matters, the widest first.

    Widths that agree in nine significant digits are equal, and then the order is that of `INPUTS`.
    """
    found = [
        swing for field in INPUTS if matters(scenario, field) if (swing := _swing(scenario, field, saving))
    ]
    return tuple(sorted(found, key=lambda swing: -Decimal(f"{swing.width:.8e}")))


def _swing(scenario: Scenario, field: str, saving: Saving) -> Swing | None:
    ends = (Decimal(0), -scenario.uncertainty, scenario.uncertainty)
    found = []
    for end in ends:
        at = moved(scenario, {field: 1 + end})
        value = saving(at)
        if field == "growth" and value is not None:
            value = (year(value, at.growth) or Decimal(0)) / MONTHS
        if value is None:
            return None
        found.append(value)
    base, low, high = found
    return Swing(input=field, base=base, low=low, high=high)


def chances(scenario: Scenario, then_and_saving: ThenAndSaving) -> Chances:
    """Return percentiles of the month of `then` and of the saving over the same 1,000 draws."""
    found = [then_and_saving(moved(scenario, _factors(scenario.uncertainty, draw))) for draw in draws()]
    then = _percentiles([then for then, _ in found])
    saved = _percentiles([saving for _, saving in found])
    return Chances(
        then_p5=then[0],
        then_p50=then[1],
        then_p95=then[2],
        saving_p5=saved[0],
        saving_p50=saved[1],
        saving_p95=saved[2],
    )


def _factors(uncertainty: Decimal, draw: tuple[float, ...]) -> dict[str, Decimal]:
    return {field: 1 + uncertainty * Decimal(one) for field, one in zip(INPUTS, draw, strict=True)}


def _percentiles(values: list[Decimal | None]) -> tuple[Decimal | None, ...]:
    known = sorted(value for value in values if value is not None)
    if len(known) < len(values):
        return None, None, None
    return tuple(percentile(known, percent) for percent in (5, 50, 95))
