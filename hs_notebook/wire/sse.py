"""Server-sent events, exactly as the WHATWG HTML standard reads them (section 9.2.6)."""

from __future__ import annotations

import re

import msgspec

from hs_notebook.errors import EventTooLargeError

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(r"\r\n|\n|\r")
# The usual event of a model's stream is one line; a relay whose streams can be resumed puts a number before.
_USUAL = re.compile(rb"(?:id: ([^\r\n\0]*)\n)?data: ([^\r\n]*)\n\n")
_FIELD = len(b"data: ")  # does not count against the event's size, nor does a BOM
_LONGEST_RETRY = 15  # digits; beyond that no wait is meant


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    `id` is the last event ID of the stream at this point and stays until another comes; `retry` is the
    reconnection time in milliseconds where this event's block set one.
    """

    data: str = ""
    event: str = "message"
    id: str = ""
    retry: int | None = None


class LineEnds:
    """Turns CRLF and CR into LF, also where one piece of the bytes ends between the two."""

    def __init__(self) -> None:
        self.after_cr = False

    def plain(self, data: bytes) -> bytes:
        """Return the next bytes with LF alone."""
        if self.after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CRLF that was cut in two
            self.after_cr = False
        if b"\r" in data:
            self.after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


class SSEDecoder:
    """Turns the bytes of a stream into events, linear in their number however they are cut.

    What stands after the last blank line is an unfinished event; it is dropped, as the standard says.
    `last_event_id` is what a reconnecting client sends. An event whose data, or a line that, is longer
    than `max_event_size` bytes raises `EventTooLargeError`, after which the decoder is of no more use.
    """

    def __init__(self, max_event_size: int = 1_048_576) -> None:
        self.max_event_size = max_event_size
        self.last_event_id = ""
        self._partial: list[bytes] = []  # pieces of the line that has not ended yet
        self._partial_size = 0
        self._at_start = True
        self._ends = LineEnds()
        self._at_boundary = False  # between two events, nothing pending: the short way is open
        self._begin_event()

    def _begin_event(self) -> None:
        self._data: list[str] = []
        self._data_size = 0
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and return the events that they complete."""
        events: list[ServerSentEvent] = []
        at = 0
        try:
            if not self._at_boundary and (blank := data.find(b"\n\n") + 1):
                at = blank + 1
                self._feed_lines(data[:at], events)
            if self._at_boundary and len(data) <= self.max_event_size:
                while usual := _USUAL.match(data, at):
                    if usual[1] is not None:
                        self.last_event_id = str(usual[1], "utf-8", "replace")
                    text = str(usual[2], "utf-8", "replace")
                    events.append(ServerSentEvent(text, "message", self.last_event_id))
                    at = usual.end()
            if at < len(data):
                self._feed_lines(data[at:], events)
        except EventTooLargeError as error:
            error.before = events
            raise
        return events

    def _feed_lines(self, data: bytes, events: list[ServerSentEvent]) -> None:
        first, *rest = self._ends.plain(data).split(b"\n")
        self._keep(first)
        if not rest:
            self._at_boundary = False
            return
        lines = [b"".join(self._partial), *rest[:-1]]
        self._partial, self._partial_size = [], 0
        events.extend(event for line in lines if (event := self._line(line)) is not None)
        self._keep(rest[-1])
        self._at_boundary = not (self._partial or lines[-1] or self._ends.after_cr)

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._partial.append(piece)
            self._partial_size += len(piece)
            self._check(self._partial_size, _FIELD + len(_BOM))

    def _check(self, size: int, allowance: int = 0) -> None:
        if size > self.max_event_size + allowance:
            raise EventTooLargeError(f"An event of the stream is larger than {self.max_event_size:,} bytes.")

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._check(len(line), _FIELD)
        name, _, value = line.partition(b":")
        self._field(name, value.removeprefix(b" "))
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data_size += len(value) + 1
            self._check(self._data_size - 1)
            self._data.append(str(value, "utf-8", "replace"))
        elif name == b"event":
            self._event = str(value, "utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = str(value, "utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _LONGEST_RETRY:
            self._retry = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        if self._id is not None:
            self.last_event_id = self._id
        event = None
        if self._data:
            data = "\n".join(self._data)
            event = ServerSentEvent(data, self._event or "message", self.last_event_id, self._retry)
        self._begin_event()
        return event


def encode(data: str, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002 - its name
    """Return the bytes of one event; every line of `data` becomes a field of its own."""
    lines = [f"id: {id}"] if id is not None else []
    lines += [f"event: {event}"] if event is not None else []
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return ("\n".join(lines) + "\n\n").encode()
