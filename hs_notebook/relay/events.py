"""The events of a stream, whole, for who changes one of them now and then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hs_notebook.relay.replies import Headers, Refused
    from hs_notebook.relay.sinks import Sink

_LARGEST = 2 * 1024 * 1024  # bytes of an event that are held until it is whole; twice what is read of one
_SEAM = 3  # bytes of two ends of lines that may have come already
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class WholeEvents:
    """A sink before another, which gets the events of a stream as `edited` leaves them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held: list[bytes] = []  # pieces of the event that has not ended yet
        self._size = 0
        self._seam = b""

    def edited(self, data: bytes) -> bytes:
        """Return what is to become of some whole events, or of an end that is none."""
        raise NotImplementedError

    async def head(self, status: int, headers: Headers) -> None:
        """Begin the reply."""
        await self._sink.head(status, headers)

    async def write(self, data: bytes) -> None:
        """Hand on the events that these bytes complete."""
        if self._held or data[-2:] != b"\n\n":  # the usual frames are whole
            data = self._whole_events(data)
        if data and (data := self.edited(data)):
            await self._sink.write(data)

    async def cut(self, last: bytes) -> None:
        """Leave out an event that has not ended, and hand on a last one."""
        self._held, self._size, self._seam = [], 0, b""
        await self.write(last)

    async def end(self, *, whole: bool) -> None:
        """Hand on what is left, and end."""
        if rest := self.edited(b"".join(self._held)):
            await self._sink.write(rest)
        await self._sink.end(whole=whole)

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error."""
        await self._sink.refuse(refused)

    def _whole_events(self, data: bytes) -> bytes:
        """Return what may be handed on now; the beginning of an event is held until its end has come."""
        seam = self._seam + data
        self._held.append(data)
        self._size += len(data)
        end = _last_end(seam)
        if not end and self._size <= _LARGEST:
            self._seam = seam[-_SEAM:]
            return b""
        held = b"".join(self._held)
        cut = len(held) - len(seam) + end if end else len(held)
        rest = held[cut:]
        self._held, self._size, self._seam = [rest] if rest else [], len(rest), rest[-_SEAM:]
        return held[:cut]


def _last_end(data: bytes) -> int:
    """Return where the last event in some bytes ends, 0 if none does."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    return max((found.end() for found in _END.finditer(data)), default=0)


def end_of_event(data: bytes, start: int) -> int:
    """Return where the event ends that begins at `start`."""
    found = _END.search(data, start)
    return found.end() if found else len(data)


def events_of(data: bytes) -> Iterator[bytes]:
    """Cut bytes into events; the last may be none."""
    start = 0
    for found in _END.finditer(data):
        yield data[start : found.end()]
        start = found.end()
    if start < len(data):
        yield data[start:]
