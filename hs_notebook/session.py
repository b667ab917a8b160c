"""One ask after another: find the client, send, show, keep."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.answers import Answer
from hs_notebook.client import AsyncHolySheep
from hs_notebook.errors import AuthenticationError, HolySheepError, NotFoundError, StreamTruncatedError
from hs_notebook.exchange import Screen
from hs_notebook.portal import portal, wait
from hs_notebook.pricing.calibration import Calibration
from hs_notebook.pricing.tokens import estimate_messages
from hs_notebook.settings import Credentials, Prompt, Secret, find_credentials, origin

if TYPE_CHECKING:
    from hs_notebook.display import Display
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.types import ChatRequest, Model

_KEPT = 50  # answers
_STOP_SECONDS = 5.0  # for an interrupted answer to settle
_SUGGESTION_SECONDS = 3.0
_SUGGESTIONS = 3

Wait = Callable[[Future[Answer]], Answer]


class Interrupted(KeyboardInterrupt):
    """The cell was interrupted while an answer arrived; `answer` is what had come, and it is kept."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("The answer stops here; its text is kept.")
        self.answer = answer


class Call:
    """One answer on its way. `run` lives on the portal's loop; `stop` may come from any thread."""

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
        self._client = client
        self._request = request
        self._screen = screen
        self._stream = stream
        self._note = note
        self._reading: asyncio.Task[HolySheepError | None] | None = None
        self._exchange = client.exchange(request, limit=limit)
        self._stopped = False
        self._loop = portal().loop
        self.error: HolySheepError | None = None  # that ended an answer of which something is kept

    async def run(self) -> Answer:
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
        self._screen.done()
        if isinstance(self.error, NotFoundError) and "did you mean" not in self.error.message.lower():
            await self._suggest(self.error)
        answer = await self._exchange.finish(stopped=stopped, error=self.error, note=self._note)
        return _without_key(answer, self._client.credentials.key)

    @property
    def charge(self) -> Decimal:
        """What the answer counts against a budget, in USD."""
        return self._exchange.charge

    def stop(self) -> None:
        """Close the connection and keep what came."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _suggest(self, error: NotFoundError) -> None:
        with contextlib.suppress(HolySheepError, TimeoutError):
            async with asyncio.timeout(_SUGGESTION_SECONDS):
                error.hint = suggestion(self._request.model, await self._client.models.list())


class Session:
    """What the magics and the command line share: clients, the last answers, keys that were typed.

    `charged` is what its answers cost in USD, where an unknown part counts with the dearest price known, and
    `calibration` what billed figures teach about estimates.
    """

    def __init__(self, *, prompt: Prompt | None = None) -> None:
        self.answers: deque[Answer] = deque(maxlen=_KEPT)
        self.charged = Decimal(0)
        self.calibration = Calibration()
        self._said: set[str] = set()
        self._prompt = prompt
        self._typed: dict[tuple[str, str, int], Credentials] = {}
        self._clients: dict[str, tuple[dict[str, Any], AsyncHolySheep]] = {}

    def credentials(self, base_url: str | None = None, *, ask: bool = True) -> Credentials:
        """Find the key, and `ask` for it where there is none; a typed one is remembered by this session."""
        return find_credentials(base_url, prompt=self._typed_key if ask else self._remembered)

    def client(self, base_url: str | None = None, **settings: Any) -> AsyncHolySheep:
        """Return the client for a base URL; its connections and limits last while key and settings do."""
        credentials = self.credentials(base_url)
        if credentials.source == "the prompt":
            self._typed[origin(credentials.base_url)] = credentials
        made_with, client = self._clients.get(credentials.base_url, ({}, None))
        key = credentials.key.reveal()
        if client is None or made_with != settings or client.credentials.key.reveal() != key:
            if client is not None:
                portal().start(client.close())
            client = AsyncHolySheep(credentials=credentials, **settings)
            self._clients[credentials.base_url] = (settings, client)
        return client

    def ask(
        self,
        client: AsyncHolySheep,
        request: ChatRequest,
        display: Display,
        *,
        stream: bool = True,
        limit: Limit | None = None,
        wait: Wait = wait,
    ) -> Answer:
        """Ask, show the answer while it arrives, keep it and return it.

        Raises `Interrupted` with the answer so far on a `KeyboardInterrupt`, and `HolySheepError` where
        there is no answer or it ended in an error; what came before is on the display and kept.
        """
        note = self._warnings(client, request.model)
        call = Call(client, request, _OnLoop(display), stream=stream, limit=limit, note=note)
        display.begin(call.stop)
        future = portal().start(call.run())
        interrupted = False
        try:
            try:
                answer = wait(future)
            except KeyboardInterrupt:
                interrupted = True
                call.stop()
                answer = _settled(future)
        except HolySheepError as error:
            self._learn(client, error)
            display.fail(error)
            raise
        display.finish(answer)
        self.charged += call.charge
        self._compare(request, answer)
        if answer:
            self.answers.append(answer)
        if interrupted:
            raise Interrupted(answer)
        if answer.state == "error" and call.error is not None:
            call.error.answer = answer
            raise call.error
        return answer

    def models(self, client: AsyncHolySheep) -> list[Model]:
        """Return the models that the relay offers."""
        try:
            return portal().run(client.models.list())
        except HolySheepError as error:
            self._learn(client, error)
            raise

    def _compare(self, request: ChatRequest, answer: Answer) -> None:
        """Let what was billed correct the estimates to come."""
        usage = answer.receipt.usage
        if not usage.estimated and not answer.receipt.simulated:
            counted = estimate_messages(request.messages, request.model)
            self.calibration.see(request.model, counted, usage.prompt_tokens)

    def _warnings(self, client: AsyncHolySheep, model: str) -> str:
        """Return what is to be said of a model's price and of what it bills, each once a session."""
        lines = {
            f"price of {model}": client.quotes.warning(model),
            f"billing of {model}": self.calibration.over_billing(model),
        }
        new = {subject: line for subject, line in lines.items() if line and subject not in self._said}
        self._said.update(new)
        return " ".join(new.values())

    def _learn(self, client: AsyncHolySheep, error: HolySheepError) -> None:
        """Forget a typed key that was refused: the next cell asks again."""
        if isinstance(error, AuthenticationError):
            self._typed.pop(origin(client.base_url), None)

    def _typed_key(self, text: str) -> str:
        return self._remembered(text) or (self._prompt(text) if self._prompt else "")

    def _remembered(self, text: str) -> str:
        # The question names the base URL; a key serves all paths of its origin.
        named = re.search(r"https?://\S+", text)
        known = self._typed.get(origin(named[0])) if named else None
        return known.key.reveal() if known else ""


