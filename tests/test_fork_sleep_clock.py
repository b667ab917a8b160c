"""A process that forks, one that is stopped and goes on, and one whose clock jumps, each in mid-answer."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
from loopback import END, HELLO, SSE, Connection, Loopback, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGSTOP")
TABLE = "fork, sleep, clock"
PATIENCE = 30.0  # seconds for what takes a fraction of one


# --- fork ----------------------------------------------------------------------------------------

FORKS = '''
import asyncio, gc, json, multiprocessing, os, sqlite3, subprocess, sys, threading, time
from pathlib import Path
from hs_notebook import AsyncHolySheep, HolySheep, HolySheepError
from hs_notebook import portal as portals
from hs_notebook.background import Background
from hs_notebook.ledger import Ledger, Opening
from hs_notebook.replay import Replay

base_url, folder = sys.argv[1], Path(sys.argv[2])
ledger = Ledger(folder / "ledger.db")
usual = {"base_url": base_url, "ledger": ledger, "requests_per_minute": 6000}
HELD = [{"role": "user", "content": "held"}]
forked = []  # how many seconds each took

def ask(client):
    return str(client.ask("child", model="m")) == "Hello"

async def ask_async():
    async with AsyncHolySheep("cr_test_0123456789", **usual) as client:
        return str(await client.ask("child", model="m")) == "Hello"

def told(work):
    """Whether it ends in an error of ours, in one line."""
    try:
        work()
    except HolySheepError as error:
        return len(str(error).splitlines()) == 1
    return False

def work_in_child(work):
    try:
        return 0 if work() else 1
    except BaseException as error:
        print(f"in the child: {error!r}", file=sys.stderr)
        return 2

def fork(work, leave=os._exit):
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        leave(work_in_child(work))
    forked.append(time.monotonic() - began)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    return "hung"

def multiprocess(work):
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(work_in_child(work)))
    process.start()
    process.join(20)
    return process.exitcode

def in_a_thread(work):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(fork(work)))
    thread.start()
    thread.join()
    return codes[0]

def mid_stream(way, work):
    """Fork in mid-answer, and tell how the child ended and what the parent read."""
    with HolySheep("cr_test_0123456789", **usual) as client:
        stream = client.chat.completions.create(model="m", messages=HELD, stream=True)
        chunks = iter(stream)
        text = [next(chunks).choices[0].delta.content]
        code = way(lambda: work(client, stream, chunks))
        client.ask("go", model="m")
        text += [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    return code, "".join(text)

async def mid_stream_async(way, work):
    async with AsyncHolySheep("cr_test_0123456789", **usual) as client:
        stream = await client.chat.completions.create(model="m", messages=HELD, stream=True)
        chunks = aiter(stream)
        text = [(await anext(chunks)).choices[0].delta.content]
        following = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0.05)  # now it waits for the socket
        code = way(lambda: work(stream, chunks))
        await client.ask("go", model="m")
        text.append((await following).choices[0].delta.content)
        text += [choice.delta.content or "" async for chunk in chunks for choice in chunk.choices]
    return code, "".join(text)

def dropped(client, stream, chunks):
    stream.close()
    del stream, chunks
    gc.collect()
    return ask(client)

def closed(client, stream, chunks):
    client.close()
    return ask(client)

def reading_on(stream, chunks):
    async def read():
        async for _ in chunks:
            pass
    try:
        asyncio.run(asyncio.wait_for(read(), 10))
    except TimeoutError:
        return False
    except Exception:
        return True
    return False

def closing(stream, chunks):
    asyncio.run(stream.close())
    return asyncio.run(ask_async())

def in_background():
    with HolySheep("cr_test_0123456789", **usual) as client:
        answer = Background("m", lambda: client.ask("held", model="m"), lambda: None, lambda: "")
        time.sleep(0.1)
        code = fork(lambda: told(answer.wait) and told(answer.stop) and ask(client))
        client.ask("go", model="m")
        return code, str(answer.wait())

def with_replay():
    replay = Replay(folder / "answers.jsonl", mode="record")
    with HolySheep("cr_test_0123456789", replay=replay, **usual) as client:
        answer = Background("m", lambda: client.ask("held", model="m"), lambda: None, lambda: "")
        time.sleep(0.1)
        code = fork(lambda: ask(client) and ask(client))
        client.ask("go", model="m")
        return code, str(answer.wait())

def beginning():
    """Another thread is making the portal at this moment."""
    def hold():
        with portals._ONE_AT_A_TIME:
            held.set()
            time.sleep(0.2)
    held = threading.Event()
    threading.Thread(target=hold).start()
    held.wait()
    return mid_stream(fork, lambda client, *_: ask(client))

def with_the_ledger(held, work):
    """Fork while another thread is busy with it."""
    with HolySheep("cr_test_0123456789", **usual) as client:
        client.ask("parent", model="m")
        known = len(list(ledger.rows()))
        thread = threading.Thread(target=held)
        thread.start()
        busy.acquire()
        code = fork(lambda: work(client))
        text = str(client.ask("parent", model="m"))
        thread.join()
    rows = list(ledger.rows())
    with sqlite3.connect(ledger.path) as connection:
        (sound,), = connection.execute("PRAGMA integrity_check")
    if sound != "ok" or len(rows) != known + 3 or any(row["seller"] != "held" for row in rows[:known]):
        code = f"{sound}, {len(rows) - known} rows, {[row['seller'] for row in rows]}"
    return code, text

def midst():
    """It holds the file in the midst of a change, which must neither be seen nor undone by the child."""
    def hold():
        with ledger._file.writing() as connection:
            connection.execute("UPDATE calls SET seller = 'held'")
            ledger._insert(connection, Opening(model="m"))
            connection.execute("UPDATE calls SET state = 'error' WHERE state = 'pending'")
            busy.release()
            time.sleep(2)
    def work(client):
        began = time.monotonic()
        waited = sum(row["seller"] == "held" for row in ledger.rows()) > 0
        return waited and time.monotonic() - began > 1 and ask(client) and not ledger.warning()
    return with_the_ledger(hold, work)

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
connection.execute("UPDATE calls SET seller = 'held'")
print("held", flush=True)
time.sleep(2)
connection.execute("COMMIT")
"""

