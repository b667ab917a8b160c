"""One question and its answer: checked against its limit, recorded, sent, read, priced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.errors import HolySheepError
from hs_notebook.net.calls import Progress
from hs_notebook.pricing.money import exactly
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.whole import fill

if TYPE_CHECKING:
    from hs_notebook.answers import Answer
    from hs_notebook.net.calls import Calls
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.recording import Entry, Recorder
    from hs_notebook.types import ChatRequest


class Screen(Progress):
    """Who watches an answer arrive; this one looks away."""

    def sending(self) -> None:
        """An attempt is being sent now."""

    def notice(self, text: str) -> None:
        """One line about a wait; empty when it is over."""

    def text(self, new: str) -> None:
        """The answer has grown by `new`."""

    def done(self) -> None:
        """Nothing more will come."""


class Exchange:
    """`read`, then `finish`; both on one event loop. A cancelled `read` may be finished as stopped."""

    def __init__(
        self,
        calls: Calls,
        request: ChatRequest,
        *,
        quotes: Quotes,
        recorder: Recorder | None = None,
        limit: Limit | None = None,
    ) -> None:
        self.request = request
        self._calls = calls
        self._recorder = recorder
        self._limit = limit
        self._assembler = Assembler(request, quotes=quotes)
        self._entry: Entry | None = None
        self._over_limit = False

    async def read(self, screen: Screen, *, stream: bool = True) -> HolySheepError | None:
        """Read the answer while `screen` watches; return the error that ended it, if any."""
        try:
            if self._limit is not None:
                self._limit.check(streaming=stream)
            if self._recorder is not None:
                self._entry = await self._recorder.begin(self.request)
            if stream:
                await self._read_stream(screen)
            else:
                content_type, body = await self._calls.post(self.request, _Timed(self._assembler, screen))
                screen.text(fill(self._assembler, content_type, body))
        except HolySheepError as error:
            return error
        return None

    async def _read_stream(self, screen: Screen) -> None:
        assembler, limit = self._assembler, self._limit
        reader = await self._calls.stream(self.request, _Timed(assembler, screen))
        try:
            async for batch in reader.batches:
                if new := "".join([assembler.add(chunk) for chunk in batch]):
                    screen.text(new)
                if limit is not None and limit.reached(batch):
                    self._over_limit = not reader.ending.whole
                    break
            assembler.done = reader.ending.done
        finally:
            await reader.close()

    async def finish(
        self, *, stopped: bool = False, error: HolySheepError | None = None, note: str = ""
    ) -> Answer:
        """Return the answer, priced and recorded; raises `error` again where there is nothing to keep."""
        if self._over_limit and self._limit is not None:
            note = (
                f"stopped at the {self._limit.name} of {exactly(self._limit.usd)}{'; ' if note else ''}{note}"
            )
        try:
            answer = self._assembler.finish(stopped=stopped or self._over_limit, error=error, note=note)
        except HolySheepError as failure:
            if self._entry is not None:
                await self._entry.fail(type(failure).__name__)
            raise
        if self._entry is not None:
            await self._entry.settle(answer)
        return answer

    async def give_up(self) -> None:
        """Record what came of an answer that nobody waits for any more."""
        if self._entry is not None:
            await self._entry.settle(self._assembler.finish(stopped=True))


class _Timed(Screen):
    """Passes on to a screen, and starts the assembler's clock at each attempt."""

    def __init__(self, assembler: Assembler, screen: Screen) -> None:
        self._assembler = assembler
        self._screen = screen

    def sending(self) -> None:
        self._assembler.restart_clock()
        self._screen.sending()

    def notice(self, text: str) -> None:
        self._screen.notice(text)
