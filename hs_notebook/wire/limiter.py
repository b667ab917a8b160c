"""A rate and a concurrency limit, exact: never one request above either."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RateLimiter:
    """At most `per_minute` requests in any 60 seconds, and `concurrent` at a time.

    It only counts; who waits, and how, is the caller's affair. `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        per_minute: int = 60,
        concurrent: int = 5,
        *,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_minute < 1 or concurrent < 1:
            raise ValueError("both limits are at least 1")
        self.per_minute = per_minute
        self.concurrent = concurrent
        self.window = window
        self.active = 0
        self._clock = clock
        self._sent: deque[float] = deque()

    def renewed(self) -> RateLimiter:
        """Return a limiter that counts the same requests, for whom none is under way."""
        other = RateLimiter(self.per_minute, self.concurrent, window=self.window, clock=self._clock)
        other._sent = self._sent
        return other

    def admit(self) -> float:
        """Count one request and return 0.0, or return the seconds after which to ask again.

        Infinity means: not before somebody calls `release`.
        """
        if self.active >= self.concurrent:
            return math.inf
        if wait := self.count():
            return wait
        self.active += 1
        return 0.0

    def wait(self) -> float:
        """Return what `admit` would, and count nothing."""
        return math.inf if self.active >= self.concurrent else self._wait(self._clock())

    def count(self) -> float:
        """Count one more request of a call already admitted (a retry): 0.0, or the seconds to wait."""
        now = self._clock()
        if wait := self._wait(now):
            return wait
        self._sent.append(now)
        return 0.0

    def wait_for(self, number: int) -> float:
        """Return the seconds until so many requests may be sent at once; at most `per_minute` ever may."""
        return self._wait(self._clock(), min(number, self.per_minute))

    def _wait(self, now: float, number: int = 1) -> float:
        while self._sent and now - self._sent[0] >= self.window:
            self._sent.popleft()
        over = len(self._sent) + number - self.per_minute
        return self.window - (now - self._sent[over - 1]) if over > 0 else 0.0

    def release(self) -> None:
        """End one admitted request."""
        self.active -= 1