def waiting():
    """It waits for another process."""
    def wait():
        other = subprocess.Popen([sys.executable, "-c", HOLDER, ledger.path], stdout=subprocess.PIPE)
        other.stdout.readline()
        threading.Timer(0.3, busy.release).start()
        ledger.fail(ledger.begin(Opening(model="m")), "Held")
        other.wait()
    return with_the_ledger(wait, lambda client: ask(client) and not ledger.warning())

busy = threading.Semaphore(0)
CASES = {
    "os.fork, left by os._exit": lambda: mid_stream(fork, lambda client, *_: ask(client)),
    "os.fork, left by the interpreter's own end":
        lambda: mid_stream(lambda work: fork(work, sys.exit), lambda client, *_: ask(client)),
    "multiprocessing": lambda: mid_stream(multiprocess, lambda client, *_: ask(client)),
    "os.fork in another thread": lambda: mid_stream(in_a_thread, lambda client, *_: ask(client)),
    "while another thread makes the portal": beginning,
    "the child reads on in the parent's answer":
        lambda: mid_stream(fork, lambda client, stream, chunks: told(lambda: next(chunks)) and ask(client)),
    "the child closes and drops the parent's answer": lambda: mid_stream(fork, dropped),
    "the child closes the client": lambda: mid_stream(fork, closed),
    "the child waits for the parent's --bg": in_background,
    "with a file of answers": with_replay,
    "while another thread is in the midst of the ledger for 2 s": midst,
    "while another thread waits for the ledger for 2 s": waiting,
    "asyncio, os.fork":
        lambda: asyncio.run(mid_stream_async(fork, lambda *_: asyncio.run(ask_async()))),
    "asyncio, multiprocessing":
        lambda: asyncio.run(mid_stream_async(multiprocess, lambda *_: asyncio.run(ask_async()))),
    "asyncio, the child reads on": lambda: asyncio.run(mid_stream_async(fork, reading_on)),
    "asyncio, the child closes the parent's answer": lambda: asyncio.run(mid_stream_async(fork, closing)),
}
me = os.getpid()
for name, case in CASES.items():
    began = time.monotonic()
    code, text = case()
    if os.getpid() != me:
        break
    pending = ledger.spent().pending
    print(json.dumps([name, code, text, pending, time.monotonic() - began]), flush=True)
