"""A long run of all that a client can do, with every fault: `python tests/soak.py SECONDS`.

Three processes: this one holds the simulated upstream and a proxy that cuts connections at random, one holds
a relay server, one a client with a shell. After each round both are asked what they hold.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import math
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cutting import CuttingProxy

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
from hs_notebook.relay.simulation.faults import FAULTS
from hs_notebook.replay import Replay
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hs_notebook.answers import Answer

MODEL = "gpt-4.1"
QUICK, SLOW = "[simulate tokens=40 speed=inf] {}", "[simulate tokens=4000 tps=80 ttft=1] {}"
#: What a measure may be higher at the end of the run than at its beginning, as the fitted line says.
BOUNDS = {"memory, MiB": 8.0, "own memory, MiB": 8.0, "files": 4, "threads": 4, "tasks": 4, "objects": 2000}
LEAST = 14  # rounds: in nine each fault was tried
WARM = 40  # rounds at most, and a third of a short run: caches fill, the session keeps its fifty answers
PARTS = ("client", "relay")  # the processes that are asked what they hold
SHARE = 0.4  # of a core, for client and relay together
PATIENCE = 60.0
MOSTLY = 0.9  # of the calls whose connections are cut end as the others do
#: What a call may come to whose connection was cut too often.
CUT = frozenset({"truncated"})


@dataclass(frozen=True)
class Work:
    """A kind of work: how many calls of it a round makes, how they end, and how some may all the same."""

    calls: int = 1
    ends: str = "complete"
    some: frozenset[str] = frozenset()


WORK = {
    "blocking": Work(some=CUT),
    "blocking, whole": Work(),
    "closed": Work(ends="stopped", some=CUT),
    "async": Work(3, some=CUT),
    "cancelled": Work(ends="stopped", some=CUT),
    "cell": Work(3, some=CUT),
    "background": Work(some=CUT),
    "interrupted": Work(ends="stopped", some=CUT),
    "map": Work(3, some=CUT),
    "recorded": Work(),
}
#: How a fault of the upstream ends for a client of our relay, streamed and whole.
AT_FAULT = {
    "400": ("BadRequestError", "BadRequestError"),
    "401": ("InternalServerError", "InternalServerError"),  # it is the relay's own key that is refused
    "402": ("InsufficientBalanceError", "InsufficientBalanceError"),
    "403": ("InternalServerError", "InternalServerError"),
    "429": ("RateLimitError", "RateLimitError"),
    "500": ("InternalServerError", "InternalServerError"),
    "503": ("InternalServerError", "InternalServerError"),
    "html": ("InternalServerError", "InternalServerError"),
    "html502": ("InternalServerError", "InternalServerError"),
    "redirect": ("InternalServerError", "InternalServerError"),
    "empty": ("EmptyAnswerError", "EmptyAnswerError"),
    "doneonly": ("EmptyAnswerError", "EmptyAnswerError"),
    "cut": ("truncated", "InternalServerError"),
    "stall": ("truncated", "InternalServerError"),
    "nodone": ("complete", "complete"),
    "badjson": ("ProtocolError", "ProtocolError"),
    "errorframe": ("UpstreamError", "UpstreamError"),
    "nousage": ("complete", "complete"),
    "wholejson": ("complete", "complete"),
    "sse_for_nonstream": ("complete", "complete"),
    "responses": ("complete", "complete"),
}
WAYS = tuple(itertools.product(FAULTS, (True, False)))  # with a stream and without
FAULTS_A_ROUND = 5


def held() -> dict[str, float]:
    """What this process holds now."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    kib = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in rollup.splitlines()[1:])
    }
    objects = gc.get_objects()
    return {
        "memory, MiB": kib["Rss"] / 1024,
        "own memory, MiB": (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024,
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "tasks": sum(isinstance(one, asyncio.Task) and not one.done() for one in objects),
        "objects": len(objects),
        "cpu": time.process_time(),
    }


# --- the client's process ------------------------------------------------------------------------


class Client:
    """Does everything once a round; what it asked for must be in its ledger."""

    def __init__(self, folder: Path, url: str, direct: str, key: str) -> None:
        from shell import Shell

        self.folder, self.url, self.key = folder, url, key
        self.ledger = Ledger(folder / "client.db")
        self.client = HolySheep(key, **self.settings)
        # A whole reply that is cut is billed and lost: nothing that could be gone on with.
        self.direct = HolySheep(key, **(self.settings | {"base_url": direct}))
        self.faults = itertools.cycle(WAYS)
        self.asked = 0
        self.unsent = 0  # calls that were cancelled before they were sent: a ledger need not have them
        self.ended: dict[str, int] = {}
        os.environ |= {"HOLYSHEEP_BASE_URL": url, "HOLYSHEEP_API_KEY": key}
        self.shell = Shell()
        self.shell.magics.ledger = os.fspath(folder / "client.db")
        self.shell.magics.attempts = 5
        self.dice = random.Random(1)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "ledger": self.ledger,
            "requests_per_minute": 100_000,
            "retry": RetryPolicy(attempts=5, base=0.01, cap=0.05),
            "timeouts": Timeouts(idle=2.0, total=4.0),
        }

    def round(self, number: int) -> dict[str, Any]:
        self.blocking(number)
        asyncio.run(self.asynchronous(number))
        self.cells()
        self.interrupted()
        self.mapped(number)
        self.replayed(number)
        self.unread(number)
        for fault, stream in itertools.islice(self.faults, FAULTS_A_ROUND):
            self.fault(fault, stream=stream, number=number)
        return {"asked": self.asked, "ended": self.ended, "unsent": self.unsent, **held()}

    def ends(self, what: str, state: str, times: int = 1) -> None:
        name = f"{what}: {state}"
        self.asked += times
        self.ended[name] = self.ended.get(name, 0) + times

    def tried(self, what: str, ask: Callable[[], Answer]) -> Answer | None:
        answer = None
        try:
            answer = ask()
            state: str = answer.state
        except HolySheepError as error:
            state = type(error).__name__
        self.ends(what, state)
        return answer

    def recorded(self) -> str:
        """Return how the latest call ended, where it returns no answer; a thread may still write it down."""
        wait_for(lambda: not states(self.folder / "client.db").get("pending"))
        with sqlite3.connect(self.folder / "client.db") as connection:
            (state,) = connection.execute("SELECT state FROM calls ORDER BY id DESC LIMIT 1").fetchone()
        return str(state)

    def blocking(self, number: int) -> None:
        prompt = QUICK.format(number)
        resumed = self.tried("blocking", lambda: self.client.ask(prompt, model=MODEL))
        whole = self.tried("blocking, whole", lambda: self.direct.ask(prompt, model=MODEL, stream=False))
        if resumed is not None and whole is not None:
            assert whole.text.startswith(resumed.text)
            assert resumed.text == whole.text or resumed.state == "truncated"
        asked: list[dict[str, Any]] = [{"role": "user", "content": SLOW.format(number)}]
        with suppress(HolySheepError):
            stream = self.client.chat.completions.create(model=MODEL, messages=asked, stream=True)
            next(iter(stream))
            stream.close()
        self.ends("closed", self.recorded())

    async def asynchronous(self, number: int) -> None:
        async with AsyncHolySheep(self.key, **self.settings) as client:
            asked = [client.ask(QUICK.format(number), model=MODEL) for _ in range(3)]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                self.ends("async", getattr(answer, "state", type(answer).__name__))
            task = asyncio.create_task(client.ask(SLOW.format(number), model=MODEL))
            await asyncio.sleep(self.dice.random() / 4)
            task.cancel()
            try:
                state: str = (await task).state
            except asyncio.CancelledError as stop:
                answer = getattr(stop, "answer", None)
                state = "stopped" if answer is None else answer.state
                self.unsent += answer is None
            except HolySheepError as error:
                state = type(error).__name__
            self.ends("cancelled", state)

    def cell(self, code: str) -> Any:
        """Run a cell and return `answer`.

        It leaves nothing in the shell's own history, where IPython keeps every piece of text that a cell has
        written, and each round has the same cells: it keeps the text of each other one, for tracebacks.
        """
        from IPython.utils.capture import capture_output

        ip: Any = self.shell.ip
        with capture_output():
            done = ip.run_cell(code, store_history=False)
        ip.history_manager.outputs.clear()
        if done.error_in_exec is not None:
            raise done.error_in_exec
        return self.shell.names["answer"]

    def cells(self) -> None:
        for options in ("-o answer", "--chat -o answer", "--chat -o answer"):
            code = f"%%holysheep {MODEL} {options}\n{QUICK}"
            self.tried("cell", lambda code=code: self.cell(code))  # type: ignore[misc]
        self.cell("%holysheep reset")
        later = f"%%holysheep {MODEL} --bg -o answer\n{QUICK}"
        self.tried("background", lambda: self.cell(later).wait(PATIENCE))

    def interrupted(self) -> None:
        """Interrupt a cell; one that is over before was cut."""
        timer = threading.Timer(0.3 + self.dice.random() / 4, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        try:
            self.tried("interrupted", lambda: self.cell(f"%%holysheep {MODEL} -o answer\n{SLOW}"))
            timer.cancel()
            timer.join()
        except KeyboardInterrupt:
            self.ends("interrupted", self.shell.names["answer"].state)

    def mapped(self, number: int) -> None:
        import hs_notebook

        keep = self.folder / "rows.jsonl"
        mapped = hs_notebook.map(
            ["a", "b", "c"],
            QUICK.format(f"{number} {{row}}"),
            model=MODEL,
            keep=keep,
            client=self.client,
            progress=False,
        )
        for row, answer in enumerate(mapped):
            error = mapped.errors.get(row)
            self.ends("map", type(error).__name__ if error else getattr(answer, "state", "nothing"))
        keep.unlink()

    def replayed(self, number: int) -> None:
        """Record and give again; each file serves ten rounds."""
        replay = Replay(self.folder / f"answers-{number // 10}.jsonl")
        settings = self.settings | {"base_url": self.direct.base_url}  # else what is cut is not kept
        with HolySheep(self.key, replay=replay, **settings) as client:
            first, again = (client.ask(QUICK.format(number), model=MODEL) for _ in range(2))
        assert first.text == again.text
        self.ends("recorded", first.state)

    def unread(self, number: int) -> None:
        """Ask as a stranger does, and be gone as one whose machine broke down."""
        place = urlsplit(self.url)
        body = json.dumps(
            {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": SLOW.format(number)}]}
        ).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nX-API-Key: {self.key}\r\n"
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with suppress(OSError), socket.create_connection((place.hostname, place.port), PATIENCE) as opened:
            opened.sendall((head + more).encode() + body)
            opened.recv(100)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def fault(self, name: str, *, stream: bool, number: int) -> None:
        asked = f"[simulate tokens=40 speed=inf fault={name}] {number}"
        self.tried(named(name, stream=stream), lambda: self.direct.ask(asked, model=MODEL, stream=stream))


def named(fault: str, *, stream: bool) -> str:
    return fault if stream else f"{fault}, whole"


def client_process(folder: str, *words: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background deaf
    client = Client(Path(folder), *words)
    for line in sys.stdin:
        say(client.round(int(line)))


# --- the relay's process -------------------------------------------------------------------------


def where(server: Any) -> dict[str, Any]:
    """Say how the server is reached."""
    return {"port": server.port, "url": f"http://127.0.0.1:{server.port}/v1", "key": server.key}


def relay_process(folder: str, upstream: str) -> None:
    from edge import edge

    # What is kept by design must have come and gone within the warm-up.
    with edge(Path(folder), upstream, connections=0, linger=0.5, kept=1.0, idle=1.0, total=3.0) as server:
        for line in sys.stdin:
            say(where(server) if line == "where?\n" else held())


def say(what: object) -> None:
    sys.__stdout__.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


# --- this process --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A measure of a process: where its line begins and ends, its slope per hour with the interval (95 %)."""

    what: str
    start: float
    end: float
    slope: float
    least: float
    most: float
    hours: float
    bound: float

    @property
    def flat(self) -> bool:
        """Whether the whole interval stays under the bound, over the time of the run."""
        return self.most * self.hours <= self.bound


def fit(what: str, at: Sequence[float], values: Sequence[float], bound: float) -> Line:
    """Fit a line as Theil and Sen do; `at` is in seconds."""
    slopes = sorted(
        (b - a) / (t - s) * 3600 for (s, a), (t, b) in itertools.combinations(zip(at, values, strict=True), 2)
    )
    n = len(at)
    spread = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int((len(slopes) - spread) / 2))
    slope, hours = statistics.median(slopes), (at[-1] - at[0]) / 3600
    middle = statistics.median(v - slope * (t - at[0]) / 3600 for t, v in zip(at, values, strict=True))
    return Line(what, middle, middle + slope * hours, slope, slopes[low], slopes[-1 - low], hours, bound)


@contextmanager
def child(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this file, which is talked to line by line."""
    command = [sys.executable, __file__, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(process: subprocess.Popen[str], line: object = "") -> dict[str, Any]:
    """Say a line and return what is answered; raises `RuntimeError` where the process has died."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    if not (said := process.stdout.readline()):
        raise RuntimeError(f"{process.args!r} has died")
    return json.loads(said)  # type: ignore[no-any-return]


def soak(
    seconds: float, folder: Path, watch: Callable[[str], Any] = lambda _: None
) -> tuple[list[Line], dict[str, Any]]:
    """Run for so long; return the lines of both processes, and what was counted."""
    from hs_notebook.relay import EmbeddedRelay

    dice = random.Random(2)
    rounds: list[tuple[float, dict[str, Any], dict[str, Any]]] = []
    cuts = (dice.randrange(2_000, 60_000) for _ in itertools.count())
    ends = time.monotonic() + seconds
    with EmbeddedRelay() as upstream, child("relay", os.fspath(folder), upstream.base_url) as relay:
        told = ask(relay, "where?")
        with (
            CuttingProxy([told["port"]], cuts) as proxy,
            child("client", os.fspath(folder), proxy.base_url, told["url"], told["key"]) as client,
        ):
            while time.monotonic() < ends or len(rounds) < LEAST:
                began = time.monotonic()
                rounds.append((began, ask(client, len(rounds)), ask(relay)))
                watch(json.dumps([{what: one[what] for what in BOUNDS} for one in rounds[-1][1:]]) + "\n")
                if len(rounds) > 1:
                    (_, *last), (_, *now) = rounds[-2:]
                    spent = sum(after["cpu"] - before["cpu"] for before, after in zip(last, now, strict=True))
                    time.sleep(max(0.0, spent / SHARE - (time.monotonic() - began)))
            counts = rounds[-1][1] | {"cuts": proxy.made, "rounds": len(rounds)}
        wait_for(lambda: not states(folder / "ledger.db").get("pending"))
        counts["requests"] = upstream.stats.requests
    counts |= {"client": states(folder / "client.db"), "relay": states(folder / "ledger.db")}
    kept = rounds[min(max(len(rounds) // 3, 1), WARM) :]
    at = [began for began, *_ in kept]
    lines = [
        fit(f"{name}: {what}", at, [one[what] for one in held_then], bound)
        for name, held_then in zip(PARTS, zip(*(both for _, *both in kept), strict=True), strict=True)
        for what, bound in BOUNDS.items()
    ]
    return lines, counts


def wrong(lines: Sequence[Line], counts: dict[str, Any]) -> list[str]:
    """Say what does not hold of a run."""
    measured = {line.what for line in lines}
    ended, recorded = Counter(counts["ended"]), Counter(counts["client"])
    return [
        *(f"not flat: {line}" for line in lines if not line.flat),
        *(
            f"not measured: {who}: {what}"
            for who in PARTS
            for what in BOUNDS
            if f"{who}: {what}" not in measured
        ),
        *wrongly_ended(ended, counts["rounds"]),
        *misrecorded(as_recorded(ended), recorded, counts["unsent"]),
        *(f"{who} has pending calls" for who in PARTS if counts[who].get("pending")),
        *([] if 0 <= total(counts["relay"]) - counts["requests"] <= gone(counts) else ["the relay's calls"]),
        *(["no connection was cut"] if not counts["cuts"] else []),
    ]


def wrongly_ended(ended: Counter[str], rounds: int) -> list[str]:
    """Say what was done too little or too often, and what ended as it may not."""
    told = []
    for what, work, calls in expected(rounds):
        states = {
            name.removeprefix(f"{what}: "): n for name, n in ended.items() if name.startswith(f"{what}: ")
        }
        wrong = {state: n for state, n in states.items() if state != work.ends and state not in work.some}
        told += [f"{what} wrongly ended: {wrong}"] * bool(wrong)
        told += [f"{what}: {total(states)} calls, not {calls}"] * (total(states) != calls)
        told += [f"hardly {work.ends}: {what}"] * (states.get(work.ends, 0) < MOSTLY * calls)
    return told


def expected(rounds: int) -> Iterator[tuple[str, Work, int]]:
    """Each kind of work, and how many calls of it so many rounds make."""
    for what, work in WORK.items():
        yield what, work, work.calls * rounds
    for number, (fault, stream) in enumerate(WAYS):
        ends = AT_FAULT[fault][not stream]
        calls = max(1, len(range(number, FAULTS_A_ROUND * rounds, len(WAYS))))
        yield named(fault, stream=stream), Work(ends=ends), calls


def as_recorded(ended: Counter[str]) -> Counter[str]:
    """Return the states that a ledger must hold; of an error it keeps the class elsewhere."""
    states = Counter[str]()
    for name, number in ended.items():
        state = name.rpartition(": ")[2]
        states["error" if state.endswith("Error") else state] += number
    return states


def misrecorded(ended: Counter[str], recorded: Counter[str], unsent: int) -> list[str]:
    """Say where a ledger is not what came back, but for calls that were stopped before they were sent."""
    missing = ended["stopped"] - recorded["stopped"]
    if 0 <= missing <= unsent and dict(ended) | {"stopped": 0} == dict(recorded) | {"stopped": 0}:
        return []
    return [f"ended {ended}, recorded {recorded}"]


def gone(counts: dict[str, Any]) -> int:
    """How many clients may have been gone before the relay had asked its upstream."""
    return int(counts["cuts"] + counts["rounds"]) + int(as_recorded(Counter(counts["ended"]))["stopped"])


def total(counted: dict[str, int]) -> int:
    return sum(map(int, counted.values()))


def states(ledger: Path) -> dict[str, int]:
    """Return how many calls of a ledger ended in each state."""
    with sqlite3.connect(ledger) as connection:
        return dict(connection.execute("SELECT state, COUNT(*) FROM calls GROUP BY state"))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def main() -> None:
    parts: dict[str, Callable[..., None]] = {"client": client_process, "relay": relay_process}
    if part := parts.get(sys.argv[1]):
        part(*sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        lines, counts = soak(float(sys.argv[1]), Path(folder), sys.stderr.write)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.write(json.dumps(counts, indent=1) + "\n")
    if found := wrong(lines, counts):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
