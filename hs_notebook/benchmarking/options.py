"""The options of ``bench``, in a notebook and on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.pricing.limit import amount

if TYPE_CHECKING:
    from decimal import Decimal

    from hs_notebook.benchmarking.benchmark import Benchmark
    from hs_notebook.benchmarking.plan import Plan
    from hs_notebook.display.table import Table

DESCRIPTION = (
    "How fast models answer, how often they fail and what that costs: requests one at a time, the models by "
    "turns, then a peak of several at once. The price is said before it starts, an interrupt keeps what is "
    "measured."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``bench`` takes."""
    add = parser.add_argument
    add("model", nargs="*", metavar="MODEL", help="the models, with spaces or commas between them")
    add("--requests", type=int, default=100, metavar="N", help="one at a time to each model; default: 100")
    add("--tokens", type=int, default=500, metavar="N", help="the longest answer, in tokens; default: 500")
    add("--parallel", type=int, default=10, metavar="N", help="at once in the peak; default: 10, 0: no peak")
    add("--warmup", type=int, default=3, metavar="N", help="before, which do not count; default: 3")
    add("--prompt", metavar="TEXT", help="what is asked; default: for a long essay")
    add("--max-cost", type=_usd, metavar="USD", help="stop the run where all of it would cost more")
    add("--save", metavar="FILE", help="write it to a .json, .csv, .md or .svg file, or all into a folder")
    add("--compare", metavar="FILE", help="show what differs from a run that was saved as .json")
    add("--dry-run", action="store_true", help="only say what it may cost, and ask nothing")


def plan_of(options: argparse.Namespace, default: str) -> Plan:
    """Return the plan that options name; raises `UsageError`."""
    from hs_notebook.benchmarking.plan import PROMPT, Plan

    return Plan.of(
        options.model or default,
        requests=options.requests,
        tokens=options.tokens,
        parallel=options.parallel,
        warmup=options.warmup,
        prompt=PROMPT if options.prompt is None else options.prompt,
    )


def other_of(options: argparse.Namespace, plan: Plan) -> Benchmark | None:
    """Return the run to compare with, if one is named.

    Raises `UsageError` for a file that holds none, or none of the plan's models, and `ConfigurationError`
    where nothing could be saved: before anything is paid.
    """
    from hs_notebook.benchmarking import files
    from hs_notebook.benchmarking.benchmark import Benchmark

    if options.save:
        files.try_writing(options.save)
    if not options.compare:
        return None
    other = Benchmark.load(options.compare)
    if not other.samples:
        raise UsageError(f"{options.compare} has no measurements.", hint="Name another file.")
    other.check_comparable(plan.models)
    return other


class Ending(NamedTuple):
    """What was done with a run: `lines` to tell, among them of trouble, and what differs from another run."""

    lines: tuple[str, ...] = ()
    trouble: bool = False
    difference: Table | None = None


def ending(benchmark: Benchmark, other: Benchmark | None, options: argparse.Namespace) -> Ending:
    """Write a run where that is asked for, and compare it; raises nothing, as the run is paid for."""
    lines, trouble, difference = [], False, None
    if options.save:
        try:
            lines.append(f"Saved: {', '.join(str(path) for path in benchmark.save(options.save))}.")
        except Exception as error:  # noqa: BLE001 - also a name that no file can have
            lines.append(f"Not saved: {_told(error)}")
            trouble = True
    if other is not None:
        try:
            difference = benchmark.compare(other)
        except Exception as error:  # noqa: BLE001 - a file may come from anybody
            lines.append(f"Not compared: {_told(error)}")
            trouble = True
    return Ending(tuple(lines), trouble, difference)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, HolySheepError) else f"{type(error).__name__}."


def _usd(text: str) -> Decimal:
    try:
        return amount(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message.rstrip(".")) from None


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` takes of the options."""
    return {"max_cost": options.max_cost, "dry_run": options.dry_run}
