"""Letting the kernel's own event loop run while a cell waits, with nest_asyncio.

ipykernel 7 handles all messages of its shell channel in one context, which the waiting cell has entered
already. A nested loop cannot enter it again, and asyncio drops what it cannot run: the next cell of Run All
would never run, and a moved slider never be heard. So such steps are held back until the cell has ended,
which is when they are due anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


def patch(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` fit to run while it runs, best one cell ahead: the round in progress stays as it was."""
    import nest_asyncio

    nest_asyncio.apply(loop)


def wait_and_run(future: Future[T], loop: asyncio.AbstractEventLoop) -> T:
    """Return a future's result, and run what else is due on `loop` meanwhile. For the loop's own thread."""
    patch(loop)
    waiting: Any = loop  # the queue of handles that are due has no public name
    queue: deque[asyncio.Handle] = waiting._ready  # noqa: SLF001
    ready = _Ready(queue)
    queue.clear()
    waiting._ready = ready  # noqa: SLF001
    try:
        return loop.run_until_complete(asyncio.wrap_future(future, loop=loop))
    finally:
        queue.extend([*ready.held, *ready])
        waiting._ready = queue  # noqa: SLF001


class _Ready(deque[asyncio.Handle]):
    """A queue that never gives out a handle whose context is entered already."""

    def __init__(self, handles: deque[asyncio.Handle]) -> None:
        super().__init__(handles)
        self.held: list[asyncio.Handle] = []

    def popleft(self) -> asyncio.Handle:
        while self:
            handle = super().popleft()
            if not _is_entered(handle):
                return handle
            self.held.append(handle)
        nothing = asyncio.Handle(int, (), asyncio.get_running_loop())
        nothing.cancel()
        return nothing


def _is_entered(handle: asyncio.Handle) -> bool:
    context: Any = handle._context  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    try:
        context.run(int)
    except RuntimeError:
        return True
    return False
