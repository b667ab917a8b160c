"""The state of one process. What was spent before it began comes from the ledger."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.relay.state import too_dear, too_fast, too_many
from hs_notebook.wire.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.relay.keys import Client


class MemoryState:
    """`spent(name, since)` is what a key was charged since a moment, in USD."""

    def __init__(self, spent: Callable[[str, datetime], Decimal]) -> None:
        self._spent_before = spent
        self._limiters: dict[tuple[str, int, int], RateLimiter] = {}
        self._spent: dict[tuple[str, datetime], Decimal] = {}
        self._calls: dict[str, dict[str, tuple[Decimal, RateLimiter]]] = {}

    async def open(self) -> None:
        """There is nothing to begin."""

    async def close(self) -> None:
        """There is nothing to give back."""

    async def check(self) -> None:
        """It is always there."""

    async def left(self, client: Client) -> Decimal | None:
        if client.budget is None:
            return None
        spent = await self._spent_by(client)
        held = sum((hold for hold, _ in self._calls.get(client.name, {}).values()), Decimal(0))
        return max(Decimal(0), client.budget - spent - held)

    async def enter(self, client: Client, lease: str, hold: Decimal) -> None:
        left = await self.left(client)
        if left is not None and (hold > left or not left):
            raise too_dear(client)
        limiter = self._limiter(client)
        if wait := limiter.admit():
            raise too_many(client) if math.isinf(wait) else too_fast(client, wait)
        self._calls.setdefault(client.name, {})[lease] = hold, limiter

    async def leave(self, client: Client, lease: str, charge: Decimal) -> None:
        _, limiter = self._calls.get(client.name, {}).pop(lease, (None, None))
        if limiter is None:
            return
        limiter.release()
        if client.budget is not None:
            await self._spent_by(client)
            self._spent[client.name, _month()] += charge

    def _limiter(self, client: Client) -> RateLimiter:
        limits = (client.name, client.per_minute, client.concurrent)
        return self._limiters.setdefault(limits, RateLimiter(client.per_minute, client.concurrent))

    async def _spent_by(self, client: Client) -> Decimal:
        key = client.name, _month()
        if key not in self._spent:
            before = await asyncio.to_thread(self._spent_before, *key)
            self._spent.setdefault(key, before)
        return self._spent[key]


def _month() -> datetime:
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