if os.getpid() == me:
    print(json.dumps(max(forked)))
'''


def script(text: str, *arguments: object, **environment: str) -> str:
    """What a script prints; it must end well and leave no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)], env=os.environ | environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "in the child" not in done.stderr, done.stderr
    return done.stdout


def half_closed(opened: socket.socket) -> bool:
    readable, _, _ = select.select([opened], [], [], 0)
    return bool(readable) and not opened.recv(1, socket.MSG_PEEK)


def hold_until_told(told: threading.Event, connection: Connection, server: Loopback) -> None:
    """Answer "held" only when somebody else has said "go"."""
    while request := server.ask(connection):
        said = request.json["messages"][-1]["content"]
        connection.send(SSE)
        connection.events(HELLO[0])
        if said == "held":
            assert told.wait(PATIENCE)
            told.clear()
            if half_closed(connection.socket):
                return  # as a relay stops whose client has gone
        connection.events(*HELLO[1:])
        connection.send(END)
        if said == "go":
            told.set()


def test_a_forked_child_leaves_the_parent_s_answer_alone(
    publish: Callable[..., None], tmp_path: Path
) -> None:
    with Loopback(partial(hold_until_told, threading.Event())) as server:
        told = [json.loads(line) for line in script(FORKS, server.base_url, tmp_path).splitlines()]
    *rows, longest = told
    assert len(rows) == 16
    for name, code, text, pending, took in rows:
        assert (name, code, text, pending) == (name, 0, "Hello", 0)
        publish(TABLE, what=f"fork: {name}", outcome="both have their answer", took=f"{took:.2f} s")
    assert longest < 1, "a fork waits for the ledger"
    said = {}
    for request in server.requests:
        said.setdefault(request.connection, set()).add(request.json["messages"][-1]["content"])
    shared = [words for words in said.values() if "child" in words and words != {"child"}]
    assert shared == [], "a child asked over a connection of its parent's"


# --- sleep ---------------------------------------------------------------------------------------

SLEEPER = """
import json, sys
from pathlib import Path
from hs_notebook import HolySheep, HolySheepError
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
base_url, folder, idle, total, stream = sys.argv[1:]
times = Timeouts(idle=float(idle), total=float(total))
ledger = Ledger(Path(folder) / "ledger.db")
text, ended = "", "complete"
with HolySheep("cr_test_0123456789", base_url=base_url, ledger=ledger, timeouts=times) as client:
    messages = [{"role": "user", "content": "hello"}]
    try:
        if stream == "whole":
            text = client.ask("hello", model="m", stream=False).text
        else:
            for chunk in client.chat.completions.create(model="m", messages=messages, stream=True):
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                print("got", flush=True)
    except HolySheepError as error:
        ended = f"{type(error).__name__}: {error}"
print(json.dumps([text, ended, [row["state"] for row in ledger.rows()]]))
"""
REST = b"".join(b"data: %b\n\n" % data.encode() for data in HELLO[1:])
WHOLE = json.dumps({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}).encode()


@dataclass(frozen=True, kw_only=True)
class Sleep:
    """A process is stopped when the server has said `before`, and goes on after `asleep` seconds."""

    before: bytes
    meanwhile: bytes  # is said while it sleeps
    idle: float = 1.5
    total: float = 60.0
    asleep: float = 2.5
    ended: str = "complete"
    text: str = "Hello"
    stream: str = "stream"
    requests: int = 1


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


FIRST = SSE + chunked(f"data: {HELLO[0]}\n\n".encode())
HELLO_REPLY = FIRST + chunked(REST) + END
AGAIN = page("503 Service Unavailable", b"{}", "application/json", "retry-after: 1")
SLEEPS = {
    "before the first token, the answer came": Sleep(before=b"", meanwhile=HELLO_REPLY),
    "after the headers, the answer came": Sleep(before=SSE, meanwhile=HELLO_REPLY.removeprefix(SSE)),
    "in mid-stream, the rest came": Sleep(before=FIRST, meanwhile=chunked(REST) + END),
    "in mid-stream, past the total time, the rest came": Sleep(
        before=FIRST, meanwhile=chunked(REST) + END, idle=60.0, total=1.5
    ),
    "in mid-stream, nothing came": Sleep(
        before=FIRST, meanwhile=b"", ended="StreamTruncatedError", text="Hel"
    ),
    "in mid-stream, only a keep-alive came": Sleep(
        before=FIRST, meanwhile=chunked(b": ping\n\n"), ended="StreamTruncatedError", text="Hel"
    ),
    "an answer in one piece, past its time, the rest came": Sleep(
        before=page("200 OK", WHOLE)[:-9], meanwhile=WHOLE[-9:], total=1.5, stream="whole"
    ),
    "in the wait before another attempt": Sleep(before=AGAIN, meanwhile=b"", requests=2),
}


def sleep_and_wake(case: Sleep, folder: Path) -> float:
    """Try one; return the seconds from waking to the end."""
    begun, asleep, over = threading.Event(), threading.Event(), threading.Event()

    def serve(connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            if len(server.requests) > 1:
                connection.send(HELLO_REPLY)
                continue
            connection.send(case.before)
            begun.set()
            assert asleep.wait(PATIENCE)
            connection.send(case.meanwhile)
        over.set()

    folder.mkdir()
    with Loopback(serve) as server:
        settings = [server.base_url, folder, case.idle, case.total, case.stream]
        process = subprocess.Popen(
            [sys.executable, "-c", SLEEPER, *map(str, settings)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            assert begun.wait(PATIENCE)
            if case.before == FIRST:
                assert process.stdout.readline() == "got\n"
            elif case.before:
                time.sleep(0.2)  # until it has read what was said
            process.send_signal(signal.SIGSTOP)
            asleep.set()
            time.sleep(case.asleep)
            process.send_signal(signal.SIGCONT)
            woken = time.monotonic()
            *_, last = process.communicate(timeout=PATIENCE)[0].splitlines()
        finally:
            process.kill()
            process.wait()
        took = time.monotonic() - woken
        assert len(server.requests) == case.requests
    text, ended, states = json.loads(last)
    assert (text, ended.partition(":")[0]) == (case.text, case.ended), ended
    assert states == ["complete" if case.ended == "complete" else "truncated"]
    return took


def test_what_came_while_the_process_slept_is_read(publish: Callable[..., None], tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as several:
        trying = {
            name: several.submit(sleep_and_wake, case, tmp_path / str(number))
            for number, (name, case) in enumerate(SLEEPS.items())
        }
    for name, tried in trying.items():
        took = tried.result()
        assert took < 20, name
        outcome = "truncated, one request" if "Truncated" in SLEEPS[name].ended else "complete"
        again = ", the second attempt" if SLEEPS[name].requests > 1 else ""
        publish(TABLE, what=f"sleep: {name}", outcome=outcome + again, took=f"{took:.2f} s after waking")


# --- clock ---------------------------------------------------------------------------------------

SHIFTED = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The seconds that a file says, added to the clock on the wall and to no other. */
static long shift(void) {
    char text[32] = {0};
    int file = open(getenv("CLOCK_SHIFT"), O_RDONLY);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *kept) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (kept) *kept = exact.tv_sec;
    return exact.tv_sec;
}
"""
CLOCKS = '''
import json, os, sys, threading, time
from datetime import datetime, timedelta
from pathlib import Path
from hs_notebook import HolySheep
from hs_notebook.background import Background
from hs_notebook.ledger import Ledger
from hs_notebook.wire.limiter import RateLimiter

