"""Streams that arrive side by side are read together.

A read that waits for a single token costs ten times as much as the token. So where several streams arrive,
each one rests when it has caught up with its server, until a moment that is the same for all of them, and
then takes what has come meanwhile. A stream alone is read at once.
"""

from __future__ import annotations

_REST = 0.0025  # seconds for each stream
_LONGEST = 0.025  # seconds; the screen is painted at twice the distance
CAUGHT_UP = 0.001  # seconds: a read that takes so long has waited for its server


class Pace:
    """What the streams of one transport have in common; `streams` is how many arrive now."""

    def __init__(self) -> None:
        self.streams = 0

    def rest(self, now: float) -> float:
        """Return for how many seconds a stream that has caught up is to rest."""
        if self.streams < 2:
            return 0.0
        interval = min(_LONGEST, _REST * self.streams)
        return interval - now % interval
