"""Figures for Prometheus, of one process or of several workers together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from hs_notebook.ledger.unsettled import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from hs_notebook.relay.metering import Meter

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the package's own name
_SOON = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)
_LATE = (0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800)


class Metrics:
    """Counts requests and answers. Names of keys are labels: there are as many as were given out."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._folder = os.environ.get(_FOLDER)
        if self._folder:
            MultiProcessCollector(self._registry, self._folder)  # type: ignore[no-untyped-call]
        own: dict[str, Any] = {"registry": None if self._folder else self._registry, "namespace": "hs_relay"}
        self._requests = Counter("requests", "Requests answered.", ["route", "status"], **own)
        self._durations = Histogram(
            "request_duration_seconds",
            "From a request to the end of its reply.",
            ["route"],
            buckets=_LATE,
            **own,
        )
        self._refusals = Counter("refusals", "Requests refused, by the code of the error.", ["code"], **own)
        self._active = Gauge(
            "active_answers", "Answers under way upstream.", multiprocess_mode="livesum", **own
        )
        self._answers = Counter("answers", "Answers, by how they ended.", ["client", "outcome"], **own)
        self._failures = Counter("upstream_failures", "Calls without an answer, by why.", ["code"], **own)
        self._ttft = Histogram(
            "time_to_first_token_seconds", "From a call to its first token.", buckets=_SOON, **own
        )
        self._bytes = Counter("answer_bytes", "Bytes of answers.", ["client"], **own)
        self._tokens = Counter("tokens", "Tokens as the upstream counted them.", ["client", "kind"], **own)
        self._charged = Counter("charged_usd", "USD that answers were charged.", ["client"], **own)

    def request(self, route: str, status: int, duration: float, code: str) -> None:
        """Count a request that is over; `duration` is in seconds, `code` that of its refusal."""
        self._requests.labels(route or "none", str(status)).inc()
        self._durations.labels(route or "none").observe(duration)
        if code:
            self._refusals.labels(code).inc()

    def began(self) -> None:
        """Count an answer under way."""
        self._active.inc()

    def over(self, client: str, meter: Meter, charge: Decimal, failure: str) -> None:
        """Count an answer that is over, or why there was none; `charge` is in USD."""
        self._active.dec()
        self._charged.labels(client).inc(float(charge))
        if failure:
            self._failures.labels(failure).inc()
            return
        self._answers.labels(client, meter.ending.state).inc()
        self._bytes.labels(client).inc(meter.bytes)
        if meter.ttft is not None:
            self._ttft.observe(meter.ttft)
        usage = meter.ending.telling.usage if meter.ending.telling else None
        if usage is not None:
            self._tokens.labels(client, "input").inc(usage.prompt_tokens or 0)
            self._tokens.labels(client, "output").inc(usage.completion_tokens or 0)

    async def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return await asyncio.to_thread(self._text)

    def _text(self) -> bytes:
        if self._folder:
            _forget_the_dead(Path(self._folder))
        return generate_latest(self._registry)


@contextlib.contextmanager
def shared_by_workers() -> Iterator[None]:
    """Let the processes that are started meanwhile add up their figures, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="hs-relay-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            os.environ.pop(_FOLDER, None)


def _forget_the_dead(folder: Path) -> None:
    """Take out what a worker that is gone had under way."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not is_alive(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
