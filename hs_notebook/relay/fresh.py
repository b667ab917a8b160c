"""What is fetched once for all who ask for it, and is good for a while."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FAILURE_LASTS = 1.0  # seconds that a failure is good for: nobody hammers the upstream through it either


class Fresh(Generic[T]):
    """What `fetch` returns, for `lasts(it)` seconds; whoever asks while it is fetched waits for the same.

    What it raises is raised for all of them, and for a second more. `clock` gives seconds, never going back.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        lasts: Callable[[T], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._lasts = lasts
        self._clock = clock
        self._fetching: asyncio.Task[T] | None = None
        self._due = 0.0

    async def get(self) -> T:
        """Return it; who goes away meanwhile leaves it to be fetched for the others."""
        if self._fetching is None or (self._fetching.done() and self._due <= self._clock()):
            self._fetching = asyncio.create_task(self._fetched())
        return await asyncio.shield(self._fetching)

    async def _fetched(self) -> T:
        lasts = 0.0
        try:
            found = await self._fetch()
            lasts = self._lasts(found)
        except Exception:
            lasts = FAILURE_LASTS
            raise
        finally:
            self._due = self._clock() + lasts
        return found