def _without_key(answer: Answer, key: Secret) -> Answer:
    """Return an answer in which the relay does not give the key back: it will be saved."""
    if key.scrub(answer.text) == answer.text and key.scrub(answer.reasoning) == answer.reasoning:
        return answer
    return Answer(
        key.scrub(answer.text),
        answer.receipt,
        messages=answer.messages[:-1],
        reasoning=key.scrub(answer.reasoning),
        tool_calls=answer.tool_calls,
        alternatives=[key.scrub(text) for text in answer.alternatives],
    )


def _settled(future: Future[Answer]) -> Answer:
    """Return the answer that was stopped, also to somebody who interrupts again."""
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            try:
                return future.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise StreamTruncatedError("The answer could not be stopped in time.") from None


class _OnLoop(Screen):
    """The part of a display that the reading loop may see."""

    def __init__(self, display: Display) -> None:
        self.sending = display.sending  # type: ignore[method-assign]
        self.notice = display.notice  # type: ignore[method-assign]
        self.text = display.text  # type: ignore[method-assign]
        self.done = display.done  # type: ignore[method-assign]


def suggestion(model: str, offered: Iterable[Model]) -> str:
    """Return the nearest of the models on offer as a hint."""
    names = {known.id.lower().replace(".", "-"): known.id for known in offered}
    near = difflib.get_close_matches(model.lower().replace(".", "-"), names, _SUGGESTIONS, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(names[name] for name in near)}?"
    return "%holysheep models lists what the relay offers."
