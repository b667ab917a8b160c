"""Interrupts, stops and deaths at every stage of an answer, in each ipykernel."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from kernels import DEFAULT_KERNEL, KERNEL_NAMES
from shell import Cell, Kernel, Shell, kernel, settings

from hs_notebook.display.notes import unmarked
from hs_notebook.interrupts import has_waited, interruptible, uninterrupted
from hs_notebook.ledger import Ledger
from hs_notebook.pricing.tokens import estimate
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.simulation.answering import Simulator
from hs_notebook.relay.simulation.models import MODELS
from hs_notebook.relay.simulation.requests import parse_body, parse_directives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

NUMBERS = ", ".join(name.removeprefix("ipykernel-") for name in KERNEL_NAMES)
ROUNDS = int(os.environ.get("INTERRUPTS", "60"))
LONG = ROUNDS > 100
SEED = 20261125
CLOSED_WITHIN = 0.3  # seconds; what the product promises
TRIES = 3

LOADED = "%load_ext hs_notebook\n%config HolySheepMagics.requests_per_minute = 6000"
DEFINED = """
import asyncio, collections, gc, json, os, resource, signal, threading, time
from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.portal import portal
from hs_notebook.wire.retry import RetryPolicy
import hs_notebook.magics
magics = get_ipython().magics_manager.registry["HolySheepMagics"]
answer = None

def lookup(number=1):
    time.sleep(1)
    return number

def stop_at(path):
    def watch():
        while not os.path.exists(path):
            time.sleep(0.005)
        for answer in magics.session.running[-1:]:
            answer.stop()
    threading.Thread(target=watch, daemon=True).start()

async def tasks():
    return len(asyncio.all_tasks()) - 1

def ours():
    gc.collect()
    kinds = [type(one) for one in gc.get_objects()]
    return json.dumps(collections.Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds if str(kind.__module__).startswith("hs_notebook")
    ))

def probe():
    names = [thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return json.dumps({
        "two": 1 + 1,
        "state": getattr(answer, "state", None),
        "length": len(answer) if answer is not None else 0,
        "threads": sorted(names),
        "tasks": portal().run(tasks()),
        "running": len(magics.session.running) + len(magics.session._calls),
        "rss": int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024,
    })
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A moment in the life of an answer: a cell that comes there, and how its end is told."""

    cell: str
    there: Callable[[Cell, Tried], Any]
    connected: bool = True  # the relay sees a connection, and that it is closed
    ended: bool = False  # the answer is there; only its picture is not
    text: bool = False  # some of its words have come
    python: str = ""  # the same, asked by `AsyncHolySheep`; empty where there is no such moment


def has_text(cell: Cell, _tried: Tried) -> bool:
    return len([said for said in cell.custom if said.get("text")]) >= 3


def notices(cell: Cell, _tried: Tried) -> bool:
    return any("trying again" in said.get("text", "") for said in cell.custom if said["type"] == "notice")


ASKED = "%%holysheep gpt-4.1 -o answer {}\n{}"
STAGES = {
    "before the connection": Stage(
        cell=ASKED.format("", "Hello"),
        there=lambda cell, tried: cell.stream_id and tried.pending,
        connected=False,
        python="Hello",
    ),
    "in a retry's wait": Stage(
        cell=ASKED.format("", "[simulate fault=503]"),
        there=notices,
        connected=False,
        python="[simulate fault=503]",
    ),
    "before the first token": Stage(
        cell=ASKED.format("", "[simulate tokens=5 ttft=60000]"),
        there=lambda cell, tried: cell.stream_id and tried.relay.stats.active_streams,
        python="[simulate tokens=5 ttft=60000]",
    ),
    "in mid-stream": Stage(
        cell=ASKED.format("", "[simulate tokens=5000 tps=100 ttft=10]"),
        there=has_text,
        text=True,
        python="[simulate tokens=5000 tps=100 ttft=10]",
    ),
    "in a tool, between two rounds": Stage(
        cell=ASKED.format("--tools lookup --allow-tools", "[simulate tool=lookup speed=inf tokens=5]"),
        there=lambda cell, _: "lookup" in cell.painted,
        connected=False,
    ),
    "in a repair, the second round": Stage(
        cell=ASKED.format("-f json --repair", "[simulate text speed=inf]\nThis is no JSON at all."),
        there=lambda cell, tried: "Asked once more" in cell.painted and tried.relay.stats.active_streams,
    ),
    "in the final picture": Stage(
        cell=ASKED.format("", "[simulate tokens=20000 speed=inf]"),
        there=lambda cell, _: any(said["type"] == "end" for said in cell.custom),
        connected=False,
        ended=True,
        text=True,
        python="[simulate tokens=20000 speed=inf]",
    ),
}


class Tried:
    """A kernel, its relay, and its ledger."""

    def __init__(self, running: Kernel, relay: EmbeddedRelay, folder: Path) -> None:
        self.kernel, self.relay, self.folder = running, relay, folder
        self.ledger = folder / "ledger.db"
        self.asked = 0  # requests, before the one that is tried
        self.streamed = relay.stats.last_stream  # the same
        self._number = 0

    def prepare(self, *, at_once: bool = False) -> None:
        """Define what the cells use; unless it is `at_once`, find what a kernel at rest holds."""
        self.kernel.run(DEFINED)
        self.kernel.run(f"%config HolySheepMagics.ledger = {os.fspath(self.ledger)!r}")
        self.kernel.run("%config HolySheepMagics.attempts = 5")
        if at_once:
            return
        # What the first long answer imports and starts, zmq's own thread too, is no leftover of a later one.
        self.kernel.run("%%holysheep -o answer\n[simulate tokens=20000 speed=inf]")
        self.at_rest = self.probe()

    def probe(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kernel.run("print(probe())").printed)
        return found

    def settled(self) -> dict[str, Any]:
        """Return what a probe says when nothing is left over, or at last what there is all the same."""
        deadline = time.monotonic() + 5
        while True:
            found = self.probe()
            if (not self.left_over(found) and not self.pending) or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def left_over(self, found: dict[str, Any]) -> list[str]:
        """Return what goes on in the kernel and should not."""
        threads = Counter(found["threads"]) - Counter(self.at_rest["threads"])
        return [*threads.elements(), *(what for what in ("tasks", "running") if found[what])]

    def sign(self) -> Path:
        """A file that is not there yet."""
        self._number += 1
        return self.folder / f"sign-{self._number}"

    def forget(self) -> None:
        """Settle by hand what a dead kernel left, so that it is not counted again; find a new one at rest."""
        with sqlite3.connect(self.ledger) as connection:
            connection.execute("UPDATE calls SET state = 'error' WHERE state = 'pending'")
        self.prepare()

    def calls(self, known: int) -> list[dict[str, Any]]:
        """Return the ledger's rows but for so many, with the texts that it keeps."""
        return list(Ledger(self.ledger).rows(text=True))[known:]

    def states(self) -> list[str]:
        with sqlite3.connect(self.ledger) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM calls ORDER BY id")]

    @property
    def pending(self) -> int:
        return self.states().count("pending")


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay() as running:
        yield running


def begun(name: str, relay: EmbeddedRelay, folder: Path) -> Iterator[Tried]:
    with kernel(name, folder, settings(relay.base_url)) as running:
        tried = Tried(running, relay, folder)
        tried.prepare()
        yield tried


@pytest.fixture(scope="module")
def all_kernels(relay: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tried]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(contextmanager(begun)(name, relay, tmp_path_factory.mktemp(name)))
            for name in KERNEL_NAMES
        }


