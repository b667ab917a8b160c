"""A run as a table and as distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hs_notebook.benchmarking.sample import is_simulated
from hs_notebook.benchmarking.summary import FEWEST, Summary, spent, summarize
from hs_notebook.display.columns import Column
from hs_notebook.display.distributions import Panel, Strip, strips_svg, strips_text
from hs_notebook.display.receipt import seconds
from hs_notebook.display.table import Table
from hs_notebook.pricing.money import at_least, money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.benchmarking.sample import Sample, Setup
    from hs_notebook.benchmarking.statistics import Interval
    from hs_notebook.benchmarking.summary import Spread

_COLUMNS = (
    Column("Model"),
    Column("Asked"),
    Column("Requests", "right"),
    Column("First token p50", "right"),
    Column("p95", "right"),
    Column("Tokens/s p50", "right"),
    Column("p5", "right"),
    Column("Total p50", "right"),
    Column("Errors", "right"),
    Column("Cost", "right"),
)
_WAITED = 0.5  # seconds; less is the time to write a line of the ledger


def table(setup: Setup, samples: Sequence[Sample], ended: str) -> Table:
    """Return what was measured, two rows for each model."""
    found = summarize(samples, setup.models)
    return Table(
        title=title(setup, samples),
        columns=_COLUMNS,
        rows=tuple(_row(setup, one) for one in found),
        notes=tuple(_notes(setup, samples, found, ended)),
        grouped=True,
    )


def title(setup: Setup, samples: Sequence[Sample]) -> str:
    """Return in a line what was measured, where and when."""
    simulated = ", simulated" if is_simulated(setup, samples) else ""
    number = len(setup.models)
    models = setup.models[0] if number == 1 else f"{number} models"
    return f"Benchmark of {models} at {setup.server_address}, {setup.started:%Y-%m-%d %H:%M} UTC{simulated}"


def asked(setup: Setup, summary: Summary) -> str:
    """Return in words how requests were sent."""
    return "one at a time" if summary.phase == "sequential" else f"{setup.parallel} at once"


def _row(setup: Setup, one: Summary) -> tuple[Any, ...]:
    cost = at_least(one.known_cost) if one.cost is None else money(one.cost)
    return (
        one.model,
        asked(setup, one),
        one.requests,
        _spread(one.ttft.p50, one.ttft.p50_interval, seconds),
        seconds(one.ttft.p95),
        _about(_spread(one.rate.p50, one.rate.p50_interval, rate), estimated=one.estimated),
        _about(rate(one.rate.p5), estimated=one.estimated),
        seconds(one.duration.p50),
        errors(one),
        _about(cost, estimated=one.cost_estimated),
    )


def _about(told: str, *, estimated: bool) -> str:
    """Return a figure with a sign where it is an estimate."""
    if not estimated or told == "unknown":
        return told
    least, word, value = told.rpartition("at least ")
    return f"{least}{word}≈{value}"


def rate(value: float) -> str:
    """Return tokens a second in words; NaN is unknown."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def share(value: float) -> str:
    """Return a share of 1 as percent."""
    told = f"{100 * value:.1f} %".replace(".0 %", " %")
    if told == "0 %" and value:
        return "under 0.1 %"
    return "over 99.9 %" if told == "100 %" and value < 1 else told


def errors(one: Summary) -> str:
    """Return the share of requests that failed, with its interval; of a burst how many did."""
    if not one.requests:
        return "unknown"
    if one.is_burst:
        return f"{one.failed:,} of {one.requests:,}"
    low, high = one.error_rate
    return f"{share(one.failed_share)} ({100 * (low or 0):.1f}–{100 * (high or 0):.1f})".replace(
        "(0.0–", "(0–"
    )


def _spread(value: float, interval: Interval, show: Any) -> str:
    if math.isnan(value):
        return "unknown"
    low, high = (None if end is None else show(end) for end in interval)
    if low is None or high is None:
        return str(show(value))
    told = str(show(value))
    unit = told[told.rfind(" ") :] if " " in told else ""
    if unit and low.endswith(unit) and high.endswith(unit):
        low, high = low.removesuffix(unit), high.removesuffix(unit)
    return f"{told} ({low}–{high})"


