"""One question of a run: what came of it, and whether the others would fare alike."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from hs_notebook.errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    HolySheepError,
    InsufficientBalanceError,
    NotFoundError,
    UsageError,
)
from hs_notebook.exchange import Screen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hs_notebook.answers import Answer
    from hs_notebook.exchange import Exchange

T = TypeVar("T")

# What goes wrong with one question and will with all the others.
_OF_ALL = (AuthenticationError, InsufficientBalanceError, NotFoundError, ConfigurationError, UsageError)
_STOP_SECONDS = 5.0  # for what is under way to settle


async def exchanged(
    exchange: Exchange, screen: Screen | None = None, *, before: Callable[[], Awaitable[None]] | None = None
) -> tuple[Answer | None, HolySheepError | None]:
    """Return the answer and what went wrong; one whose task is cancelled is stopped, priced and recorded.

    `before` is awaited before it is sent.
    """
    error: HolySheepError | None = None
    stopped = False
    try:
        if before is not None:
            await before()
        error = await exchange.read(screen or Screen())
    except asyncio.CancelledError:
        stopped = True
    finishing = asyncio.ensure_future(exchange.finish(stopped=stopped, error=error))
    try:
        return await to_its_end(finishing), error
    except HolySheepError as failure:
        return None, failure


async def to_its_end(work: asyncio.Future[T]) -> T:
    """Await what is paid for, however often the task that waits is cancelled."""
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    return work.result()


def ends_all(error: HolySheepError) -> bool:
    """Tell whether the other questions of a run would fail the same way."""
    return isinstance(error, _OF_ALL) or (isinstance(error, APIConnectionError) and not error.temporary)


def settle(future: concurrent.futures.Future[None]) -> None:
    """Wait for a run that was stopped, also for somebody who interrupts again."""
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and not future.done():
        with contextlib.suppress(KeyboardInterrupt):
            concurrent.futures.wait([future], timeout=max(0.0, deadline - time.monotonic()))