@contextmanager
def nobody_accepts(tried: Tried) -> Iterator[None]:
    """The kernel asks a host that answers no connection: what it waits for, it waits for long."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    set_url = "import os; os.environ['HOLYSHEEP_BASE_URL'] = {!r}"
    tried.kernel.run(set_url.format(f"http://127.0.0.1:{port}/v1"))
    try:
        yield
    finally:
        tried.kernel.run(set_url.format(tried.relay.base_url))
        for one in [listener, *waiting]:
            one.close()


# --- the ways ------------------------------------------------------------------------------------------


def interrupt(tried: Tried, _cell: Cell, _sign: Path) -> float:
    return tried.kernel.interrupt()


def burst(tried: Tried, _cell: Cell, _sign: Path) -> float:
    pressed = tried.kernel.interrupt()
    for _ in range(9):
        time.sleep(0.001)
        tried.kernel.interrupt()
    return pressed


def page_stop(tried: Tried, cell: Cell, _sign: Path) -> float:
    return tried.kernel.page_says("stop", cell.stream_id)


def stop_from_a_thread(_tried: Tried, _cell: Cell, sign: Path) -> float:
    sign.touch()
    return time.time()


WAYS: dict[str, Callable[[Tried, Cell, Path], float]] = {
    "interrupt": interrupt,
    "ten interrupts within 10 ms": burst,
    "Stop in the page": page_stop,
    "stop() in a thread": stop_from_a_thread,
}


@dataclass(kw_only=True)
class Outcome:
    """What came of a cell that was ended."""

    cell: Cell
    later: Cell
    closed: float  # seconds until the relay saw it; nan where there was no connection
    found: dict[str, Any]
    text: str  # of the answer that is kept
    sent: str  # all that the relay is told to say to what it was asked last
    calls: list[dict[str, Any]]  # the ledger's rows of the calls that it made
    left_over: list[str]


def closing(relay: EmbeddedRelay, before: int, pressed: float) -> float:
    deadline = time.monotonic() + 5
    while relay.stats.cancelled <= before:
        assert time.monotonic() < deadline, "the connection was not closed"
        time.sleep(0.002)
    assert relay.stats.last_cancelled_epoch is not None
    return relay.stats.last_cancelled_epoch - pressed


def told_to_say(relay: EmbeddedRelay, asked: int = -1) -> str:
    """Return the whole answer to the last request, or another of the latest, as the relay makes it up."""
    seen = relay.stats.seen[asked]
    body = parse_body(seen.body)
    (model,) = (one for one in MODELS if one.id == seen.model)
    return Simulator(settings=Simulation()).answer(body, model, parse_directives(body.prompt)).text


def end_it(tried: Tried, stage: Stage, way: str) -> Outcome:
    """Run a stage's cell and one after it, and end the first in this way."""
    known, cancelled = len(tried.states()), tried.relay.stats.cancelled
    sign = tried.sign()
    if way == "stop() in a thread":
        tried.kernel.run(f"stop_at({os.fspath(sign)!r})")
    tried.kernel.run("answer = None")
    cell = tried.kernel.start(stage.cell, stop_on_error=True)
    later = tried.kernel.start("print('later')")
    tried.kernel.until(cell, lambda cell: stage.there(cell, tried))
    pressed = WAYS[way](tried, cell, sign)
    tried.kernel.wait(cell)
    closed = closing(tried.relay, cancelled, pressed) if stage.connected else math.nan
    awaken(tried, later)
    tried.kernel.wait(later)
    sign.touch()
    found = tried.settled()
    return Outcome(
        left_over=tried.left_over(found),
        cell=cell,
        later=later,
        closed=closed,
        found=found,
        text=json.loads(tried.kernel.run("print(json.dumps(answer.text))").printed),
        sent=told_to_say(tried.relay),
        calls=tried.calls(known),
    )


