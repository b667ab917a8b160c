"""Going on with a stream whose connection broke, where the relay offers it; see `hs_notebook.relay.resume`.

The protocol in short: the reply has `X-Stream-Resume: 1`, names the stream in `X-Stream-Id` and numbers its
events from 1; `GET /streams/{id}` with `Last-Event-ID: N` goes on with N+1, and `DELETE` says that nobody
wants the rest.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.connections import undisturbed
from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    EventTooLargeError,
    ProtocolError,
    StreamTruncatedError,
)
from hs_notebook.net.replies import kind, source
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

    from hs_notebook.net.farewells import Ask, Farewells
    from hs_notebook.wire.retry import RetryPolicy
    from hs_notebook.wire.sse import ServerSentEvent

_ID = re.compile(r"[\w-]{1,200}", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_MOST = 100  # connections of one answer, however much each of them brings
# A stream is there or it is not: neither will change by asking again.
_GONE = frozenset({404, 410, 416})


class Resumption:
    """One stream and the connections that it comes by, one after the other.

    `policy` says how long to wait, and how many attempts in a row may bring nothing new; `notice` tells
    the user. `times` is how often the stream was resumed.
    """

    def __init__(
        self,
        response: httpx.Response,
        *,
        ask: Ask,
        policy: RetryPolicy,
        notice: Callable[[str], None],
    ) -> None:
        self.times = 0
        self.last = 0  # the number of the last event
        self._path = f"/streams/{response.headers['x-stream-id']}"
        self._response = response
        self._ask = ask
        self._most = policy.attempts
        self._policy = msgspec.structs.replace(
            policy, attempts=2 * policy.attempts, base=min(policy.base, 0.25), cap=min(policy.cap, 10.0)
        )
        self._notice = notice
        self._attempts = 0  # in a row that brought nothing new
        self._waited = 0.0  # seconds, for them
        self._was_silent = False
        self._decoder = SSEDecoder()

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the new events that these bytes complete. Raises where some are missing."""
        try:
            return self._new(self._decoder.feed(data))
        except EventTooLargeError as error:
            error.before = self._new([*error.before])
            raise

    def _new(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        last = self.last
        new: list[ServerSentEvent] = []
        for event in events:
            if (failure := _out_of_order(event.id, last)) is not None:
                failure.before = new
                raise failure
            if int(event.id) > last:
                last += 1
                new.append(event)
        if new:
            self.last, self._attempts, self._waited, self._was_silent = last, 0, 0.0, False
        return new

    async def again(self, failure: APIConnectionError) -> AsyncIterator[bytes]:
        """Return the bytes that follow, over a new connection. Raises `StreamTruncatedError`."""
        # A silent connection may be dead, where the machine has slept; on a new one silence is the model's.
        silent = isinstance(failure, APITimeoutError)
        if self.times >= _MOST or (silent and self._was_silent):
            raise self._broke_off(failure)
        self._was_silent = silent
        await self._close()
        what = "the relay was silent" if silent else "the connection broke"
        cause: APIError = failure
        while True:
            await self._wait(cause, what)
            try:
                return await self._resume()
            except StreamTruncatedError:
                raise
            except APIError as error:
                cause = error.with_traceback(None)
                if isinstance(error, APIConnectionError):
                    error.temporary = True  # a network that comes back may not know the host yet

    async def _wait(self, cause: APIError, what: str) -> None:
        self._attempts += 1
        # Soon, as most breaks are short, and then ever later: a network may take a while to come back.
        wait = self._policy.wait(cause, attempt=2 * self._attempts - 1, waited=self._waited)
        if wait is None:
            raise self._broke_off(cause)
        self._waited += wait
        self._notice(f"{what}; resuming ({self._attempts} of {self._most})")
        await asyncio.sleep(wait)

    def _broke_off(self, cause: APIError) -> StreamTruncatedError:
        asks = self._policy.too_long(cause, waited=self._waited)
        hint = cause.hint if isinstance(cause, APIStatusError) else ""
        said = " ".join(filter(None, (cause.message, asks, hint)))
        return lost(f"The stream broke off: {said}", kept=self.last > 0)

    async def _resume(self) -> AsyncIterator[bytes]:
        try:
            self._response = await self._ask("GET", self._path, {"Last-Event-ID": str(self.last)})
        except APIStatusError as error:
            if error.status_code in _GONE:
                raise lost(f"The rest of the answer is lost: {error.message}", kept=self.last > 0) from None
            raise
        if kind(self._response) != "text/event-stream":
            await self._close()
            raise ProtocolError("The relay did not go on with the stream.")
        self.times += 1
        self._decoder = SSEDecoder()
        self._notice("")
        return source(self._response)

    async def leave(self, is_over: Callable[[], bool], farewells: Farewells) -> None:
        """Close the connection at once, and let the relay know where the answer is not over."""
        try:
            await self._close()
        finally:
            if not is_over():
                farewells.say(self._path)

    async def _close(self) -> None:
        with suppress(Exception):  # it is gone one way or the other
            await undisturbed(self._response.aclose())


def can_resume(response: httpx.Response) -> bool:
    """Tell whether a reply is a stream that can be resumed."""
    headers = response.headers
    return headers.get("x-stream-resume") == "1" and bool(_ID.fullmatch(headers.get("x-stream-id", "")))


def lost(message: str, *, kept: bool) -> StreamTruncatedError:
    """Return what ends an answer of which the rest does not come; `kept` where some of it did."""
    return StreamTruncatedError(message, hint="What came is kept." if kept else "Ask again.")


def _out_of_order(number: str, last: int) -> APIError | None:
    if not _NUMBER.fullmatch(number):
        return ProtocolError("The relay numbers its events, but not all of them.")
    if int(number) > last + 1:
        return lost(f"The events {last + 1} to {int(number) - 1} of the answer are lost.", kept=last > 0)
    return None
