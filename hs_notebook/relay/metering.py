"""Reading along what passes through, for the ledger and the budget; it changes nothing."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.errors import APIError, BudgetError, HolySheepError, StreamTruncatedError, UpstreamError
from hs_notebook.types import ChatCompletionChunk
from hs_notebook.wire.chunks import decode_completion
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.sse import SSEDecoder
from hs_notebook.wire.whole import as_chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.pricing.limit import Limit
    from hs_notebook.recording import Entry
    from hs_notebook.wire.sse import ServerSentEvent

_LONGEST_STREAM = 64 * 1024 * 1024  # bytes


class Meter:
    """Counts one answer of so many `alternatives`.

    `entry` is its row in the ledger, `limit` what it may cost, where there are any.
    """

    def __init__(self, entry: Entry | None, limit: Limit | None, alternatives: int = 1) -> None:
        self.ending = Ending(alternatives)
        self.bytes = 0
        self.unread = False  # it is no stream, and nobody knows what it came to
        self._sent = False
        self.first: float | None = None  # when the answer began, `time.perf_counter()`
        self._entry = entry
        self._limit = limit
        self._decoder = SSEDecoder()
        self._started = time.perf_counter()

    def sent(self) -> None:
        """Take note that the upstream is asked: from here on it may bill."""
        self._sent = True

    def feed(self, data: bytes) -> HolySheepError | None:
        """Look at the next bytes of a stream; return why the answer must end here, if it must."""
        self.bytes += len(data)
        if self.bytes > _LONGEST_STREAM:
            return self._given_up(StreamTruncatedError("The answer is longer than 64 MiB."))
        if self.ending.done:
            return None
        ending, chunks, unread = self.ending, list[ChatCompletionChunk](), None
        try:
            events: Sequence[ServerSentEvent] = self._decoder.feed(data)
        except APIError as error:
            events, unread = error.before, error
        for event in events:
            chunks += ending.read((event,))  # one by one: also what comes after an error is paid for
            if ending.done:
                break
        if self.first is None and ending.begun:
            self.first = time.perf_counter()
        reached = self._count(chunks)
        if unread is not None:
            return self._given_up(unread)
        if reached and not ending.whole:
            return BudgetError("The monthly budget of the key is reached: the answer ends here.")
        return None

    def _given_up(self, error: HolySheepError) -> HolySheepError:
        if not self.ending.done:
            self.ending.fail(error)
        return error

    def _count(self, chunks: list[ChatCompletionChunk]) -> bool:
        if self._entry is not None:
            for chunk in chunks:
                self._entry.add(chunk)
        return self._limit is not None and self._limit.reached(chunks)

    def take(self, body: bytes) -> None:
        """Look at a reply that is no stream."""
        self.first = time.perf_counter()
        self.bytes += len(body)
        try:
            chunk = as_chunk(decode_completion(body))
        except HolySheepError as error:
            self.unread = not isinstance(error, UpstreamError)
            self.ending.fail(error)
            return
        self.unread = False
        self.ending.take(chunk)
        if self._entry is not None:
            self._entry.add(chunk)

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._started

    @property
    def ttft(self) -> float | None:
        """Seconds from the call to the first of its answer; None where there is nothing yet."""
        return None if self.first is None else self.first - self._started

    async def settle(self) -> Decimal:
        """Write down how it ended, and return what it is charged, in USD."""
        if self._entry is None:
            return Decimal(0)
        if not self._sent:
            await self._entry.withdraw()
            return Decimal(0)
        ending = self.ending
        if self.unread:
            return await self.fail(type(ending.error).__name__ if ending.error else "", billed=True)
        if (failure := self._failure()) is not None:
            return await self.fail(type(failure).__name__, billed=not isinstance(failure, UpstreamError))
        ttft = math.nan if self.ttft is None else self.ttft
        return await self._entry.settle_stream(ending, ttft=ttft, duration=self.elapsed, aside=True)

    def _failure(self) -> HolySheepError | None:
        """Return what went wrong with a stream that is over and has brought nothing, nor figures."""
        if self.ending.begun or self.ending.is_billed or self.ending.state == "stopped":
            return None
        try:
            self.ending.check()
        except HolySheepError as error:
            return error
        return None

    async def fail(self, error_type: str, *, billed: bool = False) -> Decimal:
        """Write down that there was no answer, and return what that is charged, in USD.

        It costs nothing, or, where it may be `billed`, nobody knows what: that counts as the most it can be.
        """
        charge = self._limit.unanswered if billed and self._limit else Decimal(0)
        if self._entry is not None and billed:
            await self._entry.settle_unknown(error_type, charge=charge)
        elif self._entry is not None:
            await self._entry.fail(error_type)
        return charge