def holds(outcome: Outcome, stage: Stage, way: str) -> dict[str, Any]:
    """Assert what was promised of it, and return what was seen."""
    cell = outcome.cell
    interrupted = "interrupt" in way
    state = "complete" if stage.ended else "stopped"
    final = cell.shown[-1]
    assert set(final["data"]) == {"text/html", "text/plain"}
    assert final["metadata"]["holysheep"]["state"] == state
    assert unfenced(final["data"]["text/plain"]) == unfenced(cell.painted)
    assert outcome.sent.startswith(outcome.text)
    assert outcome.text or not stage.text
    assert cell.custom[-1]["type"] == "end"
    if interrupted:
        said = (
            "The answer has come, and is kept." if stage.ended else "The answer stops here; its text is kept."
        )
        assert cell.errors == [f"Interrupted: {said}"]
        assert cell.reply["ename"] == "Interrupted"
        assert "later" not in outcome.later.printed
        assert outcome.later.status in {"aborted", "error"}
    elif not interrupted:
        assert (cell.status, cell.errors) == ("ok", [])
        assert (outcome.later.status, outcome.later.printed) == ("ok", "later\n")
    assert outcome.found["two"] == 2
    assert outcome.found["state"] == state, outcome.found
    assert outcome.calls[-1]["state"] == state or "tool" in stage.cell
    assert "pending" not in [call["state"] for call in outcome.calls]
    if stage.text:
        assert unmarked(final["data"]["text/plain"]) == outcome.text
        is_counted(outcome.calls[-1], outcome.text)
    assert outcome.left_over == []
    return {
        "state": outcome.found["state"],
        "kept": outcome.found["length"],
        "error": cell.errors[0] if cell.errors else "none",
        "later": outcome.later.status,
    }


def is_counted(call: dict[str, Any], text: str) -> None:
    """Assert that a call is written down with its tokens: those of its text, where the relay told none."""
    assert call["gen_ai_usage_input_tokens"] > 0
    if call["state"] == "stopped":
        assert call["usage_estimated"]
        assert call["gen_ai_usage_output_tokens"] == estimate(text, call["gen_ai_request_model"]).tokens > 0
    else:
        assert not call["usage_estimated"]
        assert call["gen_ai_usage_output_tokens"] == 20_000


def unfenced(text: str) -> str:
    """Return a text without our marks, and with fences of one length: how long, the live view cannot know."""
    return re.sub("`{3,}", "```", unmarked(text))


def those(seen: list[dict[str, Any]], what: str) -> str:
    """Return what was seen, each once."""
    return ", ".join(dict.fromkeys(f"{one[what]}" for one in seen))


def figure(seconds: float) -> str:
    return "no connection" if math.isnan(seconds) else f"{max(0.0, seconds) * 1000:.0f} ms"


@pytest.mark.kernels
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_an_answer_is_ended(
    stage: str, way: str, all_kernels: dict[str, Tried], publish: Callable[..., None]
) -> None:
    moment = STAGES[stage]
    slowest, ledger, seen = math.nan, set[str](), []
    for tried in all_kernels.values():
        for left in reversed(range(TRIES)):
            with nobody_accepts(tried) if stage == "before the connection" else ExitStack():
                outcome = end_it(tried, moment, way)
            seen.append(holds(outcome, moment, way))
            if not left or not outcome.closed >= CLOSED_WITHIN:
                break  # a machine may be late, but not each time
        assert not outcome.closed >= CLOSED_WITHIN
        slowest = outcome.closed if math.isnan(slowest) else max(slowest, outcome.closed)
        ledger |= {call["state"] for call in outcome.calls}
    publish(
        "interrupts",
        stage=stage,
        way=way,
        kernels=NUMBERS,
        outcome=those(seen, "state"),
        characters_kept=those(seen, "kept"),
        error=those(seen, "error"),
        later_cell=those(seen, "later"),
        closed_after=figure(slowest),
        ledger=", ".join(sorted(ledger)),
    )


