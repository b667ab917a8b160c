"""All streams of one worker, and the requests for them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from hs_notebook.relay.access import identify, seen
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.resume.elsewhere import Mirror, Remote, known, reached
from hs_notebook.relay.resume.following import Followers, Following, Local
from hs_notebook.relay.resume.stream import Name, Stream
from hs_notebook.relay.settings import MEMORY
from hs_notebook.relay.state.streams import SharedStreams

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Gateway
    from hs_notebook.relay.keys import Client
    from hs_notebook.relay.resume.elsewhere import Kept
    from hs_notebook.relay.resume.following import Source

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_ID_BYTES = 24
_ID = re.compile(r"[\w-]{32}", re.ASCII)  # in Base64; a key that was put in its place never gets to the Redis
_LONGEST_KEY = 255


class Streams:
    """Begins, finds and forgets streams; its `routes` are those of who comes back or wants no more."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._streams: dict[str, Stream] = {}
        self._once: dict[str, Stream] = {}
        self._ended: dict[Stream, tuple[asyncio.TimerHandle, int]] = {}  # when it is forgotten, its bytes
        self._ended_size = 0
        self._followers = Followers()
        self._shared: SharedStreams | None = None
        self._mirror: Mirror | None = None

    async def open(self) -> None:
        """Begin, on the loop that serves."""
        settings = self._gateway.settings
        if settings.state != MEMORY:
            self._shared = SharedStreams(settings.state, kept=settings.kept)
            await self._shared.open()
            self._mirror = Mirror(self._shared, self._left)

    async def close(self) -> None:
        """Cancel what is under way; return when that is written down.

        Where other workers serve its readers, the server has waited for it as for its requests.
        """
        async with asyncio.TaskGroup() as group:
            for stream in self._streams.values():
                if not stream.ended:
                    group.create_task(stream.cancel())
        if self._mirror is not None and self._shared is not None:
            await self._mirror.close()
            await self._shared.close()

    def routes(self) -> list[Route]:
        """Return the routes of `/v1/streams`."""
        return [
            Route("/v1/streams/{id}", self.resume, methods=["GET"]),
            Route("/v1/streams/{id}", self.leave, methods=["DELETE"]),
            Route("/v1/streams", self.leave_call, methods=["DELETE"]),
        ]

    def wanted(self, request: Request, asked: Asked) -> bool:
        """Tell whether a request asks for a stream that can be resumed, and can tell when one breaks."""
        if request.scope["http_version"] == "1.0":  # where each body ends with its connection
            return False
        return asked.stream and request.headers.get("x-stream-resume", "").strip() == "1"

    async def begin(self, request: Request, client: Client, asked: Asked) -> ASGIApp:
        """Answer a request for a stream, with one that runs already where it was asked for before."""
        name = _name(client, asked, request.headers.get("idempotency-key"))
        self._followers.check(client)
        known = self._once.get(name.once)
        if known is None and (source := await self._begun_elsewhere(name)) is not None:
            return self._follow(client, source, 0)
        if known is not None:
            _check_body(known.name.digest, name)
        stream = known or self._start(name, client, asked, request.scope["state"].get("tasks"))
        seen(request.scope).call = stream
        return self._follow(client, Local(stream), 0)

    async def _begun_elsewhere(self, name: Name) -> Source | None:
        """Return the stream that another worker began for an idempotency key; none binds it to this one."""
        if self._shared is None or not name.once:
            return None
        with reached(self._shared):
            found = await self._shared.claim(name.id, name.once, name.digest)
        if found is None:
            return None
        stream, digest = found
        _check_body(digest, name)
        return Local(self._streams[stream]) if stream in self._streams else self._remote(stream, name.once)

    async def resume(self, request: Request) -> ASGIApp:
        """Go on with a stream."""
        if request.method != "GET":  # Starlette lets HEAD in, which would wait for the end and show nothing
            raise HTTPException(405, headers={"allow": "GET, DELETE"})
        client = identify(request.scope, self._gateway.keys)
        after = _last_event(request.headers.get("last-event-id"))
        stream = await self._found(request, client)
        self._followers.check(client)
        source = Local(stream) if isinstance(stream, Stream) else self._remote(stream)
        return self._follow(client, source, after)

    async def leave(self, request: Request) -> Response:
        """Cancel a stream that nobody wants any more."""
        client = identify(request.scope, self._gateway.keys)
        name = request.path_params["id"]
        stream = self._streams.get(name)
        if stream is not None and stream.name.owner == client.sha256:
            await self._leave(stream)
        elif not await self._leave_elsewhere(name, client):
            raise _unknown()
        return Response(status_code=204)

    async def leave_call(self, request: Request) -> Response:
        """Cancel the stream of an idempotency key, whose id its client has not heard yet."""
        client = identify(request.scope, self._gateway.keys)
        once = _once(client, request.headers.get("idempotency-key") or "")
        if (stream := self._once.get(once)) is not None:
            await self._leave(stream)
        elif self._shared is not None:
            with reached(self._shared):
                await self._shared.leave_call(once, client.sha256)
        return Response(status_code=204)

    async def _leave(self, stream: Stream) -> None:
        self._left(stream)
        await stream.cancel()
        if self._shared is not None:
            with reached(self._shared):
                await self._shared.forget(stream.name.id, stream.name.once)

    async def _leave_elsewhere(self, name: str, client: Client) -> bool:
        """Tell whether there is such a stream; one that is only about to be known ends as well."""
        kept = await self._kept(name)
        if self._shared is None or not _ID.fullmatch(name) or (kept and kept.owner != client.sha256):
            return False
        with reached(self._shared):
            await self._shared.leave(name, kept.once if kept else "", client.sha256)
        return kept is not None

    async def _found(self, request: Request, client: Client) -> Stream | str:
        """Return a stream of this worker's, or the id of another's; raises `Refused` for all others."""
        name = request.path_params["id"]
        stream = self._streams.get(name)
        kept = await self._kept(name, soon=True) if stream is None else None
        owner = stream.name.owner if stream else kept.owner if kept else None
        if owner != client.sha256:
            raise _unknown()
        return stream or str(name)

    async def _kept(self, stream: str, *, soon: bool = False) -> Kept | None:
        if self._shared is None or not _ID.fullmatch(stream):
            return None
        with reached(self._shared):
            return await known(self._shared, stream, soon=soon)

    def _remote(self, stream: str, once: str = "") -> Source:
        assert self._shared is not None  # noqa: S101 - it led to the stream
        return Remote(self._shared, stream, once)

    def _follow(self, client: Client, source: Source, after: int | None) -> Following:
        patience = self._gateway.settings.total
        return Following(
            source=source, after=after, patience=patience, client=client, followers=self._followers
        )

    def _start(
        self, name: Name, client: Client, asked: Asked, waited_for: set[asyncio.Task[None]] | None
    ) -> Stream:
        stream = self._streams[name.id] = Stream(name, self._gateway, self)
        if name.once:
            self._once[name.once] = stream
        task = stream.start(client, asked)
        if self._mirror is not None:
            self._mirror.add(stream)
            if waited_for is not None:
                waited_for.add(task)
                task.add_done_callback(waited_for.discard)
        return stream

    def _left(self, stream: Stream) -> None:
        stream.left = True
        self._forget(stream)
        stream.stop()
        stream.wake()

    async def refused(self, stream: Stream) -> None:
        """Forget a stream that never began."""
        self._forget(stream)
        if self._shared is not None:
            with contextlib.suppress(*self._shared.failures):
                await self._shared.forget(stream.name.id, stream.name.once)

    def over(self, stream: Stream) -> None:
        """Keep a stream that has ended for a while; where there are too many, the oldest go."""
        if stream.unwanted:
            self._forget(stream)
            return
        settings, size = self._gateway.settings, stream.size
        self._ended[stream] = asyncio.get_running_loop().call_later(settings.kept, self._forget, stream), size
        self._ended_size += size
        while self._ended_size > settings.buffers:
            self._forget(next(iter(self._ended)))

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.name.id, None)
        if self._once.get(stream.name.once) is stream:
            del self._once[stream.name.once]
        timer, size = self._ended.pop(stream, (None, 0))
        self._ended_size -= size
        if timer is not None:
            timer.cancel()


def _check_body(digest: str, name: Name) -> None:
    if digest != name.digest:
        said = "The idempotency key was used with another body."
        raise Refused(422, said, code="IDEMPOTENCY_MISMATCH", param="Idempotency-Key")


def _unknown() -> Refused:
    return Refused(404, "There is no such stream.", code="STREAM_NOT_FOUND")


def _name(client: Client, asked: Asked, key: str | None) -> Name:
    once = "" if key is None else _once(client, key)
    digest = hashlib.sha256(asked.body).hexdigest()
    return Name(id=secrets.token_urlsafe(_ID_BYTES), owner=client.sha256, once=once, digest=digest)


def _once(client: Client, key: str) -> str:
    if not 0 < len(key) <= _LONGEST_KEY:
        said = f"An idempotency key has 1 to {_LONGEST_KEY} characters."
        raise Refused(400, said, code="bad_request", param="Idempotency-Key")
    return hashlib.sha256(f"{client.sha256}\n{key}".encode()).hexdigest()


def _last_event(text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise Refused(400, "Last-Event-ID is no number.", code="bad_request", param="Last-Event-ID")
    return int(text)
