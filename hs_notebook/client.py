"""`AsyncHolySheep`, and `HolySheep`, its blocking face. OpenAI's names and shapes.

There is one implementation. The blocking face drives it on the portal's loop, and chunks cross to the
calling thread in batches: all that one wake-up of the loop brought.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self, overload

from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.net.reader import Reader
from hs_notebook.net.transport import Auth, Progress, Timeouts, Transport
from hs_notebook.portal import POLL_SECONDS, Portal, portal
from hs_notebook.settings import Credentials, find_credentials, given_credentials
from hs_notebook.types import Answer, ChatCompletion, ChatCompletionChunk, ChatRequest, Messages, Model
from hs_notebook.wire.assembler import Assembler, as_completion
from hs_notebook.wire.chunks import decode_chunk, decode_completion, decode_models
from hs_notebook.wire.limiter import RateLimiter
from hs_notebook.wire.retry import RetryPolicy
from hs_notebook.wire.sse import SSEDecoder

_AHEAD = 2048  # chunks that the loop may be ahead of a slow reader


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


class AsyncHolySheep:
    """A client for the relay, on the event loop that awaits it.

    `api_key` and `base_url` default to the environment, a ``.env`` file and the keyring, see
    `hs_notebook.settings`. `auth` chooses the header that carries the key. At most `requests_per_minute`
    requests are sent and `concurrent_streams` answers read at a time; who comes later waits.
    `credentials` is for who has found them already.
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
        credentials: Credentials | None = None,
    ) -> None:
        if auth not in {"bearer", "x-api-key"}:
            raise UsageError(f"auth is 'bearer' or 'x-api-key', not {auth!r}.")
        if api_key:
            credentials = given_credentials(api_key, base_url)
        self.credentials = credentials or find_credentials(base_url)
        self._transport = Transport(
            self.credentials,
            auth=auth,
            timeouts=timeouts or Timeouts(),
            retry=retry or RetryPolicy(),
            limiter=RateLimiter(requests_per_minute, concurrent_streams),
        )
        self.chat = AsyncChat(self._transport)
        self.models = AsyncModels(self._transport)

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
        **params: Any,
    ) -> Answer:
        """Ask one question and return the answer, which behaves as its text.

        A stream that breaks off gives an answer with the state `truncated`. Raises `HolySheepError`
        where there is nothing to keep; where an error came in mid-answer, its `answer` is what came.
        """
        request = ChatRequest.of(model, prompt_messages(prompt, system), params)
        assembler = Assembler(request)
        error = await self.read(request, assembler, Screen(), stream=stream)
        answer = assembler.finish(error=error)
        if error is not None and answer.state == "error":
            error.answer = answer
            raise error
        return answer

    async def read(
        self, request: ChatRequest, assembler: Assembler, screen: Screen, *, stream: bool = True
    ) -> HolySheepError | None:
        """Fill `assembler` with the answer while `screen` watches; return the error that ended it, if any."""
        try:
            if stream:
                await self._read_stream(request, assembler, screen)
            else:
                content_type, body = await self._transport.post(request, _Timed(assembler, screen))
                screen.text(assembler.add_completion(_completion(request, content_type, body)))
        except HolySheepError as error:
            return error
        return None

    async def _read_stream(self, request: ChatRequest, assembler: Assembler, screen: Screen) -> None:
        reader = await self._transport.stream(request, _Timed(assembler, screen))
        try:
            while (batch := await reader.batch()) is not None:
                if new := "".join([assembler.add(chunk) for chunk in batch]):
                    screen.text(new)
            assembler.done = reader.ending.done
        finally:
            await reader.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncChat:
    """`client.chat`."""

    def __init__(self, transport: Transport) -> None:
        self.completions = AsyncCompletions(transport)


