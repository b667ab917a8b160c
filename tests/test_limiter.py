"""The limiter, exact to the request, and the gate that waits for it on a real loop."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.net.gate import Gate
from hs_notebook.wire.limiter import RateLimiter


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_window_slides() -> None:
    clock = Clock()
    limiter = RateLimiter(2, 10, clock=clock)
    assert [limiter.admit(), limiter.admit(), limiter.admit()] == [0, 0, 60]
    clock.now = 45
    assert limiter.admit() == 15
    clock.now = 60
    assert [limiter.admit(), limiter.admit()] == [0, 0]
    assert limiter.admit() == 60


def test_waiting_as_told_is_enough_and_no_less() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 10, clock=clock)
    limiter.admit()
    clock.now = 1.3
    wait = limiter.admit()
    clock.now += wait - 1e-6
    assert limiter.admit() > 0
    clock.now += 2e-6
    assert limiter.admit() == 0


def test_concurrent() -> None:
    limiter = RateLimiter(100, 2)
    assert [limiter.admit(), limiter.admit()] == [0, 0]
    assert limiter.admit() == math.inf
    limiter.release()
    assert limiter.admit() == 0
    assert limiter.admit() == math.inf


def test_a_refused_request_counts_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(2, 1, clock=clock)
    limiter.admit()
    for _ in range(5):
        assert limiter.admit() == math.inf
    limiter.release()
    assert limiter.admit() == 0
    limiter.release()
    assert limiter.admit() == 60


def test_a_retry_counts_as_a_request_and_takes_no_place() -> None:
    limiter = RateLimiter(3, 1, clock=Clock())
    assert [limiter.admit(), limiter.count(), limiter.count(), limiter.count()] == [0, 0, 0, 60]
    assert limiter.active == 1


def test_renewed_counts_the_same_requests_and_none_under_way() -> None:
    limiter = RateLimiter(3, 1, clock=Clock())
    limiter.admit()
    other = limiter.renewed()
    assert other.admit() == 0
    other.release()
    limiter.release()
    assert limiter.admit() == 0
    assert other.admit() == 60
    assert (limiter.active, other.active) == (1, 0)


@pytest.mark.parametrize(("per_minute", "concurrent"), [(0, 5), (60, 0), (-1, 5)])
def test_limits_below_one(per_minute: int, concurrent: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimiter(per_minute, concurrent)


STEPS = st.lists(
    st.tuples(st.sampled_from(["admit", "count", "release"]), st.floats(0, 40, allow_subnormal=False)),
    max_size=80,
)


@given(steps=STEPS, per_minute=st.integers(1, 5), concurrent=st.integers(1, 4))
def test_never_more_than_allowed(steps: list[tuple[str, float]], per_minute: int, concurrent: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, concurrent, clock=clock)
    sent: list[float] = []
    active = 0
    for step, pause in steps:
        clock.now += pause
        if step == "release":
            if active:
                limiter.release()
                active -= 1
        elif getattr(limiter, step)() == 0:
            sent.append(clock.now)
            active += step == "admit"
        recent = [moment for moment in sent if clock.now - moment < 60]
        assert len(recent) <= per_minute
        assert active <= concurrent
        if step == "admit" and len(recent) < per_minute and active < concurrent:
            # Nor less: where there is room, one more is let in.
            assert limiter.admit() == 0
            sent.append(clock.now)
            active += 1


# --- the gate ------------------------------------------------------------------------------------


def ignore(_wait: float) -> None:
    pass


def test_gate_lets_in_whoever_comes_first() -> None:
    async def main() -> list[int]:
        gate = Gate(RateLimiter(1000, 2))
        order: list[int] = []
        inside = most = 0

        async def visit(number: int) -> None:
            nonlocal inside, most
            await gate.enter(ignore)
            inside, most = inside + 1, max(most, inside + 1)
            order.append(number)
            await asyncio.sleep(0.001)
            inside -= 1
            gate.leave()

        await asyncio.gather(*(visit(number) for number in range(20)))
        assert most == 2
        return order

    assert asyncio.run(main()) == list(range(20))


def test_gate_waits_for_the_window() -> None:
    async def main() -> None:
        gate, heard = Gate(RateLimiter(2, 9, window=0.2)), []
        started = time.monotonic()
        for _ in range(5):
            await gate.enter(heard.append)
        assert 0.4 <= time.monotonic() - started < 2
        assert heard[-1] == 0.0, "the end of a wait is told"
        assert all(0 < wait <= 0.2 for wait in heard if wait)


def test_who_waits_in_the_line_hears_of_it_too() -> None:
    async def main() -> None:
        gate, heard = Gate(RateLimiter(1000, 1)), [[], []]
        await gate.enter(ignore)
        waiting = [asyncio.create_task(gate.enter(notices.append)) for notices in heard]
        await asyncio.sleep(0.01)
        assert heard == [[math.inf], [math.inf]]
        for number in range(2):
            gate.leave()
            await waiting[number]
            assert heard[number][-1] == 0.0

    asyncio.run(main())


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_cancelled_in_the_queue(cancelled: int) -> None:
    async def main() -> None:
        limiter = RateLimiter(1000, 1)
        gate = Gate(limiter)
        await gate.enter(ignore)
        waiting = [asyncio.create_task(gate.enter(ignore)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[cancelled].cancel()
        await asyncio.sleep(0.01)
        assert limiter.active == 1
        for _ in range(2):
            gate.leave()
            await asyncio.sleep(0.01)
            assert limiter.active == 1
        assert [task.cancelled() for task in waiting] == [number == cancelled for number in range(3)]
        gate.leave()
        assert limiter.active == 0

    asyncio.run(main())


def test_a_retry_does_not_queue_behind_those_who_wait_for_its_place() -> None:
    async def main() -> None:
        gate = Gate(RateLimiter(1000, 1))
        await gate.enter(ignore)
        waiting = asyncio.create_task(gate.enter(ignore))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            await gate.count(ignore)
        gate.leave()
        await waiting

    asyncio.run(main())


def test_a_retry_waits_for_the_window() -> None:
    async def main() -> None:
        gate, heard = Gate(RateLimiter(1, 9, window=0.1)), []
        await gate.enter(ignore)
        await gate.count(heard.append)
        assert heard

    asyncio.run(main())
