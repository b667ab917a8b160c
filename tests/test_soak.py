"""A minute, or an hour, of everything at once: what the processes hold must not grow."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from soak import BOUNDS, PARTS, Line, as_recorded, expected, fit, soak, wrong

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = float(os.environ.get("SOAK_SECONDS", "40"))


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.flaky(reruns=0 if SECONDS > 300 else 1)  # of an hour the reason is wanted, not another hour
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


ROUNDS = 20
FLAT = [
    Line(f"{who}: {what}", 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, bound)
    for who in PARTS
    for what, bound in BOUNDS.items()
]


def counted(**ended: int) -> dict[str, Any]:
    """What a run in order counts, but for what `ended` otherwise, with _ for a blank and __ for a colon."""
    ends = {f"{what}: {work.ends}": calls for what, work, calls in expected(ROUNDS)}
    ends |= {name.replace("__", ": ").replace("_", " "): number for name, number in ended.items()}
    ledger = as_recorded(Counter(ends))
    asked = sum(ends.values())
    counts = {"ended": ends, "asked": asked, "requests": asked, "cuts": 9, "rounds": ROUNDS, "unsent": 0}
    return counts | {"client": dict(ledger), "relay": {"complete": asked}}


def test_a_run_in_order_is_not_complained_of() -> None:
    assert wrong(FLAT, counted()) == []
    assert wrong(FLAT, counted(async__complete=58, async__truncated=2)) == []


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"interrupted__stopped": 19}, "interrupted: 19 calls, not 20"),
        (
            {"interrupted__stopped": 19, "interrupted__complete": 1},
            "interrupted wrongly ended: {'complete': 1}",
        ),
        ({"cancelled__stopped": 0, "cancelled__error": 20}, "cancelled wrongly ended: {'error': 20}"),
        ({"async__complete": 59, "async__TypeError": 1}, "async wrongly ended: {'TypeError': 1}"),
        ({"map__complete": 50, "map__truncated": 10}, "hardly complete: map"),
        ({"401__InternalServerError": 0, "401__complete": 3}, "401 wrongly ended: {'complete': 3}"),
        ({"stall,_whole__InternalServerError": 0}, "stall, whole: 0 calls, not 2"),
    ],
)
def test_what_ended_as_it_may_not_is_told(ended: dict[str, int], told: str) -> None:
    assert told in wrong(FLAT, counted(**ended))


def test_a_call_that_was_not_sent_may_be_missing_in_the_ledger() -> None:
    counts = counted()
    counts["client"]["stopped"] -= 1
    assert any(line.startswith("ended Counter({") for line in wrong(FLAT, counts))
    assert wrong(FLAT, counts | {"unsent": 1}) == []


def test_what_was_not_measured_or_does_not_add_up_is_told() -> None:
    counts = counted() | {"cuts": 0, "client": {"complete": 1, "pending": 1}, "relay": {"complete": 4}}
    told = wrong(FLAT[1:], counts)
    for what in ("not measured: client: memory, MiB", "client has pending calls", "the relay's calls"):
        assert what in told
    assert "no connection was cut" in told
    assert any(line.startswith("ended Counter({") for line in told)
