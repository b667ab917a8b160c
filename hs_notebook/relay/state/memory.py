"""The state of one process. What was spent before it began comes from the ledger."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.relay.state import held_back, too_dear, too_fast, too_many
from hs_notebook.wire.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.relay.keys import Client


@dataclass(frozen=True, slots=True)
class _Call:
    hold: Decimal
    limiter: RateLimiter
    month: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryState:
    """`spent(name, since)` is what a key was charged since a moment, in USD; `now` tells the time in UTC."""

    def __init__(
        self, spent: Callable[[str, datetime], Decimal], *, now: Callable[[], datetime] = _now
    ) -> None:
        self._spent_before = spent
        self._now = now
        self._limiters: dict[tuple[str, int, int], RateLimiter] = {}
        self._spent: dict[tuple[str, datetime], Decimal] = {}
        self._calls: dict[str, dict[str, _Call]] = {}

    async def open(self) -> None:
        """There is nothing to begin."""

    async def close(self) -> None:
        """There is nothing to give back."""

    async def check(self) -> None:
        """It is always there."""

    async def left(self, client: Client) -> Decimal | None:
        return await self._left(client, self._month())

    async def unspent(self, client: Client) -> Decimal:
        await self.left(client)
        budget = client.budget or Decimal(0)
        return max(Decimal(0), budget - self._spent.get((client.name, self._month()), Decimal(0)))

    async def room(self, client: Client) -> None:
        _make_way(client, self._limiter(client).wait())

    async def enter(self, client: Client, lease: str, hold: Decimal) -> None:
        month = self._month()
        left = await self._left(client, month)
        if left is not None and (hold > left or not left):
            unspent = await self.unspent(client)
            raise held_back(client) if unspent and hold <= unspent else too_dear(client)
        limiter = self._limiter(client)
        _make_way(client, limiter.admit())
        self._calls.setdefault(client.name, {})[lease] = _Call(hold, limiter, month)

    async def leave(self, client: Client, lease: str, charge: Decimal) -> None:
        call = self._calls.get(client.name, {}).pop(lease, None)
        if call is None:
            return
        call.limiter.release()
        # A call belongs to the month that it began in, as in the ledger; one that nobody asked for yet is
        # read from there.
        if (key := (client.name, call.month)) in self._spent:
            self._spent[key] += charge

    async def _left(self, client: Client, month: datetime) -> Decimal | None:
        if client.budget is None:
            return None
        key = client.name, month
        if key not in self._spent:
            before = await asyncio.to_thread(self._spent_before, *key)
            self._spent.setdefault(key, before)
        calls = self._calls.get(client.name, {}).values()
        held = sum((call.hold for call in calls if call.month == month), Decimal(0))
        return max(Decimal(0), client.budget - self._spent[key] - held)

    def _limiter(self, client: Client) -> RateLimiter:
        limits = (client.name, client.per_minute, client.concurrent)
        return self._limiters.setdefault(limits, RateLimiter(client.per_minute, client.concurrent))

    def _month(self) -> datetime:
        return self._now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _make_way(client: Client, wait: float) -> None:
    """Raise `Refused` where a call has to wait; infinity is for another one to end."""
    if wait:
        raise too_many(client) if math.isinf(wait) else too_fast(client, wait)
