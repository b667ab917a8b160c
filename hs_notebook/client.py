"""`AsyncHolySheep`, and `HolySheep`, its blocking face. OpenAI's names and shapes.

There is one implementation. The blocking face drives it on the portal's loop, and chunks cross to the
calling thread in batches: all that one wake-up of the loop brought.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from hs_notebook.completions import AsyncChat, AsyncModels, Chat, Models
from hs_notebook.errors import UsageError
from hs_notebook.exchange import Exchange, Replaying, Screen
from hs_notebook.net.calls import Calls
from hs_notebook.net.nowhere import Nowhere
from hs_notebook.net.transport import Auth, Timeouts, Transport
from hs_notebook.portal import in_thread, portal
from hs_notebook.prices import load_book
from hs_notebook.pricing.limit import Limit, amount, limit_for
from hs_notebook.prompt import hidden_prompt
from hs_notebook.recording import Account
from hs_notebook.schemas import Schema
from hs_notebook.settings import Credentials, find_credentials, given_credentials, without_key
from hs_notebook.types import ChatRequest, prompt_messages
from hs_notebook.wire.limiter import RateLimiter
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from types import TracebackType

    from hs_notebook.answers import Answer
    from hs_notebook.errors import APIError
    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.replay import Replay


class AsyncHolySheep:
    """A client for the relay, on the event loop that awaits it.

    `api_key` and `base_url` default to the environment, a ``.env`` file and the keyring, see
    `hs_notebook.settings`. `auth` chooses the header that carries the key. At most `requests_per_minute`
    requests are sent and `concurrent_streams` answers read at a time; who comes later waits.
    Answers are priced by `prices`, by default our book and the user's own file, and recorded in `ledger`,
    by default in none. `ask` takes answers from the file of `replay` and keeps them there; in the mode
    ``replay`` nothing is ever sent and no key needed. `credentials` is for who has found them already.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        auth: Auth = "bearer",
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        requests_per_minute: int = 60,
        concurrent_streams: int = 5,
        prices: PriceBook | None = None,
        ledger: Ledger | None = None,
        replay: Replay | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        sends = replay is None or replay.mode != "replay"
        try:
            if api_key:
                credentials = given_credentials(api_key, base_url)
            elif credentials is None and not sends:
                credentials = without_key(base_url)
            self.credentials = credentials or find_credentials(base_url, prompt=hidden_prompt)
        finally:
            del api_key  # a verbose traceback prints the arguments of this frame
        if auth not in {"bearer", "x-api-key"}:
            raise UsageError(f"auth is 'bearer' or 'x-api-key', not {auth!r}.")
        transport = Transport(self.credentials, auth=auth, timeouts=timeouts or Timeouts())
        self._calls = Calls(
            transport if sends else Nowhere(self.credentials),
            retry=retry or RetryPolicy(),
            limiter=RateLimiter(requests_per_minute, concurrent_streams),
        )
        self.replay = replay and replay.before(self.base_url)
        self.requests_per_minute, self.concurrent_streams = requests_per_minute, concurrent_streams
        host = urlsplit(self.base_url).hostname or ""
        self._account = Account(host, self.credentials.key, prices or load_book(), ledger)
        self.chat = AsyncChat(self._calls, self._account)
        self.models = AsyncModels(self._calls)

    def use(self, prices: PriceBook, ledger: Ledger | None, *, notebook: str = "") -> None:
        """Price by another book, record in another ledger, from the next question on."""
        self._account.use(prices, ledger, notebook=notebook)

    def replaying(self, replay: Replay) -> AsyncHolySheep:
        """Return this client with answers from a file: its connections, limits and ledger are the same."""
        other = copy.copy(self)
        other.replay = replay.before(self.base_url)
        return other

    def beside(self, failed: Callable[[APIError], None]) -> AsyncHolySheep:
        """Return this client for `exchange` alone, without replay, and with places of its own.

        Connections, ledger and the count of requests a minute are the same. `failed` hears of each attempt
        that failed, also where another mends it.
        """
        other = copy.copy(self)
        other.replay = None
        other._calls = self._calls.beside(failed)  # noqa: SLF001 - of its own copy
        return other

    async def room_for(self, number: int) -> None:
        """Wait until so many requests may be sent at once."""
        await self._calls.room_for(number)

    def is_free(self, request: ChatRequest) -> bool:
        """Tell whether a request will not be sent: its answer comes from a file, or none may come."""
        return self.replay is not None and self.replay.is_free(request)

    @property
    def quotes(self) -> Quotes:
        """What the relay asks."""
        return self._account.quotes

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self.credentials.base_url

    async def ask(
        self,
        prompt: str,
        *,
        model: str,
        system: str | None = None,
        stream: bool = True,
        max_cost: Decimal | float | str | None = None,
        schema: Any = None,
        **params: Any,
    ) -> Answer:
        """Ask one question and return the answer, which behaves as its text.

        `max_cost` in USD is checked before sending, and where the answer reaches it, it is stopped. A stream
        that breaks off gives an answer with the state `truncated`. With a `schema`, a class or a JSON schema,
        the answer is read into `.parsed`. Raises `HolySheepError` where there is nothing to keep; where an
        error came in mid-answer or the text does not fit the schema, its `answer` is what came. So it is with
        the `CancelledError` of a task that is cancelled, which is the cause of a time-out's `TimeoutError`.
        """
        form = None if schema is None else Schema.of(schema)
        params = (form.params() if form else {}) | params
        request = ChatRequest.of(model, prompt_messages(prompt, system), params)
        asked = self
        if form is not None and self.replay is not None:
            asked = self.replaying(self.replay.accepting(form.fits))
        limit = None
        # A validator of the user's may take long or ask with this very client: not on the loop.
        if max_cost is not None and not await in_thread(lambda: asked.is_free(request)):
            limit = limit_for(request, self.quotes, amount(max_cost))
        exchange = asked.exchange(request, limit=limit)
        try:
            error = await exchange.read(Screen(), stream=stream)
            answer = await exchange.finish(error=error)
            self._account.warn()
            if error is not None and answer.state == "error":
                error.answer = answer
                raise error
            if form is None:
                return answer
            return await in_thread(lambda: form.fill(answer))
        except asyncio.CancelledError as stop:
            stop.answer = exchange.answer or await exchange.give_up()  # type: ignore[attr-defined]
            raise

    def exchange(self, request: ChatRequest, *, limit: Limit | None = None, occurrence: int = 0) -> Exchange:
        """Return a question that is ready to be asked; `occurrence` counts it among its likes in `replay`."""
        if self.replay is not None:
            return Replaying(
                self._calls, request, self._account, replay=self.replay, occurrence=occurrence, limit=limit
            )
        return Exchange(self._calls, request, self._account, limit=limit)

    async def close(self) -> None:
        """Close all connections."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class HolySheep:
    """The blocking face of `AsyncHolySheep`; takes the same arguments."""

    def __init__(self, api_key: str | None = None, **settings: Any) -> None:
        try:
            self.asynchronous = AsyncHolySheep(api_key, **settings)
        finally:
            del api_key  # as there
        self.chat = Chat(self.asynchronous.chat)
        self.models = Models(self.asynchronous.models)

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self.asynchronous.base_url

    def ask(self, prompt: str, *, model: str, system: str | None = None, **params: Any) -> Answer:
        """Ask one question and return the answer; see `AsyncHolySheep.ask`."""
        return portal().run(self.asynchronous.ask(prompt, model=model, system=system, **params))

    def close(self) -> None:
        """Close all connections."""
        portal().run(self.asynchronous.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
