"""The events of an upstream's stream, each with a number of its own."""

from __future__ import annotations

from hs_notebook.wire.sse import LineEnds

_LARGEST = 2 * 1024 * 1024  # bytes of an event; twice what our own decoder takes
_LF = 0x0A


class EventTooLarge(Exception):  # noqa: N818 - it is no error of ours
    """The upstream sent an event beyond all measure."""


class Numbering:
    """Cuts bytes into events and puts `id: N` before each; linear however the bytes are cut.

    Ends of lines become LF. What dispatches no event is left out, but for the times of reconnection.
    """

    def __init__(self) -> None:
        self.last = 0
        self._partial: list[bytes] = []  # pieces of the line that has not ended yet
        self._lines: list[bytes] = []  # of the event that has not ended yet
        self._size = 0
        self._ends = LineEnds()
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that these bytes complete. Raises `EventTooLarge`."""
        # The usual frame of a model's stream, one event of one line, takes the short way.
        if (
            not (self._partial or self._lines or self._ends.after_cr)
            and data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1] == _LF
            and data.find(b"\r") < 0
            and len(data) <= _LARGEST
        ):
            self._at_start = False
            self.last += 1
            return [b"id: %d\n%b" % (self.last, data)]
        return self._feed(self._ends.plain(data))

    def _feed(self, data: bytes) -> list[bytes]:
        first, *rest = data.split(b"\n")
        self._keep(first)
        if not rest:
            return []
        events: list[bytes] = []
        for line in (b"".join(self._partial), *rest[:-1]):
            self._line(line, events)
        self._partial = []
        self._size = sum(map(len, self._lines))
        self._keep(rest[-1])
        return events

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._partial.append(piece)
            self._size += len(piece)
            if self._size > _LARGEST:
                raise EventTooLarge

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._dispatch(events)
        elif _name(line) not in {b"id", b""}:  # the name of a comment is empty
            self._lines.append(line)

    def _dispatch(self, events: list[bytes]) -> None:
        if any(_name(line) == b"data" for line in self._lines):
            self.last += 1
            events.append(b"id: %d\n%b\n\n" % (self.last, b"\n".join(self._lines)))
            self._lines = []
        else:
            self._lines = [line for line in self._lines if _name(line) == b"retry"][-1:]


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]
