"""What the workers of a relay know together: in memory and in Redis alike, and what only Redis must do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis_server import RedisServer

from hs_notebook.errors import ConfigurationError
from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.keys import Client, KeyFile
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings
from hs_notebook.relay.state.memory import MemoryState
from hs_notebook.relay.state.scripts import ACCOUNT
from hs_notebook.relay.state.shared import SharedState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from hs_notebook.relay.state import State

USD = Decimal


def client(
    name: str = "ann", *, per_minute: int = 1000, concurrent: int = 5, budget: str | None = None
) -> Client:
    return Client(
        name=name,
        sha256="",
        created=datetime.now(UTC),
        per_minute=per_minute,
        concurrent=concurrent,
        budget=None if budget is None else Decimal(budget),
    )


@contextlib.asynccontextmanager
async def opened(*states: State) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for state in states:
            await state.open()
            stack.push_async_callback(state.close)
        yield


@pytest.fixture(params=["memory", "redis"])
def state(request: pytest.FixtureRequest) -> State:
    if request.param == "memory":
        return MemoryState(lambda _name, _since: Decimal(0))
    return SharedState(request.getfixturevalue("redis_server").database())


@pytest.fixture
def database(redis_server: RedisServer) -> str:
    return redis_server.database()


def behave(state: State, steps: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(state):
            await steps()

    asyncio.run(run())


async def refusal(entering: Awaitable[None]) -> Refused:
    with pytest.raises(Refused) as raised:
        await entering
    return raised.value


async def until(true: Callable[[], Awaitable[bool]], patience: float = 20.0) -> None:
    deadline = time.monotonic() + patience
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_one_answer_too_many_waits_for_another_to_end(state: State) -> None:
    ann = client(concurrent=2)

    async def steps() -> None:
        await state.enter(ann, "a", USD(0))
        await state.enter(ann, "b", USD(0))
        refused = await refusal(state.enter(ann, "c", USD(0)))
        assert (refused.status, refused.shape["code"]) == (429, "concurrency_limit_exceeded")
        assert refused.shape["headers"]["retry-after"] == "1"
        await state.enter(client("bob"), "d", USD(0))
        await state.leave(ann, "a", USD(0))
        await state.enter(ann, "c", USD(0))

    behave(state, steps)


def test_the_rate_counts_what_was_let_in_alone(state: State) -> None:
    ann = client(per_minute=3, concurrent=1, budget="1")

    async def steps() -> None:
        await state.enter(ann, "a", USD(0))
        for n in range(5):
            assert (await refusal(state.enter(ann, f"many{n}", USD(0)))).status == 429
        await state.leave(ann, "a", USD(0))
        for n in range(5):
            assert (await refusal(state.enter(ann, f"dear{n}", USD(2)))).status == 402
        for lease in "bc":
            await state.enter(ann, lease, USD(0))
            await state.leave(ann, lease, USD(0))
        for n in range(5):  # what is refused holds no place
            refused = await refusal(state.enter(ann, f"fast{n}", USD(1)))
            assert (refused.status, refused.shape["code"]) == (429, "rate_limit_exceeded")
            assert 50 <= int(refused.shape["headers"]["retry-after"]) <= 60
        assert await state.left(ann) == 1

    behave(state, steps)


def test_a_budget_holds_what_is_under_way(state: State) -> None:
    ann = client(budget="1.00")

    async def steps() -> None:
        assert await state.left(ann) == 1
        await state.enter(ann, "a", USD("0.7"))
        assert await state.left(ann) == USD("0.3")
        refused = await refusal(state.enter(ann, "b", USD("0.300000000001")))
        assert (refused.status, refused.shape["code"]) == (429, "BUDGET_HELD")
        refused = await refusal(state.enter(ann, "b", USD("1.000000000001")))
        assert (refused.status, refused.shape["code"]) == (402, "BUDGET_EXCEEDED")
        await state.enter(ann, "b", USD("0.3"))
        assert (await refusal(state.enter(ann, "c", USD(0)))).status == 429
        assert await state.unspent(ann) == 1
        await state.leave(ann, "a", USD("0.100000000001"))
        assert await state.unspent(ann) == USD("0.899999999999")
        assert await state.left(ann) == USD("0.599999999999")
        await state.leave(ann, "b", USD("0.5"))
        assert await state.left(ann) == USD("0.399999999999")

    behave(state, steps)


def test_no_budget_is_no_limit(state: State) -> None:
    async def steps() -> None:
        await state.enter(client(), "a", USD(10**6))
        assert await state.left(client()) is None

    behave(state, steps)


def test_a_call_ends_once(state: State) -> None:
    ann = client(concurrent=1, budget="1")

    async def steps() -> None:
        await state.leave(ann, "never", USD("0.5"))
        assert await state.left(ann) == 1
        await state.enter(ann, "a", USD("0.5"))
        for _ in range(3):
            await state.leave(ann, "a", USD("0.2"))
        assert await state.left(ann) == USD("0.8")
        await state.enter(ann, "b", USD(0))
        assert (await refusal(state.enter(ann, "c", USD(0)))).status == 429

    behave(state, steps)


def test_who_has_to_wait_is_told_before_anything_is_counted(state: State) -> None:
    ann = client(per_minute=2, concurrent=1)

    async def steps() -> None:
        for _ in range(5):
            await state.room(ann)
        await state.enter(ann, "a", USD(0))
        assert (await refusal(state.room(ann))).code == "concurrency_limit_exceeded"
        await state.leave(ann, "a", USD(0))
        await state.enter(ann, "b", USD(0))
        await state.leave(ann, "b", USD(0))
        refused = await refusal(state.room(ann))
        assert refused.code == "rate_limit_exceeded"
        assert 50 <= int(refused.shape["headers"]["retry-after"]) <= 60

    behave(state, steps)


def test_memory_charges_a_call_to_the_month_that_it_began_in() -> None:
    today = [datetime(2026, 11, 30, 23, 59, tzinfo=UTC)]
    state = MemoryState(lambda _name, _since: Decimal(0), now=lambda: today[0])
    ann = client(budget="1")

    async def steps() -> None:
        await state.enter(ann, "a", USD("0.7"))
        today[0] = datetime(2026, 12, 1, tzinfo=UTC)
        assert await state.left(ann) == 1
        await state.leave(ann, "a", USD("0.4"))
        assert await state.left(ann) == 1
        today[0] = datetime(2026, 11, 30, tzinfo=UTC)
        assert await state.left(ann) == USD("0.6")

    behave(state, steps)


def test_a_redis_charges_a_call_to_the_month_that_it_began_in(database: str) -> None:
    """Also one whose lease ran out. What it keeps is old news for the next one: then it is let go."""
    ann, ms = client(budget="1"), 1000
    kept = {kind: f"hs-notebook:{{ann}}:{kind}" for kind in ("leases", "holds", "lapsed", "lapses", "spent")}
    state = SharedState(database)

    async def run(redis: Redis) -> None:
        async with opened(state):
            for lease in "abc":
                await state.enter(ann, lease, USD("0.3"))
                amount, month = redis.hget(kept["holds"], lease).split()  # type: ignore[union-attr]
                assert (int(amount), month.decode()) == (3 * 10**11, f"{datetime.now(UTC):%Y-%m}")
                redis.hset(kept["holds"], lease, f"{int(amount)} 2026-01")
            assert await state.left(ann) == 1
            await state.leave(ann, "a", USD("0.1"))
            assert redis.hgetall(kept["spent"]) == {b"2026-01": b"%d" % 10**11}
            redis.zadd(kept["leases"], {"b": 1, "c": 1})  # as if nobody had renewed them
            assert await state.left(ann) == 1
            assert redis.hgetall(kept["spent"]) == {b"2026-01": b"%d" % (7 * 10**11)}
            redis.zadd(kept["lapses"], {"c": time.time() * ms - 25 * 3600 * ms})
            await state.leave(ann, "b", USD("0.2"))
            assert redis.hgetall(kept["spent"]) == {b"2026-01": b"%d" % (6 * 10**11)}
            assert redis.hgetall(kept["lapsed"]) == {b"b": b""}
            assert redis.zrange(kept["lapses"], 0, -1) == [b"b"]

    with Redis.from_url(database) as redis:
        asyncio.run(run(redis))


def test_memory_begins_with_what_the_ledger_knows() -> None:
    state = MemoryState(
        lambda name, since: Decimal("0.25") if (name, since.day) == ("ann", 1) else Decimal(0)
    )

    async def steps() -> None:
        assert await state.left(client(budget="1")) == USD("0.75")

    behave(state, steps)


#: Enter with what a call may cost, or leave the call of that number with what it did cost; in 1e-12 USD.
STEPS = st.lists(
    st.tuples(st.none(), st.integers(0, 4)) | st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=30
)


async def outcomes(state: State, who: Client, steps: list[tuple[int | None, int]]) -> list[object]:
    """What comes of each step, and what is left after it."""
    found: list[object] = []
    for number, (call, amount) in enumerate(steps):
        try:
            if call is None:
                await state.enter(who, f"{who.name}{number}", Decimal(amount) / 10**12)
            else:
                await state.leave(who, f"{who.name}{call}", Decimal(amount) / 10**12)
            found.append("done")
        except Refused as refused:
            found.append(refused.code)
        found.append(await state.left(who))
    return found


@settings(
    max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(cases=st.lists(STEPS, min_size=1, max_size=4))
def test_a_redis_decides_as_memory_does(database: str, cases: list[list[tuple[int | None, int]]]) -> None:
    shared, memory = SharedState(database), MemoryState(lambda _name, _since: Decimal(0))

    async def run() -> None:
        async with opened(shared, memory):
            for steps in cases:
                who = client(uuid4().hex, per_minute=8, concurrent=3, budget="0.000000000006")
                assert await outcomes(shared, who, steps) == await outcomes(memory, who, steps)

    asyncio.run(run())


@pytest.mark.parametrize(("limits", "admitted"), [({"per_minute": 60}, 60), ({"concurrent": 7}, 7)])
def test_two_workers_admit_exactly_what_is_allowed(
    database: str, limits: dict[str, int], admitted: int
) -> None:
    ann = client(**{"per_minute": 1000, "concurrent": 1000, **limits})
    workers = SharedState(database), SharedState(database)

    async def run() -> None:
        async with opened(*workers):
            entering = (
                worker.enter(ann, f"lease{n}", USD(0))
                for n, worker in zip(range(200), itertools.cycle(workers))
            )
            found = await asyncio.gather(*entering, return_exceptions=True)
        refused = [result for result in found if result is not None]
        assert all(isinstance(result, Refused) and result.status == 429 for result in refused), refused
        assert len(found) - len(refused) == admitted

    asyncio.run(run())


def test_a_budget_of_two_workers_is_never_overdrawn(database: str) -> None:
    ann = client(concurrent=1000, budget="1")
    workers = SharedState(database), SharedState(database)

    async def run() -> None:
        async with opened(*workers):
            entering = (
                worker.enter(ann, f"{n}", USD("0.03"))
                for n, worker in zip(range(100), itertools.cycle(workers))
            )
            found = await asyncio.gather(*entering, return_exceptions=True)
            assert found.count(None) == 33
            assert await workers[0].left(ann) == USD("0.01")

    asyncio.run(run())


def test_what_a_dead_worker_did_runs_out_and_is_counted_at_its_most(database: str) -> None:
    ann = client(concurrent=1, budget="1")
    dying, living = SharedState(database, lease=0.6), SharedState(database, lease=0.6)

    async def run() -> None:
        async with opened(dying, living):
            await dying.enter(ann, "a", USD("0.4"))
            dying._keeping.cancel()  # as if its process were gone

            async def free() -> bool:
                with contextlib.suppress(Refused):
                    await living.enter(ann, "b", USD(0))
                    return True
                return False

            await until(free)
            assert await living.left(ann) == USD("0.6")
            # It was not dead after all: what its call did cost is right in the end, and once.
            await dying.leave(ann, "a", USD("0.1"))
            assert await living.left(ann) == USD("0.9")

    asyncio.run(run())


def test_a_lease_lasts_as_long_as_its_worker(database: str) -> None:
    worker = SharedState(database, lease=3)

    async def run() -> None:
        async with opened(worker):
            await worker.enter(client(), "a", USD(0))
            with Redis.from_url(database) as redis:

                def runs_out() -> Any:
                    return redis.zscore("hs-notebook:{ann}:leases", "a")

                began = runs_out()

                async def renewed() -> bool:
                    return runs_out() >= began + 900

                await until(renewed)

    asyncio.run(run())


@pytest.mark.usefixtures("redis_server")
def test_a_redis_that_is_away_lets_nobody_in_until_it_is_back() -> None:
    ann = client(budget="1")
    with RedisServer() as own:
        state = SharedState(own.database(), lease=1.0, patience=1.0)

        async def run() -> None:
            async with opened(state):
                await state.enter(ann, "a", USD("0.1"))
                own.freeze()
                began = time.monotonic()
                refused = await refusal(state.enter(ann, "b", USD("0.2")))
                assert (refused.status, refused.shape["code"]) == (503, "state_unreachable")
                assert time.monotonic() - began < 10
                await state.leave(ann, "a", USD("0.1"))  # nobody's answer breaks off for it
                own.thaw()

                async def settled() -> bool:
                    with contextlib.suppress(Refused):
                        return not state._owed and await state.left(ann) == USD("0.9")
                    return False

                await until(settled)  # what `b` began in the dark holds nothing either
                own.stop()
                assert (await refusal(state.enter(ann, "c", USD(0)))).status == 503

                assert (await refusal(state.enter(ann, "d", USD(0)))).status == 503  # at once
                assert set(state._owed) <= {"c"}
                own.start()
                leases = iter(range(10**6))

                async def back() -> bool:
                    with contextlib.suppress(Refused):
                        await state.enter(ann, f"back{next(leases)}", USD(0))
                        return True
                    return False

                await until(back)

        asyncio.run(run())


@pytest.mark.parametrize(("policy", "warned"), [("allkeys-lru", True), ("noeviction", False)])
def test_a_redis_that_may_forget_what_was_spent_is_warned_of(
    database: str, caplog: pytest.LogCaptureFixture, policy: str, warned: bool
) -> None:
    with Redis.from_url(database) as redis:
        redis.config_set("maxmemory", 2**30)
        redis.config_set("maxmemory-policy", policy)

        async def run() -> None:
            async with opened(SharedState(database)):
                pass

        try:
            asyncio.run(run())
        finally:
            redis.config_set("maxmemory", 0)
            redis.config_set("maxmemory-policy", "noeviction")
    assert ("noeviction" in caplog.text) == warned


def test_who_leaves_while_coming_in_holds_nothing(database: str) -> None:
    ann = client(concurrent=1, budget="1")
    state = SharedState(database, lease=1.0)

    async def run() -> None:
        async with opened(state):
            for n in range(20):
                entering = asyncio.create_task(state.enter(ann, f"{n}", USD(1)))
                for _ in range(n):
                    await asyncio.sleep(0)
                entering.cancel()
                with contextlib.suppress(asyncio.CancelledError, Refused):
                    await entering
                    await state.leave(ann, f"{n}", USD(0))

            async def free() -> bool:
                return not state._owed and await state.left(ann) == 1

            await until(free)

    asyncio.run(run())


def test_the_script_knows_the_calendar(database: str) -> None:
    """Its month is Python's, on the first and the last day of each month and in leap years."""
    body = ACCOUNT.split("local function charge")[0] + "return month(tonumber(ARGV[1]))"
    days = [datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)]
    for n in range(12 * 30):
        first = datetime(2026 + n // 12, n % 12 + 1, 1, tzinfo=UTC)
        days += [first, first - timedelta(milliseconds=1)]
    with Redis.from_url(database) as redis:
        month = redis.register_script(body)
        for day in days:
            found: Any = month(list("abcde"), [round(day.timestamp() * 1000)])
            assert found.decode() == f"{day:%Y-%m}"


@pytest.mark.parametrize(
    "url",
    [
        "http://h/0",
        "redis://:s3cret@h:port/0",
        "redis://:s3cret@h/name",
        "unix://",
        "redis://h/0?s3cret=1",
        "x",
    ],
)
def test_a_url_of_no_use_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SharedState(url)
    assert "\n" not in str(raised.value)
    assert "redis://HOST" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_redis_on_this_machine_may_have_a_socket(redis_server: RedisServer) -> None:
    state = SharedState(f"unix://{redis_server.socket}?db={redis_server.database().rpartition('/')[2]}")

    async def steps() -> None:
        await state.enter(client(budget="1"), "a", USD("0.25"))
        assert await state.left(client(budget="1")) == USD("0.75")

    behave(state, steps)


@pytest.mark.parametrize(
    "url", ["rediss://h:6380/1", "redis://u:p%40ss@[::1]:6379", "redis://h/0?protocol=3"]
)
def test_a_url_of_use_is_taken_and_nobody_is_called_yet(url: str) -> None:
    SharedState(url)


def test_its_password_is_in_no_repr(tmp_path: Path) -> None:
    url = "redis://:s3cret@127.0.0.1:1/0"
    settings = RelaySettings(upstream="http://127.0.0.1:1/v1", key="", keys=tmp_path / "keys", state=url)
    assert "s3cret" not in repr(settings) + repr(SharedState(url))


def test_two_relays_on_one_redis_share_a_key_s_limits(database: str, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys")
    hasty = {"authorization": f"Bearer {keys.add('hasty', per_minute=3)}"}
    broad = {"authorization": f"Bearer {keys.add('broad', concurrent=1)}"}
    with EmbeddedRelay(Simulation(speed=math.inf)) as upstream, contextlib.ExitStack() as stack:
        settings = RelaySettings(
            upstream=upstream.base_url, key="upstream-key", keys=keys.path, state=database
        )
        relays = [
            stack.enter_context(
                RelayServer(settings, ledger=Ledger(tmp_path / f"{n}.db"), prices=load_book())
            )
            for n in range(2)
        ]
        http = stack.enter_context(httpx.Client(timeout=30))

        def ask(relay: int, who: dict[str, str], prompt: str = "[simulate tokens=1]") -> httpx.Request:
            body = {"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": prompt}]}
            url = f"{relays[relay].base_url}/chat/completions"
            return http.build_request("POST", url, json=body, headers=who)

        found = [http.send(ask(n % 2, hasty)) for n in range(5)]
        assert [reply.status_code for reply in found] == [200, 200, 200, 429, 429]
        assert all(int(reply.headers["retry-after"]) > 30 for reply in found[3:])

        running = http.send(ask(0, broad, "[simulate tokens=9 fault=stall]"), stream=True)
        assert running.status_code == 200
        refused = http.send(ask(1, broad))
        assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
        running.close()
        deadline = time.monotonic() + 20
        while http.send(ask(1, broad)).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
