"""What all requests to a relay share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.errors import BudgetError, ConfigurationError
from hs_notebook.relay.budget import limit_of, too_dear, unknown_charge
from hs_notebook.relay.metering import Meter
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.settings import MEMORY
from hs_notebook.relay.state import held_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hs_notebook.pricing.limit import Limit
    from hs_notebook.recording import Entry, Recorder
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.keys import Client, KeyFile
    from hs_notebook.relay.metrics import Metrics
    from hs_notebook.relay.settings import RelaySettings
    from hs_notebook.relay.state import State
    from hs_notebook.relay.upstream import Upstream


log = logging.getLogger("hs_notebook.relay")

_ESTIMATES = 2  # at a time: they keep a processor busy
_PATIENCE = 10.0  # seconds that the end waits for what is to be written down


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """`recorder` prices and writes down each call: without one no key with a budget is served.

    `metrics` counts, `calls` are those under way.
    """

    settings: RelaySettings
    keys: KeyFile
    state: State
    upstream: Upstream
    metrics: Metrics
    recorder: Recorder | None = None
    calls: set[Admission] = field(default_factory=set)
    estimating: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ESTIMATES))

    async def open(self) -> None:
        """Begin, on the loop that serves."""
        await self.state.open()
        await self.upstream.open()

    async def close(self) -> None:
        """End, once the calls that were cut are written down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for call in tuple(self.calls):
                    await call.over.wait()
        await self.upstream.close()
        await self.state.close()

    async def admit(self, client: Client, asked: Asked) -> Admission:
        """Let a call in, or raise `Refused`: its rate, its budget, its turn."""
        try:
            limit = await self._limit(client, asked)
            hold = limit.worst if limit else Decimal(0)
            lease = uuid.uuid4().hex
            await self.state.enter(client, lease, hold)
        except ConfigurationError as error:
            log.warning("%s", error)
            raise _no_ledger() from None
        try:
            entry = await self._begin(client, asked, hold)
        except BaseException:
            await self.state.leave(client, lease, Decimal(0))
            raise
        meter = Meter(entry, limit, asked.request.alternatives)
        return Admission(self, client, lease, meter)

    async def _limit(self, client: Client, asked: Asked) -> Limit | None:
        left = await self.state.left(client)
        if left is None:
            return None
        if self.recorder is None:
            raise _no_ledger()
        await self.state.room(client)  # who has to wait anyway costs no time
        # A large prompt takes its time, and so does the first one that a vocabulary is loaded for.
        async with self.estimating:
            limit = await asyncio.to_thread(limit_of, client, asked, self.recorder.quotes, left)
        try:
            limit.check(streaming=asked.stream)
        except BudgetError as error:
            raise await self._too_dear(client, asked, limit, error) from None
        return limit

    async def _too_dear(self, client: Client, asked: Asked, limit: Limit, error: BudgetError) -> Refused:
        with contextlib.suppress(BudgetError):
            if limit.needed(streaming=asked.stream) <= await self.state.unspent(client):
                return held_back(client)
        unknown = Decimal(0)
        if self.recorder is not None and self.settings.state == MEMORY:
            unknown = await asyncio.to_thread(unknown_charge, self.recorder.ledger, client.name)
        return too_dear(error, unknown)

    async def _begin(self, client: Client, asked: Asked, hold: Decimal) -> Entry | None:
        if self.recorder is None:
            return None
        entry = await self.recorder.begin(asked.request, charge=hold, user=client.name)
        if line := self.recorder.ledger.warning():
            log.warning("%s", line)
        if client.budget is not None and not entry.kept:
            raise _no_ledger()  # nobody would know of it after a restart
        return entry


def _no_ledger() -> Refused:
    said = "The relay cannot keep its ledger, and so no budget: tell who runs it."
    return Refused(503, said, kind="server_error", code="ledger_unavailable")


class Admission:
    """A call that was let in: the first of `settle` and `fail` ends it, and `over` tells that it is."""

    def __init__(self, gateway: Gateway, client: Client, lease: str, meter: Meter) -> None:
        self.client = client
        self.meter = meter
        self.over = asyncio.Event()
        self._gateway = gateway
        self._lease = lease
        self._ending: asyncio.Task[None] | None = None
        gateway.metrics.began()
        gateway.calls.add(self)

    async def settle(self) -> None:
        """Write down how the answer ended, and give the place back."""
        await self._end(self.meter.settle)

    async def fail(self, error_type: str, *, billed: bool = False) -> None:
        """Write down that there was no answer, which may be `billed`, and give the place back."""
        await self._end(lambda: self.meter.fail(error_type, billed=billed), error_type)

    async def _end(self, write: Callable[[], Awaitable[Decimal]], failure: str = "") -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._write(write, failure))
        await asyncio.shield(self._ending)  # who is cancelled while he waits leaves it to be written

    async def _write(self, write: Callable[[], Awaitable[Decimal]], failure: str) -> None:
        charge = Decimal(0)
        try:
            charge = await write()
        finally:
            self._gateway.metrics.over(self.client.name, self.meter, charge, failure)
            await self._gateway.state.leave(self.client, self._lease, charge)
            self._gateway.calls.discard(self)
            self.over.set()
