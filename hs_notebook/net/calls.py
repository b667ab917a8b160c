"""One call: its turn at the limits, its attempts, and what they have in common."""

from __future__ import annotations

import asyncio
import math
import uuid
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hs_notebook.errors import APIConnectionError, APIError, APIStatusError, BadRequestError
from hs_notebook.net.gate import Gate
from hs_notebook.wire.failures import may_be_billed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hs_notebook.net.progress import Progress
    from hs_notebook.net.reader import Reader
    from hs_notebook.net.transport import Transport
    from hs_notebook.types import ChatRequest
    from hs_notebook.wire.limiter import RateLimiter
    from hs_notebook.wire.retry import RetryPolicy

T = TypeVar("T")

_NOTICED_WAIT = 1.0  # seconds; a shorter wait is not worth a line


class Calls:
    """Sends requests as the limits allow, and again as the policy says; on one event loop at a time."""

    def __init__(self, transport: Transport, *, retry: RetryPolicy, limiter: RateLimiter) -> None:
        self._transport = transport
        self._retry = retry
        self._limiter = limiter
        self._gate: Gate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed: Callable[[APIError], None] = lambda _failure: None
        self._without_usage: set[str] = set()  # models that refuse to be asked for it

    def beside(self, failed: Callable[[APIError], None]) -> Calls:
        """Return the same calls with places of their own; `failed` hears of each attempt that failed.

        Requests a minute are counted together.
        """
        other = Calls(self._transport, retry=self._retry, limiter=self._limiter.renewed())
        other._failed = failed
        other._without_usage = self._without_usage
        return other

    async def room_for(self, number: int) -> None:
        """Wait until so many requests may be sent at once."""
        while wait := self._limiter.wait_for(number):  # noqa: ASYNC110 - a clock is waited for
            await asyncio.sleep(wait)

    async def stream(self, request: ChatRequest, progress: Progress) -> Reader:
        """Send a request for a stream and return its reader when the answer has begun."""
        gate = await self._admitted(progress)
        once = uuid.uuid4().hex  # a relay that heeds it answers all attempts with one stream, and one bill
        try:
            return await self._begun(lambda: self._open(request, once, gate, progress), gate, progress)
        except (asyncio.CancelledError, APIConnectionError):
            self._transport.give_up(once)  # an attempt may have begun what nobody will fetch
            raise

    async def post(self, request: ChatRequest, progress: Progress) -> Reader:
        """Send a request for a whole answer and return its reader."""
        gate = await self._admitted(progress)
        return await self._begun(lambda: self._transport.post(request, progress), gate, progress)

    async def get(self, path: str, progress: Progress) -> bytes:
        """Return the body of a reply to GET."""
        gate = await self._admitted(progress)
        try:
            return await self._attempts(lambda: self._transport.get(path), gate, progress)
        finally:
            gate.leave()

    async def close(self) -> None:
        """Close all connections of this loop."""
        await self._transport.close()

    async def _begun(
        self, attempt: Callable[[], Awaitable[Reader]], gate: Gate, progress: Progress
    ) -> Reader:
        try:
            reader = await self._attempts(attempt, gate, progress)
        except BaseException:
            gate.leave()
            raise
        reader.on_close(gate.leave)
        return reader

    async def _admitted(self, progress: Progress) -> Gate:
        loop = asyncio.get_running_loop()
        if self._gate is None or self._loop is not loop:
            # What was under way on another loop, or before a fork, does not come back to this one.
            self._limiter = self._limiter.renewed()
            self._gate, self._loop = Gate(self._limiter), loop
        gate = self._gate
        await self._transport.prepare()  # not part of any answer's time to first token
        await gate.enter(lambda wait: _tell_wait(progress, wait))
        return gate

    async def _attempts(self, attempt: Callable[[], Awaitable[T]], gate: Gate, progress: Progress) -> T:
        waited, number = 0.0, 1
        while True:
            progress.sending()
            try:
                return await attempt()
            except APIError as error:
                failure = error.with_traceback(None)
            if isinstance(failure, APIStatusError) and not may_be_billed(failure.status_code):
                progress.refused()
            self._failed(failure)
            wait = self._retry.wait(failure, attempt=number, waited=waited)
            if wait is None:
                raise self._explained(failure, number, waited)
            number, waited = number + 1, waited + wait
            cause = failure.message.rstrip(".")
            progress.notice(f"{cause}; trying again in {wait:.0f} s ({number} of {self._retry.attempts})")
            await asyncio.sleep(wait)
            await gate.count(lambda wait: _tell_wait(progress, wait))
            progress.notice("")

    def _explained(self, failure: APIError, attempts: int, waited: float) -> APIError:
        tried = f"Tried {attempts} times." if attempts > 1 else ""
        asks = self._retry.too_long(failure, waited=waited)
        failure.hint = " ".join(filter(None, (tried, asks, failure.hint)))
        return failure

    async def _open(self, request: ChatRequest, once: str, gate: Gate, progress: Progress) -> Reader:
        stream = partial(self._transport.stream, request, once=once, policy=self._retry, progress=progress)
        if request.model in self._without_usage:
            return await stream(usage=False)
        try:
            return await stream(usage=True)
        except BadRequestError as error:
            refused = "stream_options" in f"{error.param} {error.message}"
            if not refused or "stream_options" in request.params:
                raise
        progress.refused()
        await gate.count(lambda wait: _tell_wait(progress, wait))
        progress.sending()
        reader = await stream(usage=False)
        self._without_usage.add(request.model)
        return reader


def _tell_wait(progress: Progress, wait: float) -> None:
    if math.isinf(wait):
        progress.notice("waiting for another answer to end: the limit of concurrent streams is reached")
    elif wait > _NOTICED_WAIT:
        progress.notice(f"the limit of requests a minute is reached; sending in {wait:.0f} s")
    elif not wait:
        progress.notice("")
