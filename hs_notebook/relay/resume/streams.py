"""All streams of one worker, and the requests for them."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

from hs_notebook.relay.access import identify, seen
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.resume.following import Following, Local
from hs_notebook.relay.resume.stream import Name, Stream

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Gateway
    from hs_notebook.relay.keys import Client
    from hs_notebook.relay.resume.following import Source

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_LONGEST_KEY = 255


class Streams:
    """Begins, finds and forgets streams; `resume` and `leave` are the endpoints of `/v1/streams/{id}`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._streams: dict[str, Stream] = {}
        self._once: dict[str, Stream] = {}

    async def close(self) -> None:
        """Cancel what is under way; return when that is written down."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams.values():
                if not stream.ended:
                    group.create_task(stream.cancel())

    def wanted(self, request: Request, asked: Asked) -> bool:
        """Tell whether a request asks for a stream that can be resumed."""
        return asked.stream and request.headers.get("x-stream-resume", "").strip() == "1"

    async def begin(self, request: Request, client: Client, asked: Asked) -> ASGIApp:
        """Answer a request for a stream, with one that runs already where it was asked for before."""
        name = _name(client, asked, request.headers.get("idempotency-key"))
        known = self._once.get(name.once)
        if known is not None and known.name.digest != name.digest:
            said = "The idempotency key was used with another body."
            raise Refused(422, said, code="IDEMPOTENCY_MISMATCH", param="Idempotency-Key")
        stream = known or self._start(name, client, asked)
        seen(request.scope).call = stream
        return self._follow(Local(stream), 0)

    async def resume(self, request: Request) -> ASGIApp:
        """Go on with a stream."""
        client = identify(request.scope, self._gateway.keys)
        after = _last_event(request.headers.get("last-event-id"))
        return self._follow(Local(self._found(request, client)), after)

    async def leave(self, request: Request) -> Response:
        """Cancel a stream that nobody wants any more."""
        client = identify(request.scope, self._gateway.keys)
        stream = self._found(request, client)
        self._forget(stream)
        await stream.cancel()
        return Response(status_code=204)

    def _found(self, request: Request, client: Client) -> Stream:
        stream = self._streams.get(request.path_params["id"])
        if stream is None or stream.name.owner != client.sha256:
            raise not_found()
        return stream

    def _follow(self, source: Source, after: int | None) -> Following:
        return Following(source=source, after=after, patience=self._gateway.settings.total)

    def _start(self, name: Name, client: Client, asked: Asked) -> Stream:
        stream = self._streams[name.id] = Stream(name, self._gateway, self._over)
        if name.once:
            self._once[name.once] = stream
        stream.start(client, asked)
        return stream

    def _over(self, stream: Stream) -> None:
        if stream.refused:
            self._forget(stream)
        else:
            kept = self._gateway.settings.kept
            asyncio.get_running_loop().call_later(kept, self._forget, stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.name.id, None)
        if self._once.get(stream.name.once) is stream:
            del self._once[stream.name.once]


def not_found() -> Refused:
    """Return the refusal of a stream that there is not, or not for this key."""
    return Refused(404, "There is no such stream.", code="STREAM_NOT_FOUND")


def _name(client: Client, asked: Asked, key: str | None) -> Name:
    once = ""
    if key is not None:
        if not 0 < len(key) <= _LONGEST_KEY:
            said = f"An idempotency key has 1 to {_LONGEST_KEY} characters."
            raise Refused(400, said, code="bad_request", param="Idempotency-Key")
        once = hashlib.sha256(f"{client.sha256}\n{key}".encode()).hexdigest()
    digest = hashlib.sha256(asked.body).hexdigest()
    return Name(id=secrets.token_urlsafe(24), owner=client.sha256, once=once, digest=digest)


def _last_event(text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise Refused(400, "Last-Event-ID is no number.", code="bad_request", param="Last-Event-ID")
    return int(text)
