"""``hs-notebook bench``."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.benchmarking.options import add_options, manual
from hs_notebook.interrupts import has_waited, uninterrupted
from hs_notebook.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from hs_notebook.benchmarking.benchmark import Benchmark
    from hs_notebook.benchmarking.options import Ending

_INTERRUPTED = 130  # what shells report for an interrupt


def add_command(commands: Any) -> None:
    """Add ``bench`` to the commands."""
    made = commands.add_parser(
        "bench",
        help="how fast models answer, how often they fail, what that costs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **manual("hs-notebook bench"),
    )
    add_options(made)
    made.add_argument("--base-url", metavar="URL", help="another relay; the key must belong to it")
    written = made.add_mutually_exclusive_group()
    written.add_argument(
        "--json", action="store_true", help="write one JSON document instead of tables: all of it"
    )
    written.add_argument("--csv", action="store_true", help="write CSV instead of tables: the requests")
    made.set_defaults(command=bench)


def bench(options: argparse.Namespace) -> int:
    """Measure models; what was measured goes to standard output, all else to standard error."""
    from hs_notebook.benchmarking import options as named
    from hs_notebook.benchmarking.job import Means, measure
    from hs_notebook.ledger import Ledger
    from hs_notebook.session import Session

    plan = named.plan_of(options, DEFAULT_MODEL)
    other = named.other_of(options, plan)
    session = Session(prompt=getpass.getpass if sys.stdin.isatty() else None)
    client, ledger = session.client(options.base_url), Ledger()
    client.use(client.quotes.book, ledger)

    def warn() -> None:
        if warning := ledger.warning():
            sys.stderr.write(f"{warning}\n")

    with uninterrupted():
        benchmark = measure(plan, Means(client, file=sys.stderr, warn=warn), **named.keywords(options))
        if benchmark is None:
            return 0
        end = named.ending(benchmark, other, options)  # first of all: nobody may read what is written
        for line in filter(None, (benchmark.ended, *end.lines)):
            sys.stderr.write(f"{line}\n")
        _write(benchmark, other, end, options)
        interrupted = has_waited() or benchmark.interrupted
    return _INTERRUPTED if interrupted else int(bool(benchmark.ended) or end.trouble)


def _write(benchmark: Benchmark, other: Benchmark | None, end: Ending, options: argparse.Namespace) -> None:
    """Write a run, and what differs from another where that could be told."""
    difference = end.difference
    if options.json:
        sys.stdout.write(benchmark.to_json(None if difference is None else other))
        return
    sys.stdout.write(benchmark.to_csv() if options.csv else f"{benchmark}\n")
    if difference is not None:
        (sys.stderr if options.csv else sys.stdout).write(f"\n{difference}\n")
    sys.stdout.flush()
