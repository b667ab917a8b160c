"""`client.chat.completions` and `client.models`, awaited and blocking. OpenAI's names and shapes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, overload

from hs_notebook.errors import HolySheepError
from hs_notebook.exchange import Exchange, Screen
from hs_notebook.net.progress import Attempts
from hs_notebook.portal import portal
from hs_notebook.streams import AsyncStream, Stream
from hs_notebook.types import ChatCompletion, ChatRequest, Messages, Model
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.chunks import decode_models
from hs_notebook.wire.whole import as_completion

if TYPE_CHECKING:
    from hs_notebook.net.calls import Calls
    from hs_notebook.net.reader import Reader
    from hs_notebook.recording import Account, Entry


class AsyncChat:
    """`client.chat`."""

    def __init__(self, calls: Calls, account: Account) -> None:
        self.completions = AsyncCompletions(calls, account)


class AsyncCompletions:
    """`client.chat.completions`."""

    def __init__(self, calls: Calls, account: Account) -> None:
        self._calls = calls
        self._account = account

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

        Parameters that are not given (or None) are not sent. Raises `HolySheepError`, whose `answer` is what
        had come of a completion.
        """
        request = ChatRequest.of(model, messages, params)
        return await (self._stream(request) if stream else self._whole(request))

    async def _whole(self, request: ChatRequest) -> ChatCompletion:
        exchange = Exchange(self._calls, request, self._account)
        try:
            error = await exchange.read(Screen(), stream=False)
            answer = await exchange.finish(error=error)
        except asyncio.CancelledError as stop:
            stop.answer = exchange.answer or await exchange.give_up()  # type: ignore[attr-defined]
            raise
        finally:
            self._account.warn()
        if error is not None:
            error.answer = answer
            raise error
        return exchange.whole or as_completion(answer)

    async def _stream(self, request: ChatRequest) -> AsyncStream:
        entry = await self._account.record(request)
        attempts = Attempts()
        try:
            reader = await self._calls.stream(request, attempts)
        except asyncio.CancelledError:
            if entry:
                await (entry.settle_unknown() if attempts.may_be_billed else entry.withdraw())
            raise
        except Exception as error:
            if isinstance(error, HolySheepError):
                error.scrub(self._account.key.scrub)
            if entry:
                await self._settle_failed(entry, error, request, attempts)
            raise
        return self._recorded(reader, entry)

    async def _settle_failed(
        self, entry: Entry, error: Exception, request: ChatRequest, attempts: Attempts
    ) -> None:
        unanswered, charge = attempts.unanswered(error), None
        receipt = Assembler(request, quotes=self._account.quotes).billed(unanswered=unanswered)
        if receipt is not None:
            charge = unanswered * self._account.quotes.charge(receipt)
        await entry.settle_failed(error, receipt, charge=charge)

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
        return decode_models(await self._calls.get("/models", Attempts()))


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
