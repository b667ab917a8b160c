"""Waiting for a rate limiter, first come, first served."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hs_notebook.wire.limiter import RateLimiter

Notice = Callable[[float], None]


class Gate:
    """Lets requests of one event loop through as its limiter allows."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self._first_waits = math.inf  # seconds, whoever is the first in the line

    async def enter(self, notice: Notice) -> None:
        """Wait for a place; `notice` hears how many seconds it will take, infinity if nobody knows.

        When there is one after all, it hears 0.
        """
        waited = self._turn.locked()
        if waited:
            notice(self._first_waits)
        async with self._turn:
            while wait := self._limiter.admit():
                waited, self._first_waits = True, wait
                await self._wait(wait, notice)
        if waited:
            notice(0.0)

    async def count(self, notice: Notice) -> None:
        """Wait until one more request of a call that has a place may be sent."""
        # Not in turn with those who wait for a place: they may wait for the very one that this call holds.
        while wait := self._limiter.count():
            notice(wait)
            await asyncio.sleep(wait)

    async def _wait(self, wait: float, notice: Notice) -> None:
        notice(wait)
        self._freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(wait) else wait):
                await self._freed.wait()

    def leave(self) -> None:
        """Give the place back."""
        self._limiter.release()
        self._freed.set()
