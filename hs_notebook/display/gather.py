"""Arrival and painting are two things: text is gathered, and shown at most twenty times a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 0.05  # seconds between two flushes


class Gather:
    """Collects pieces of text on an event loop; the first goes on at once, later ones together."""

    def __init__(self, flush: Callable[[str], None], *, interval: float = INTERVAL) -> None:
        self._flush = flush
        self._interval = interval
        self._held: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def add(self, text: str) -> None:
        """Take a piece."""
        self._held.append(text)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._next:
                self.flush()
            else:
                self._timer = loop.call_at(self._next, self.flush)

    def flush(self) -> None:
        """Pass on what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self._next = asyncio.get_running_loop().time() + self._interval
            text = "".join(self._held)
            self._held.clear()
            self._flush(text)
