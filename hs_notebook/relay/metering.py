"""Reading along what passes through, for the ledger and the budget; it changes nothing."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.errors import HolySheepError, UpstreamError
from hs_notebook.wire.assembler import Ending
from hs_notebook.wire.chunks import decode_chunk, decode_completion
from hs_notebook.wire.sse import SSEDecoder
from hs_notebook.wire.whole import as_chunk

if TYPE_CHECKING:
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.recording import Entry

_DONE = "[DONE]"
_LARGEST_BODY = 16 * 1024 * 1024  # bytes of a whole reply that are looked at


class Meter:
    """Counts one answer. `entry` is its row in the ledger, `limit` what it may cost, where there are any."""

    def __init__(self, entry: Entry | None, limit: Limit | None) -> None:
        self.ending = Ending()
        self.bytes = 0
        self.unread = False  # it is no stream, and nobody knows what it came to
        self.first: float | None = None  # when the answer began, `time.perf_counter()`
        self._entry = entry
        self._limit = limit
        self._decoder = SSEDecoder()
        self._lost = False  # something in it could not be read: however it ends, it is not whole
        self._started = time.perf_counter()

    def feed(self, data: bytes) -> bool:
        """Look at the next bytes of a stream; tell whether the answer must end here."""
        self.bytes += len(data)
        if self.ending.done:
            return False
        over = False
        try:
            for event in self._decoder.feed(data):
                if event.data == _DONE:
                    self.ending.done = not self._lost
                    break
                over = self._see(event.data) or over
        except HolySheepError:
            self._lost = self.ending.broken = True
            over = self._limit is not None  # what cannot be read cannot be held to a limit
        if self.first is None and self.ending.begun:
            self.first = time.perf_counter()
        return over and not self.ending.whole

    def _see(self, data: str) -> bool:
        """Count an event; tell whether the limit is reached. One that is no chunk counts nothing."""
        try:
            chunk = decode_chunk(data)
            if not self._lost:
                self.ending.see(chunk)
        except HolySheepError:
            self._lost = self.ending.broken = True
            return False
        if self._entry is not None:
            self._entry.add(chunk)
        return self._limit is not None and self._limit.reached([chunk])

    def take(self, body: bytes) -> None:
        """Look at a reply that is no stream."""
        self.first = time.perf_counter()
        self.bytes += len(body)
        if len(body) > _LARGEST_BODY:
            self._lost = self.ending.broken = True
            return
        try:
            chunk = as_chunk(decode_completion(body))
            self.unread = False
            self.ending.see(chunk)
            self.ending.done = True
            if self._entry is not None:
                self._entry.add(chunk)
        except UpstreamError:
            self.unread, self._lost, self.ending.broken = False, True, True
        except HolySheepError:
            self._lost = self.ending.broken = True

    @property
    def ttft(self) -> float | None:
        """Seconds from the call to the first of its answer; None where there is nothing yet."""
        return None if self.first is None else self.first - self._started

    async def settle(self) -> Decimal:
        """Write down how it ended, and return what it is charged, in USD."""
        if self._entry is None:
            return Decimal(0)
        if self.unread:
            return await self.fail("", billed=True)
        now = time.perf_counter()
        ttft = math.nan if self.ttft is None else self.ttft
        return await self._entry.settle_stream(
            self.ending, ttft=ttft, duration=now - self._started, aside=True
        )

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
