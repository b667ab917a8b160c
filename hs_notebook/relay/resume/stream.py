"""One stream that outlives its connection: the upstream fills its log, and clients read it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.passing import BrokenOff, hand_on
from hs_notebook.relay.replies import STREAM, Headers, Refused
from hs_notebook.relay.resume.log import Log
from hs_notebook.relay.resume.numbering import EventTooLarge, Numbering

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Gateway
    from hs_notebook.relay.keys import Client
    from hs_notebook.relay.metering import Meter

_OBJECT = 4096  # bytes of a stream without events


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """How a reply begins. One that is no stream comes whole."""

    status: int
    headers: Headers
    body: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """What a stream is found by: its `id`, `owner` (of the relay key), `once` (of the idempotency key)."""

    id: str
    owner: str
    once: str = ""
    digest: str = ""  # of the body


class Keeper(Protocol):
    """Who finds a stream when it is asked for."""

    async def refused(self, stream: Stream) -> None:
        """Forget a stream that never began."""

    def over(self, stream: Stream) -> None:
        """Keep one that has ended for a while."""


class Stream:
    """An answer under way, or over and kept. It is the sink that its upstream is handed on to.

    `begun` is the head of the reply, or why there is none.
    """

    def __init__(self, name: Name, gateway: Gateway, keeper: Keeper) -> None:
        settings = gateway.settings
        self.name = name
        self.log = Log(settings.buffer)
        self.ended = self.left = False
        self.begun: asyncio.Future[Head | Refused] = asyncio.get_running_loop().create_future()
        self.elsewhere_until = 0.0  # clients of other workers follow, `loop.time()`
        self.changed: Callable[[], None] | None = None  # who copies the log
        self.meter: Meter | None = None
        self._gateway = gateway
        self._keeper = keeper
        self._numbering = Numbering()
        self._head: Head | None = None
        self._body = bytearray()
        self._followers = 0
        self._leaving: asyncio.TimerHandle | None = None
        self._readers: list[asyncio.Future[None]] = []
        self._room = asyncio.Event()

    # --- the upstream's side -------------------------------------------------------------------------

    def start(self, client: Client, asked: Asked) -> asyncio.Task[None]:
        """Ask the upstream, in a task of its own, which is returned."""
        self._task = asyncio.create_task(self._produce(client, asked))
        self._task.add_done_callback(self._done)
        return self._task

    async def _produce(self, client: Client, asked: Asked) -> None:
        try:
            admission = await self._gateway.admit(client, asked)
        except Refused as refused:
            await self.refuse(refused)
        else:
            self.meter = admission.meter
            await hand_on(self._gateway, admission, asked, self)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.ended = True
        if not self.begun.done():
            self.begun.set_result(
                Refused(503, "The answer was stopped.", kind="server_error", code="stopped")
            )
        if self._leaving is not None:
            self._leaving.cancel()
        self.wake()
        self._keeper.over(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            said = {"message": "A stream failed.", "exception": error, "task": task}
            task.get_loop().call_exception_handler(said)

    async def head(self, status: int, headers: Headers) -> None:
        """Begin; what is no stream is gathered first."""
        self._head = Head(status=status, headers=headers)
        if any(
            name == b"content-type" and value.lower().startswith(STREAM.encode()) for name, value in headers
        ):
            self.begun.set_result(self._head)

    async def write(self, data: bytes) -> None:
        """Keep the events that these bytes complete; wait where nobody reads them."""
        if not self.begun.done():
            self._body += data
            return
        try:
            events = self._numbering.feed(data)
        except EventTooLarge:
            raise BrokenOff from None
        for event in events:
            self.log.append(event)
        if events:
            self.wake()
        if self.log.full:
            await self._wait_for_room()

    async def end(self, *, whole: bool) -> None:
        """Take note of the end of a reply that is no stream."""
        if whole and not self.begun.done() and self._head is not None:
            head = self._head
            self.begun.set_result(Head(status=head.status, headers=head.headers, body=bytes(self._body)))
            self._body.clear()

    async def refuse(self, refused: Refused) -> None:
        """Take note that there is no answer."""
        if not self.begun.done():
            await self._keeper.refused(self)  # first: who hears of it may ask again at once
            self.begun.set_result(refused)

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._gateway.settings.linger):
                while self.log.full:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise BrokenOff from None  # who is attached does not read

    def stop(self) -> None:
        """Cancel the upstream."""
        self._task.cancel()

    async def cancel(self) -> None:
        """Cancel the upstream; return when that is written down."""
        self.stop()
        await asyncio.wait((self._task,))

    # --- the clients' side ---------------------------------------------------------------------------

    @property
    def unwanted(self) -> bool:
        """Whether nobody is to find it: it was left, there was no answer, or it is too large to be kept."""
        if self.left or not self.begun.done():
            return self.left
        head = self.begun.result()
        return isinstance(head, Refused) or len(head.body or b"") > self._gateway.settings.buffer

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        head = self.begun.result()
        return _OBJECT + self.log.size + (len(head.body or b"") if isinstance(head, Head) else 0)

    def attach(self) -> None:
        """Count a client more."""
        self._followers += 1
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def detach(self) -> None:
        """Count a client less; without any the upstream goes on for a while."""
        self._followers -= 1
        if not self._followers and not self.ended:
            self._linger(self._gateway.settings.linger)

    def _linger(self, seconds: float) -> None:
        self._leaving = asyncio.get_running_loop().call_later(seconds, self._nobody_came)

    def _nobody_came(self) -> None:
        away = asyncio.get_running_loop().time() - self.elsewhere_until
        if away < 0:
            self._linger(self._gateway.settings.linger - away)
        else:
            self._task.cancel()

    def take(self, number: int) -> None:
        """Note that a client has read up to an event."""
        self.log.take(number)
        if not (self._room.is_set() or self.log.full):
            self._room.set()

    def next(self) -> asyncio.Future[None]:
        """Return a future that is done when there is more to read, or nothing more to come."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(future)
        return future

    def wake(self) -> None:
        """Tell all readers that there is something new."""
        readers, self._readers = self._readers, []
        for future in readers:
            if not future.done():
                future.set_result(None)
        if self.changed is not None:
            self.changed()
