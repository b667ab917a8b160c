"""One answer on its way: read on the portal's loop, waited for and stopped from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ParamSpec

from hs_notebook.answers import Answer
from hs_notebook.display.notes import foreign, note
from hs_notebook.errors import HolySheepError, NotFoundError, StreamTruncatedError
from hs_notebook.exchange import Screen
from hs_notebook.interrupts import interruptible
from hs_notebook.portal import portal, wait

if TYPE_CHECKING:
    from concurrent.futures import Future

    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.display import Display
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.types import ChatRequest, Model

_STOP_SECONDS = 5.0  # for an interrupted answer to settle
_SUGGESTION_SECONDS = 3.0
_SUGGESTIONS = 3

P = ParamSpec("P")
Wait = Callable[["Future[Answer]"], Answer]


class Interrupted(KeyboardInterrupt):
    """The cell was interrupted while an answer arrived; `answer` is what had come, and it is kept.

    Where several models were asked, it is their `Answers`.
    """

    def __init__(self, answer: Any, text: str = "The answer stops here; its text is kept.") -> None:
        super().__init__(text)
        self.answer = answer


class Call:
    """One answer on its way, from the moment it is made; `stop` may come from any thread."""

    def __init__(
        self,
        client: AsyncHolySheep,
        request: ChatRequest,
        screen: Screen,
        *,
        stream: bool = True,
        limit: Limit | None = None,
        note: str = "",
    ) -> None:
        self.request = request
        self.worst = limit.worst if limit else Decimal(0)  # USD that it may cost, where that is known
        self.error: HolySheepError | None = None  # that ended an answer of which something is kept
        self._client = client
        self._screen = screen
        self._stream = stream
        self._note = note
        self._reading: asyncio.Task[HolySheepError | None] | None = None
        self._exchange = client.exchange(request, limit=limit)
        self._stopped = False
        self._loop = portal().loop
        self._future = portal().start(self._run())

    def result(self, wait: Wait = wait) -> tuple[Answer, bool]:
        """Wait for the answer, and tell whether the cell was interrupted meanwhile.

        Raises `HolySheepError` where there is nothing to keep.
        """
        try:
            with interruptible():
                return wait(self._future), False
        except KeyboardInterrupt:
            self.stop()
            return settled(self._future), True

    async def _run(self) -> Answer:
        """Read the answer to its end; raises `HolySheepError` where there is nothing to keep."""
        self._reading = asyncio.ensure_future(self._exchange.read(self._screen, stream=self._stream))
        if self._stopped:
            self._reading.cancel()
        stopped = False
        try:
            self.error = await self._reading
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            stopped = True
        except Exception:  # one of our own: what came is billed all the same
            await self._exchange.give_up()
            raise
        self._screen.done()
        if isinstance(self.error, NotFoundError):
            await suggest(self._client, self.request.model, self.error)
        return await self._exchange.finish(stopped=stopped, error=self.error, note=self._note)

    @property
    def charge(self) -> Decimal:
        """What the answer counts against a budget, in USD."""
        return self._exchange.charge

    @property
    def text(self) -> str:
        """The text so far."""
        return self._exchange.text

    def when_ended(self, act: Callable[[], None]) -> None:
        """Act when the answer has ended, in any thread: at once where it has."""
        self._future.add_done_callback(lambda _: act())

    def stop(self) -> None:
        """Close the connection and keep what came."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


def settled(future: Future[Answer]) -> Answer:
    """Return an answer that was stopped, also to somebody who interrupts again."""
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise StreamTruncatedError("The answer could not be stopped in time.") from None
        except KeyboardInterrupt as interrupt:
            if future.done() and future.exception() is interrupt:
                raise  # it is what the answer ended in


class OnLoop(Screen):
    """The part of a display that the reading loop may see, and its end: its errors cost no answer.

    Where nobody reads the output any more the answer is stopped.
    """

    def __init__(self, display: Display) -> None:
        self._error: Exception | None = None
        self.sending = self._safe(display.sending)  # type: ignore[method-assign]
        self.notice = self._safe(display.notice)  # type: ignore[method-assign]
        self.text = self._safe(lambda new: display.text(foreign(new)))  # type: ignore[method-assign]
        self.note = self._safe(lambda text: display.text(note(text)))
        self.done = self._safe(display.done)  # type: ignore[method-assign]
        self.finish = self._safe(display.finish)

    def check(self) -> None:
        """Raise the first error of the display, if there was one."""
        if self._error is not None:
            raise self._error

    def _safe(self, show: Callable[P, None]) -> Callable[P, None]:
        def shown(*values: P.args, **named: P.kwargs) -> None:
            if self.gone:
                return
            try:
                show(*values, **named)
            except BrokenPipeError:
                self.gone = True
            except Exception as error:  # noqa: BLE001 - `check` raises it, when the answer is kept
                self._error = self._error or error

        return shown


async def suggest(client: AsyncHolySheep, model: str, error: NotFoundError) -> None:
    """Let an error name the nearest of the models on offer, unless the relay has done so."""
    if "did you mean" in error.message.lower():
        return
    with contextlib.suppress(HolySheepError, TimeoutError):
        async with asyncio.timeout(_SUGGESTION_SECONDS):
            error.hint = suggestion(model, await client.models.list())


def suggestion(model: str, offered: Iterable[Model]) -> str:
    """Return the nearest of the models on offer as a hint."""
    names = {known.id.lower().replace(".", "-"): known.id for known in offered}
    near = difflib.get_close_matches(model.lower().replace(".", "-"), names, _SUGGESTIONS, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(names[name] for name in near)}?"
    return "%holysheep models lists what the relay offers."
