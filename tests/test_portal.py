"""The loop on its own thread: one for all, interruptible, and its own after a fork."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hs_notebook.portal import Portal, in_thread, portal, wait

if TYPE_CHECKING:
    from concurrent.futures import Future


async def where() -> tuple[int, asyncio.AbstractEventLoop]:
    return threading.get_ident(), asyncio.get_running_loop()


async def fail() -> None:
    raise ValueError("as it must")


def test_work_runs_on_the_loop_s_own_thread() -> None:
    thread, loop = portal().run(where())
    assert thread != threading.get_ident()
    assert loop is portal().loop
    assert portal().run(where()) == (thread, loop)


def test_threads_that_begin_together_share_it() -> None:
    script = """
import sys, threading
from hs_notebook.portal import portal
sys.setswitchinterval(1e-6)
barrier, found = threading.Barrier(8), []
def find():
    barrier.wait()
    found.append(portal())
threads = [threading.Thread(target=find) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set(map(id, found))), sum(thread.name == "hs_notebook" for thread in threading.enumerate()))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "1 1\n"


def test_errors_come_out() -> None:
    with pytest.raises(ValueError, match="as it must"):
        portal().run(fail())
    with pytest.raises(TimeoutError):  # one of the work's own, which is not the portal's
        wait(portal().start(asyncio.wait_for(asyncio.sleep(5), 0.01)))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_would_end_the_loop_ends_only_the_work_that_raised_it(kind: type[BaseException]) -> None:
    async def end() -> None:
        raise kind

    home = Portal()
    waiting = home.start(asyncio.sleep(0.2, "done"))
    with pytest.raises(kind):
        home.start(end()).result(10)
    home.loop.call_soon_threadsafe(_raise, kind)
    assert waiting.result(10) == "done"
    assert home.start(where()).result(10)[1] is home.loop


def _raise(kind: type[BaseException]) -> None:
    raise kind


def test_work_in_threads_may_wait_for_the_loop_however_much_of_it_there_is() -> None:
    home = Portal()

    def ask() -> int:
        return home.start(where()).result(10)[0]

    async def many() -> list[int]:
        return await asyncio.gather(*[in_thread(ask) for _ in range(100)])

    thread, _ = home.start(where()).result(10)
    assert home.start(many()).result(20) == [thread] * 100


def test_work_in_a_thread_raises_where_it_is_awaited_and_may_be_left() -> None:
    ended, entered = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        ended.wait(20)

    with pytest.raises(ZeroDivisionError):
        portal().run(in_thread(lambda: 1 // 0))
    future = portal().start(in_thread(work))
    assert entered.wait(10)
    future.cancel()
    assert portal().run(in_thread(lambda: 5)) == 5
    ended.set()


def test_many_threads_at_a_time() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0.01)
        return 2 * number

    results: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda number=number: results.update({number: portal().run(double(number))}))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: 2 * number for number in range(20)}


def test_an_interrupt_cancels_the_work_and_waits_for_its_clean_up() -> None:
    steps: list[str] = []
    started = threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)
            steps.append("cleaned up")

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        portal().run(work())
    assert steps == ["cleaned up"]
    assert time.monotonic() - began < 1


def test_a_name_that_is_not_resolved_does_not_hold_up_the_end() -> None:
    script = """
import socket, threading, time
from hs_notebook import HolySheep
from hs_notebook.errors import APITimeoutError
from hs_notebook.net.transport import Timeouts
from hs_notebook.wire.retry import RetryPolicy
asked = threading.Event()
def stalls(*where, **wanted):
    asked.set()
    time.sleep(30)
socket.getaddrinfo = stalls
client = HolySheep(
    "cr_test_0123456789", base_url="https://relay.invalid/v1",
    timeouts=Timeouts(connect=0.2), retry=RetryPolicy(attempts=1),
)
try:
    client.ask("hi", model="m")
except APITimeoutError as error:
    print(asked.is_set(), error)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=15
    )
    assert result.stdout.startswith("True ")


def test_clean_up_that_hangs_is_not_waited_for() -> None:
    home, hanging = Portal(), asyncio.Event()
    began = time.monotonic()
    home.finish(_never(hanging))
    assert 0.9 < time.monotonic() - began < 3
    home.loop.call_soon_threadsafe(hanging.set)


def test_clean_up_on_the_loop_itself_does_not_wait() -> None:
    home, hanging = Portal(), asyncio.Event()

    async def inside() -> float:
        began = time.monotonic()
        home.finish(_never(hanging))
        return time.monotonic() - began

    assert home.run(inside()) < 0.5
    home.loop.call_soon_threadsafe(hanging.set)


async def _never(event: asyncio.Event) -> None:
    await event.wait()


def test_cancelling_the_future_cancels_the_task() -> None:
    cancelled = threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    started = threading.Event()
    future: Future[None] = portal().start(work())
    assert started.wait(5)
    assert future.cancel()
    assert cancelled.wait(1)


def test_a_forked_child_has_its_own() -> None:
    script = """
import os
from hs_notebook.portal import portal
async def who(): return os.getpid()
before = portal()
assert before.run(who()) == os.getpid()
child = os.fork()
if child == 0:
    os._exit(0 if portal() is not before and portal().run(who()) == os.getpid() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert portal() is before and before.run(who()) == os.getpid()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
