"""The options of ``bench``, in a notebook and on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.pricing.limit import amount

if TYPE_CHECKING:
    from decimal import Decimal

    from hs_notebook.benchmarking.benchmark import Benchmark
    from hs_notebook.benchmarking.plan import Plan

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


def other_of(options: argparse.Namespace) -> Benchmark | None:
    """Return the run to compare with, if one is named.

    Raises `UsageError` for a file that holds none, and where nothing could be saved: before anything is paid.
    """
    from hs_notebook.benchmarking import files
    from hs_notebook.benchmarking.benchmark import Benchmark

    if options.save:
        files.target(options.save)
    if not options.compare:
        return None
    other = Benchmark.load(options.compare)
    if not other.samples:
        raise UsageError(f"{options.compare} has no measurements.", hint="Name another file.")
    return other


def saved(benchmark: Benchmark, options: argparse.Namespace) -> str:
    """Write a run where that is asked for, and return a line that says so."""
    if not options.save:
        return ""
    return f"Saved: {', '.join(str(path) for path in benchmark.save(options.save))}."


def _usd(text: str) -> Decimal:
    try:
        return amount(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message.rstrip(".")) from None


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` takes of the options."""
    return {"max_cost": options.max_cost, "dry_run": options.dry_run}
