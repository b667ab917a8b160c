"""`AsyncHolySheep`, and `HolySheep`, its blocking face. OpenAI's names and shapes.

There is one implementation. The blocking face drives it on the portal's loop, and chunks cross to the
calling thread in batches: all that one wake-up of the loop brought.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Self, overload
from urllib.parse import urlsplit

from hs_notebook.errors import UsageError
from hs_notebook.exchange import Exchange, Screen
from hs_notebook.net.calls import Calls
from hs_notebook.net.transport import Auth, Timeouts, Transport
from hs_notebook.portal import portal
from hs_notebook.prices import load_book
from hs_notebook.pricing.limit import Limit, amount, limit_for
from hs_notebook.pricing.quotes import Quotes
from hs_notebook.prompt import hidden_prompt
from hs_notebook.recording import Entry, Recorder
from hs_notebook.settings import Credentials, find_credentials, given_credentials
from hs_notebook.streams import AsyncStream, Stream
from hs_notebook.types import ChatCompletion, ChatRequest, Messages, Model
from hs_notebook.wire.chunks import decode_models
from hs_notebook.wire.limiter import RateLimiter
from hs_notebook.wire.retry import RetryPolicy
from hs_notebook.wire.whole import as_answer, read_completion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from types import TracebackType

    from hs_notebook.answers import Answer
    from hs_notebook.ledger import Ledger
    from hs_notebook.net.reader import Reader
    from hs_notebook.pricing.book import PriceBook


class AsyncHolySheep:
    """A client for the relay, on the event loop that awaits it.

    `api_key` and `base_url` default to the environment, a ``.env`` file and the keyring, see
    `hs_notebook.settings`. `auth` chooses the header that carries the key. At most `requests_per_minute`
    requests are sent and `concurrent_streams` answers read at a time; who comes later waits.
    Answers are priced by `prices`, by default our book and the user's own file, and recorded in `ledger`,
    by default in none. `credentials` is for who has found them already.
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
        credentials: Credentials | None = None,
    ) -> None:
        try:
            if api_key:
                credentials = given_credentials(api_key, base_url)
            self.credentials = credentials or find_credentials(base_url, prompt=hidden_prompt)
        finally:
            del api_key  # a verbose traceback prints the arguments of this frame
        if auth not in {"bearer", "x-api-key"}:
            raise UsageError(f"auth is 'bearer' or 'x-api-key', not {auth!r}.")
        self._calls = Calls(
            Transport(self.credentials, auth=auth, timeouts=timeouts or Timeouts()),
            retry=retry or RetryPolicy(),
            limiter=RateLimiter(requests_per_minute, concurrent_streams),
        )
        self.use(prices or load_book(), ledger)
        self.chat = AsyncChat(self, self._calls)
        self.models = AsyncModels(self._calls)

    def use(self, prices: PriceBook, ledger: Ledger | None, *, notebook: str = "") -> None:
        """Price by another book, record in another ledger, from the next question on."""
        host = urlsplit(self.base_url).hostname or ""
        self.quotes = Quotes(prices, host)
        scrub = self.credentials.key.scrub
        self.recorder = (
            Recorder(ledger, self.quotes, host=host, notebook=notebook, scrub=scrub) if ledger else None
        )

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
        **params: Any,
    ) -> Answer:
        """Ask one question and return the answer, which behaves as its text.

        `max_cost` in USD is checked before sending, and where the answer reaches it, it is stopped. A stream
        that breaks off gives an answer with the state `truncated`. Raises `HolySheepError` where there is
        nothing to keep; where an error came in mid-answer, its `answer` is what came.
        """
        request = ChatRequest.of(model, prompt_messages(prompt, system), params)
        limit = None if max_cost is None else limit_for(request, self.quotes, amount(max_cost))
        exchange = self.exchange(request, limit=limit)
        try:
            error = await exchange.read(Screen(), stream=stream)
        except asyncio.CancelledError:
            await exchange.give_up()
            raise
        answer = await exchange.finish(error=error)
        self._warn()
        if error is not None and answer.state == "error":
            error.answer = answer
            raise error
        return answer

    def exchange(self, request: ChatRequest, *, limit: Limit | None = None) -> Exchange:
        """Return a question that is ready to be asked."""
        return Exchange(self._calls, request, quotes=self.quotes, recorder=self.recorder, limit=limit)

    async def record(self, request: ChatRequest) -> Entry | None:
        """Write down that a call is about to be sent, where a ledger is kept."""
        entry = await self.recorder.begin(request) if self.recorder else None
        self._warn()
        return entry

    def _warn(self) -> None:
        if self.recorder is not None:
            self.recorder.warn()

    async def close(self) -> None:
        """Close all connections."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncChat:
    """`client.chat`."""

    def __init__(self, client: AsyncHolySheep, calls: Calls) -> None:
        self.completions = AsyncCompletions(client, calls)


class AsyncCompletions:
    """`client.chat.completions`."""

    def __init__(self, client: AsyncHolySheep, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    @overload
    async def create(
        self, *, model: str, messages: Messages, stream: Literal[True], **params: Any
    ) -> AsyncStream: ...
    @overload
    async def create(
        self, *, model: str, messages: Messages, stream: Literal[False] = False, **params: Any
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, model: str, messages: Messages, stream: bool, **params: Any
    ) -> ChatCompletion | AsyncStream: ...

    async def create(
        self, *, model: str, messages: Messages, stream: bool = False, **params: Any
    ) -> ChatCompletion | AsyncStream:
        """Send messages; return the completion, or with `stream` an asynchronous iterator of chunks.

        Parameters that are not given (or None) are not sent. Raises `HolySheepError`.
        """
        request = ChatRequest.of(model, messages, params)
        entry = await self._client.record(request)
        try:
            if stream:
                return self._recorded(await self._calls.stream(request, Screen()), entry)
            completion = read_completion(request, *await self._calls.post(request, Screen()))
        except asyncio.CancelledError:
            if entry:
                await entry.settle_unknown()
            raise
        except Exception as error:
            if entry:
                await entry.fail(type(error).__name__)
            raise
        if entry:
            await entry.settle(as_answer(request, completion, self._client.quotes))
        return completion

    def _recorded(self, reader: Reader, entry: Entry | None) -> AsyncStream:
        if entry:
            reader.batches = entry.count(reader.batches)
            reader.after = entry.settle_stream
        return AsyncStream(reader)


class AsyncModels:
    """`client.models`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list(self) -> list[Model]:
        """Return the models that the relay offers; 200 also means that the key is valid."""
        return decode_models(await self._calls.get("/models", Screen()))


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


