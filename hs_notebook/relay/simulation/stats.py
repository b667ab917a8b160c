"""What happened in the relay, so that tests of clients can see it from the other side."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenRequest:
    """One accepted chat completion: the canonical model, the raw body, and the headers but for the keys."""

    model: str
    stream: bool
    body: bytes
    headers: dict[str, str]


@dataclass(kw_only=True, slots=True)
class StreamStats:
    """One streamed answer: tokens written so far, and `time.time()` just before the first and the last."""

    tokens_sent: int = 0
    first_token_epoch: float | None = None
    last_token_epoch: float | None = None

    def sent(self, epoch: float) -> None:
        """Note that a token goes out."""
        if self.first_token_epoch is None:
            self.first_token_epoch = epoch
        self.last_token_epoch = epoch
        self.tokens_sent += 1


@dataclass(kw_only=True, slots=True)
class Stats:
    """Counters since the start; written on the relay's thread, safe to read from any other.

    `requests` counts calls of `/v1/chat/completions` whatever came of them. `active_streams` are answers
    under way, streamed or not; `cancelled` those whose client went away first, `completed` the others.
    `*_epoch` are `time.time()` seconds, `*_monotonic` `time.monotonic()` seconds.
    """

    requests: int = 0
    active_streams: int = 0
    completed: int = 0
    cancelled: int = 0
    last_cancelled_epoch: float | None = None
    last_cancelled_monotonic: float | None = None
    last_stream: StreamStats = field(default_factory=StreamStats)
    streams: deque[StreamStats] = field(default_factory=lambda: deque(maxlen=16))
    seen: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=16))

    def begin(self) -> StreamStats:
        """Note that an answer begins to stream."""
        self.last_stream = StreamStats()
        self.streams.append(self.last_stream)
        return self.last_stream

    def cancel(self) -> None:
        """Note that a client went away."""
        self.cancelled += 1
        self.last_cancelled_epoch = time.time()
        self.last_cancelled_monotonic = time.monotonic()

    def summary(self) -> dict[str, float | None]:
        """Return the counters as a flat table; no prompt leaves through it."""
        last = self.last_stream
        return {
            "requests": self.requests,
            "active": self.active_streams,
            "completed": self.completed,
            "cancelled": self.cancelled,
            "last_cancelled_epoch": self.last_cancelled_epoch,
            "last_cancelled_monotonic": self.last_cancelled_monotonic,
            "tokens_sent": last.tokens_sent,
            "first_token_epoch": last.first_token_epoch,
            "last_token_epoch": last.last_token_epoch,
        }
