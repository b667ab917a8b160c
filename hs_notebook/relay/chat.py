"""The endpoints that ask a model: OpenAI's own, and the short one of the vendor's article."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from hs_notebook.relay.asked import read_asked, read_asked_in_short
from hs_notebook.relay.authority import authorise
from hs_notebook.relay.passing import hand_on
from hs_notebook.relay.replies import Refused, compact, error_object
from hs_notebook.relay.upstream import STREAM, RefusedUpstream
from hs_notebook.wire import sse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Admission, Gateway
    from hs_notebook.relay.passing import Sink
    from hs_notebook.relay.upstream import Headers

# What stands before a relay must not gather the tokens of a stream.
_UNBUFFERED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """`POST /v1/chat/completions` and `POST /api/chat/stream`."""

    gateway: Gateway

    async def completions(self, request: Request) -> ASGIApp:
        """Answer as OpenAI does."""
        asked, admission = await self._admitted(request, read_asked)
        return Passing(self.gateway, admission, asked, AsgiSink)

    async def stream(self, request: Request) -> ASGIApp:
        """Answer with a stream that ends in a frame, even where it goes wrong."""
        asked, admission = await self._admitted(request, read_asked_in_short)
        return Passing(self.gateway, admission, asked, FrameSink)

    async def _admitted(self, request: Request, read: Callable[[bytes], Asked]) -> tuple[Asked, Admission]:
        client = authorise(request.scope["headers"], self.gateway.keys)
        asked = read(await body_of(request, self.gateway))
        return asked, await self.gateway.admit(client, asked)


async def body_of(request: Request, gateway: Gateway) -> bytes:
    """Return the body of a request; raises `Refused` for one that is too large or takes too long."""
    settings, body = gateway.settings, bytearray()
    try:
        async with asyncio.timeout(settings.body):
            async for piece in request.stream():
                body += piece
                if len(body) > settings.largest_body:
                    said = f"The body is larger than {settings.largest_body:,} bytes."
                    raise Refused(413, said, code="request_too_large", headers={"connection": "close"})
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
        sink = self.sink(scope, receive, send)
        work = asyncio.create_task(hand_on(self.gateway, self.admission, self.asked, sink))
        gone = asyncio.create_task(disconnected(receive))
        try:
            # A client that does not read holds its place no longer than the longest answer takes.
            await asyncio.wait(
                (work, gone), return_when=asyncio.FIRST_COMPLETED, timeout=self.gateway.settings.total
            )
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.wait((work, gone))
            await self.admission.settle()  # where the work was cancelled before its first step
        if not work.cancelled():
            work.result()


async def disconnected(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class AsgiSink:
    """Hands the bytes on as they are. A reply that broke off is not ended, so that the client sees it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send

    async def head(self, status: int, headers: Headers) -> None:
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *_UNBUFFERED]}
        )

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, *, whole: bool) -> None:
        if whole:  # uvicorn drops the connection of a reply that is not ended
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refused: Refused) -> None:
        await as_reply(refused)(self._scope, self._receive, self._send)


class FrameSink(AsgiSink):
    """The same for the vendor's article, whose clients look for errors in the frames alone."""

    async def end(self, *, whole: bool) -> None:
        if not whole:
            await self.write(_frame(Refused(502, "The upstream broke off.", kind="server_error", code="cut")))
        await super().end(whole=True)

    async def refuse(self, refused: Refused) -> None:
        await self.head(200, [(b"content-type", f"{STREAM}; charset=utf-8".encode())])
        await self.write(_frame(refused))
        await self.end(whole=True)


def _frame(refused: Refused) -> bytes:
    kind, code = refused.shape.get("kind", "invalid_request_error"), refused.shape.get("code")
    body = compact(error_object(refused.message, kind=kind, code=code))
    return b"\n\n" + sse.encode(body) + sse.encode("[DONE]")  # blank lines end what broke off in a frame


def as_reply(refused: Refused) -> Response:
    """Return the reply that an error is; one of the upstream's goes on as it came."""
    if isinstance(refused, RefusedUpstream):
        reply = Response(refused.page, refused.status)
        reply.raw_headers = [*reply.raw_headers, *refused.headers]
        return reply
    return refused.reply()
