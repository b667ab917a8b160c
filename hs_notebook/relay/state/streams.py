"""Streams that any worker may serve: copied by the one that began them into a Redis.

Of each stream there are, for as long as it is kept: `head`, how its reply begins; `log`, a Redis stream whose
entries hold one event or several, by the number of the last (`N-0`), and in the end `N-1`; `alive`, which
runs out when its worker died or stands still. `present` says that clients of other workers follow, `leave`
that a client, whose key it names, wants no more of it; its worker looks for both. `once` leads from an
idempotency key to a stream: a lease that its worker renews, and that nobody else gets before it is over.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

P = ParamSpec("P")
T = TypeVar("T")

_PREFIX = "hs-notebook:stream"
_PATIENCE = 2.0  # seconds for one step
_CONNECTIONS = 32
_WAITING = 24  # of them, for events: who finds them all in use looks from time to time
_POLL = 0.1  # seconds
LEASE = 30.0  # seconds that an idempotency key is bound, and readers wait, for a worker that is silent
ALIVE = 5.0  # seconds
_PRESENT = 3
_LEAVE = 60
_PACKED = 1024  # bytes; what is shorter is not worth compressing
_LARGEST = 2 * 1024 * 1024  # bytes of a stream's entries

#: what it is to be bound to, ms → what it is bound to already, if it is.
_CLAIM = """
local found = redis.call('GET', KEYS[1])
if not found then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return found
"""

#: what it is bound to, ms that this lasts from now on; none frees it. Another's binding is let alone.
_BIND = """
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #ARGV[1]) == ARGV[1] then
    if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some events of a stream, numbered from `first` to `last`; none where it has ended."""

    first: int
    last: int
    events: bytes

    def after(self, number: int) -> bytes:
        """Return the events that follow one."""
        if number < self.first:
            return self.events
        return self.events.split(b"\n\n", number - self.first + 1)[-1]


class Copy:
    """What one stream has in the Redis, as its worker knows; `once` is its idempotency key, if it has one."""

    def __init__(self, stream: str, once: str) -> None:
        self.stream = stream
        self.once = once
        self.last = 0
        self.begun = self.ended = False
        self._sizes: list[tuple[int, int]] = []
        self._size = 0

    def oldest(self, piece: Piece, size: int) -> int:
        """Return the number that the oldest entry to be kept must have, when one more is there."""
        self._sizes.append((piece.last, size))
        self._size += size
        while self._size > _LARGEST and len(self._sizes) > 1:
            self._size -= self._sizes.pop(0)[1]
        return self._sizes[0][0]


def _in_time(step: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Raise `TimeoutError`, an `OSError`, where the Redis does not answer."""

    @wraps(step)
    async def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        async with asyncio.timeout(_PATIENCE):
            return await step(*args, **kwargs)

    return timed


