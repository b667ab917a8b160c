"""One streamed reply and its connection, which is given back however the reading ends."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hs_notebook.connections import undisturbed
from hs_notebook.net.pace import FOR_SCREEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from hs_notebook.net.flow import Flow
    from hs_notebook.net.pace import Pace
    from hs_notebook.net.resumption import Resumption
    from hs_notebook.types import ChatCompletion
    from hs_notebook.watchdog import Watchdog
    from hs_notebook.wire.ending import Ending


class Reader:
    """`batches` iterates the chunks of one answer, without the key; `close` frees the connection.

    `whole` is the answer where it came in one piece.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        close: Callable[[], Coroutine[Any, Any, None]],
        watchdog: Watchdog,
        pace: Pace,
        resumption: Resumption | None = None,
        whole: ChatCompletion | None = None,
    ) -> None:
        self.ending = flow.ending
        self.batches = flow.batches()
        self.rest = flow.rest
        self.whole = whole
        self._flow = flow
        self._close = close
        self._leave: Callable[[], None] = _nothing
        self.after: Callable[[Ending], Awaitable[object]] | None = None  # who wants to know how it ended
        self._closed = False
        self._process = os.getpid()
        self._resumption = resumption
        self._watchdog = watchdog
        self._pace = pace
        pace.streams += 1

    @property
    def resumed(self) -> int:
        """How often the stream was resumed."""
        return self._resumption.times if self._resumption else 0

    def for_screen(self) -> None:
        """Let the chunks come a frame later where that saves time: they are read for a screen."""
        self._flow.haste = FOR_SCREEN

    async def begin(self) -> None:
        """Read until the answer has begun, or is over: up to here another attempt loses nothing."""
        await anext(self.batches)

    def on_close(self, leave: Callable[[], None]) -> None:
        """Name what is to be called once the connection is closed."""
        self._leave = leave

    async def close(self) -> None:
        """Close the connection if the answer is not over; safe to call again."""
        if self._closed:
            return
        self._closed = True
        if self._process != os.getpid():
            return  # a forked child: to close its copy would take the parent's out of what they both wait on
        self._watchdog.close()
        self._pace.streams -= 1
        try:
            with suppress(Exception):  # the connection is gone one way or the other
                await undisturbed(self._close())
        finally:
            self._leave()
            if self.after is not None:
                await self.after(self.ending)

    def __del__(self) -> None:
        # Dropped unread: nobody else gives the connection back, and the place among the concurrent streams.
        if not self._closed and self._process == os.getpid():
            loop = self._watchdog.loop
            try:
                loop.call_soon_threadsafe(lambda: loop.create_task(self.close()))
            except RuntimeError:  # the loop is closed, and its connections with it
                self._closed = True
                self._leave()


def _nothing() -> None:
    """Nothing is to be done."""
