"""Where answers go: into the reply to a request, as they are or as the vendor's article has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.replies import STREAM, Refused, note_refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from hs_notebook.relay.replies import Headers

# What stands before a relay must not gather the tokens of a stream.
UNBUFFERED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Sink(Protocol):
    """Where an answer goes; `write` may raise `passing.BrokenOff`."""

    async def head(self, status: int, headers: Headers) -> None:
        """Begin the reply."""

    async def write(self, data: bytes) -> None:
        """Hand on some bytes of its body."""

    async def end(self, *, whole: bool) -> None:
        """End it; not `whole` where it broke off."""

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error, where nothing else was sent."""


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
            {"type": "http.response.start", "status": status, "headers": [*headers, *UNBUFFERED]}
        )

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, *, whole: bool) -> None:
        if whole:  # uvicorn drops the connection of a reply that is not ended
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refused: Refused) -> None:
        await refused.reply()(self._scope, self._receive, self._send)


class FrameSink(AsgiSink):
    """The same for the vendor's article, whose clients look for errors in the frames alone."""

    async def end(self, *, whole: bool) -> None:
        if not whole:
            await self.write(Refused(502, "The upstream broke off.", kind="server_error", code="cut").frame())
        await super().end(whole=True)

    async def refuse(self, refused: Refused) -> None:
        note_refusal(self._scope, refused.code)
        await self.head(200, [(b"content-type", f"{STREAM}; charset=utf-8".encode())])
        await self.write(refused.frame())
        await self.end(whole=True)
