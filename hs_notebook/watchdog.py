"""Time-outs that hear what has come in time: of a piece of work, and of one stream.

A process that was stopped, or whose loop was held up, wakes to a time-out that is over and to an answer that
lies in the socket. Asyncio's own time-outs go first then, and the answer is lost.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LAST_LOOK = 0.05  # seconds for what lies in the socket to be read
_HELD_UP = 1.0  # seconds; a timer that comes so late tells that the process was stopped


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` where the work inside takes longer."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(seconds, lambda: limit.reschedule(loop.time() + _LAST_LOOK))
        try:
            yield
        finally:
            timer.cancel()


class Watchdog:
    """Cancels the task that waits in vain: the idle and the total time-out, at two assignments a read.

    `asyncio.timeout` around each read would cost more than the read. Here one timer looks after the
    whole stream: it wakes when the time could be over, and goes back to sleep when something came since.
    """

    def __init__(self, idle: float, total: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._idle = self._patience = idle
        self.fed_at = self.loop.time()  # when something came that counts, which whoever reads decides
        self._deadline = self.fed_at + total
        self.waiting: asyncio.Task[Any] | None = None  # set while a task waits for bytes
        self._total = total
        self._cancelled_before = 0
        self.expired = ""
        self._is_last_look = False
        self._look_at(self._next_look())

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
        self._restart()

    def hurry(self, seconds: float) -> None:
        """Wait no longer than this for more, from now on; with `math.inf`, as long as at the beginning."""
        self._idle = min(self._patience, seconds)
        self._restart()

    def _restart(self) -> None:
        self._is_last_look = False
        self.fed_at = self.loop.time()
        self._timer.cancel()
        self._look_at(self._next_look())

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()

    def _next_look(self) -> float:
        return min(self.fed_at + self._idle, self._deadline)

    def _look_at(self, moment: float) -> None:
        self._due = moment
        self._timer = self.loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        if (late := now - self._due) > _HELD_UP:
            self._deadline += late  # an answer does not grow old while its reader's machine sleeps
        if self.waiting is None and now < self._deadline:
            self.fed_at = now  # it is the reader who takes his time, not the server
        if now < self._next_look():
            self._is_last_look = False
            self._look_at(self._next_look())
        elif self.waiting is not None and not self._is_last_look:
            self._is_last_look = True
            self._cancelled_before = self.waiting.cancelling()
            self._look_at(now + _LAST_LOOK)
        else:
            self._bark(over=now >= self._deadline)

    def _bark(self, *, over: bool) -> None:
        task = self.waiting
        if task is not None and task.cancelling() > self._cancelled_before:
            return  # it is being stopped already: that must not be taken for a time-out
        self.expired = f"was not done after {self._total:g} s" if over else f"was silent for {self._idle:g} s"
        if task is not None:
            task.cancel()
