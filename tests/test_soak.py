"""A minute, or an hour, of everything at once: what the processes hold must not grow."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from soak import BOUNDS, fit, soak, wrong

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = float(os.environ.get("SOAK_SECONDS", "40"))


@pytest.mark.timeout(SECONDS + 300)
def test_nothing_grows(tmp_path: Path, publish: Callable[..., None]) -> None:
    lines, counts = soak(SECONDS, tmp_path)
    assert wrong(lines, counts) == []
    for line in lines:
        publish(
            "soak",
            what=line.what,
            start=f"{line.start:,.1f}",
            end=f"{line.end:,.1f}",
            slope_per_hour=f"{line.slope:+,.1f} ({line.least:+,.1f} to {line.most:+,.1f})",
            hours=f"{line.hours:.2f}",
            bound=f"+{line.bound:,g} in the run",
            answers=f"{counts['asked']:,}",
            cuts=f"{counts['cuts']:,}",
        )


@pytest.mark.parametrize(("per_round", "flat"), [(0.0, True), (0.001, True), (0.05, False), (0.5, False)])
def test_a_line_that_climbs_is_seen(per_round: float, flat: bool) -> None:
    """An hour of rounds of 3 s, in noise of some MiB, with outliers."""
    dice = random.Random(3)
    at = [3.0 * number for number in range(1200)]
    values = [90 + per_round * n + dice.gauss(0, 1) + 50 * (n % 97 == 0) for n in range(1200)]
    line = fit("memory", at, values, BOUNDS["memory, MiB"])
    assert line.flat is flat
    assert line.least <= line.slope <= line.most


def test_what_was_not_tried_or_does_not_add_up_is_told() -> None:
    counts = {"ended": {}, "asked": 3, "requests": 5, "cuts": 0, "rounds": 1}
    ledgers = {"client": {"complete": 1, "pending": 1}, "relay": {"complete": 4}}
    told = wrong([], counts | ledgers)
    for what in ("never tried: stall, whole", "never tried: interrupted", "asked 3, recorded 2"):
        assert what in told
    for what in ("client has pending calls", "the relay's calls", "no connection was cut"):
        assert what in told
