"""`hs_notebook.bench`: a benchmark from Python, with the notebook's own client where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hs_notebook.benchmarking.benchmark import Benchmark
from hs_notebook.benchmarking.job import Means, measure
from hs_notebook.benchmarking.numbers import PARALLEL, REQUESTS, TOKENS, WARMUP
from hs_notebook.benchmarking.plan import PROMPT, Plan
from hs_notebook.client import AsyncHolySheep, HolySheep
from hs_notebook.magics import current
from hs_notebook.magics.bench import means_of
from hs_notebook.prompt import ipython
from hs_notebook.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

__all__ = ["Benchmark", "bench"]


def bench(
    models: str | Iterable[str] | None = None,
    *,
    requests: int = REQUESTS.default,
    tokens: int = TOKENS.default,
    parallel: int = PARALLEL.default,
    warmup: int = WARMUP.default,
    prompt: str = PROMPT,
    max_cost: Decimal | float | str | None = None,
    client: HolySheep | AsyncHolySheep | None = None,
    progress: bool = True,
    dry_run: bool = False,
    **params: Any,
) -> Benchmark | None:
    """Measure how fast models answer, how often they fail and what that costs.

    Each of `models` (names in a list, or in a text with commas) is sent `warmup` requests that do not count,
    `requests` one at a time, by turns with the other models, and a peak of `parallel` at once. Each asks
    `prompt`, with a number in front, for at most `tokens` output tokens; `params` go with every one.

    What it may cost is said before it starts, and with `dry_run` nothing else is done. `max_cost` in USD, and
    the notebook's budget, hold for all requests together. Times are counted since the attempt that succeeded
    was sent: no wait for the client's limits, and none between two attempts, is in them. A request that fails
    is counted, and the others go on; a mistake that all share (a refused key, an unknown model) ends the run,
    as five requests in a row that do not reach the relay do, and an interrupt. What is measured by then is
    returned, and `.ended` says why; only where nothing was is the reason raised: `HolySheepError` or
    `KeyboardInterrupt`.

    `client` is by default the notebook's own, with its prices, ledger and limits, or else one made as
    `HolySheep()` is. Nothing comes from a file of answers.
    """
    shell = ipython()
    magics = current(shell)
    given = client.asynchronous if isinstance(client, HolySheep) else client
    plan = Plan.of(
        models if models is not None else magics.model if magics is not None else DEFAULT_MODEL,
        requests=requests,
        tokens=tokens,
        parallel=parallel,
        warmup=warmup,
        prompt=prompt,
        params=params,
    )
    if magics is None:
        means = Means(given or AsyncHolySheep(), page=shell if hasattr(shell, "kernel") else None)
    else:
        means = means_of(magics, given)
    return measure(plan, means, max_cost=max_cost, progress=progress, dry_run=dry_run)
