"""The one background event loop that all network I/O of the blocking face lives on."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

# A lock cannot be interrupted on Windows: there the waiting thread looks up ten times a second.
POLL_SECONDS = 0.1 if sys.platform == "win32" else None
_CLOSING_SECONDS = 1.0


class Portal:
    """An event loop on a daemon thread, and the way onto it from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="hs_notebook", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the loop; cancelling the future cancels the task."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop and wait for it; an interrupt cancels it and waits for its clean-up."""
        future = self.start(work)
        try:
            return wait(future)
        except BaseException:
            if not future.done():
                future.cancel()
                self.settle()
            raise

    def settle(self) -> None:
        """Wait a moment until tasks that were cancelled have cleaned up."""
        with suppress(TimeoutError):
            self.start(_let_others_finish()).result(_CLOSING_SECONDS)


async def _let_others_finish() -> None:
    cancelled = [task for task in asyncio.all_tasks() if task.cancelling()]
    if cancelled:
        await asyncio.wait(cancelled)


def wait(future: Future[T]) -> T:
    """Return a future's result, interruptible on every platform."""
    while POLL_SECONDS is not None and not future.done():
        with suppress(TimeoutError):
            return future.result(POLL_SECONDS)
    return future.result()


def portal() -> Portal:
    """Return this process's portal; a forked child gets one of its own."""
    return _portal_of(os.getpid())


@lru_cache(maxsize=1)
def _portal_of(_pid: int) -> Portal:
    return Portal()
