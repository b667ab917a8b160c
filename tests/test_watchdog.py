"""The time-outs of a stream: what they do beside Stop, and how long they wait."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from hs_notebook.watchdog import Watchdog


async def waits(idle: float, stop_after: float = math.inf, *, held_up: float = 0.0) -> str:
    """Wait under a watchdog; say how that ended."""

    async def work() -> str:
        dog = Watchdog(idle, 60)
        dog.waiting = asyncio.current_task()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            if dog.forgive():
                return dog.expired
            raise
        finally:
            dog.close()
        return "to its end"

    task = asyncio.create_task(work())
    loop = asyncio.get_running_loop()
    if stop_after < math.inf:
        loop.call_later(stop_after, task.cancel)
    if held_up:
        loop.call_later(0.001, time.sleep, held_up)
    try:
        return await task
    except asyncio.CancelledError:
        return "stopped"


def test_it_cancels_what_waits_in_vain() -> None:
    assert asyncio.run(waits(0.05)) == "was silent for 0.05 s"


@pytest.mark.parametrize("after", [0.04, 0.05, 0.0999, 0.1, 0.1001])
def test_a_stop_is_never_taken_for_a_time_out(after: float) -> None:
    """The loop is held up, so that the time-out and the stop are due in one turn of it."""
    assert asyncio.run(waits(0.05, after, held_up=0.2)) == "stopped"


def test_a_stop_just_before_it_barks() -> None:
    async def run() -> str:
        dogs = []

        async def work() -> str:
            dogs.append(dog := Watchdog(60, 60))
            dog.waiting = asyncio.current_task()
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                return "time-out" if dog.forgive() else "stop"
            return "to its end"

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        dogs[0]._bark(over=False)
        return await task

    assert asyncio.run(run()) == "stop"


def test_a_hurry_can_be_taken_back() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        dog = Watchdog(0.3, 60)
        dog.hurry(0.01)
        dog.hurry(math.inf)
        dog.waiting, began = asyncio.current_task(), loop.time()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(5)
        assert dog.forgive()
        return loop.time() - began

    assert asyncio.run(run()) >= 0.3