class AsyncCompletions:
    """`client.chat.completions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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
        if stream:
            return AsyncStream(await self._transport.stream(request, Screen()))
        return _completion(request, *await self._transport.post(request, Screen()))


class AsyncModels:
    """`client.models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Model]:
        """Return the models that the relay offers; 200 also means that the key is valid."""
        return decode_models(await self._transport.get("/models", Screen()))


class AsyncStream:
    """The chunks of one answer. Raises `StreamTruncatedError` where the stream breaks off."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        try:
            while (batch := await self._reader.batch()) is not None:
                for chunk in batch:
                    yield chunk
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection; the relay stops."""
        await self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class HolySheep:
    """The blocking face of `AsyncHolySheep`; takes the same arguments."""

    def __init__(self, api_key: str | None = None, **settings: Any) -> None:
        self.asynchronous = AsyncHolySheep(api_key, **settings)
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
        result = portal().run(self._completions.create(model=model, messages=messages, stream=stream, **params))
        return Stream(result, portal()) if isinstance(result, AsyncStream) else result


class Models:
    """`client.models`."""

    def __init__(self, models: AsyncModels) -> None:
        self._models = models

    def list(self) -> list[Model]:
        """Return the models that the relay offers."""
        return portal().run(self._models.list())


class Stream:
    """The chunks of one answer, read ahead on the portal's loop."""

    def __init__(self, stream: AsyncStream, home: Portal) -> None:
        self._home = home
        self._batches: SimpleQueue[list[ChatCompletionChunk] | BaseException | None] = SimpleQueue()
        self._gathered: list[ChatCompletionChunk] = []
        self._unread = 0
        self._room = asyncio.Event()
        self._over = False
        self._pumping = home.start(self._pump(stream._reader))  # noqa: SLF001 - the two are one

    async def _pump(self, reader: Reader) -> None:
        end: BaseException | None = None
        try:
            while (batch := await reader.batch()) is not None:
                if not self._gathered:
                    # It runs when this task waits for the socket again: one batch for all that was there.
                    self._home.loop.call_soon(self._hand_over)
                self._gathered += batch
                if self._unread + len(self._gathered) > _AHEAD:
                    await self._wait_for_room()
        except HolySheepError as error:
            end = error
        finally:
            self._hand_over()
            self._batches.put(end)
            await reader.close()

    def _hand_over(self) -> None:
        if self._gathered:
            self._unread += len(self._gathered)
            self._batches.put(self._gathered)
            self._gathered = []

    async def _wait_for_room(self) -> None:
        self._hand_over()
        while self._unread > _AHEAD // 2:
            self._room.clear()
            await self._room.wait()

    def _taken(self, count: int) -> None:
        self._unread -= count
        self._room.set()

    def _take(self) -> list[ChatCompletionChunk]:
        if self._over:
            return []
        batch = self._batches.get() if POLL_SECONDS is None else self._poll()
        if isinstance(batch, list):
            self._home.loop.call_soon_threadsafe(self._taken, len(batch))
            return batch
        self._over = True
        if batch is not None:
            raise batch
        return []

    def _poll(self) -> list[ChatCompletionChunk] | BaseException | None:
        while self._batches.empty() and not self._pumping.done():
            asyncio.run_coroutine_threadsafe(asyncio.sleep(POLL_SECONDS or 0), self._home.loop).result()
        return self._batches.get()

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        # A generator: leaving a `for` loop early closes it, and with it the connection.
        try:
            while batch := self._take():
                yield from batch
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; the relay stops."""
        if not self._pumping.done():
            self._pumping.cancel()
            self._home.settle()
        self._over = True

    def __del__(self) -> None:
        self._pumping.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def prompt_messages(prompt: str, system: str | None = None) -> list[Mapping[str, Any]]:
    """Return one question as messages; raises `UsageError` for an empty one."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise UsageError("The prompt is empty.", hint="Write the question.")
    question: Mapping[str, Any] = {"role": "user", "content": prompt}
    return [question] if system is None else [{"role": "system", "content": system}, question]


def _completion(request: ChatRequest, content_type: str, body: bytes) -> ChatCompletion:
    if content_type != "text/event-stream":
        return decode_completion(body)
    # Seen in production: a stream in answer to `stream: false`.
    assembler = Assembler(request)
    for event in SSEDecoder().feed(body):
        if event.data != "[DONE]":
            assembler.add(decode_chunk(event.data))
    return as_completion(assembler.finish())