base_url, folder = sys.argv[1], Path(sys.argv[2])
shifted = Path(os.environ["CLOCK_SHIFT"])
ledger = Ledger(folder / "ledger.db")
usual = {"base_url": base_url, "ledger": ledger, "requests_per_minute": 6000}

def jump(seconds):
    before = time.time(), time.monotonic()
    shifted.write_text(str(seconds))
    return time.time() - before[0] - (time.monotonic() - before[1])

def sane(answer, least=0.0):
    receipt = answer.receipt
    assert (answer.text, answer.state) == ("Hello", "complete")
    assert receipt.costs.output is not None and receipt.costs.output >= 0
    assert least <= receipt.duration < 20 and 0 <= receipt.ttft < 20, receipt
    return answer

def mid_stream(client, day):
    answer = Background("m", lambda: client.ask("held", model="gpt-4.1"), lambda: None, lambda: "")
    began = time.monotonic()
    while not ledger.spent().pending:
        assert time.monotonic() - began < 10
        time.sleep(0.01)
    time.sleep(0.2)
    jumped = jump(day)
    assert abs(jumped - day) < 5, jumped
    assert ledger.unsettled() == (), "a call that is under way is taken for lost"
    client.ask("go", model="gpt-4.1")
    sane(answer.wait(20), 0.05)

