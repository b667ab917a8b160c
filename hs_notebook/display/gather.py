"""Arrival and painting are two things: text is gathered, and shown at most twenty times a second."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 0.05  # seconds between two flushes


class Pace:
    """Acts on an event loop when it is asked to: the first time at once, then once in an interval.

    With a `beat`, in seconds, it acts so long after moments at which the loop's clock shows a multiple of the
    interval, and never at once.
    """

    def __init__(
        self, act: Callable[[], None], *, interval: float = INTERVAL, beat: float | None = None
    ) -> None:
        self._act = act
        self._interval = interval
        self._beat = beat
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def request(self) -> None:
        """Act as soon as the interval allows."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            now = loop.time()
            if self._beat is not None:
                beats = math.ceil((now - self._beat) / self._interval)
                self._next = beats * self._interval + self._beat
            if now >= self._next:
                self.now()
            else:
                self._timer = loop.call_at(self._next, self.now)

    def now(self) -> None:
        """Act at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = asyncio.get_running_loop().time() + self._interval
        self._act()


class Gather:
    """Collects pieces of text on an event loop; the first goes on at once, later ones together.

    What goes wrong where nobody would hear of it is raised by the next `add` or `flush`.
    """

    def __init__(self, flush: Callable[[str], None], *, interval: float = INTERVAL) -> None:
        self._flush = flush
        self._held: list[str] = []
        self._error: Exception | None = None
        self._pace = Pace(self._pass_on, interval=interval)

    def add(self, text: str) -> None:
        """Take a piece."""
        self._held.append(text)
        self._pace.request()
        self._check()

    def flush(self) -> None:
        """Pass on what is held."""
        if self._held:
            self._pace.now()
        self._check()

    def _pass_on(self) -> None:
        text = "".join(self._held)
        self._held.clear()
        try:
            self._flush(text)
        except Exception as error:  # noqa: BLE001 - raised where it is heard: this may be the loop's own call
            self._error = error

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
