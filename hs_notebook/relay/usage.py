"""The usage of a stream, which the relay always asks for: taken out again for who did not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import HolySheepError
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hs_notebook.relay.replies import Refused
    from hs_notebook.relay.sinks import Sink
    from hs_notebook.relay.upstream import Headers

_LARGEST = 1024 * 1024  # bytes of an event that are held until it is whole
_SEAM = 3  # bytes of two ends of lines that may have come already
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_FIGURES = re.compile(rb'"usage"\s*:\s*\{')


class WithoutUsage:
    """A sink before another, which gets all events as they are, but for the one that is only a usage."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held: list[bytes] = []  # pieces of the event that has not ended yet
        self._size = 0
        self._seam = b""

    async def head(self, status: int, headers: Headers) -> None:
        """Begin the reply."""
        await self._sink.head(status, headers)

    async def write(self, data: bytes) -> None:
        """Hand on the events that these bytes complete."""
        # The usual frames, whole and without figures, take the short way.
        if (
            self._held
            or data[-2:] != b"\n\n"
            or data.count(b'"usage"') != data.count(b'"usage":null')  # quicker than `_FIGURES`
        ):
            data = self._whole_events(data)
        if data:
            await self._sink.write(data)

    async def end(self, *, whole: bool) -> None:
        """Hand on what is left, and end."""
        if rest := _without_usage(b"".join(self._held)):
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
        return _without_usage(held[:cut])


def _last_end(data: bytes) -> int:
    """Return where the last event in some bytes ends, 0 if none does."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    return max((found.end() for found in _END.finditer(data)), default=0)


def _without_usage(data: bytes) -> bytes:
    if not _FIGURES.search(data):
        return data
    return b"".join(event for event in _events(data) if not _is_usage(event))


def _events(data: bytes) -> Iterator[bytes]:
    start = 0
    for found in _END.finditer(data):
        yield data[start : found.end()]
        start = found.end()
    yield data[start:]


def _is_usage(event: bytes) -> bool:
    """Tell whether an event has figures, and no choices: what a client gets that asks for the usage."""
    if not _FIGURES.search(event):
        return False
    try:
        (read,) = SSEDecoder().feed(event + b"\n\n")
        frame = msgspec.json.decode(read.data)
    except (ValueError, RecursionError, HolySheepError):  # none or several, no JSON, or too large
        return False
    return isinstance(frame, dict) and frame.get("choices") == [] and isinstance(frame.get("usage"), dict)
