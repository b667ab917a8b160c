"""The bytes of one streamed reply into chunks, in the batches that the socket brought."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING

from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    HolySheepError,
    StreamTruncatedError,
)
from hs_notebook.net.pace import FOR_PROGRAM, Rests
from hs_notebook.net.resumption import lost
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.scrubbing import ChunkScrubber
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from hs_notebook.net.pace import Pace
    from hs_notebook.net.resumption import Resumption
    from hs_notebook.secret import Secret
    from hs_notebook.types import ChatCompletionChunk
    from hs_notebook.watchdog import Watchdog
    from hs_notebook.wire.sse import ServerSentEvent

LONGEST_ANSWER = 64 * 1024 * 1024  # bytes on the wire
_LONGEST_PRELUDE = 1000  # chunks that say nothing
_DRAIN_SECONDS = 0.1
_FOR_USAGE = 3.0  # seconds that a whole answer waits for what it cost
_FOR_OTHERS = 5.0  # and one that may be whole for the alternatives that have not begun


class Flow:
    """What is read of one answer. It owns no connection, and nothing that owns one owns it back.

    `translate` makes an error of the HTTP library, or a `TimeoutError` with its reason, one of ours. Where
    there is a `resumption`, a broken connection is followed by another. `alternatives` is how many were asked
    for.
    """

    def __init__(
        self,
        source: AsyncIterator[bytes],
        *,
        key: Secret,
        watchdog: Watchdog,
        pace: Pace,
        translate: Callable[[Exception], HolySheepError],
        resumption: Resumption | None = None,
        alternatives: int = 1,
    ) -> None:
        self.ending = Ending(alternatives)
        self._scrubber = ChunkScrubber(key)
        self.rest = self._scrubber.rest  # what is held back of an answer that is not read to its end
        self._at_end = False  # of the bytes
        self._next = source.__anext__
        self._watchdog, self._now = watchdog, watchdog.loop.time
        self._pace = pace
        self.haste = FOR_PROGRAM  # of who reads
        self._translate = translate
        self._resumption = resumption
        self._feed = SSEDecoder().feed if resumption is None else resumption.feed
        self._received = 0
        self._patience = math.inf
        self._prelude: list[ChatCompletionChunk] = []  # came before it was sure that the answer has begun
        self._failed: HolySheepError | None = None  # came in one piece with chunks, which go first

    def is_over(self) -> bool:
        """Tell whether nothing more is to come."""
        return self._at_end or self.ending.whole

    async def batches(self) -> AsyncGenerator[list[ChatCompletionChunk], None]:  # noqa: C901, PLR0912 - whole
        """Yield an empty batch when the answer has begun or is over, and then all chunks.

        Raises where the stream does not end well.
        """
        # This runs once for every token: what it does is spelled out, not called.
        watchdog, ending, read = self._watchdog, self.ending, self._next
        begun = False
        loop, current_task, pace = watchdog.loop, asyncio.current_task, self._pace
        rests = Rests(pace)
        while not (ending.done or self._failed):
            try:
                if watchdog.expired:
                    raise TimeoutError  # noqa: TRY301 - the reader took his time, and the time is over
                watchdog.waiting = current_task(loop)
                asked_at = loop.time() if pace.streams > 1 else 0.0  # one alone never rests
                data = await read()
            except StopAsyncIteration:
                watchdog.waiting, self._at_end = None, True
                break
            except BaseException as error:  # noqa: BLE001 - raised again below, as ours
                watchdog.waiting = None
                failure = self._failure(error)
            else:
                watchdog.waiting = None
                if chunks := self._chunks(data):
                    if begun:
                        now = watchdog.fed_at
                        yield chunks
                        if not asked_at or ending.done:
                            continue
                        if pause := rests.after(now - asked_at, len(data), now, self.haste):
                            await asyncio.sleep(pause)
                    elif self._has_begun(chunks):
                        begun = True
                        yield []
                        yield self._prelude
                continue
            if isinstance(failure, APIConnectionError):
                if (end := await self._go_on(failure)) is None:
                    read = self._next
                    continue
                if ending.begun and ending.whole:
                    break  # all was said; what is missing is the end of the reply
                failure = end
            if not isinstance(failure, HolySheepError):
                raise failure
            self._failed = failure
        async for last in self._end(begun=begun):
            yield last

    def _has_begun(self, chunks: list[ChatCompletionChunk]) -> bool:
        self._prelude += chunks
        return self.ending.begun or len(self._prelude) >= _LONGEST_PRELUDE

    async def _end(self, *, begun: bool) -> AsyncGenerator[list[ChatCompletionChunk], None]:
        if not begun and (self.ending.begun or self.ending.is_billed):
            begun = True
            yield []
            yield self._prelude
        if rest := self.rest():
            yield rest
        try:
            if self._failed is not None:
                raise self._failed.with_traceback(None)
            self.ending.check()
        except HolySheepError as error:
            self.ending.fail(error)
            raise
        if not begun:
            yield []
            yield self._prelude
        with suppress(Exception):  # whatever it is, the answer is whole
            # The HTTP body's last bytes usually follow at once; with them the connection can be used again.
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._next()

    def take(self, chunk: ChatCompletionChunk) -> None:
        """Take the whole answer, which came otherwise than as a stream."""
        self.ending.take(chunk)
        self._prelude = self._scrubber.feed([chunk])
        self._failed = self.ending.error

    def _chunks(self, data: bytes) -> list[ChatCompletionChunk]:
        ending = self.ending
        failed: HolySheepError | None = None
        self._received += len(data)
        try:
            events: Sequence[ServerSentEvent] = self._feed(data)
        except APIError as error:
            events, error.before = error.before, ()
            failed = error
        chunks = ending.read(events)
        if self._received > LONGEST_ANSWER:
            failed = StreamTruncatedError("The answer is longer than 64 MiB.")
        if (failed := ending.error or failed) is not None and not ending.done:
            self._failed = self._translate(failed)  # what comes after its end is of no interest
        if ending.moved:  # else these are keep-alives in the shape of chunks
            ending.moved, self._watchdog.fed_at = False, self._now()
        if ending.finish_reason is not None:
            self._hurry()
        return self._scrubber.feed(chunks)

    def _hurry(self) -> None:
        ending = self.ending
        patience = _FOR_USAGE if ending.whole else _FOR_OTHERS if ending.paused else math.inf
        if patience != self._patience:  # another alternative may still go on
            self._patience = patience
            self._watchdog.hurry(patience)

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, asyncio.CancelledError) and self._watchdog.forgive():
            error = TimeoutError()
        if isinstance(error, TimeoutError):
            error = TimeoutError(self._watchdog.expired)
        if isinstance(error, Exception):
            error = self._translate(error)
        # Frames of the HTTP library hold the request; a verbose traceback would print it.
        return error.with_traceback(None)

    async def _go_on(self, failure: APIConnectionError) -> HolySheepError | None:
        """Return nothing where the stream goes on over another connection, else why it does not."""
        watchdog = self._watchdog
        if isinstance(failure, APITimeoutError):
            self.ending.wait_no_more()
        patience = _FOR_USAGE if self.ending.begun and self.ending.whole else watchdog.left
        if self._resumption is not None and watchdog.left > 0:
            try:
                async with asyncio.timeout(min(patience, watchdog.left)):
                    self._next = (await self._resumption.again(failure)).__anext__
            except TimeoutError:
                pass  # the total time is over
            except HolySheepError as error:
                return error.with_traceback(None)
            else:
                watchdog.again()
                self._hurry()
                return None
        if self.ending.begun or self._resumption is not None:  # another attempt could bill it twice
            return lost(f"The stream broke off: {failure.message}", kept=self.ending.begun)
        return failure