class Chat:
    """`client.chat`."""

    def __init__(self, chat: AsyncChat) -> None:
        self.completions = Completions(chat.completions)


class Completions:
    """`client.chat.completions`."""

    def __init__(self, completions: AsyncCompletions) -> None:
        self._completions = completions

    @overload
    def create(self, *, model: str, messages: Messages, stream: Literal[True], **params: Any) -> Stream: ...
    @overload
    def create(
        self, *, model: str, messages: Messages, stream: Literal[False] = False, **params: Any
    ) -> ChatCompletion: ...
    @overload
    def create(
        self, *, model: str, messages: Messages, stream: bool, **params: Any
    ) -> ChatCompletion | Stream: ...

    def create(
        self, *, model: str, messages: Messages, stream: bool = False, **params: Any
    ) -> ChatCompletion | Stream:
        """Send messages; return the completion, or with `stream` an iterator of chunks."""
        home = portal()

        async def create() -> ChatCompletion | Stream:
            result = await self._completions.create(model=model, messages=messages, stream=stream, **params)
            return result.read_ahead(home) if isinstance(result, AsyncStream) else result

        return home.run(create())


class Models:
    """`client.models`."""

    def __init__(self, models: AsyncModels) -> None:
        self._models = models

    def list(self) -> list[Model]:
        """Return the models that the relay offers."""
        return portal().run(self._models.list())


def prompt_messages(prompt: str, system: str | None = None) -> list[Mapping[str, Any]]:
    """Return one question as messages; raises `UsageError` for an empty one."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise UsageError("The prompt is empty.", hint="Write the question.")
    question: Mapping[str, Any] = {"role": "user", "content": prompt}
    return [question] if system is None else [{"role": "system", "content": system}, question]
