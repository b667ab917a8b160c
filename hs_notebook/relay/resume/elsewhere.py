"""Streams of other workers, and those of this one for the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.relay.replies import Refused
from hs_notebook.relay.resume.following import KEEP_ALIVE, refusal_of
from hs_notebook.relay.resume.log import EventsLost
from hs_notebook.relay.resume.stream import Head
from hs_notebook.relay.state.streams import LEASE, Copy, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hs_notebook.relay.resume.stream import Stream
    from hs_notebook.relay.state.streams import SharedStreams

_TICK = 0.5  # seconds between two looks, for both sides
_GATHER = 0.02  # seconds that events wait for others, to be copied together
_BEHIND = 2.0  # seconds that a copy may be behind what the client has seen
_PRESENT = 3.0  # seconds

log = logging.getLogger("hs_notebook.relay")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What others must know of a stream: whose it is, and how its reply begins."""

    owner: str
    once: str
    head: Head


class Mirror:
    """Copies the streams of this worker, and hears what others want of them.

    Where the Redis is away the streams go on: what could not be copied is copied later, or is missing there.
    """

    def __init__(self, shared: SharedStreams, leave: Callable[[Stream], None]) -> None:
        self._shared = shared
        self._leave = leave
        self._copies: dict[Stream, Copy] = {}
        self._changed: set[Stream] = set()
        self._something = asyncio.Event()
        self._well = True
        self._closing = False
        self._tasks = [asyncio.create_task(self._copy()), asyncio.create_task(self._look())]

    async def close(self) -> None:
        """Copy what is left, and end."""
        self._closing = True
        self._something.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        with contextlib.suppress(*self._shared.failures):
            await self._copy_all(set(self._copies))

    def add(self, stream: Stream) -> None:
        """Copy a stream from now on, until it has ended."""
        self._copies[stream] = Copy(stream.name.id, stream.name.once)

        def changed() -> None:
            self._changed.add(stream)
            self._something.set()

        stream.changed = changed
        stream.begun.add_done_callback(lambda _: changed())

    async def _copy(self) -> None:
        while not self._closing:
            await self._something.wait()
            self._something.clear()
            changed, self._changed = self._changed, set()
            try:
                await self._copy_all(changed)
                self._tell(well=True)
            except self._shared.failures:
                self._tell(well=False)
                self._changed |= changed
                self._something.set()
                await asyncio.sleep(_TICK)
            await asyncio.sleep(_GATHER)

    async def _copy_all(self, streams: set[Stream]) -> None:
        known = [(stream, self._copies[stream]) for stream in streams if stream in self._copies]
        pieces: list[tuple[Copy, Piece]] = []
        for stream, copy in known:
            if stream.begun.done() and not stream.unwanted:
                await self._begin(stream, copy)
                pieces += [(copy, piece) for piece in _news(stream, copy.last)]
        if pieces:
            await self._shared.append(pieces)
        for stream, copy in known:
            if stream.unwanted:  # last, as it may have become so in the meantime
                await self._shared.forget(stream.name.id, stream.name.once)
                self._copies.pop(stream, None)
            elif copy.ended:
                self._copies.pop(stream, None)
            elif stream.elsewhere_until:
                stream.take(copy.last)

    async def _begin(self, stream: Stream, copy: Copy) -> None:
        head = stream.begun.result()
        if not copy.begun and isinstance(head, Head):
            await self._shared.begin(encoded(stream.name.owner, stream.name.once, head), copy)

    async def _look(self) -> None:
        while not self._closing:
            await asyncio.sleep(_TICK)
            streams, copies = list(self._copies), list(self._copies.values())
            try:
                found = await self._shared.look(copies) if copies else []
            except self._shared.failures:
                self._tell(well=False)
                continue
            now = asyncio.get_running_loop().time()
            for stream, (present, left_by) in zip(streams, found, strict=True):
                if present:
                    stream.elsewhere_until = now + _PRESENT
                if left_by == stream.name.owner:
                    self._leave(stream)

    def _tell(self, *, well: bool) -> None:
        if well != self._well:
            log.warning("Streams %s copied for other workers.", "are again" if well else "cannot be")
        self._well = well


def _news(stream: Stream, number: int) -> list[Piece]:
    """Return what is to be copied of a stream: the events after one, and its end."""
    pieces = []
    while True:
        try:
            events, last = stream.log.after(number)
        except EventsLost as lost:
            number = lost.last
            continue
        if not events:
            break
        pieces.append(Piece(first=number + 1, last=last, events=events))
        number = last
    if stream.ended:
        pieces.append(Piece(first=number + 1, last=number, events=b""))
    return pieces


