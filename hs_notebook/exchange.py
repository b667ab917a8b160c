"""One question and its answer: checked against its limit, recorded, sent, read, priced; or from a file."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Answer, Cost, Receipt
from hs_notebook.errors import HolySheepError
from hs_notebook.net.progress import Attempts, Progress
from hs_notebook.portal import in_thread
from hs_notebook.replay import replayed
from hs_notebook.types import Usage
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.scrubbing import scrubbed

if TYPE_CHECKING:
    from hs_notebook.net.calls import Calls
    from hs_notebook.net.reader import Reader
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.recording import Account, Entry
    from hs_notebook.replay import KeptAnswer, Replay
    from hs_notebook.types import ChatCompletion, ChatRequest


class Screen(Progress):
    """Who watches an answer arrive; this one looks away."""

    gone = False  # nobody reads what is shown any more: the answer is stopped

    def sending(self) -> None:
        """An attempt begins now."""

    def sent(self) -> None:
        """It goes out."""

    def refused(self) -> None:
        """It was answered with an error."""

    def notice(self, text: str) -> None:
        """One line about a wait; empty when it is over."""

    def text(self, new: str) -> None:
        """The answer has grown by `new`."""

    def done(self) -> None:
        """Nothing more will come."""


class Exchange:
    """`read`, then `finish`; both on one event loop. A cancelled `read` may be finished as stopped."""

    def __init__(
        self, calls: Calls, request: ChatRequest, account: Account, *, limit: Limit | None = None
    ) -> None:
        self.request = request
        self._calls = calls
        self._account, self._recorder = account, account.recorder
        self._scrub = account.key.scrub
        self._limit = limit
        self._quotes = account.quotes
        self._assembler = Assembler(request, quotes=account.quotes)
        self.charge = Decimal(0)  # what the answer counts against a budget, in USD
        self.answer: Answer | None = None  # once it is made, whether it is written down or not
        self.whole: ChatCompletion | None = None  # the answer where it came in one piece
        self.unanswered: Receipt | None = None  # where no answer is left to keep, and one may be billed
        self._entry: Entry | None = None
        self._timed = _Timed(self._assembler, Screen())
        self._stream = True
        self._over_limit = self._unread = False
        self._resumed = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return self._scrub(self._assembler.text)

    async def record(self) -> None:
        """Write the call down, unless it is; `read` does, but for who wants several sent at one moment."""
        if self._recorder is not None and self._entry is None:
            worst = self._limit.worst if self._limit else None
            self._entry = await self._recorder.begin(self.request, charge=worst)

    async def read(self, screen: Screen, *, stream: bool = True) -> HolySheepError | None:
        """Read the answer while `screen` watches; return the error that ended it, if any."""
        self._stream = stream
        try:
            if self._limit is not None:
                self._limit.check(streaming=stream)
            await self.record()
            self._timed = _Timed(self._assembler, screen)
            ask = self._calls.stream if stream else self._calls.post
            await self._read(await ask(self.request, self._timed), screen)
        except HolySheepError as error:
            error.scrub(self._scrub)
            return error
        return None

    async def _read(self, reader: Reader, screen: Screen) -> None:
        assembler, limit = self._assembler, self._limit
        self._stream = True  # from here on it is known what came
        self.whole = reader.whole
        reader.for_screen()
        assembler.timed = reader.whole is None
        try:
            async for batch in reader.batches:
                if new := "".join([assembler.add(chunk) for chunk in batch]):
                    screen.text(new)
                if limit is not None and limit.reached(batch) and not reader.ending.whole:
                    self._over_limit = True
                    break
                if screen.gone and not reader.ending.whole:
                    self._unread = True
                    break
            assembler.done = reader.ending.done
        finally:
            self._resumed = reader.resumed
            if rest := "".join(map(assembler.add, reader.rest())):
                screen.text(rest)
            await reader.close()

    async def finish(
        self, *, stopped: bool = False, error: HolySheepError | None = None, note: str = ""
    ) -> Answer:
        """Return the answer, priced and recorded; raises `error` again where there is nothing to keep."""
        stopped = stopped or self._over_limit or self._unread
        try:
            answer = self._assembler.finish(stopped=stopped, error=error)
        except HolySheepError as failure:
            await self._settle_failed(failure)
            raise
        receipt = self._as_told(self._as_sent(answer.receipt) if stopped else answer.receipt)
        notes = (receipt.note, self._of_limit(receipt), self._of_resuming(), self._of_lost(), note)
        answer.receipt = msgspec.structs.replace(receipt, note="; ".join(filter(None, notes)))
        self.answer = scrubbed(answer, self._scrub)
        self.charge = self._quotes.charge(receipt)
        if stopped and self._timed.may_be_billed and self._limit is not None and not self._stream:
            self.charge = self._limit.worst  # all of it may be billed
        self.charge = Decimal(0) if receipt.simulated else self.charge + self._charge_of_lost
        if self._entry is not None:
            await self._entry.settle(answer, charge=self.charge, error=None if stopped else error)
        return self.answer

    async def give_up(self) -> Answer | None:
        """Record and return what came of an answer that nobody waits for any more; None where none could."""
        if self._entry is None and not self._timed.may_be_billed:
            return None
        return await self.finish(stopped=True)

    async def _settle_failed(self, failure: HolySheepError) -> None:
        unanswered = self._timed.unanswered(failure)
        receipt, simulated = self._assembler.billed(unanswered=unanswered), self._account.simulated
        receipt = self.unanswered = receipt and self._as_told(receipt)
        if receipt is not None and not receipt.simulated:
            self.charge = self._quotes.charge(receipt)
            if not receipt.usage.estimated:
                self.charge += self._charge_of_lost
            elif self._limit is not None:
                self.charge = unanswered * self._limit.unanswered
            else:
                self.charge *= unanswered
        if self._entry is not None:
            await self._entry.settle_failed(failure, receipt, charge=self.charge, simulated=simulated)

    @property
    def _charge_of_lost(self) -> Decimal:
        return self._timed.lost * self._limit.unanswered if self._limit is not None else Decimal(0)

    def _as_told(self, receipt: Receipt) -> Receipt:
        """Return a receipt of which the relay told nothing as simulated, where its last answer was."""
        if receipt.response_model:
            self._account.simulated = receipt.simulated
        elif self._account.simulated:
            return msgspec.structs.replace(receipt, simulated=True)
        return receipt

    def _as_sent(self, receipt: Receipt) -> Receipt:
        """Return the receipt of a stopped answer without figures for what nobody can know."""
        if not self._timed.may_be_billed:
            note = f"stopped before it was sent{' again' if self._timed.were_refused else ''}"
            return msgspec.structs.replace(receipt, usage=Usage(), costs=Cost.nothing(), note=note)
        if self._stream:
            return receipt
        costs = msgspec.structs.replace(receipt.costs, output=None, low=None, high=None)
        return msgspec.structs.replace(
            receipt, costs=costs, note="the relay may bill the whole answer, which did not come"
        )

    def _of_resuming(self) -> str:
        if not self._resumed:
            return ""
        return "resumed once" if self._resumed == 1 else f"resumed {self._resumed} times"

    def _of_lost(self) -> str:
        if not self._timed.lost:
            return ""
        before = "an attempt" if self._timed.lost == 1 else f"{self._timed.lost} attempts"
        return f"{before} before it brought no answer and may be billed too"

    def _of_limit(self, receipt: Receipt) -> str:
        if self._limit is None:
            return ""
        if self._over_limit:
            return f"stopped at the {self._limit.words}"
        return self._limit.passed(receipt.costs.known or Decimal(0))


class Replaying(Exchange):
    """The same with answers from a file; what is asked all the same is kept there.

    `occurrence` counts the same question among its likes, see `hs_notebook.replay.key_of`.
    """

    def __init__(
        self,
        calls: Calls,
        request: ChatRequest,
        account: Account,
        *,
        replay: Replay,
        occurrence: int = 0,
        limit: Limit | None = None,
    ) -> None:
        super().__init__(calls, request, account, limit=limit)
        self._replay = replay
        self._occurrence = occurrence
        self._kept: KeptAnswer | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return super().text if self._kept is None else self._scrub(self._kept.text)

    async def read(self, screen: Screen, *, stream: bool = True) -> HolySheepError | None:
        """Take the answer from the file, or read it as it arrives; return the error that ended it."""
        try:
            self._kept = await in_thread(lambda: self._replay.find(self.request, self._occurrence))
        except HolySheepError as error:
            return error
        if self._kept is None:
            return await super().read(screen, stream=stream)
        screen.text(self.text)
        return None

    async def finish(
        self, *, stopped: bool = False, error: HolySheepError | None = None, note: str = ""
    ) -> Answer:
        """Return the answer; raises `error` again where there is nothing to keep."""
        if self._kept is not None:
            return scrubbed(replayed(self._kept, self.request, note), self._scrub)
        answer = await super().finish(stopped=stopped, error=error, note=note)
        # In a thread of its own: what tells whether it fits may be the user's, and ask by itself.
        trouble = await in_thread(
            lambda: self._replay.keep(self.request, self._occurrence, answer, self._scrub)
        )
        if trouble:
            answer.receipt = msgspec.structs.replace(
                answer.receipt, note="; ".join(filter(None, (answer.receipt.note, trouble)))
            )
        return answer


class _Timed(Attempts):
    """Passes on to a screen, and starts the assembler's clock at each attempt."""

    def __init__(self, assembler: Assembler, screen: Screen) -> None:
        super().__init__()
        self._assembler = assembler
        self._screen = screen

    def sending(self) -> None:
        super().sending()
        self._assembler.restart_clock()
        self._screen.sending()

    def notice(self, text: str) -> None:
        self._screen.notice(text)
