"""The idle and the total time-out of one stream, at the cost of two assignments a read."""

from __future__ import annotations

import asyncio
from typing import Any


class Watchdog:
    """Cancels the task that waits in vain.

    `asyncio.timeout` around each read would cost more than the read. Here one timer looks after the
    whole stream: it wakes when the time could be over, and goes back to sleep when something came since.
    """

    def __init__(self, idle: float, total: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._idle = idle
        self.fed_at = self.loop.time()  # when something of the answer came; keep-alives do not count
        self._deadline = self.fed_at + total
        self.waiting: asyncio.Task[Any] | None = None  # set while a task waits for bytes
        self._total = total
        self._cancelled_before = 0
        self.expired = ""
        self._timer = self.loop.call_at(self._next_look(), self._look)

    def forgive(self) -> bool:
        """After a `CancelledError`: whether this dog barked, and not the user."""
        task = asyncio.current_task()
        return bool(self.expired) and task is not None and task.uncancel() <= self._cancelled_before

    @property
    def left(self) -> float:
        """Seconds of the total time that are left."""
        return self._deadline - self.loop.time()

    def again(self) -> None:
        """Look after another connection: the idle time begins anew, the total time goes on."""
        self.expired = ""
        self.fed_at = self.loop.time()
        self._timer.cancel()
        self._timer = self.loop.call_at(self._next_look(), self._look)

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()

    def _next_look(self) -> float:
        return min(self.fed_at + self._idle, self._deadline)

    def _look(self) -> None:
        now = self.loop.time()
        if self.waiting is None and now < self._deadline:
            self.fed_at = now  # it is the reader who takes his time, not the server
        if now < self._next_look():
            self._timer = self.loop.call_at(self._next_look(), self._look)
            return
        over = now >= self._deadline
        self.expired = f"was not done after {self._total:g} s" if over else f"was silent for {self._idle:g} s"
        if self.waiting is not None:
            self._cancelled_before = self.waiting.cancelling()
            self.waiting.cancel()
