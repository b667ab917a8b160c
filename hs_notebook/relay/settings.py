"""What a relay server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = "memory"
LARGEST_HEAD = 32 * 1024  # bytes of a request's line and headers


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaySettings:
    """`upstream` is a base URL (`…/v1`) and `key` the key for it; `keys` the file of the keys given out.

    `hosts` are names that the relay is called by beside this machine's own, `origins` the pages of others
    that may call it from a browser. `state` is `memory` or the URL of a Redis. Times are seconds: `connect`
    to the upstream, `idle` without a byte from it, `total` for an answer; `headers` and `body` for a client
    to send his request, `stall` for one to read what he was sent; `linger` for an upstream to go on whose
    client is away, `kept` for a stream's events to be kept. `connections` is the most of one address, 0 any
    number; `largest_body` is in bytes, and so are `buffer`, what the kept events of a stream may take, and
    `buffers`, what all streams of a process may that have ended.
    """

    upstream: str
    key: str = field(repr=False)
    keys: Path
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    state: str = field(default=MEMORY, repr=False)  # its URL may hold a password
    connect: float = 10.0
    idle: float = 120.0
    total: float = 1800.0
    headers: float = 10.0
    body: float = 30.0
    stall: float = 60.0
    linger: float = 60.0
    kept: float = 300.0
    buffer: int = 96 * 1024
    buffers: int = 64 * 1024 * 1024
    connections: int = 100
    largest_body: int = 2 * 1024 * 1024
