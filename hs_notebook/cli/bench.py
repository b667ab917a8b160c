"""``hs-notebook bench``."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.benchmarking.options import DESCRIPTION, add_options
from hs_notebook.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    import argparse

_INTERRUPTED = 130  # what shells report for an interrupt


def add_command(commands: Any) -> None:
    """Add ``bench`` to the commands."""
    made = commands.add_parser(
        "bench", help="how fast models answer, how often they fail, what that costs", description=DESCRIPTION
    )
    add_options(made)
    made.add_argument("--base-url", metavar="URL", help="another relay; the key must belong to it")
    made.add_argument("--json", action="store_true", help="write JSON, with all samples, instead of a table")
    made.set_defaults(command=bench)


def bench(options: argparse.Namespace) -> int:
    """Measure models; the table goes to standard output, all else to standard error."""
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

    benchmark = measure(plan, Means(client, file=sys.stderr, warn=warn), **named.keywords(options))
    if benchmark is None:
        return 0
    end = named.ending(benchmark, other, options)  # first of all: nobody may read what is written
    for line in filter(None, (benchmark.ended, *end.lines)):
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(benchmark.to_json() if options.json else f"{benchmark}\n")
    if end.difference is not None and not options.json:
        sys.stdout.write(f"\n{end.difference}\n")
    return _INTERRUPTED if benchmark.interrupted else int(bool(benchmark.ended) or end.trouble)
