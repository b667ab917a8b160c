"""Two runs beside each other: what differs, and whether chance explains it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hs_notebook.benchmarking.pictures import asked, rate, share, title
from hs_notebook.benchmarking.statistics import newcombe, ratio_of_medians
from hs_notebook.benchmarking.summary import Summary, summarize
from hs_notebook.display.columns import Column
from hs_notebook.display.receipt import seconds
from hs_notebook.display.table import Table
from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hs_notebook.benchmarking.sample import File
    from hs_notebook.benchmarking.statistics import Interval
    from hs_notebook.benchmarking.summary import Spread

_COLUMNS = (
    Column("Model"),
    Column("Asked"),
    Column("Figure"),
    Column("Before", "right"),
    Column("Now", "right"),
    Column("Change (95 %)", "right"),
    Column("In words"),
)
_CHANCE = "within chance"
_OTHERWISE = "made otherwise"  # what differs may be due to that
_SETTINGS = ("host", "tokens", "parallel", "prompt")


def differences(now: File, before: File) -> Table:
    """Return what differs between two runs, for the models that both have measured."""
    old = {(one.model, one.phase): one for one in summarize(before.samples, before.setup.models)}
    pairs = [
        (one, old[key])
        for one in summarize(now.samples, now.setup.models)
        if (key := (one.model, one.phase)) in old
    ]
    if not pairs:
        raise _nothing_in_common(before)
    rows = [(one.model, asked(now.setup, one), *row) for one, other in pairs for row in _rows(one, other)]
    changes = _changes(now, before)
    if changes:
        rows = [(*row[:-1], _OTHERWISE) for row in rows]
    return Table(
        title=f"{title(now.setup, now.samples)}, against {before.setup.started:%Y-%m-%d %H:%M} UTC",
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=(*changes, *_notes(now, before)),
        grouped=True,
    )


def check_common(models: Sequence[str], before: File) -> None:
    """Raise `UsageError` where a run of `models` would have none in common with the one before."""
    if not {one.model for one in summarize(before.samples, before.setup.models)} & set(models):
        raise _nothing_in_common(before)


def _nothing_in_common(before: File) -> UsageError:
    return UsageError(
        "The two runs have no model in common.",
        hint=f"The other one measured {', '.join(before.setup.models)}.",
    )


def _rows(now: Summary, before: Summary) -> Iterator[tuple[str, ...]]:
    yield _ratio("First token p50", now.ttft, before.ttft, seconds, ("sooner", "later"))
    yield _ratio("Tokens/s p50", now.rate, before.rate, rate, ("slower", "faster"))
    yield _ratio("Total p50", now.duration, before.duration, seconds, ("shorter", "longer"))
    interval = newcombe(now.failed, now.requests, before.failed, before.requests)
    known = [share(one.failed_share) if one.requests else "unknown" for one in (before, now)]
    change = 100 * (now.failed_share - before.failed_share)
    low, high = (100 * (end or 0) for end in interval)
    told = "unknown" if math.isnan(change) else f"{change:+.1f} points ({low:+.1f} to {high:+.1f})"
    yield ("Errors", *known, told, _words(interval, 0.0, ("fewer", "more")))


def _ratio(
    name: str, now: Spread, before: Spread, show: Callable[[float], str], words: tuple[str, str]
) -> tuple[str, ...]:
    interval = ratio_of_medians(_above_zero(now), _above_zero(before))
    ratio = now.p50 / before.p50 if before.p50 else math.nan
    told = "unknown" if math.isnan(ratio) else f"× {ratio:.3f}"
    if None not in interval:
        told += f" ({interval.low:.3f} to {interval.high:.3f})"
    return (name, show(before.p50), show(now.p50), told, _words(interval, 1.0, words))


def _above_zero(spread: Spread) -> list[float]:
    return [value for value in spread.values if value > 0]


def _words(interval: Interval, same: float, words: tuple[str, str]) -> str:
    """Return whether a change is beyond chance, and in which direction."""
    if interval.low is None or interval.high is None:
        return "too few to tell"
    if interval.holds(same):
        return _CHANCE
    return f"{words[interval.low > same]}, beyond chance"


def _changes(now: File, before: File) -> list[str]:
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(before.setup, name), getattr(now.setup, name)) for name in _SETTINGS
    ]
    pairs.append(("simulated", before.simulated, now.simulated))
    changes = [
        f"The runs differ in {name}." if name == "prompt" else f"The runs differ in {name}: {was}, now {is_}."
        for name, was, is_ in pairs
        if was != is_
    ]
    return [*changes, "So chance is not asked: what differs may come from that."] if changes else []


def _notes(now: File, before: File) -> list[str]:
    notes = []
    if now.simulated and before.simulated:
        notes.append("Both were simulated: no model was asked.")
    notes += [f"{name}: {one.ended}" for name, one in (("Before", before), ("Now", now)) if one.ended]
    notes.append(
        "Ratios of medians by the bootstrap, differences of error rates by Newcombe's score interval. "
        "Of figures that are the same, one in 20 seems to differ by chance alone."
    )
    return notes
