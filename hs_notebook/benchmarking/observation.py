"""One request as it is observed: when its attempts were sent, and what came of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.benchmarking.sample import Sample
from hs_notebook.exchange import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.answers import Receipt
    from hs_notebook.benchmarking.plan import Turn
    from hs_notebook.errors import HolySheepError


class Clock(Screen):
    """Notes when attempts are sent: what went before the last is no part of its time.

    `waited` holds the waits for limits, the attempts that failed, and the waits between them.
    """

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self.attempts = 0
        self.waited = 0.0
        self.begin()

    def begin(self) -> None:
        """Count waits from now on."""
        self._begun = time.perf_counter()

    def sending(self) -> None:
        self.attempts += 1
        self.started = datetime.now(UTC)
        self.waited = time.perf_counter() - self._begun


def sample_of(
    turn: Turn, receipt: Receipt | None, error: HolySheepError | None, failures: Sequence[str], clock: Clock
) -> Sample:
    """Return what was measured of one request; without a `receipt` nobody bills it."""
    kind = "" if error is None else type(error).__name__
    if receipt is not None and not kind and receipt.state in {"error", "truncated"}:
        reason = receipt.finish_reason or "truncated"
        kind = "" if reason == "length" else reason[:50]
    mended = tuple(failures[:-1] if kind and failures[-1:] == [kind] else failures)
    base = Sample(
        model=turn.model,
        phase=turn.phase,
        index=turn.place,
        started=clock.started,
        error_type=kind,
        mended=mended,
        attempts=clock.attempts,
        waited=round(clock.waited, 6),
    )
    return base if receipt is None else _with(base, receipt)


def _with(sample: Sample, receipt: Receipt) -> Sample:
    return msgspec.structs.replace(
        sample,
        ttft=_known(receipt.ttft),
        tokens_per_second=_known(receipt.tokens_per_second),
        duration=_known(receipt.duration),
        input_tokens=receipt.usage.prompt_tokens,
        output_tokens=receipt.usage.completion_tokens,
        estimated=receipt.usage.estimated,
        cost=receipt.cost,
        known_cost=receipt.costs.known or 0 * sample.known_cost,
        state=receipt.state,
        finish_reason=receipt.finish_reason,
        simulated=receipt.simulated,
        response_model=receipt.response_model[:500],
    )


def _known(value: float) -> float | None:
    return round(value, 6) if value >= 0 else None  # NaN is neither
