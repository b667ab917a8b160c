"""The chunks of one answer: awaited on the loop that reads them, or taken from it by another thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from hs_notebook.errors import UsageError
from hs_notebook.portal import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from hs_notebook.net.reader import Reader
    from hs_notebook.portal import Portal
    from hs_notebook.types import ChatCompletionChunk

_AHEAD = 512  # chunks that the loop may be ahead of a slow reader; with more they leave the cache


class AsyncStream:
    """The chunks of one answer. Raises `StreamTruncatedError` where the stream breaks off."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._over = False

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        if self._over:
            return
        try:
            async for batch in self._reader.batches:
                for chunk in batch:
                    yield chunk
        finally:
            await self.close()

    def read_ahead(self, home: Portal) -> Stream:
        """Return the same answer for another thread; for the loop of `home`, once."""
        ahead = _Ahead(self._reader)
        home.keep(ahead.task)
        return Stream(ahead, home)

    async def close(self) -> None:
        """Close the connection; the relay stops."""
        self._over = True
        await self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Stream:
    """The chunks of one answer, read ahead on the portal's loop; a forked child cannot read on.

    Raises `StreamTruncatedError` where the stream breaks off.
    """

    def __init__(self, ahead: _Ahead, home: Portal) -> None:
        self._ahead = ahead
        self._home = home
        self._over = False

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        # A generator: leaving a `for` loop early closes it, and with it the connection.
        try:
            while batch := self._take():
                yield from batch
        finally:
            self.close()

    def _take(self) -> list[ChatCompletionChunk]:
        if self._over:
            return []
        batch = self._wait()
        if isinstance(batch, list):
            self._home.loop.call_soon_threadsafe(self._ahead.taken, len(batch))
            return batch
        self._over = True
        if batch is not None:
            raise batch
        return []

    def _wait(self) -> list[ChatCompletionChunk] | BaseException | None:
        while True:
            if not self._home.is_ours:
                raise UsageError(
                    "This answer arrives in another process, of which this one is a fork.",
                    hint="Ask for one here.",
                )
            with suppress(Empty):
                return self._ahead.batches.get(timeout=POLL_SECONDS)

    def close(self) -> None:
        """Close the connection; the relay stops."""
        self._over = True
        if self._home.is_ours and not self._ahead.task.done():
            self._home.finish(self._ahead.stop())

    def __del__(self) -> None:
        if self._home.is_ours and not self._ahead.task.done():
            with suppress(RuntimeError):  # the loop is gone, where the interpreter is about to be
                self._home.loop.call_soon_threadsafe(self._ahead.task.cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Ahead:
    """The side of a `Stream` that the loop sees; it knows nothing of the other, which may be dropped."""

    def __init__(self, reader: Reader) -> None:
        self.batches: SimpleQueue[list[ChatCompletionChunk] | BaseException | None] = SimpleQueue()
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._gathered: list[ChatCompletionChunk] = []
        self._unread = 0
        self._room = asyncio.Event()
        self.task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        end: BaseException | None = None
        gathered = self._gathered
        try:
            async for batch in self._reader.batches:
                if not gathered:
                    await self._wait_for_room()
                    # It runs when this task waits for the socket again: one batch for all that was there.
                    self._loop.call_soon(self._hand_over)
                gathered += batch
        except Exception as error:  # noqa: BLE001 - raised again in the thread that reads
            end = error
        finally:
            self._hand_over()
            await self._reader.close()  # before the end is known: who asks again finds the connection free
            self.batches.put(end)

    def _hand_over(self) -> None:
        if self._gathered:
            self._unread += len(self._gathered)
            self.batches.put(self._gathered.copy())
            self._gathered.clear()

    async def _wait_for_room(self) -> None:
        while self._unread > _AHEAD:
            self._room.clear()
            await self._room.wait()

    def taken(self, count: int) -> None:
        """Take note that `count` chunks were read."""
        self._unread -= count
        self._room.set()

    async def stop(self) -> None:
        """End the reading, wherever it is."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self._reader.close()  # a task that is cancelled before its first step does nothing of its own
        self.batches.put(None)