# --- a task that is cancelled --------------------------------------------------------------------------

CANCELLED = """
client = AsyncHolySheep(
    requests_per_minute=6000, ledger=magics.purse.ledger, retry=RetryPolicy(attempts=5)
)
task = asyncio.ensure_future(client.ask({prompt!r}, model="gpt-4.1"))
while not os.path.exists({sign!r}):
    await asyncio.sleep(0.005)
task.cancel()
print((await asyncio.gather(task, return_exceptions=True))[0].__class__.__name__, len(asyncio.all_tasks()))
await client.close()
"""
OVER = {("Answer", "complete"), ("CancelledError", "complete")}  # it is whole before it is cancelled
FOR_TASKS = {name: stage for name, stage in STAGES.items() if stage.python}


def streamed(tried: Tried) -> int:
    """Return how many tokens of the answer that is tried are sent."""
    stream = tried.relay.stats.last_stream
    return 0 if stream is tried.streamed else stream.tokens_sent


UNDER_WAY: dict[str, Callable[[Tried], Any]] = {
    "in a retry's wait": lambda tried: tried.relay.stats.requests > tried.asked,
    "before the first token": lambda tried: tried.relay.stats.active_streams,
    "in mid-stream": lambda tried: streamed(tried) > 10,
    "in the final picture": lambda tried: streamed(tried) == 20_000,
}


@pytest.mark.kernels
@pytest.mark.parametrize("stage", FOR_TASKS)
def test_a_task_is_cancelled(stage: str, all_kernels: dict[str, Tried], publish: Callable[..., None]) -> None:
    slowest, seen = math.nan, []
    for tried in all_kernels.values():
        for _ in range(TRIES):
            with nobody_accepts(tried) if stage == "before the connection" else ExitStack():
                closed, said, state = cancelled(tried, stage)
            seen.append({"said": said, "ledger": state})
            if not closed >= CLOSED_WITHIN:
                break
        assert not closed >= CLOSED_WITHIN
        slowest = closed if math.isnan(slowest) else max(slowest, closed)
    publish(
        "interrupts",
        stage=stage,
        way="cancelled task, `await client.ask(…)`",
        kernels=NUMBERS,
        outcome=those(seen, "said"),
        closed_after=figure(slowest),
        ledger=those(seen, "ledger"),
    )


def cancelled(tried: Tried, stage: str) -> tuple[float, str, str]:
    known, before = len(tried.states()), tried.relay.stats.cancelled
    tried.asked, tried.streamed = tried.relay.stats.requests, tried.relay.stats.last_stream
    sign = tried.sign()
    cell = tried.kernel.start(CANCELLED.format(prompt=FOR_TASKS[stage].python, sign=os.fspath(sign)))
    try:
        while not (tried.pending and UNDER_WAY.get(stage, lambda _: True)(tried)):
            if set(tried.states()[known:]) - {"pending"}:
                break  # it was quicker than this look at it
            time.sleep(0.005)
        pressed = time.time()
    finally:
        sign.touch()  # or the next cell would wait for it, too
    tried.kernel.wait(cell)
    assert cell.status == "ok", cell.errors
    closed = closing(tried.relay, before, pressed) if FOR_TASKS[stage].connected else math.nan
    assert tried.left_over(tried.settled()) == []
    (call,) = tried.calls(known)
    came, moment = cell.printed.split()[0], FOR_TASKS[stage]
    assert (came, call["state"]) in {("CancelledError", "stopped")} | (OVER if moment.ended else set())
    assert not moment.text or call["gen_ai_usage_output_tokens"] > 0
    return closed, came, call["state"]


# --- other ways to ask ----------------------------------------------------------------------------------

WHOLE = "[simulate tokens=200 tps=10 ttft=10]"
SLOW = "[simulate tokens=5000 tps=100 ttft=10]"
CLIENT = "(requests_per_minute=6000, ledger=magics.purse.ledger)"
#: Cells that ask, how many models, and what ends them where that is no interrupt.
FACES = {
    "`client.ask(…)`": (f"HolySheep{CLIENT}.ask({SLOW!r}, model='gpt-4.1')", 1, ""),
    "`await client.ask(…)`": (f"await AsyncHolySheep{CLIENT}.ask({SLOW!r}, model='gpt-4.1')", 1, ""),
    "two models": (f"%%holysheep gpt-4.1,deepseek-v3.2 -o answer\n{SLOW}", 2, ""),
    "`--no-stream`": (ASKED.format("--no-stream", WHOLE), 1, ""),
    "`--bg`": (f"%%holysheep gpt-4.1 --bg -o later\n{SLOW}", 1, "%holysheep stop"),
}


