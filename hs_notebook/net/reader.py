"""The bytes of one streamed reply into chunks, in the batches that the socket brought."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hs_notebook.errors import (
    APIConnectionError,
    EventTooLargeError,
    HolySheepError,
    ProtocolError,
    StreamTruncatedError,
)
from hs_notebook.wire.assembler import Ending
from hs_notebook.wire.chunks import decode_chunk
from hs_notebook.wire.sse import ServerSentEvent, SSEDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from hs_notebook.net.watchdog import Watchdog
    from hs_notebook.types import ChatCompletionChunk

LONGEST_ANSWER = 64 * 1024 * 1024  # bytes on the wire
_LONGEST_PRELUDE = 1000  # chunks that say nothing
_DRAIN_SECONDS = 0.1
_DONE = "[DONE]"


class Reader:
    """Chunks of one answer; `close` frees the connection and what belongs to it.

    `translate` makes an error of the HTTP library, or a `TimeoutError` with its reason, one of ours.
    """

    def __init__(
        self,
        source: AsyncIterator[bytes],
        *,
        close: Callable[[], Awaitable[None]],
        watchdog: Watchdog,
        translate: Callable[[Exception], HolySheepError],
    ) -> None:
        self.ending = Ending()
        self.early: list[ChatCompletionChunk] = []  # read while it was not yet sure that the stream had begun
        self._next = source.__anext__
        self._close = close
        self._leave: Callable[[], None] = _nothing
        self._closed = False
        self._watchdog = watchdog
        self._translate = translate
        self._decoder = SSEDecoder()
        self._received = 0
        self._failed: HolySheepError | None = None  # came in one piece with chunks, which go first

    def take_whole(self, chunk: ChatCompletionChunk) -> None:
        """Take the whole answer, which came otherwise than as a stream."""
        self.early = [chunk]
        self.ending.done = True
        try:
            self.ending.see(chunk)
        except HolySheepError as error:
            self._failed = error

    async def begin(self) -> None:
        """Read until the answer has begun, or is over: up to here another attempt costs nothing."""
        early: list[ChatCompletionChunk] = []
        while not self.ending.begun and len(early) < _LONGEST_PRELUDE:
            if (batch := await self.batch()) is None:
                break
            early += batch
        self.early = early + self.early

    async def batch(self) -> list[ChatCompletionChunk] | None:
        """Return the next chunks, None at the end; raises where the stream did not end well."""
        # This runs once for every token: what it does is spelled out, not called.
        if self.early:
            early, self.early = self.early, []
            return early
        watchdog, ending, loop = self._watchdog, self.ending, self._watchdog.loop
        while not (ending.done or self._failed):
            try:
                if watchdog.expired:
                    raise TimeoutError  # noqa: TRY301 - the reader took his time, and the time is over
                watchdog.waiting = asyncio.current_task(loop)
                data = await self._next()
            except StopAsyncIteration:
                watchdog.waiting = None
                break
            except BaseException as error:  # noqa: BLE001 - raised again below, as ours
                watchdog.waiting = None
                failure = self._failure(error)
            else:
                watchdog.waiting = None
                if chunks := self._chunks(data):
                    watchdog.fed_at = loop.time()
                    return chunks
                continue
            if ending.whole and isinstance(failure, StreamTruncatedError):
                break  # all was said; what is missing is the end of the reply
            raise failure
        if self._failed is not None:
            raise self._failed.with_traceback(None)
        ending.check()
        await self._drain()
        return None

    def _chunks(self, data: bytes) -> list[ChatCompletionChunk]:
        chunks: list[ChatCompletionChunk] = []
        ending = self.ending
        self._received += len(data)
        if self._received > LONGEST_ANSWER:
            self._failed = StreamTruncatedError("The answer is longer than 64 MiB.")
        try:
            events: Sequence[ServerSentEvent] = self._decoder.feed(data)
        except EventTooLargeError as error:
            self._failed = self._translate(error)
            events = error.before
        try:
            for event in events:
                text = event.data
                if text == _DONE:
                    ending.done, self._failed = True, None  # what comes after it is of no interest
                    break
                chunk = decode_chunk(text)
                if event.event == "error":
                    raise ProtocolError("The relay sent an error event that names no error.")
                chunks.append(chunk)
                ending.see(chunk)
        except HolySheepError as error:
            self._failed = self._translate(error)
        return chunks

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, asyncio.CancelledError) and self._watchdog.forgive():
            error = TimeoutError()
        if isinstance(error, TimeoutError):
            error = TimeoutError(self._watchdog.expired)
        if isinstance(error, Exception):
            error = self._translate(error)
        if self.ending.begun and isinstance(error, APIConnectionError):
            return StreamTruncatedError(f"The stream broke off: {error.message}", hint="What came is kept.")
        # Frames of the HTTP library hold the request; a verbose traceback would print it.
        return error.with_traceback(None)

    async def _drain(self) -> None:
        # The last bytes of the HTTP body usually follow at once; with them the connection can be used again.
        with suppress(Exception):  # whatever it is, the answer is whole
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._next()

    def on_close(self, leave: Callable[[], None]) -> None:
        """Name what is to be called once the connection is closed."""
        self._leave = leave

    async def close(self) -> None:
        """Close the connection if the answer is not over; safe to call again."""
        if self._closed:
            return
        self._closed = True
        self._watchdog.close()
        try:
            with suppress(Exception):  # the connection is gone one way or the other
                await self._close()
        finally:
            self._leave()

    def __del__(self) -> None:
        # Dropped unread: nobody else gives the connection back, and the place among the concurrent streams.
        if not self._closed:
            loop = self._watchdog.loop
            try:
                loop.call_soon_threadsafe(lambda: loop.create_task(self.close()))
            except RuntimeError:  # the loop is closed, and its connections with it
                self._closed = True
                self._leave()


def _nothing() -> None:
    """Nothing is to be done."""