def _notes(setup: Setup, samples: Sequence[Sample], found: Sequence[Summary], ended: str) -> list[str]:
    notes = []
    if ended:
        notes.append(ended)
    if is_simulated(setup, samples):
        notes.append("Simulated answers: no model was asked, nothing was billed; costs are as if.")
    notes += [_failures(setup, one) for one in found if one.kinds]
    notes += _lengths(setup, samples, found)
    if any(one.cost_estimated for one in found):
        notes.append("≈: some tokens are estimated, as the relay sent no figures.")
    if any(one.cost is None for one in found):
        notes.append(
            "A price, or what an answer came to, is unknown; a price of your own goes into a price file or "
            "%config HolySheepMagics.prices."
        )
    if waited := _waited(samples):
        notes.append(
            f"Limits, failed attempts and the waits between them took {waited:,.0f} s "
            f"({setup.requests_per_minute:,} requests a minute); that time is in no figure."
        )
    if setup.parallel > setup.concurrent_streams and any(one.is_burst for one in found):
        notes.append(
            f"The peak of {setup.parallel} goes beyond the {setup.concurrent_streams} streams at a time that "
            "the client keeps to otherwise."
        )
    if any(0 < len(one.ttft.values) < FEWEST for one in found):
        notes.append(f"p95 and p5 are known from {FEWEST} answers on.")
    if samples:
        cost = _about(spent(samples), estimated=any(sample.estimated for sample in samples))
        notes.append(f"The whole run cost {cost}, warm-up included.")
    notes.append(
        "In brackets: 95 % intervals, of medians by order statistics, of error rates by Wilson's score."
    )
    if any(one.is_burst for one in found):
        notes.append("What is sent at once is one burst, whatever its size: it has no interval.")
    return notes


def _failures(setup: Setup, one: Summary) -> str:
    kinds = ", ".join(f"{kind} ({count})" for kind, count in one.kinds.items())
    mended = f"; {one.mended} of {one.failed} mended by another attempt" if one.mended else ""
    return f"{one.model}, {asked(setup, one)}: {kinds}{mended}."


def _waited(samples: Sequence[Sample]) -> float:
    """Return the seconds that were waited in all: of requests that were sent at once, the longest wait."""
    alone, bursts = 0.0, dict[str, float]()
    for sample in samples:
        if sample.waited <= _WAITED:
            continue
        if sample.phase == "parallel":
            bursts[sample.model] = max(bursts.get(sample.model, 0.0), sample.waited)
        else:
            alone += sample.waited
    return alone + sum(bursts.values())


def _lengths(setup: Setup, samples: Sequence[Sample], found: Sequence[Summary]) -> list[str]:
    """Return of which models most answers ended before the limit, and not at one."""
    notes = []
    for one in found:
        whole = [sample for sample in samples if sample.whole and (sample.model, sample.phase) == one[:2]]
        by_itself = sum(sample.finish_reason != "length" for sample in whole)
        if one.tokens < setup.tokens and 2 * by_itself > len(whole):
            median = f"{'≈' * one.estimated}{one.tokens:,.0f} tokens in the median"
            told = f"most answers ended by themselves, after {median}, before {setup.tokens:,}"
            notes.append(f"{one.model}, {asked(setup, one)}: {told}.")
    return notes


def _panels(setup: Setup, samples: Sequence[Sample]) -> list[Panel]:
    """Return what can be drawn; nothing of failures alone."""
    found = summarize(samples, setup.models)

    def strips(pick: Any) -> list[Strip]:
        return [_strip(setup, one, pick(one)) for one in found]

    panels = [
        Panel("Time to first token", strips(lambda one: one.ttft), seconds),
        Panel("Tokens/s", strips(lambda one: one.rate), _short_rate),
    ]
    return panels if any(strip.values for panel in panels for strip in panel.strips) else []


def _short_rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _strip(setup: Setup, one: Summary, spread: Spread) -> Strip:
    low, high = spread.p50_interval
    first = one.phase == "sequential"
    label = one.model if first else f"{one.model} × {setup.parallel}"
    return Strip(label, int(not first), spread.values, spread.p50, low, high)


def svg(setup: Setup, samples: Sequence[Sample], *, alone: bool = False) -> str:
    """Return the distributions of both figures as SVG; empty where nothing is measured yet."""
    panels = _panels(setup, samples)
    if not panels:
        return ""
    said = (
        f"{strip.label}: first token {seconds(strip.median)}, {rate(other.median)} tokens/s"
        for strip, other in zip(panels[0].strips, panels[1].strips, strict=True)
    )
    about = f"Medians: {'; '.join(said)}."
    return strips_svg(panels, title=title(setup, samples), about=about, alone=alone)


def text(setup: Setup, samples: Sequence[Sample]) -> str:
    """Return the distributions for a terminal; empty where nothing is measured yet."""
    return strips_text(_panels(setup, samples))
