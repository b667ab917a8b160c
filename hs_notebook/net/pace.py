"""Many streams that arrive side by side are read together.

A read that waits for a single token costs ten times as much as the token. So where many streams arrive, each
one rests when it has caught up with its server, until a moment that is the same for all of them, and then
takes what has come meanwhile. A program that iterates a stream gets each token at once, up to ten streams;
who looks at a screen sees no difference between now and the next frame, so there two rest already.
"""

from __future__ import annotations

from typing import NamedTuple

_CAUGHT_UP = 0.001  # seconds: a read that takes so long has waited for its server
_IN_A_ROW = 4  # rests
_MUCH = 16 * 1024  # bytes: who finds so much after a rest has not caught up


class Haste(NamedTuple):
    """How soon who reads a stream wants its tokens."""

    at_once: int  # streams that never rest
    each: float  # seconds of rest for each stream beyond
    longest: float  # seconds of rest


FOR_PROGRAM = Haste(10, 0.0005, 0.03)
FOR_SCREEN = Haste(1, 0.0033, 0.03)


class Pace:
    """What the streams of one transport have in common; `streams` is how many arrive now."""

    def __init__(self) -> None:
        self.streams = 0

    def rest(self, now: float, haste: Haste) -> float:
        """Return for how many seconds a stream that has caught up is to rest."""
        beyond = self.streams - haste.at_once
        if beyond <= 0:
            return 0.0
        interval = min(haste.longest, haste.each * beyond)
        return interval - now % interval


class Rests:
    """When one stream is to rest.

    After a rest the time that a read takes tells nothing: the others woke with it. What it brings is then
    nearly always all there is. But only so many rests follow one another, lest a stream fall behind whose
    reads bring less than what is there.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._in_a_row = 0

    def after(self, took: float, brought: int, now: float, haste: Haste) -> float:
        """Return for how many seconds to rest after a read that took seconds and brought bytes."""
        waited = took > _CAUGHT_UP
        if (0 < self._in_a_row < _IN_A_ROW and brought < _MUCH) or (waited and not self._in_a_row):
            pause = self._pace.rest(now, haste)
            self._in_a_row = self._in_a_row + 1 if pause else 0
            return pause
        if waited or brought >= _MUCH:
            self._in_a_row = 0
        return 0.0
