"""``%holysheep bench``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.interrupts import has_waited, heard_once, uninterrupted
from hs_notebook.magics.parser import Parser, read_words

if TYPE_CHECKING:
    from decimal import Decimal

    from hs_notebook.benchmarking.benchmark import Benchmark
    from hs_notebook.benchmarking.job import Means
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.exchange import Exchange
    from hs_notebook.magics.magic import HolySheepMagics


def bench(magics: HolySheepMagics, words: list[str]) -> Benchmark | None:
    """Measure how fast models answer, how often they fail and what that costs."""
    from hs_notebook.benchmarking import options as named
    from hs_notebook.benchmarking.job import measure

    prog = "%holysheep bench"
    parser = Parser(prog=prog, usage=f"%{prog} [MODEL[,MODEL…]] [options]", **named.manual(prog))
    named.add_options(parser)
    options = read_words(parser, words)
    plan = named.plan_of(options, magics.model)
    other = named.other_of(options, plan)
    means = means_of(magics)
    with uninterrupted():
        benchmark = measure(plan, means, **named.keywords(options))
        if benchmark is None:
            return None
        end = named.ending(benchmark, other, options)
        for line in end.lines:
            sys.stdout.write(f"{line}\n")
        if end.difference is not None:
            _show(magics, end.difference)
        interrupted = has_waited() or benchmark.interrupted
    if interrupted and hasattr(magics.shell, "kernel"):
        heard_once()
    return benchmark


def means_of(magics: HolySheepMagics, client: AsyncHolySheep | None = None) -> Means:
    """Return what a run of this notebook stands on; a `client` of its own has no budget."""
    from hs_notebook.benchmarking.job import Means

    page = magics.shell if magics.in_page else None
    if client is not None:
        return Means(client, page=page)

    def left() -> Decimal | None:
        budget = magics.purse.budget
        return None if budget is None else budget - magics.purse.spent()

    def charge(exchange: Exchange) -> None:
        magics.session.count(exchange.charge)

    return Means(
        magics.replays.client(),
        calibration=magics.session.calibration,
        budget=left,
        charge=charge,
        going=magics.session.going,
        warn=magics.purse.say_warning,
        page=page,
    )


def _show(magics: HolySheepMagics, table: Any) -> None:
    if magics.in_page:
        magics.shell.display_pub.publish(data=table._repr_mimebundle_())
    else:
        sys.stdout.write(f"{table}\n\n")
