"""Many streams that arrive side by side are read together.

A read that waits for a single token costs ten times as much as the token. So where more than ten streams
arrive, each one rests when it has caught up with its server, until a moment that is the same for all of them,
and then takes what has come meanwhile. Up to ten are read at once: all of them, at 200 tokens a second each,
cost a quarter of a core.
"""

from __future__ import annotations

AT_ONCE = 10  # streams that never rest
_REST = 0.0005  # seconds for each stream beyond
_LONGEST = 0.03  # seconds; a screen is painted less often
CAUGHT_UP = 0.001  # seconds: a read that takes so long has waited for its server


class Pace:
    """What the streams of one transport have in common; `streams` is how many arrive now."""

    def __init__(self) -> None:
        self.streams = 0

    def rest(self, now: float) -> float:
        """Return for how many seconds a stream that has caught up is to rest."""
        if self.streams <= AT_ONCE:
            return 0.0
        interval = min(_LONGEST, _REST * (self.streams - AT_ONCE))
        return interval - now % interval
