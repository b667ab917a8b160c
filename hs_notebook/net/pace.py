"""Many streams that arrive side by side are read together.

A read that waits for a single token costs ten times as much as the token. So where many streams arrive, each
one rests when it has caught up with its server, until a moment that is the same for all of them, and then
takes what has come meanwhile. A program that iterates a stream gets each token at once, up to ten streams;
who looks at a screen sees no difference between now and the next frame, so there two rest already.
"""

from __future__ import annotations

from typing import NamedTuple

CAUGHT_UP = 0.001  # seconds: a read that takes so long has waited for its server


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
