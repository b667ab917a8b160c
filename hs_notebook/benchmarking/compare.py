"""Two runs beside each other: what differs, and whether chance explains it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.benchmarking.pictures import asked, rate, share, title
from hs_notebook.benchmarking.statistics import UNKNOWN, Interval, newcombe, ratio_of_medians
from hs_notebook.benchmarking.summary import Summary, summarize
from hs_notebook.display.columns import Column
from hs_notebook.display.receipt import seconds
from hs_notebook.display.table import Table
from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hs_notebook.benchmarking.sample import File
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
_BURST = "one burst each"  # two observations, whatever number of requests they have
_TOO_FEW = "too few to tell"
_SETTINGS = ("server_address", "tokens", "prompt")  # the size of a peak changes none but itself


class _Figure(NamedTuple):
    """What is compared: as it is called in files and in words, how it is shown, and less and more of it."""

    name: str
    heading: str
    show: Callable[[float], str]
    less: str
    more: str


_TIMES = (
    _Figure("ttft", "First token p50", seconds, "sooner", "later"),
    _Figure("tokens_per_second", "Tokens/s p50", rate, "slower", "faster"),
    _Figure("duration", "Total p50", seconds, "shorter", "longer"),
)
_ERRORS = _Figure("error_rate", "Errors", share, "fewer", "more")


class Change(NamedTuple):
    """How a figure of one model and phase has changed.

    `change` is the ratio of two medians, of the error rate the difference of two shares; NaN is unknown, and
    the 95 % `interval` is open where there is none. `verdict` says in words what may be said of it.
    """

    now: Summary
    figure: _Figure
    values: tuple[float, float]  # before and now
    change: float
    interval: Interval
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        before, now = self.values
        return {
            "model": self.now.model,
            "phase": self.now.phase,
            "figure": self.figure.name,
            "before": before,
            "now": now,
            "change": self.change,
            "interval": self.interval,
            "verdict": self.verdict,
        }

    def cells(self) -> tuple[str, ...]:
        """Return it as a table shows it."""
        return (self.figure.heading, *map(self._shown, self.values), self._told(), self.verdict)

    def _shown(self, value: float) -> str:
        return "unknown" if math.isnan(value) else self.figure.show(value)

    def _told(self) -> str:
        if math.isnan(self.change):
            return "unknown"
        low, high = self.interval
        if self.figure is _ERRORS:
            told = f"{100 * self.change:+.1f} points"
            return told if low is None or high is None else f"{told} ({100 * low:+.1f} to {100 * high:+.1f})"
        told = f"× {self.change:.3f}"
        return told if low is None or high is None else f"{told} ({low:.3f} to {high:.3f})"


def changes(now: File, before: File) -> list[Change]:
    """Return what differs between two runs, for the models that both have measured."""
    old = _measured(before)
    pairs = [(one, old[key]) for key, one in _measured(now).items() if key in old]
    if not pairs:
        raise _nothing_in_common(before)
    found = [change for one, other in pairs for change in _changes(one, other)]
    return [one._replace(verdict=_OTHERWISE) for one in found] if _otherwise(now, before) else found


def differences(now: File, before: File) -> Table:
    """Return the same as a table."""
    rows = [(one.now.model, asked(now.setup, one.now), *one.cells()) for one in changes(now, before)]
    return Table(
        title=f"{title(now.setup, now.samples)}, against {before.setup.started:%Y-%m-%d %H:%M} UTC",
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=tuple(notes(now, before)),
        grouped=True,
    )


def as_dict(now: File, before: File) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "before": before.setup.started.isoformat(),
        "changes": [one.as_dict() for one in changes(now, before)],
        "notes": notes(now, before),
    }


def check_common(models: Sequence[str], before: File) -> None:
    """Raise `UsageError` where a run of `models` would have none in common with the one before."""
    if not {one.model for one in summarize(before.samples, before.setup.models)} & set(models):
        raise _nothing_in_common(before)


def _nothing_in_common(before: File) -> UsageError:
    return UsageError(
        "The two runs have no model in common.",
        hint=f"The other one measured {', '.join(before.setup.models)}.",
    )


def _changes(now: Summary, before: Summary) -> Iterator[Change]:
    spreads = ((now.ttft, before.ttft), (now.rate, before.rate), (now.duration, before.duration))
    for figure, (one, other) in zip(_TIMES, spreads, strict=True):
        ratio = one.p50 / other.p50 if other.p50 else math.nan
        interval = UNKNOWN if now.is_burst else ratio_of_medians(_above_zero(one), _above_zero(other))
        verdict = _verdict(now, interval, 1.0, figure)
        yield Change(now, figure, (other.p50, one.p50), ratio, interval, verdict)
    interval = UNKNOWN
    if now.requests and before.requests and not now.is_burst:
        interval = newcombe(now.failed, now.requests, before.failed, before.requests)
    shares = before.failed_share, now.failed_share
    verdict = _verdict(now, interval, 0.0, _ERRORS)
    yield Change(now, _ERRORS, shares, shares[1] - shares[0], interval, verdict)


def _above_zero(spread: Spread) -> list[float]:
    return [value for value in spread.values if value > 0]


def _verdict(now: Summary, interval: Interval, same: float, figure: _Figure) -> str:
    """Return whether a change is beyond chance, and in which direction."""
    if now.is_burst:
        return _BURST
    if interval.low is None or interval.high is None:
        return _TOO_FEW
    if interval.holds(same):
        return _CHANCE
    return f"{figure.more if interval.low > same else figure.less}, beyond chance"


def _otherwise(now: File, before: File) -> list[str]:
    # The simulated relay is the same at whatever port.
    settings = _SETTINGS[1:] if now.simulated and before.simulated else _SETTINGS
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(before.setup, name), getattr(now.setup, name)) for name in settings
    ]
    pairs.append(("simulated", before.simulated, now.simulated))
    told = [
        f"The runs differ in {name}." if name == "prompt" else f"The runs differ in {name}: {was}, now {is_}."
        for name, was, is_ in pairs
        if was != is_
    ]
    return [*told, "So chance is not asked: what differs may come from that."] if told else []


def notes(now: File, before: File) -> list[str]:
    """Return what a reader must know of two runs."""
    told = _otherwise(now, before)
    if now.simulated and before.simulated:
        told.append("Both were simulated: no model was asked.")
    told += [f"{name}: {one.ended}" for name, one in (("Before", before), ("Now", now)) if one.ended]
    if before.setup.parallel != now.setup.parallel:
        told.append(f"The peaks differ: {before.setup.parallel} at once before, now {now.setup.parallel}.")
    if only := _only_in(now, before):
        told.append(f"Only in this run: {only}.")
    if only := _only_in(before, now):
        told.append(f"Only in the other: {only}.")
    if any(sample.phase == "parallel" for sample in now.samples):
        told.append("Two bursts are two observations, whatever their size: of them chance is not asked.")
    told.append(
        "Ratios of medians by the bootstrap, differences of error rates by Newcombe's score interval. "
        "Of figures that are the same, one in 20 seems to differ by chance alone."
    )
    return told


def _only_in(run: File, other: File) -> str:
    """Return what one of two runs has measured and the other has not; empty where there is nothing."""
    known = _measured(other)
    missing = [one for key, one in _measured(run).items() if key not in known]
    return ", ".join(f"{one.model} {asked(run.setup, one)}" for one in missing)


def _measured(run: File) -> dict[tuple[str, str], Summary]:
    """Return what a run has measured, by model and phase."""
    return {(one.model, one.phase): one for one in summarize(run.samples, run.setup.models)}
