"""The reply that follows a stream, wherever it is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.replies import Refused
from hs_notebook.relay.resume.log import EventsLost
from hs_notebook.relay.sinks import UNBUFFERED, disconnected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from hs_notebook.relay.keys import Client
    from hs_notebook.relay.resume.stream import Head, Stream

KEEP_ALIVE = 15.0  # seconds of silence
MOST_OF_STREAM = 8
MOST_OF_KEY = 10  # for each answer that it may read at a time
_COMMENT = b":\n\n"


class Source(Protocol):
    """Where the events of one stream are read, for one client."""

    id: str

    def attach(self) -> None:
        """Begin: the client is there."""

    def detach(self) -> None:
        """End: the client is gone."""

    async def open(self, after: int | None) -> Head | Refused:
        """Return how the reply begins, and go on after an event; None means with the first that is kept."""

    async def read(self) -> bytes | None:
        """Return the next events; none after a while of silence, and None at the end.

        Raises `EventsLost`.
        """


class Local:
    """A stream of this worker."""

    def __init__(self, stream: Stream) -> None:
        self.id = stream.name.id
        self._stream = stream
        self._number = 0

    def attach(self) -> None:
        self._stream.attach()

    def detach(self) -> None:
        self._stream.detach()

    async def open(self, after: int | None) -> Head | Refused:
        head = await asyncio.shield(self._stream.begun)
        log = self._stream.log
        self._number = log.first - 1 if after is None else after
        if isinstance(head, Refused):
            return head
        return refusal_of(self._number, log.first, log.last) or head

    async def read(self) -> bytes | None:
        stream = self._stream
        loop, silent_at = asyncio.get_running_loop(), 0.0
        while True:
            data, self._number = stream.log.after(self._number)
            if data:
                stream.take(self._number)
                return data
            if stream.ended:
                return None
            silent_at = silent_at or loop.time() + KEEP_ALIVE
            more = stream.next()
            timer = loop.call_at(silent_at, _set, more)
            try:
                await more
            finally:
                timer.cancel()
            if loop.time() >= silent_at:
                return b""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def refusal_of(number: int, first: int, last: int) -> Refused | None:
    """Return why a stream cannot go on after an event, if it cannot."""
    if number < first - 1:
        said = f"The events {number + 1} to {first - 1} are not kept any more."
        return Refused(410, said, code="EVENTS_LOST")
    if number > last:
        return Refused(416, f"There is no event {number}: the last is {last}.", code="EVENT_UNKNOWN")
    return None


class Followers:
    """All who follow streams at this worker. Those of one stream are few: the oldest, often dead, is cut."""

    def __init__(self) -> None:
        self._by_stream: dict[str, list[asyncio.Task[None]]] = {}
        self._by_key: Counter[str] = Counter()

    def check(self, client: Client) -> None:
        """Raise `Refused` where a client has as many as he may."""
        most = MOST_OF_KEY * client.concurrent
        if self._by_key[client.name] >= most:
            said = f"The key {client.name} may follow {most} streams at a time."
            later = {"retry-after": "1"}
            raise Refused(429, said, kind="rate_limit_error", code="TOO_MANY_FOLLOWERS", headers=later)

    @contextmanager
    def counted(self, stream: str, client: Client, work: asyncio.Task[None]) -> Iterator[None]:
        """Count one more while he follows."""
        of_stream = self._by_stream.setdefault(stream, [])
        of_stream.append(work)
        self._by_key[client.name] += 1
        if len(of_stream) > MOST_OF_STREAM:
            of_stream.pop(0).cancel()
        try:
            yield
        finally:
            self._by_key[client.name] -= 1
            if work in of_stream:
                of_stream.remove(work)
            if self._by_stream.get(stream) == []:
                del self._by_stream[stream]
            self._by_key += Counter()  # without those who have none


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """The ASGI response that hands the events after one on; `patience` is the most that takes, in seconds."""

    source: Source
    after: int | None
    patience: float
    client: Client
    followers: Followers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.source.attach()
        work = asyncio.create_task(self._follow(scope, receive, send))
        with self.followers.counted(self.source.id, self.client, work):
            await self._until_gone(work, receive)
        if not work.cancelled():
            work.result()

    async def _until_gone(self, work: asyncio.Task[None], receive: Receive) -> None:
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED, timeout=self.patience)
        finally:
            work.cancel()
            gone.cancel()
            self.source.detach()
            await asyncio.wait((work, gone))

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = await self.source.open(self.after)
        if isinstance(head, Refused):
            await head.reply()(scope, receive, send)
        elif head.body is not None:
            await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
            await send({"type": "http.response.body", "body": head.body})
        else:
            offer = [(b"x-stream-resume", b"1"), (b"x-stream-id", self.source.id.encode())]
            headers = [*head.headers, *UNBUFFERED, *offer]
            await send({"type": "http.response.start", "status": head.status, "headers": headers})
            await self._events(send)

    async def _events(self, send: Send) -> None:
        read = self.source.read
        try:
            while (data := await read()) is not None:
                await send({"type": "http.response.body", "body": data or _COMMENT, "more_body": True})
        except EventsLost:
            return  # too slow: the server drops the connection of a reply that is not ended
        await send({"type": "http.response.body", "body": b"", "more_body": False})
