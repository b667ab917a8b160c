"""What all requests to a relay share."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.errors import BudgetError
from hs_notebook.pricing.limit import Limit, limit_for
from hs_notebook.relay.metering import Meter
from hs_notebook.relay.replies import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hs_notebook.recording import Recorder
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.keys import Client, KeyFile
    from hs_notebook.relay.metrics import Metrics
    from hs_notebook.relay.settings import RelaySettings
    from hs_notebook.relay.state import State
    from hs_notebook.relay.upstream import Upstream


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """`recorder` prices and writes down each call; without one no budget can be kept. `metrics` counts."""

    settings: RelaySettings
    keys: KeyFile
    state: State
    upstream: Upstream
    metrics: Metrics
    recorder: Recorder | None = None

    async def open(self) -> None:
        """Begin, on the loop that serves."""
        await self.state.open()
        await self.upstream.open()

    async def close(self) -> None:
        """End."""
        await self.upstream.close()
        await self.state.close()

    async def admit(self, client: Client, asked: Asked) -> Admission:
        """Let a call in, or raise `Refused`: its rate, its budget, its turn."""
        limit = await self._limit(client, asked)
        hold = limit.worst if limit else Decimal(0)
        lease = uuid.uuid4().hex
        await self.state.enter(client, lease, hold)
        try:
            entry = None
            if self.recorder is not None:
                entry = await self.recorder.begin(asked.request, charge=hold, user=client.name)
        except BaseException:
            await self.state.leave(client, lease, Decimal(0))
            raise
        return Admission(self, client, lease, Meter(entry, limit))

    async def _limit(self, client: Client, asked: Asked) -> Limit | None:
        left = await self.state.left(client)
        if left is None or self.recorder is None:
            return None
        try:
            limit = limit_for(
                asked.request, self.recorder.quotes, left, name="monthly budget", of=client.budget
            )
            limit.check(streaming=asked.stream)
        except BudgetError as error:
            raise Refused(402, error.message, kind="insufficient_quota", code="BUDGET_EXCEEDED") from None
        return limit


class Admission:
    """A call that was let in: the first of `settle` and `fail` ends it."""

    def __init__(self, gateway: Gateway, client: Client, lease: str, meter: Meter) -> None:
        self.client = client
        self.meter = meter
        self._state = gateway.state
        self._metrics = gateway.metrics
        self._metrics.began()
        self._lease = lease
        self._over = False

    async def settle(self) -> None:
        """Write down how the answer ended, and give the place back."""
        await self._end(self.meter.settle)

    async def fail(self, error_type: str) -> None:
        """Write down that there was no answer, and give the place back."""
        await self._end(lambda: self.meter.fail(error_type), error_type)

    async def _end(self, write: Callable[[], Awaitable[Decimal]], failure: str = "") -> None:
        if self._over:
            return
        self._over = True
        charge = Decimal(0)
        try:
            charge = await write()
        finally:
            self._metrics.over(self.client.name, self.meter, charge, failure)
            await self._state.leave(self.client, self._lease, charge)