def retry_in(client, day):
    """The wait has begun when the clock jumps."""
    threading.Timer(0.5, jump, [day]).start()
    began = time.monotonic()
    sane(client.ask("busy", model="gpt-4.1"))
    assert 0.9 < time.monotonic() - began < 8

def retry_at(client, day):
    """The clock is wrong already when a date is named."""
    jump(day)
    began = time.monotonic()
    sane(client.ask("date", model="gpt-4.1"))
    assert 0.9 < time.monotonic() - began < 8

def between(client, day):
    sane(client.ask("one", model="gpt-4.1"))
    limiter = RateLimiter(1)
    assert limiter.admit() == 0.0
    jump(day)
    limiter.release()
    assert 50 < limiter.wait() <= 60
    sane(client.ask("two", model="gpt-4.1"))

def books(client, day):
    """What the ledger tells afterwards."""
    jump(day)
    rows = list(ledger.rows())
    assert [row["state"] for row in rows] == ["complete"] * len(rows)
    assert all(0 <= row["duration"] < 20 and 0 <= row["time_to_first_token"] < 20 for row in rows)
    assert ledger.spent(since=timedelta(days=3)).calls == ledger.spent().calls == len(rows) > 0
    assert all(day.cost > 0 for day in ledger.spending("day").rows)
    assert ledger.unsettled() == ()

CASES = {
    "in mid-stream": mid_stream, "in the wait before another attempt": retry_in,
    "before a date to try again at": retry_at, "between calls": between, "as the ledger is read": books,
}
with HolySheep("cr_test_0123456789", **usual) as client:
    for day, words in ((86_400, "a day forward"), (-86_400, "a day back")):
        for name, case in CASES.items():
            jump(0)
            began = time.monotonic()
            case(client, day)
            print(json.dumps([f"{words} {name}", time.monotonic() - began]), flush=True)
'''


def hello_or_not_yet(
    told: threading.Event, asked: set[int], connection: Connection, server: Loopback
) -> None:
    """The same for a client that is told to come again, in a second or at a date."""
    hello = [data.replace('"m"', '"gpt-4.1"') for data in HELLO]  # has a price
    while request := server.ask(connection):
        said = request.json["messages"][-1]["content"]
        if said in {"busy", "date"} and len(asked) % 2 == 0:
            asked.add(len(asked))
            now = datetime.now(UTC).replace(microsecond=0)
            later = format_datetime(now + timedelta(seconds=1), usegmt=True) if said == "date" else "1"
            lines = [f"date: {format_datetime(now, usegmt=True)}", f"retry-after: {later}"]
            connection.send(page("503 Service Unavailable", b"{}", "application/json", *lines))
            continue
        if said in {"busy", "date"}:
            asked.add(len(asked))
        connection.send(SSE)
        connection.events(hello[0])
        if said == "held":
            assert told.wait(PATIENCE)
            told.clear()
        connection.events(*hello[1:])
        connection.send(END)
        if said == "go":
            told.set()


def test_a_clock_that_jumps_changes_nothing(publish: Callable[..., None], tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to make a clock with that can be set")
    source, library, shifted = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "shift"
    source.write_text(SHIFTED)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    shifted.write_text("0")
    with Loopback(partial(hello_or_not_yet, threading.Event(), set())) as server:
        told = script(CLOCKS, server.base_url, tmp_path, LD_PRELOAD=str(library), CLOCK_SHIFT=str(shifted))
    rows = [json.loads(line) for line in told.splitlines()]
    assert len(rows) == 10
    for name, took in rows:
        publish(TABLE, what=f"clock: {name}", outcome="nothing changes", took=f"{took:.2f} s")
