"""What a notebook's questions share: clients, the last answers, keys that were typed, what all cost."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from hs_notebook.call import Call
from hs_notebook.client import AsyncHolySheep
from hs_notebook.errors import AuthenticationError, HolySheepError
from hs_notebook.interrupts import interruptible
from hs_notebook.portal import portal, wait
from hs_notebook.pricing.calibration import Calibration
from hs_notebook.pricing.tokens import estimate_messages
from hs_notebook.settings import Credentials, Prompt, find_credentials, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hs_notebook.answers import Answer
    from hs_notebook.call import Wait
    from hs_notebook.compared import Answers
    from hs_notebook.exchange import Screen
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.types import ChatRequest, Model

_KEPT = 50  # answers


class Running(Protocol):
    """What `%holysheep stop` can stop."""

    def stop(self) -> None:
        """End what is arriving; its text is kept."""


class Session:
    """What the magics and the command line share: clients, the last answers, keys that were typed.

    `running` are the questions that are being answered, the newest last, `offered` the models that the
    relay listed when it was last asked, and `calibration` what billed figures teach about estimates. All of
    it may be used from several threads.
    """

    def __init__(self, *, prompt: Prompt | None = None) -> None:
        self.answers: deque[Answer] = deque(maxlen=_KEPT)
        self.last: Answer | Answers | None = None  # what was kept last, or all that it was a part of
        self.running: list[Running] = []
        self.offered: list[Model] = []
        self.calibration = Calibration()
        self._lock = threading.Lock()
        self._settled = Decimal(0)
        self._calls: list[Call] = []
        self._said: set[str] = set()
        self._prompt = prompt
        self._typed: dict[tuple[str, str, int], Credentials] = {}
        self._clients: dict[str, tuple[dict[str, Any], AsyncHolySheep]] = {}
        self._replaced: list[AsyncHolySheep] = []  # by clients with other settings, and still open

    @property
    def charged(self) -> Decimal:
        """What the answers cost in USD, where an unknown part counts with the dearest price known.

        One that is still arriving counts with the most that its limit allows.
        """
        with self._lock:
            return self._settled + sum(call.worst for call in self._calls)

    @property
    def held(self) -> tuple[int, Decimal]:
        """How many answers are still arriving, and the most that they may cost, in USD."""
        with self._lock:
            return len(self._calls), sum((call.worst for call in self._calls), Decimal(0))

    def credentials(
        self, base_url: str | None = None, *, ask: bool = True, named_by: str = ""
    ) -> Credentials:
        """Find the key, and `ask` for it where there is none; a typed one is remembered by this session."""
        prompt = self._typed_key if ask else self._remembered
        with interruptible():  # the user is asked, or the system's keyring is unlocked
            return find_credentials(base_url, prompt=prompt, named_by=named_by)

    def client(
        self,
        base_url: str | None = None,
        *,
        named_by: str = "",
        prices: PriceBook | None = None,
        **settings: Any,
    ) -> AsyncHolySheep:
        """Return the client for a base URL; its connections and limits last while key and settings do.

        What another client still reads, with the settings before, comes to its end.
        """
        credentials = self.credentials(base_url, named_by=named_by)
        if credentials.source == "the prompt":
            self._typed[origin(credentials.base_url)] = credentials
        made_with, client = self._clients.get(credentials.base_url, ({}, None))
        key = credentials.key.reveal()
        if client is None or made_with != settings or client.credentials.key.reveal() != key:
            if client is not None:
                self._replaced.append(client)
                self._close_replaced()
            client = AsyncHolySheep(credentials=credentials, prices=prices, **settings)
            self._clients[credentials.base_url] = (settings, client)
        return client

    def _close_replaced(self) -> None:
        """Close the clients that nobody will ask again, when nothing is arriving."""
        with self._lock:
            replaced = [] if self.running or self._calls else self._replaced.copy()
            del self._replaced[: len(replaced)]
        for client in replaced:
            portal().start(client.close())

    def start(
        self,
        client: AsyncHolySheep,
        request: ChatRequest,
        screen: Screen,
        *,
        stream: bool = True,
        limit: Limit | None = None,
    ) -> Call:
        """Send a request; what comes goes to `screen`, on the portal's loop."""
        note = self._warnings(client, request.model)
        call = Call(client, request, screen, stream=stream, limit=limit, note=note)
        with self._lock:
            self._calls.append(call)
        return call

    def result(self, client: AsyncHolySheep, call: Call, wait: Wait = wait) -> tuple[Answer, bool]:
        """Wait for a call's answer and count its cost; the second value tells of an interrupt.

        Raises `HolySheepError` where there is nothing to keep.
        """
        try:
            answer, interrupted = call.result(wait)
        except HolySheepError as error:
            self._learn(client, error)
            raise
        finally:
            call.when_ended(lambda: self._settle(call))  # one that cannot be stopped in time counts on
        self._compare(call.request, answer)
        return answer, interrupted

    def _settle(self, call: Call) -> None:
        with self._lock:
            self._calls.remove(call)
            self._settled += call.charge
        self._close_replaced()

    def count(self, charge: Decimal) -> None:
        """Count what was spent in another way, in USD."""
        with self._lock:
            self._settled += charge

    @contextlib.contextmanager
    def going(self, running: Running) -> Iterator[None]:
        """Let `%holysheep stop` find what is running."""
        self.running.append(running)
        try:
            yield
        finally:
            self.running.remove(running)
            self._close_replaced()

    def keep(self, answer: Answer) -> None:
        """Keep an answer for `%holysheep last`."""
        if answer or answer.shown or answer.tool_calls:
            self.answers.append(answer)
            self.last = answer

    def models(self, client: AsyncHolySheep) -> list[Model]:
        """Return the models that the relay offers."""
        try:
            self.offered = portal().run(client.models.list())
        except HolySheepError as error:
            self._learn(client, error)
            raise
        return self.offered

    def _compare(self, request: ChatRequest, answer: Answer) -> None:
        """Let what was billed correct the estimates to come."""
        receipt = answer.receipt
        usage = receipt.usage
        # What is sent beside the messages, such as tools, is billed in ways that nobody tells.
        if not (usage.estimated or receipt.simulated or receipt.replayed or request.structured_params):
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
