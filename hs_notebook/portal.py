"""The one background event loop that all network I/O of the blocking face lives on."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

# The waiting thread looks up ten times a second: on Windows a lock cannot be interrupted, and elsewhere an
# interrupt that comes in the instant before it is held is not heard.
POLL_SECONDS = 0.1
_CLOSING_SECONDS = 1.0
_ONE_AT_A_TIME = threading.Lock()  # else two threads that begin together get a portal each
if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread holds it would wait for that thread, which it does not have.
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )


class Portal:
    """An event loop on a daemon thread, and the way onto it from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # asyncio resolves names on threads that the end of the process waits for, and the system may take
        # half a minute to say that no name server answers.
        self.loop.getaddrinfo = _resolve  # type: ignore[method-assign]
        self._process = os.getpid()
        self._kept: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._serve, name="hs_notebook", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            # These two a task raises through the loop as well: who waits for it gets them, the others go on.
            with suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
                return

    @property
    def is_ours(self) -> bool:
        """Whether its loop runs in this process: a forked child has a copy of which nothing moves."""
        return self._process == os.getpid()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the loop; cancelling the future cancels the task."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop and wait for it; an interrupt cancels it and waits for its clean-up.

        Where the cancelled work names an `answer`, what came of it, the interrupt names it too.
        """
        job = _Job(work)
        try:
            self.loop.call_soon_threadsafe(job.begin)
            return wait(job.outcome)
        except BaseException as stop:
            if not job.outcome.done():
                self.finish(job.stop())
                if job.outcome.done() and (answer := getattr(job.outcome.exception(), "answer", None)):
                    stop.answer = answer  # type: ignore[attr-defined]
            raise
        finally:
            del job  # an error in it would hold this frame, and this frame the error

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task to its end: asyncio does not, and one that is collected is never cleaned up."""
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do a clean-up on the loop and wait a moment for it; on the loop's own thread nobody may wait."""
        future = self.start(work)
        if threading.current_thread() is not self._thread:
            with suppress(TimeoutError):
                future.result(_CLOSING_SECONDS)


class _Job(Generic[T]):
    """Work that can be stopped at any moment, also between its being sent to the loop and its beginning."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.outcome: Future[T] = Future()
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            result = await self._work
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._work.close()  # what was cancelled before its first step was never begun


async def _resolve(host: Any, port: Any, **wanted: int) -> Any:
    """Resolve a name, as `loop.getaddrinfo` does."""
    return await in_thread(lambda: socket.getaddrinfo(host, port, **wanted))


async def in_thread(work: Callable[[], T]) -> T:
    """Do on a thread of its own what may take long or wait for the loop, however many of its kind wait."""
    outcome: Future[T] = Future()
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(_do, work, outcome), name="hs_notebook work", daemon=True
    ).start()
    return await asyncio.wrap_future(outcome)


def _do(work: Callable[[], T], outcome: Future[T]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def wait(future: Future[T]) -> T:
    """Return a future's result, interruptible on every platform."""
    while not future.done():
        with suppress(TimeoutError):
            return future.result(POLL_SECONDS)
    return future.result()


def portal() -> Portal:
    """Return this process's portal; a forked child gets one of its own."""
    with _ONE_AT_A_TIME:
        return _portal_of(os.getpid())


@lru_cache(maxsize=1)
def _portal_of(_pid: int) -> Portal:
    return Portal()
