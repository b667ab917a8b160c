"""The bytes of one streamed reply into chunks, in the batches that the socket brought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    HolySheepError,
    ProtocolError,
    StreamTruncatedError,
)
from hs_notebook.net.watchdog import Watchdog
from hs_notebook.types import ChatCompletionChunk
from hs_notebook.wire.assembler import Ending
from hs_notebook.wire.chunks import decode_chunk
from hs_notebook.wire.sse import SSEDecoder

LONGEST_ANSWER = 64 * 1024 * 1024  # bytes on the wire
_DRAIN_SECONDS = 0.1
_DONE = "[DONE]"


class Reader:
    """Chunks of one answer; `close` frees the connection and what belongs to it."""

    def __init__(
        self,
        source: AsyncIterator[bytes],
        *,
        close: Callable[[], Awaitable[None]],
        watchdog: Watchdog,
        translate: Callable[[Exception], APIError],
    ) -> None:
        self.ending = Ending()
        self.early: list[ChatCompletionChunk] = []  # read while it was not yet sure that the stream had begun
        self._next = source.__anext__
        self._release: list[Callable[[], Awaitable[None]]] = [close]
        self._watchdog = watchdog
        self._translate = translate
        self._decoder = SSEDecoder()
        self._received = 0

    async def begin(self) -> None:
        """Read until the answer has begun, or is over: up to here another attempt costs nothing."""
        early: list[ChatCompletionChunk] = []
        while not self.ending.begun and (batch := await self.batch()) is not None:
            early += batch
        self.early = early

    async def batch(self) -> list[ChatCompletionChunk] | None:
        """Return the next chunks, None at the end; raises where the stream did not end well."""
        # This runs once for every token: what it does is spelled out, not called.
        if self.early:
            early, self.early = self.early, []
            return early
        watchdog, ending = self._watchdog, self.ending
        while not ending.done:
            try:
                if watchdog.expired:
                    raise TimeoutError  # noqa: TRY301 - the reader took his time, and the time is over
                watchdog.waiting = asyncio.current_task(watchdog.loop)
                data = await self._next()
            except StopAsyncIteration:
                break
            except BaseException as error:  # noqa: BLE001 - raised again below, as ours
                failure = self._failure(error)
            else:
                watchdog.waiting = None
                if chunks := self._chunks(data):
                    watchdog.feed()
                    return chunks
                continue
            raise failure
        ending.check()
        await self._drain()
        return None

    def _chunks(self, data: bytes) -> list[ChatCompletionChunk]:
        self._received += len(data)
        if self._received > LONGEST_ANSWER:
            raise StreamTruncatedError("The answer is longer than 64 MiB.", hint="The connection was closed.")
        chunks = []
        see = self.ending.see
        for event in self._decoder.feed(data):
            text = event.data
            if text == _DONE:
                self.ending.done = True
                break
            chunk = decode_chunk(text)
            if event.event == "error":
                raise ProtocolError("The relay sent an error event that names no error.")
            see(chunk)
            chunks.append(chunk)
        return chunks

    def _failure(self, error: BaseException) -> BaseException:
        self._watchdog.waiting = None
        if isinstance(error, asyncio.CancelledError) and self._watchdog.forgive():
            error = TimeoutError()
        if isinstance(error, TimeoutError):
            error = APITimeoutError(f"The relay {self._watchdog.expired}.", hint="Try again, or allow it more time.")
        elif isinstance(error, Exception) and not isinstance(error, HolySheepError):
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

    def on_close(self, release: Callable[[], Awaitable[None]]) -> None:
        """Add something to be done when the reader closes."""
        self._release.append(release)

    async def close(self) -> None:
        """Close the connection if the answer is not over; safe to call again."""
        self._watchdog.close()
        release, self._release = self._release, []
        for step in release:
            await step()
