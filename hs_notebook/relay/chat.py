"""The endpoints that ask a model: OpenAI's own, and the short one of the vendor's article."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hs_notebook.relay.access import identify, seen
from hs_notebook.relay.asked import read_asked, read_asked_in_short
from hs_notebook.relay.passing import hand_on
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.sinks import AsgiSink, FrameSink, disconnected
from hs_notebook.watchdog import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Admission, Gateway
    from hs_notebook.relay.keys import Client
    from hs_notebook.relay.resume.streams import Streams
    from hs_notebook.relay.sinks import Sink


_LAST = 2.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """`POST /v1/chat/completions` and `POST /api/chat/stream`."""

    gateway: Gateway
    streams: Streams

    async def completions(self, request: Request) -> ASGIApp:
        """Answer as OpenAI does, with a stream that can be resumed where that is wanted."""
        client, asked = await self._asked(request, read_asked)
        if self.streams.wanted(request, asked):
            return await self.streams.begin(request, client, asked)
        return Passing(self.gateway, await self.gateway.admit(client, asked), asked, AsgiSink)

    async def stream(self, request: Request) -> ASGIApp:
        """Answer with a stream that ends in a frame, even where it goes wrong."""
        client, asked = await self._asked(request, read_asked_in_short)
        return Passing(self.gateway, await self.gateway.admit(client, asked), asked, FrameSink)

    async def _asked(self, request: Request, read: Callable[[bytes], Asked]) -> tuple[Client, Asked]:
        client = identify(request.scope, self.gateway.keys)
        asked = read(await body_of(request, self.gateway))
        seen(request.scope).model = asked.request.model
        return client, asked


async def body_of(request: Request, gateway: Gateway) -> bytes:
    """Return the body of a request; raises `Refused` for one that is too large or takes too long."""
    settings, body = gateway.settings, bytearray()
    # The connection stays open, so that a client which sends on sees the reply; the protocol bounds that.
    large = Refused(
        413, f"The body is larger than {settings.largest_body:,} bytes.", code="request_too_large"
    )
    if int(request.headers.get("content-length", 0)) > settings.largest_body:
        raise large
    try:
        async with within(settings.body):
            async for piece in request.stream():
                body += piece
                if len(body) > settings.largest_body:
                    raise large
    except TimeoutError:
        raise Refused(
            408, "The body did not come in time.", code="body_timeout", headers={"connection": "close"}
        ) from None
    return bytes(body)


@dataclass(frozen=True, slots=True)
class Passing:
    """The ASGI response that hands an answer on, and cancels it at once when the client goes away."""

    gateway: Gateway
    admission: Admission
    asked: Asked
    sink: Callable[[Scope, Receive, Send], Sink]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen(scope).call = self.admission
        sink = self.sink(scope, receive, send)
        work = asyncio.create_task(hand_on(self.gateway, self.admission, self.asked, sink))
        gone = asyncio.create_task(disconnected(receive))
        try:
            # A client that does not read holds its place no longer than the longest answer takes.
            await asyncio.wait(
                (work, gone), return_when=asyncio.FIRST_COMPLETED, timeout=self.gateway.settings.total
            )
            if not (work.done() or gone.done()):  # its own time-outs go first, which hear what came in time
                await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED, timeout=_LAST)
            if gone.done() and self.admission.meter.ending.whole:
                await asyncio.wait((work,), timeout=_LAST)  # all was said but what it costs
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.wait((work, gone))
            await self.admission.settle()  # where the work was cancelled before its first step
        if not work.cancelled():
            work.result()
