"""The latest events of one stream, in little memory."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

_OPEN = 16 * 1024  # bytes of events that are not compressed yet
# The frames of a model's stream differ in a word each: the fastest level makes a tenth of them.
_LEVEL = 1


class EventsLost(Exception):  # noqa: N818 - it is no error of ours
    """The events from `first` to `last` are not kept any more."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(first, last)
        self.first = first
        self.last = last


@dataclass(frozen=True, slots=True)
class _Block:
    first: int
    last: int
    packed: bytes


class Log:
    """Events numbered from 1, each of them bytes that end in a blank line and hold no other.

    Beyond `limit` bytes, as compressed, the oldest are dropped, but none that nobody has taken yet.
    """

    def __init__(self, limit: int) -> None:
        self.last = 0
        self.taken = 0  # the highest number that someone has read
        self._limit = limit
        self._size = 0
        self._sealed: deque[_Block] = deque()
        self._open: list[bytes] = []
        self._open_size = 0

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept, or of the next where there is none."""
        return self._sealed[0].first if self._sealed else self._open_first

    @property
    def full(self) -> bool:
        """Whether the limit is passed by events that nobody has read."""
        return self._size > self._limit

    @property
    def size(self) -> int:
        """The bytes that the events take."""
        return self._size + self._open_size

    @property
    def _open_first(self) -> int:
        return self.last - len(self._open) + 1

    def append(self, event: bytes) -> None:
        """Keep one more event."""
        self.last += 1
        self._open.append(event)
        self._open_size += len(event)
        if self._open_size > _OPEN:
            self._seal()

    def take(self, number: int) -> None:
        """Note that someone has read all up to an event."""
        if number > self.taken:
            self.taken = number
            if self._size > self._limit:
                self._trim()

    def after(self, number: int) -> tuple[bytes, int]:
        """Return some events that follow one, and the number of the last of them; no bytes if none do.

        Raises `EventsLost`.
        """
        if number >= self._open_first - 1:
            return b"".join(self._open[number - self._open_first + 1 :]), max(number, self.last)
        if number < self.first - 1:
            raise EventsLost(number + 1, self.first - 1)
        block = next(block for block in self._sealed if block.last > number)
        events = zlib.decompress(block.packed)
        if number >= block.first:
            # No event holds a blank line but at its end.
            events = events.split(b"\n\n", number - block.first + 1)[-1]
        return events, block.last

    def _seal(self) -> None:
        packed = zlib.compress(b"".join(self._open), _LEVEL)
        self._sealed.append(_Block(self._open_first, self.last, packed))
        self._size += len(packed)
        self._open, self._open_size = [], 0
        self._trim()

    def _trim(self) -> None:
        while self._size > self._limit and self._sealed and self._sealed[0].last <= self.taken:
            self._size -= len(self._sealed.popleft().packed)