@pytest.mark.kernels
@pytest.mark.parametrize("face", FACES)
def test_other_ways_to_ask_are_ended(
    face: str, all_kernels: dict[str, Tried], publish: Callable[..., None]
) -> None:
    """Their texts, where nobody is handed one, are in a ledger that keeps texts."""
    tried = all_kernels[DEFAULT_KERNEL]
    code, models, stop = FACES[face]
    tried.kernel.run("%config HolySheepMagics.keep_text = True")
    try:
        for _ in range(TRIES):
            cell, closed, calls = ended_by(tried, code, models, stop)
            if closed < CLOSED_WITHIN:
                break
    finally:
        tried.kernel.run("%config HolySheepMagics.keep_text = False")
    assert closed < CLOSED_WITHIN
    assert cell.status == ("ok" if stop else "error")
    assert [call["state"] for call in calls] == ["stopped"] * models
    assert all(call["gen_ai_usage_input_tokens"] > 0 for call in calls)
    for call in calls if WHOLE not in code else ():
        whole = {tried.relay.stats.seen[-n].model: told_to_say(tried.relay, -n) for n in (1, models)}
        assert whole[call["gen_ai_request_model"]].startswith(call["answer"])
        assert not cell.shown or call["answer"] in unmarked(cell.shown[-1]["data"]["text/plain"])
        is_counted(call, call["answer"])
    publish(
        "interrupts",
        stage="in mid-stream",
        way=f"{stop or 'interrupt'}, {face}",
        kernels=DEFAULT_KERNEL.removeprefix("ipykernel-"),
        outcome=", ".join(dict.fromkeys(call["state"] for call in calls)),
        error=cell.errors[-1] if cell.errors else "none",
        closed_after=figure(closed),
        ledger="stopped",
    )


def ended_by(tried: Tried, code: str, models: int, stop: str) -> tuple[Cell, float, list[dict[str, Any]]]:
    """End a cell when its answers arrive; return it, how long the relay saw no end, and its calls."""
    stats, known = tried.relay.stats, len(tried.states())
    before = stats.cancelled
    cell = tried.kernel.start(code)
    tried.kernel.until(cell, lambda _: stats.active_streams == models)
    tried.kernel.rest(cell, 0.4)
    pressed = time.time()
    if stop:
        tried.kernel.run(stop)
    else:
        tried.kernel.interrupt()
    tried.kernel.wait(cell)
    closed = closing(tried.relay, before + models - 1, pressed)
    assert tried.left_over(tried.settled()) == []
    return cell, closed, tried.calls(known)


# --- a kernel that is restarted or killed ---------------------------------------------------------------


def deaths() -> Iterator[tuple[str, str, str]]:
    """In CI both ways on one kernel, and on the others one of them at each stage, in turn."""
    for first, name in enumerate(KERNEL_NAMES):
        for number, stage in enumerate(STAGES, first):
            for turn, way in enumerate(("restart", "SIGKILL")):
                if LONG or name == DEFAULT_KERNEL or (number + turn) % 2 == 0:
                    yield name, stage, way


@pytest.mark.kernels
@pytest.mark.parametrize(("name", "stage", "way"), list(deaths()))
def test_a_kernel_dies(
    name: str, stage: str, way: str, all_kernels: dict[str, Tried], publish: Callable[..., None]
) -> None:
    tried, moment = all_kernels[name], STAGES[stage]
    known, before = len(tried.states()), tried.relay.stats.cancelled
    with nobody_accepts(tried) if stage == "before the connection" else ExitStack():
        cell = tried.kernel.start(moment.cell)
        tried.kernel.until(cell, lambda cell: moment.there(cell, tried))
        pressed = tried.kernel.restart(kill=way == "SIGKILL")
        closed = closing(tried.relay, before, pressed) if moment.connected else math.nan
    tried.kernel.run(LOADED)
    tried.prepare(at_once=True)
    calls = tried.calls(known)
    states = [call["state"] for call in calls]
    shown = str([said.content for said in tried.kernel.run("%holysheep spend").said])
    under_way = not moment.ended and "tool" not in moment.cell
    last = "complete" if not under_way else "pending" if way == "SIGKILL" else "stopped"
    assert states == [*["complete"] * (len(states) - 1), last]
    assert calls[-1]["gen_ai_usage_output_tokens"] or last == "pending" or not moment.text
    assert closed < CLOSED_WITHIN * 10 or not moment.connected
    told = "without outcome: the kernel ended before the answer did" in shown
    assert told is ("pending" in tried.states())
    publish(
        "interrupts",
        stage=stage,
        way=way,
        kernels=name.removeprefix("ipykernel-"),
        outcome="the next start tells of it" if told else "nothing to tell at the next start",
        closed_after=figure(closed),
        ledger=", ".join(dict.fromkeys(states)),
    )
    tried.forget()


# --- many in a row ---------------------------------------------------------------------------------------