class SharedStreams:
    """The streams of all workers in the Redis at `url`; `kept` is how many seconds they stay."""

    def __init__(self, url: str, *, kept: float) -> None:
        self._url = url
        self._kept = max(1, round(kept))

    async def open(self) -> None:
        """Begin, on the loop that will use it."""
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.exceptions import RedisError

        self.failures: tuple[type[Exception], ...] = (RedisError, OSError)
        # Without a `socket_timeout`: with one each command is sent in `asyncio.wait_for`, which in
        # Python 3.11 swallows a cancellation that comes when it is done.
        pool = BlockingConnectionPool.from_url(
            self._url, max_connections=_CONNECTIONS, timeout=_PATIENCE, health_check_interval=10
        )
        self._redis: Any = Redis(connection_pool=pool)
        self._waiting = asyncio.Semaphore(_WAITING)
        self._claim = self._redis.register_script(_CLAIM)
        self._bind = self._redis.register_script(_BIND)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.connection_pool.aclose()

    # --- the worker that began it --------------------------------------------------------------------

    @_in_time
    async def claim(self, stream: str, once: str, digest: str) -> tuple[str, str] | None:
        """Bind an idempotency key to a stream; return the stream and digest that it is bound to already."""
        found = await self._claim([_once(once)], [f"{stream} {digest}", _ms(LEASE)])
        if found is None:
            return None
        other, _, theirs = found.decode().partition(" ")
        return other, theirs

    @_in_time
    async def forget(self, stream: str, once: str) -> None:
        """Drop all there is of a stream."""
        kinds = ("alive", "head", "log", "present", "leave")
        await self._redis.delete(*(_key(stream, kind) for kind in kinds))
        await self._free(stream, once)

    async def _free(self, stream: str, once: str) -> None:
        if once:
            await self._bind([_once(once)], [f"{stream} ", 0])

    @_in_time
    async def begin(self, head: bytes, copy: Copy) -> None:
        """Say how the reply begins."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(_key(copy.stream, "alive"), 1, px=_ms(ALIVE))
            pipeline.set(_key(copy.stream, "head"), head, ex=self._stays)
            await pipeline.execute()
        copy.begun = True

    @_in_time
    async def append(self, pieces: Iterable[tuple[Copy, Piece]]) -> None:
        """Copy some events, or the end, of any streams."""
        pieces = list(pieces)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for copy, piece in pieces:
                log, fields = _key(copy.stream, "log"), _fields(piece)
                oldest = copy.oldest(piece, len(fields["events"]) + 100)
                number = f"{piece.last}-0" if piece.events else f"{piece.last}-1"
                pipeline.xadd(log, fields, id=number, minid=f"{oldest}-0", approximate=False)
                stays = self._stays if piece.events else self._kept
                pipeline.expire(log, stays)
                pipeline.expire(_key(copy.stream, "head"), stays)
                if not piece.events:
                    await self._renew(copy, self._kept, pipeline)
            for result in await pipeline.execute(raise_on_error=False):
                # What was written, but not confirmed, is written again together with what came since.
                if isinstance(result, Exception) and "equal or smaller" not in str(result):
                    raise result
        for copy, piece in pieces:
            copy.last = piece.last
            copy.ended = not piece.events

    async def _renew(self, copy: Copy, seconds: float, pipeline: Any) -> None:
        if copy.once:
            await self._bind([_once(copy.once)], [f"{copy.stream} ", _ms(seconds)], client=pipeline)

    @_in_time
    async def look(self, copies: list[Copy]) -> list[tuple[bool, str]]:
        """Say that these are alive; return for each whether others follow, and whose key left it."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for copy in copies:
                pipeline.set(_key(copy.stream, "alive"), 1, px=_ms(ALIVE))
                pipeline.mget(_key(copy.stream, "present"), _key(copy.stream, "leave"))
                await self._renew(copy, LEASE, pipeline)
            found = [result for result in await pipeline.execute() if isinstance(result, list)]
        return [(bool(present), (left or b"").decode()) for present, left in found]

    @property
    def _stays(self) -> int:
        return self._kept + 3600  # a stream may be silent for long; one that ended stays as long as it should

    # --- the others ----------------------------------------------------------------------------------

    @_in_time
    async def head(self, stream: str) -> bytes | None:
        """Return how the reply begins, where it has begun."""
        found: bytes | None = await self._redis.get(_key(stream, "head"))
        return found

    @_in_time
    async def alive(self, stream: str) -> bool:
        """Tell whether the worker that began it is there."""
        return bool(await self._redis.exists(_key(stream, "alive")))

    @_in_time
    async def bounds(self, stream: str) -> tuple[int, int, bool]:
        """Return the numbers of the first and the last event that are there, and whether it has ended."""
        oldest = await self._redis.xrange(_key(stream, "log"), count=1)
        latest = await self._redis.xrevrange(_key(stream, "log"), count=1)
        if not oldest or not latest:
            return 1, 0, False
        last = _piece(*latest[0])
        return _piece(*oldest[0]).first, last.last, not last.events

    @_in_time
    async def read(self, stream: str, after: int, wait: float) -> list[Piece]:
        """Return what follows an event; nothing where that takes longer than `wait` seconds."""
        log = {_key(stream, "log"): f"{after}-0"}
        if self._waiting.locked():
            await asyncio.sleep(_POLL)
            found = await self._redis.xread(log, count=64)
        else:
            async with self._waiting:
                found = await self._redis.xread(log, count=64, block=max(1, round(wait * 1000)))
        return [_piece(*entry) for _, entries in found for entry in entries]

    @_in_time
    async def attend(self, stream: str) -> None:
        """Say that somebody follows."""
        await self._redis.set(_key(stream, "present"), 1, ex=_PRESENT)

    @_in_time
    async def leave(self, stream: str, once: str, owner: str) -> None:
        """Say that its client wants no more of it, also where its worker has not said yet that it began."""
        await self._redis.set(_key(stream, "leave"), owner, ex=_LEAVE)
        await self._redis.delete(_key(stream, "head"))
        await self._free(stream, once)

    async def leave_call(self, once: str, owner: str) -> None:
        """Say likewise of the stream that an idempotency key is bound to, if it is to any."""
        if stream := await self.bound(once):
            await self.leave(stream, once, owner)

    @_in_time
    async def bound(self, once: str) -> str:
        """Return the stream that an idempotency key is bound to, or nothing."""
        found: bytes = await self._redis.get(_once(once)) or b""
        return found.decode().partition(" ")[0]


def _once(once: str) -> str:
    return f"{_PREFIX}:once:{once}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _key(stream: str, kind: str) -> str:
    # The braces keep what belongs to one stream on one machine of a cluster.
    return f"{_PREFIX}:{{{stream}}}:{kind}"


def _fields(piece: Piece) -> dict[str, Any]:
    if len(piece.events) < _PACKED:
        return {"first": piece.first, "events": piece.events}
    return {"first": piece.first, "events": zlib.compress(piece.events, 1), "packed": 1}


def _piece(number: bytes, fields: dict[bytes, bytes]) -> Piece:
    events = zlib.decompress(fields[b"events"]) if b"packed" in fields else fields[b"events"]
    return Piece(first=int(fields[b"first"]), last=int(number.partition(b"-")[0]), events=events)
