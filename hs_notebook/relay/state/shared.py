"""The state of several workers, on several machines, in a Redis.

Its counters are the record of what was spent: no ledger is asked, for each machine has one of its own. A
Redis that is away lets nobody in; what ends meanwhile is told it when it is back. The rate is counted by the
clocks of the machines, everything else by the clock of the Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hs_notebook.errors import ConfigurationError
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.state import held_back, scripts, too_dear, too_fast, too_many

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hs_notebook.relay.keys import Client

_PATIENCE = 2.0  # seconds for one step
_LEASE = 30.0
_TICK = 1.0
_CONNECTIONS = 32
_AT_ONCE = 500  # what is told in one step
_PREFIX = "hs-notebook"
_PER_USD = 10**12

log = logging.getLogger("hs_notebook.relay")


class SharedState:
    """`url` is `redis://`, `rediss://` or `unix://`; raises `ConfigurationError` for one that is of no use.

    A `lease` lasts so many seconds if nobody renews it: what a worker that died was doing. `patience` is how
    many seconds one step may take.
    """

    def __init__(self, url: str, *, lease: float = _LEASE, patience: float = _PATIENCE) -> None:
        _check(url)
        self._url = url
        self._lease = lease
        self._patience = patience
        self._held: dict[str, str] = {}  # who holds each lease of this worker
        self._owed: dict[str, tuple[str, int]] = {}  # what the Redis does not know yet: leases that are over
        self._reached = True

    async def open(self) -> None:
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter
        from redis.asyncio import Redis

        pool = _pool(self._url)
        self._redis: Any = Redis(connection_pool=pool)
        self._enter = self._redis.register_script(scripts.ENTER)
        self._leave = self._redis.register_script(scripts.LEAVE)
        self._account = self._redis.register_script(scripts.ACCOUNT)
        self._renew = self._redis.register_script(scripts.RENEW)
        # The URL is the pool's affair.
        storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=_PREFIX, connection_pool=pool
        )
        self._rate = MovingWindowRateLimiter(storage)
        with contextlib.suppress(Refused):  # it is in the log
            await self.check()
            await self._warn_of_eviction()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        self._keeping.cancel()
        await asyncio.wait((self._keeping,))
        with contextlib.suppress(Refused):
            await self._tell()
        await self._redis.connection_pool.aclose()

    async def check(self) -> None:
        await self._step(self._redis.ping)

    async def _warn_of_eviction(self) -> None:
        from redis.exceptions import RedisError

        with contextlib.suppress(RedisError, OSError):  # not every Redis tells
            async with asyncio.timeout(self._patience):
                memory = await self._redis.info("memory")
            if memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction":
                log.warning(
                    "The shared state may be evicted, and budgets with it: set maxmemory-policy noeviction."
                )

    async def left(self, client: Client) -> Decimal | None:
        if client.budget is None:
            return None
        spent, held, _ = await self._step(lambda: self._account(_keys(client.name)))
        used = Decimal(int(spent) + int(held)) / _PER_USD
        return max(Decimal(0), client.budget - used)

    async def unspent(self, client: Client) -> Decimal:
        spent, _, _ = await self._step(lambda: self._account(_keys(client.name)))
        return max(Decimal(0), (client.budget or Decimal(0)) - Decimal(int(spent)) / _PER_USD)

    async def room(self, client: Client) -> None:
        _, _, running = await self._step(lambda: self._account(_keys(client.name)))
        if running >= client.concurrent:
            raise too_many(client)
        if wait := await self._wait(client, self._rate.test):
            raise too_fast(client, wait)

    async def enter(self, client: Client, lease: str, hold: Decimal) -> None:
        budget = "" if client.budget is None else _units(client.budget)
        words = (lease, _units(hold), budget, client.concurrent, round(self._lease * 1000))
        if not self._reached:
            raise _away()
        try:
            found = await self._step(lambda: self._enter(_keys(client.name), words))
            wait = await self._wait(client, self._rate.hit) if found == b"in" else 0.0
        except BaseException:
            self._owed[lease] = client.name, 0  # nobody knows whether it is in; it must not stay
            raise
        if found != b"in":
            raise {b"dear": too_dear, b"held": held_back}.get(found, too_many)(client)
        if wait:
            await self._over(client.name, lease, 0)
            raise too_fast(client, wait)
        self._held[lease] = client.name

    async def leave(self, client: Client, lease: str, charge: Decimal) -> None:
        if self._held.pop(lease, None) is not None:
            await self._over(client.name, lease, _units(charge))

    async def _wait(self, client: Client, ask: Callable[..., Awaitable[bool]]) -> float:
        """Ask for one more request; return the seconds to wait where it is one too many, else 0."""
        from limits import RateLimitItemPerMinute

        limit = RateLimitItemPerMinute(client.per_minute)
        if await self._step(lambda: ask(limit, client.name)):
            return 0.0
        window = await self._step(lambda: self._rate.get_window_stats(limit, client.name))
        return max(0.001, float(window.reset_time - time.time()))

    async def _over(self, name: str, lease: str, charge: int) -> None:
        """Tell that a lease is over; where nobody listens, later."""
        self._owed[lease] = name, charge
        with contextlib.suppress(Refused):
            await self._step(lambda: self._leave(_keys(name), (lease, charge)))
            self._owed.pop(lease, None)

    async def _keep(self) -> None:
        """Renew this worker's leases, tell what is owed, and see whether a Redis that was away is back."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(min(_TICK, self._lease / 3))
            with contextlib.suppress(Refused):
                if not self._reached:
                    await self._try(self._redis.ping)
                await self._tell()
                if self._held and loop.time() - renewed >= self._lease / 3:
                    await self._step(self._renew_all)
                    renewed = loop.time()

    async def _tell(self) -> None:
        if owed := dict(itertools.islice(self._owed.items(), _AT_ONCE)):
            await self._step(lambda: self._leave_all(owed))
            for lease in owed:
                self._owed.pop(lease, None)

    async def _leave_all(self, owed: dict[str, tuple[str, int]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for lease, (name, charge) in owed.items():
                await self._leave(_keys(name), (lease, charge), client=pipeline)
            await pipeline.execute()

    async def _renew_all(self) -> None:
        held: dict[str, list[str]] = {}
        for lease, name in self._held.items():
            held.setdefault(name, []).append(lease)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name, leases in held.items():
                await self._renew(_keys(name), (round(self._lease * 1000), *leases), client=pipeline)
            await pipeline.execute()

    async def _step(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Do one step; raises `Refused` where the Redis is away, at once where that is known."""
        if not self._reached:
            raise _away()
        return await self._try(step)

    async def _try(self, step: Callable[[], Awaitable[Any]]) -> Any:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._patience):
                result = await step()
        except (RedisError, OSError) as error:  # a time-out is an OSError
            if self._reached:
                log.warning("The shared state does not answer: %s.", type(error).__name__)
            self._reached = False
            raise _away() from None
        if not self._reached:
            log.warning("The shared state answers again.")
        self._reached = True
        return result


def _keys(name: str) -> list[str]:
    # The braces keep what belongs to one client on one machine of a cluster.
    return [f"{_PREFIX}:{{{name}}}:{kind}" for kind in ("leases", "holds", "lapsed", "lapses", "spent")]


def _units(amount: Decimal) -> int:
    return int((amount * _PER_USD).to_integral_value(ROUND_CEILING))


def _away() -> Refused:
    said = "The relay cannot reach what its workers share: try again in a moment."
    return Refused(503, said, kind="server_error", code="state_unreachable", headers={"retry-after": "2"})


def _pool(url: str) -> Any:
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        # With a `socket_timeout` each command is sent in `asyncio.wait_for`, which in Python 3.11 swallows a
        # cancellation that comes when it is done. Each step has its time anyway.
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1),  # a connection of before the Redis began anew; each step may be repeated
    )


def _check(url: str) -> None:
    """Raise `ConfigurationError` where `url` is of no use; it may hold a password, so none of it is shown."""
    hint = "Use memory, redis://HOST:6379/0, rediss://… (TLS) or unix:///PATH."
    try:
        import limits  # noqa: F401 - only whether it is there
        import redis  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigurationError(
            "A shared state needs packages that are not installed.", hint="pip install 'hs-notebook[redis]'"
        ) from None
    try:
        parts = urlsplit(url)
        usable = (parts.scheme == "unix" and parts.path) or (
            parts.scheme in {"redis", "rediss"} and (parts.path.strip("/") or "0").isdecimal()
        )
        if usable:
            _pool(url).make_connection()  # which reads all options, and connects to nothing
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ConfigurationError("The URL of the shared state is of no use.", hint=hint)