class Remote:
    """A stream of another worker, for one client; `once` is the idempotency key by which it was found.

    A worker that falls silent may come back. So a connection that saw it breaks, and the next one waits for
    it as long as a lease lasts; then it is dead, and what there is of the stream is all there will be.
    """

    def __init__(self, shared: SharedStreams, stream: str, once: str = "") -> None:
        self.id = stream
        self._shared = shared
        self._once = once
        self._number = 0
        self._attended_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._given_up_at = self._loop.time() + LEASE
        self._seen = False  # its worker, by this connection

    def attach(self) -> None:
        """Nothing is to be done: whoever reads says so from time to time."""

    def detach(self) -> None:
        """It runs out."""

    async def open(self, after: int | None) -> Head | Refused:
        try:
            return await self._open(after)
        except self._shared.failures:
            return away()

    async def _open(self, after: int | None) -> Head | Refused:
        while (found := await self._shared.head(self.id)) is None:
            await self._attend()
            if await self._shared.bound(self._once) != self.id:
                return Refused(503, "The answer was stopped.", kind="server_error", code="stopped")
            await asyncio.sleep(_TICK / 5)
        head = kept_of(found).head
        if head.body is not None:
            return head
        await self._attend()
        first, last = await self._bounds(after or 0)
        self._number = first - 1 if after is None else after
        return refusal_of(self._number, first, last) or head

    async def _bounds(self, number: int) -> tuple[int, int]:
        """Return the first and the last event; one that the client has seen may not be copied yet."""
        deadline = self._loop.time() + _BEHIND
        while True:
            alive = await self._shared.alive(self.id)
            first, last, ended = await self._shared.bounds(self.id)
            if number <= last or ended or self._loop.time() > (deadline if alive else self._given_up_at):
                return first, last
            await asyncio.sleep(_TICK / 10)

    async def read(self) -> bytes | None:
        silent_at = self._loop.time() + KEEP_ALIVE
        try:
            while self._loop.time() < silent_at:
                await self._attend()
                alive = await self._shared.alive(self.id)
                self._seen = self._seen or alive
                pieces = await self._shared.read(self.id, self._number, _TICK)
                if events := self._take(pieces):
                    return events
                if pieces or self._is_dead(alive=alive):
                    return None
        except self._shared.failures:
            raise self._cut() from None
        return b""

    def _is_dead(self, *, alive: bool) -> bool:
        """Tell whether its worker will not come back; raises `EventsLost` where it just fell silent."""
        if self._seen and not alive:
            raise self._cut()
        return not alive and self._loop.time() > self._given_up_at

    def _cut(self) -> EventsLost:
        return EventsLost(self._number + 1, self._number + 1)  # the connection breaks: the client tries again

    def _take(self, pieces: list[Piece]) -> bytes:
        taken = bytearray()
        for piece in pieces:
            if piece.first > self._number + 1:
                if taken:
                    break
                raise EventsLost(self._number + 1, piece.first - 1)
            if piece.events:
                taken += piece.after(self._number)
                self._number = piece.last
        return bytes(taken)

    async def _attend(self) -> None:
        now = self._loop.time()
        if now - self._attended_at > _PRESENT / 3:
            self._attended_at = now
            await self._shared.attend(self.id)


async def known(shared: SharedStreams, stream: str, *, soon: bool) -> Kept | None:
    """Return what is known of a stream, or will be `soon`: a client that comes back may outrun its copy."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (_BEHIND if soon else 0.0)
    while (found := await shared.head(stream)) is None:
        if loop.time() >= deadline:
            return None
        await asyncio.sleep(_TICK / 10)
    return kept_of(found)


def encoded(owner: str, once: str, head: Head) -> bytes:
    """Return what others must know of a stream, as they are told it."""
    return msgspec.json.encode(Kept(owner=owner, once=once, head=head))


def kept_of(text: bytes) -> Kept:
    """Return what is known of a stream."""
    return msgspec.json.decode(text, type=Kept)


@contextlib.contextmanager
def reached(shared: SharedStreams) -> Iterator[None]:
    """Raise `Refused` where the Redis is away."""
    try:
        yield
    except shared.failures:
        raise away() from None


def away() -> Refused:
    """Return the refusal of a stream that cannot be looked for now."""
    said = "The relay cannot reach what its workers share: try again in a moment."
    return Refused(503, said, kind="server_error", code="state_unreachable", headers={"retry-after": "1"})
