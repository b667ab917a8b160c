"""One question, from its place on the screen to its receipt."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.answers import Answer, together
from hs_notebook.call import Call, Interrupted, OnLoop
from hs_notebook.display.notes import foreign, note, unmarked
from hs_notebook.errors import HolySheepError, SchemaError
from hs_notebook.interrupts import has_waited, interruptible, uninterrupted
from hs_notebook.portal import portal, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.call import Wait
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.display import Display
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.session import Session
    from hs_notebook.types import ChatRequest

    Follow = Callable[[ChatRequest, Answer], ChatRequest | None]


_KEPT = "The answer has come, and is kept."


class Asking:
    """One question on the screen. `stop` may come from any thread.

    After each round `follow` is asked, in the thread that runs it, for the request of the next; `limits`
    says what a request may cost when so many USD are charged already, and may forbid it at once. `present`
    makes the Markdown that is shown in the end of what came. One that is not `listed` is a part of something
    else: `%holysheep stop` does not find it.
    """

    def __init__(
        self,
        session: Session,
        client: AsyncHolySheep,
        request: ChatRequest,
        display: Display,
        *,
        stream: bool = True,
        limits: Callable[[ChatRequest, Decimal], Limit | None] = lambda _request, _charged: None,
        follow: Follow = lambda _request, _answer: None,
        present: Callable[[Answer], str] = lambda answer: answer.text,
        listed: bool = True,
    ) -> None:
        self._session, self._client, self._display = session, client, display
        self._request = request
        self._stream = stream
        self._limits, self._follow, self._present = limits, follow, present
        self._limit = limits(request, Decimal(0))
        self._screen = OnLoop(display)
        self._listed = listed
        self._begun = self._stopped = False
        self.answer: Answer | None = None  # what came, when `run` has ended
        self._call: Call | None = None
        self._error: HolySheepError | None = None
        self._charged = Decimal(0)
        self._rounds: list[Answer] = []
        self._said: list[str] = []
        self._picture: list[str] = []

    def begin(self) -> None:
        """Take the place on the screen; `run` does it unless it was done."""
        if not self._begun:
            self._begun = True
            self._display.begin(self.stop)

    def send(self) -> None:
        """Send the request and go on; `run` does it unless it was done."""
        if self._call is None and not self._rounds:
            self._call = self._start(self._request, self._limit)

    def run(self, wait: Wait = wait) -> Answer:
        """Ask, show the answer while it arrives, keep it and return it.

        Raises `Interrupted` with the answer so far on a `KeyboardInterrupt`, and `HolySheepError` where
        there is no answer or it ended in an error; what came before is on the display, kept, and in
        `answer`, whatever was raised.
        """
        with uninterrupted():
            return self._run(wait)

    def _run(self, wait: Wait) -> Answer:
        self.begin()
        error: BaseException | None = None
        interrupted = False
        with self._session.going(self) if self._listed else contextlib.nullcontext():
            try:
                interrupted = self._ask(wait)
            except BaseException as failure:  # noqa: BLE001 - raised again when what came is kept
                error = failure
                self.stop()
        if not self._rounds:
            assert error is not None  # noqa: S101 - without an answer there is one
            self._display.fail(error)
            raise error
        answer = self._finish(error)
        interrupted = has_waited() or interrupted
        if interrupted:
            raise Interrupted(answer, *([] if answer.state == "stopped" else [_KEPT]))
        if answer.state == "error":
            error = error or self._error
        if error is not None:
            if isinstance(error, HolySheepError):
                error.answer = answer
            raise error
        self._screen.check()
        return answer

    def _finish(self, error: BaseException | None) -> Answer:
        self.answer = answer = together(self._rounds)
        if error is not None and not isinstance(error, SchemaError):  # there the text is whole
            answer.end("error")
            answer.add_note(f"{type(error).__name__}: {error}")
        picture = "".join(self._picture)
        if picture != answer.text:
            answer.picture, answer.shown = picture, unmarked(picture)
        self._session.keep(answer)
        self._screen.finish(answer)
        return answer

    def stop(self) -> None:
        """Close the connection, keep what came, and ask no further."""
        self._stopped = True
        if (call := self._call) is not None:
            call.stop()

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it."""
        return self._stopped

    @property
    def unread(self) -> bool:
        """Whether nobody reads any more what it shows."""
        return self._screen.gone

    @property
    def text(self) -> str:
        """What it has said so far."""
        call = self._call
        return "".join([*self._said, call.text if call is not None else ""])

    def say(self, text: str) -> None:
        """Show something between two rounds, as Markdown; it stays."""
        self._said.append(text)
        self._picture.append(note(text))
        portal().run(self._show(text))

    async def _show(self, text: str) -> None:
        self._screen.note(text)
        self._screen.done()  # at once: somebody may be asked about it

    def _start(self, request: ChatRequest, limit: Limit | None) -> Call:
        call = self._session.start(self._client, request, self._screen, stream=self._stream, limit=limit)
        if self._stopped:
            call.stop()
        return call

    def _ask(self, wait: Wait) -> bool:
        request: ChatRequest | None = self._request
        limit = self._limit
        while request is not None:
            self._call = call = self._call or self._start(request, limit)
            answer, interrupted = self._session.result(self._client, call, wait)
            self._call, self._error = None, call.error
            self._charged += call.charge
            self._rounds.append(answer)
            self._said.append(answer.text)
            self._picture.append(self._present(_foreign(answer)))
            if self._stopped and answer.tool_calls and answer.state == "complete":
                answer.end("stopped")  # what it asks for is not done
            if interrupted or answer.state != "complete":
                return interrupted
            try:
                with interruptible():
                    request = self._follow(request, answer)
            except KeyboardInterrupt:
                answer.end("stopped")
                return True
            if self.stopped and request:
                answer.end("stopped")
                return False
            limit = self._limits(request, self._charged) if request else None
        return False


def _foreign(answer: Answer) -> Answer:
    """Return an answer whose text cannot pass for a note of ours."""
    text = foreign(answer.text)
    return answer if text == answer.text else answer.saying(text)