KINDS = (
    "%%holysheep gpt-4.1 -o answer\n[simulate tokens=2000 tps=400 ttft=20]",
    "%%holysheep gpt-4.1,deepseek-v3.2 -o several\n[simulate tokens=2000 tps=400 ttft=20]",
    "%%holysheep gpt-4.1 --chat talk -o answer\n[simulate tokens=2000 tps=400 ttft=20]",
    "%%holysheep -f json --repair\n[simulate text tps=200 ttft=20]\n" + 400 * "no JSON ",
    "HolySheep(requests_per_minute=6000).ask('[simulate tokens=2000 tps=400 ttft=20]', model='gpt-4.1')",
    "await AsyncHolySheep().ask('[simulate tokens=2000 tps=400 ttft=20]', model='gpt-4.1')",
)
KEPT = tuple(f"hs_notebook.{module}." for module in ("answers", "compared", "conversation", "types"))
MOST_LEFT = max(5, ROUNDS // 50)  # objects of a class: what the last cells hold, and not what each one leaves
SHORT = "%%holysheep gpt-4.1 -o answer\n[simulate tokens=40 tps=400 ttft=20]"
SLEEPING = "import time\nprint('on', flush=True)\ntime.sleep({})"


def replied(tried: Tried, cell: Cell) -> bool:
    """Wait for a cell's end, and tell whether its reply came: before that of a later one, or never."""
    tried.kernel.until(cell, lambda cell: cell.ended)
    later = tried.kernel.start("print(1 + 1)")
    awaken(tried, later)
    assert tried.kernel.wait(later).printed == "2\n"
    return bool(cell.reply)


def awaken(tried: Tried, cell: Cell) -> None:
    """Wait for a cell's end; ask for something else where ipykernel sleeps on.

    After a burst it may overlook a message until the next one comes, also where a cell only slept.
    """
    try:
        tried.kernel.until(cell, lambda cell: cell.ended, timeout=5)
    except AssertionError:
        tried.kernel.run("pass")


def loses_its_reply(tried: Tried, code: str) -> bool:
    """Interrupt a cell ten times within 10 ms, and tell whether that cost its reply."""
    cell = tried.kernel.start(code)
    try:
        tried.kernel.until(cell, lambda cell: len(cell.said) > 5 or "on" in cell.printed, timeout=5)
    except AssertionError:  # as in `awaken`
        tried.kernel.start("pass")
        tried.kernel.until(cell, lambda cell: len(cell.said) > 5 or "on" in cell.printed)
    burst(tried, cell, tried.folder)
    return not replied(tried, cell)


def lost_by_sleepers(
    name: str, relay: EmbeddedRelay, folder: Path, rounds: int, loses: Callable[[Tried], bool]
) -> str:
    """Tell how many cells that only sleep lose it in a kernel of their own, which may not outlive that."""
    lost = 0
    folder.mkdir()
    with contextmanager(begun)(name, relay, folder) as tried:
        for number in range(rounds):
            try:
                lost += loses(tried)
            except AssertionError:
                return f"{lost} of {number + 1}, then the kernel was stuck"
    return f"{lost} of {rounds}"


@pytest.mark.kernels
@pytest.mark.timeout(3600 if LONG else 180)
def test_a_burst_loses_no_reply(
    relay: EmbeddedRelay, all_kernels: dict[str, Tried], tmp_path: Path, publish: Callable[..., None]
) -> None:
    """Of a cell that only sleeps ipykernel itself loses it: what comes second meets its own steps."""
    rounds = max(4, ROUNDS // 20)
    for name, tried in all_kernels.items():
        lost = sum(loses_its_reply(tried, KINDS[0]) for _ in range(rounds))
        assert lost <= rounds // 25  # 6 of 1,512 on 6.31, and of a sleeping cell 719 of 952
        publish(
            "interrupts in a row",
            kernel=name.removeprefix("ipykernel-"),
            moment="ten within 10 ms, in mid-stream",
            rounds=f"{rounds:,}",
            **{
                "replies lost": f"{lost:,}",
                "of a sleeping cell": lost_by_sleepers(
                    name,
                    relay,
                    tmp_path / name,
                    min(rounds, 15),
                    lambda tried: loses_its_reply(tried, SLEEPING.format(10)),
                ),
            },
        )


@pytest.mark.kernels
@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize("name", KERNEL_NAMES if LONG else [DEFAULT_KERNEL])
def test_an_interrupt_at_any_moment(
    name: str, relay: EmbeddedRelay, tmp_path: Path, publish: Callable[..., None]
) -> None:
    """From before a cell's first line until its last: also while it is read, drawn and put away.

    One that meets ipykernel's own steps before a cell or after it may cost the reply, and now and then the
    kernel, whatever the cell was: 7.3 is stuck after about one in 300, also where a cell only slept.
    """
    rounds = ROUNDS // 3
    chance = random.Random(SEED)
    lost, stuck, heard, kept = 0, 0, 0, 0
    with contextmanager(begun)(name, relay, tmp_path) as tried:
        met = watched(tried)
        life = max(life_of(tried, SHORT) for _ in range(3))
        for _ in range(rounds):
            met()
            cell = interrupted(tried, SHORT, life * chance.random())
            try:
                has_replied = replied(tried, cell)
                kept += nothing_is_lost(tried, cell)
            except AssertionError as error:
                if not cell.ended or met() == "cell":
                    raise AssertionError("a cell's code was met") from error
                stuck += 1
                tried.kernel.restart(kill=True)
                tried.kernel.run(LOADED)
                tried.forget()
                met = watched(tried)
                continue
            assert has_replied or met() != "cell"
            lost += not has_replied
            heard += bool(cell.errors)
        assert stuck <= max(1, rounds // 100)
        assert lost <= max(1, rounds // 20)
        assert heard > rounds / 3, "hardly one of them met a cell"
        assert kept > rounds / 3, "hardly one of them came when a text was there"
        assert tried.kernel.run(SHORT).shown[-1]["metadata"]["holysheep"]["state"] == "complete"
        last = tried.settled()
        assert tried.left_over(last) == []
        threads, pending = f"{len(tried.at_rest['threads'])} → {len(last['threads'])}", tried.pending

    def loses(asleep: Tried) -> bool:
        return not replied(asleep, interrupted(asleep, SLEEPING.format(life), life * chance.random()))

    publish(
        "interrupts in a row",
        kernel=name.removeprefix("ipykernel-"),
        moment=f"any of a cell's {life * 1000:.0f} ms, seed {SEED}",
        rounds=f"{rounds:,}",
        **{
            "met a cell": f"{heard:,}",
            "texts kept": f"{kept:,}",
            "replies lost": f"{lost:,}"
            + (f", and {stuck} kernels stuck in ipykernel's own steps" if stuck else ""),
            "of a sleeping cell": lost_by_sleepers(name, relay, tmp_path / "asleep", rounds // 2, loses),
        },
        threads=threads,
        pending=pending,
    )


#: Notes of each interrupt whether it met a cell's code or what ipykernel does before it and after.
WATCHED = """
import sys, ipykernel.kernelbase
def heard(number, frame):
    met, frame = "ipykernel", frame or sys._getframe()  # there is none where the interrupt has waited
    while frame is not None:
        if frame.f_code.co_name == "run_code":
            met = "cell"
        frame = frame.f_back
    with open({!r}, "w") as file:
        file.write(met)
    raise KeyboardInterrupt
ipykernel.kernelbase.default_int_handler = heard
"""


def watched(tried: Tried) -> Callable[[], str]:
    """Watch what interrupts meet; return what tells what the last one met, since it was asked before."""
    file = tried.sign()
    tried.kernel.run(WATCHED.format(os.fspath(file)))

    def met() -> str:
        said = file.read_text("utf-8") if file.exists() else ""
        file.unlink(missing_ok=True)
        return said

    return met


def interrupted(tried: Tried, code: str, moment: float) -> Cell:
    """Start a cell and interrupt it so many seconds later."""
    cell = tried.kernel.start(code)
    tried.kernel.rest(cell, moment)
    tried.kernel.interrupt()
    return cell


def life_of(tried: Tried, code: str) -> float:
    """Return how many seconds a cell takes here that nobody interrupts."""
    begun = time.time()
    return tried.kernel.run(code).ended - begun


def nothing_is_lost(tried: Tried, cell: Cell) -> bool:
    """Assert what must hold after an interrupt at any moment, and tell whether a text had come."""
    assert quiet(tried)
    deadline = time.monotonic() + 5
    while tried.pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert tried.pending == 0
    with sqlite3.connect(tried.ledger, timeout=5) as connection:
        connection.execute("BEGIN IMMEDIATE")  # nobody holds it
    if not cell.painted:
        return False
    kept = unmarked(cell.shown[-1]["data"]["text/plain"])
    assert unfenced(kept) == unfenced(cell.painted)
    assert told_to_say(tried.relay).startswith(kept)
    return True


@pytest.mark.kernels
@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize("name", KERNEL_NAMES if LONG else [DEFAULT_KERNEL])
def test_interrupts_in_a_row(
    name: str, relay: EmbeddedRelay, tmp_path: Path, publish: Callable[..., None]
) -> None:
    with contextmanager(begun)(name, relay, tmp_path) as tried:
        in_a_row(name, tried, publish)


def in_a_row(name: str, tried: Tried, publish: Callable[..., None]) -> None:
    chance = random.Random(SEED)
    slowest, landed, answered, bare = 0.0, 0, 0, 0
    for number in range(-2 * len(KINDS), ROUNDS):
        if number == 0:  # what the first of each kind imports is there
            held = json.loads(tried.kernel.run("print(ours())").printed)
            first, slowest, landed, answered, bare = tried.probe(), 0.0, 0, 0, 0
        cell = tried.kernel.start(KINDS[number % len(KINDS)] if number < 0 else chance.choice(KINDS))
        tried.kernel.until(cell, lambda cell: cell.said)  # ipykernel's own steps before it are not ours
        tried.kernel.rest(cell, 0.01 + chance.choice([0.01, 0.05, 0.2, 0.4]) * chance.random())
        pressed = tried.kernel.interrupt()
        tried.kernel.wait(cell)
        landed += cell.status == "error"
        bare += len(cell.errors) > 1 and "holysheep" in cell.said[0].content.get("code", "")
        answered += tried.kernel.run("print(1 + 1)").printed == "2\n"
        slowest = max(slowest, time.time() - pressed)
        assert tried.relay.stats.active_streams <= 1 or quiet(tried)
    last = tried.settled()
    left = grown(held, json.loads(tried.kernel.run("print(ours())").printed))
    assert answered == ROUNDS
    assert bare <= max(2, ROUNDS // 100)  # it met IPython's own steps around the magic
    assert landed > ROUNDS / 3, "hardly one of them met a cell"
    assert tried.left_over(last) == []
    assert quiet(tried)
    assert tried.pending == 0
    assert max(left.values(), default=0) <= MOST_LEFT, left
    publish(
        "interrupts in a row",
        kernel=name.removeprefix("ipykernel-"),
        moment=f"once it runs, seed {SEED}",
        rounds=f"{ROUNDS:,}",
        **{"met a cell": f"{landed:,}", "in IPython's own steps": f"{bare:,}", "stuck": ROUNDS - answered},
        slowest_recovery=f"{slowest:.2f} s",
        threads=f"{len(first['threads'])} → {len(last['threads'])}",
        memory=f"{first['rss'] / 1024:.0f} → {last['rss'] / 1024:.0f} MiB",
        objects_left=f"{max(left.values(), default=0)} of a class at most",
        pending=tried.pending,
    )


def grown(before: dict[str, int], after: dict[str, int]) -> Counter[str]:
    """Return what there is more of, but for the answers that a session, a conversation and IPython keep."""
    more = Counter(after) - Counter(before)
    return Counter({name: number for name, number in more.items() if not name.startswith(KEPT)})


def quiet(tried: Tried) -> bool:
    """Wait until the relay serves nobody."""
    deadline = time.monotonic() + 5
    while tried.relay.stats.active_streams and time.monotonic() < deadline:
        time.sleep(0.01)
    return tried.relay.stats.active_streams == 0


# --- what they rest on ----------------------------------------------------------------------------------

FIRST_CELL = """
import importlib.abc, signal, sys
from IPython.core.interactiveshell import InteractiveShell

class Interrupting(importlib.abc.MetaPathFinder):
    def __init__(self, *names):
        self.names = set(names)

    def find_spec(self, name, path, target=None):
        if name in self.names:
            self.names.remove(name)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                broken.append(name)
                raise

shell = InteractiveShell()
broken, stopped = [], 0
finder = Interrupting("hs_notebook.magics.magic", "hs_notebook.client", "hs_notebook.display.terminal")
sys.meta_path.insert(0, finder)
for cell in ("%load_ext hs_notebook", "%%holysheep -o answer\\n[simulate tokens=3 speed=inf]"):
    while shell.run_cell(cell).error_in_exec is not None:
        stopped += 1
print(finder.names, broken, stopped, shell.user_ns["answer"].state)
"""


def test_no_import_of_the_first_cell_is_interrupted(relay: EmbeddedRelay) -> None:
    """Python's own lock of imports may stay held then: the loop's thread waits for it for ever."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST_CELL],
        env=os.environ | settings(relay.base_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.splitlines()[-1:] == ["set() [] 3 complete"], ran.stdout[-3000:] + ran.stderr


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done = []

    def block() -> None:
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["all of it"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_waits_is_heard_also_where_an_error_is_on_its_way() -> None:
    """A loop that catches errors would go on through any number of interrupts."""

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("an answer failed")

    with pytest.raises(KeyboardInterrupt) as heard:
        block()
    assert isinstance(heard.value.__context__, ValueError)


def test_an_interrupt_is_heard_where_it_may_be() -> None:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interruptible():
            pytest.fail("it has waited long enough")
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert has_waited()
        assert not has_waited()


def test_of_a_burst_the_first_is_heard_and_the_others_wait() -> None:
    """The second comes where the first leaves the block: once the third broke into the clean-up then."""
    done = []

    def second(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is interruptible.__exit__.__code__:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    def block() -> None:
        with uninterrupted():
            try:
                with interruptible():
                    sys.setprofile(second)
                    signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)
                done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_the_last_moment_costs_no_answer(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the answer is put away, in the midst of a step of the user's own shell."""
    put = shell.magics.put

    def interrupted(name: str | None, value: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        put(name, value)

    monkeypatch.setattr(shell.magics, "put", interrupted)
    ran = shell.run("%%holysheep -o answer\n[simulate text speed=inf]\nHere.")
    assert isinstance(ran.error, KeyboardInterrupt)
    assert str(shell.names["answer"]) == "Here."
