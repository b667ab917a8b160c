"""A run from its price to its end."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

import msgspec

from hs_notebook import __version__
from hs_notebook.benchmarking.benchmark import Benchmark
from hs_notebook.benchmarking.measurement import Measurement
from hs_notebook.benchmarking.place import Place
from hs_notebook.benchmarking.sample import Setup
from hs_notebook.display.visible import escape, visible
from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.interrupts import has_waited, uninterrupted
from hs_notebook.pricing.limit import amount
from hs_notebook.prompt import somebody_is_there
from hs_notebook.runs.price import Pot, price_of
from hs_notebook.settings import refuse_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from decimal import Decimal

    from hs_notebook.benchmarking.plan import Plan
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.exchange import Exchange
    from hs_notebook.pricing.calibration import Calibration


class Means:
    """What a run stands on: a client, and of a notebook its budget, its session and its page.

    `budget` returns what is left of it in USD, None where there is none; `charge` hears of each request that
    has ended; within `going` the run can be stopped by others; `warn` tells of what could not be recorded.
    `page` is the shell where there is one to show pictures in.
    """

    def __init__(
        self,
        client: AsyncHolySheep,
        *,
        calibration: Calibration | None = None,
        budget: Callable[[], Decimal | None] = lambda: None,
        charge: Callable[[Exchange], None] = lambda _exchange: None,
        warn: Callable[[], None] = lambda: None,
        going: Callable[[Any], AbstractContextManager[None]] = lambda _run: contextlib.nullcontext(),
        page: Any = None,
        file: TextIO | None = None,
    ) -> None:
        self.client, self.calibration, self.budget = client, calibration, budget
        self.charge, self.going, self.page, self.warn = charge, going, page, warn
        # A page shows standard error in red.
        self.file = file or (sys.stderr if page is None else sys.stdout)

    def say(self, text: str) -> None:
        """Tell the user some lines, where somebody reads them."""
        with contextlib.suppress(OSError, ValueError):
            if self.page is None:
                self.file.write(f"{text}\n")
                self.file.flush()
            else:
                self.page.display_pub.publish(data={"text/plain": text, "text/html": _lines(text)})


def _lines(text: str) -> str:
    """Return lines for a page, which would break printed ones within words and numbers."""
    lines = "".join(f"<div>{escape(visible(line))}</div>\n" for line in text.splitlines())
    return f'<div class="mathjax_ignore tex2jax_ignore">\n{lines}</div>'


def measure(
    plan: Plan,
    means: Means,
    *,
    max_cost: Decimal | float | str | None = None,
    progress: bool = True,
    dry_run: bool = False,
) -> Benchmark | None:
    """Say what a run may cost, make it, and return what was measured; with `dry_run` only say it.

    Raises `HolySheepError` or `KeyboardInterrupt` where nothing could be measured; where the run ended before
    its time what there is says so in `ended`.
    """
    client = means.client
    if client.replay is not None and client.replay.mode == "replay":
        raise UsageError(
            "In the mode replay nothing is asked, so there is nothing to measure.",
            hint="%config HolySheepMagics.replay = 'off'.",
        )
    usd = None if max_cost is None else amount(max_cost)
    plan.check(client.quotes, client.requests_per_minute)
    for turn, *_ in plan.turns()[: len(plan.models)]:
        refuse_key(plan.request(turn), client.credentials.key)
    if progress or dry_run:
        means.say(price(plan, means))
    if dry_run:
        return None
    setup = setup_of(plan, client)
    run = Measurement(client, plan, pot=_pot(usd, means), charge=means.charge)
    place = Place(
        setup, plan.total, means.file if progress else None, watched=_watched(means), page=means.page
    )
    with uninterrupted():
        try:
            with means.going(run):
                run.wait(place)
        finally:
            place.close(run.samples)
            means.warn()
        setup = msgspec.structs.replace(setup, simulated=run.simulated)
        benchmark = Benchmark(setup, run.samples, _ended(run, plan, client))
        if run.ended is not None and not run.tells:
            raise _nothing(run.ended)
        place.finish(benchmark)
        # Who interrupts once more, or when all is over, loses nothing that is paid for.
        benchmark.interrupted = has_waited() or isinstance(run.ended, KeyboardInterrupt)
    return benchmark


def _nothing(ended: HolySheepError | KeyboardInterrupt) -> BaseException:
    """Return why there is nothing; an interrupt itself has no words."""
    if isinstance(ended, HolySheepError):
        return ended
    return KeyboardInterrupt("Stopped before anything was measured.")


def _watched(means: Means) -> bool:
    return somebody_is_there() or means.file.isatty()


def _ended(run: Measurement, plan: Plan, client: AsyncHolySheep) -> str:
    if run.ended is None:
        return ""
    why = f": {run.ended}" if isinstance(run.ended, HolySheepError) else "."
    done = sum(sample.over for sample in run.samples)
    return client.credentials.key.scrub(f"Stopped after {done:,} of {plan.total:,} requests{why}")


def _pot(usd: Decimal | None, means: Means) -> Pot:
    name, rest = "max_cost", means.budget()
    if rest is not None and (usd is None or rest < usd):
        usd, name = max(0 * rest, rest), "rest of the notebook's budget"
    return Pot(usd, means.client.quotes, name=name, calibration=means.calibration)


def setup_of(plan: Plan, client: AsyncHolySheep) -> Setup:
    """Return how a run is made that begins now."""
    return Setup(
        models=plan.models,
        requests=plan.requests,
        tokens=plan.longest,
        parallel=plan.parallel,
        warmup=plan.warmup,
        prompt=plan.digest,
        server_address=_address(client),
        started=datetime.now(UTC).replace(microsecond=0),
        package=__version__,
        requests_per_minute=client.requests_per_minute,
        concurrent_streams=client.concurrent_streams,
    )


def _address(client: AsyncHolySheep) -> str:
    """Return host, port and path of a relay, as far as they are not the usual ones."""
    parts = urlsplit(client.base_url)
    place = f"{parts.netloc.lower().removesuffix(':443')}{parts.path.removesuffix('/v1')}"
    return client.credentials.key.scrub(place)


def price(plan: Plan, means: Means) -> str:
    """Return in words what a run may cost and how long it takes at least: a line for each model, and one."""
    client = means.client
    turns = [turn for turns in plan.turns() for turn in turns]
    lines = []
    for model in plan.models:
        requests = [plan.request(turn) for turn in turns if turn.model == model]
        cost = price_of(requests, client.quotes, means.calibration)
        lines.append(f"{model}, {len(requests):,} requests: {cost}.")
    rate = client.requests_per_minute
    minutes = (plan.total - 1) // rate
    pace = f"; at {rate:,} requests a minute it takes {minutes:,} min or more" if minutes else ""
    peak = ""
    if plan.parallel > client.concurrent_streams:
        peak = f" The peak goes beyond the client's {client.concurrent_streams} streams at a time."
    lines.append(f"{plan.total:,} requests in all, warm-up and peak with them{pace}.{peak}")
    lines.append("An attempt that brings no answer is made again, and may be billed on top.")
    return "\n".join(lines)
