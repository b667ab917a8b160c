"""Each fault of the table in `chaos`, as every one of the package's faces shows it."""

from __future__ import annotations

import asyncio
import gc
import importlib
import time
import tracemalloc
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import pytest
from chaos import CLOSED_IN_USE, FAULTS, HELLO, IDLE_AND_CLOSED, MIB, PRICES, Chaos, Fault
from edge import Edge, edge, within
from shell import KEY

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import (
    APITimeoutError,
    EmptyAnswerError,
    HolySheepError,
    NotFoundError,
    ProtocolError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.ledger import Ledger
from hs_notebook.pricing.tokens import estimate
from hs_notebook.wire.ending import CUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shell import Shell

    from hs_notebook.answers import Answer

TWO_QUESTIONS = {IDLE_AND_CLOSED, CLOSED_IN_USE}
SLACK = 0.5  # seconds that a busy machine may add to a wait
by_name = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a question came to, as its user sees it."""

    state: str
    text: str
    error: HolySheepError | None = None
    answer: Answer | None = None

    @property
    def kind(self) -> type[HolySheepError] | None:
        return None if self.error is None else type(self.error)

    @property
    def words(self) -> str:
        if self.error is not None:
            return str(self.error)
        assert self.answer is not None
        return self.answer.receipt.note


def of_answer(answer: Answer) -> Outcome:
    return Outcome(state=answer.state, text=answer.text, answer=answer)


def of_error(error: HolySheepError) -> Outcome:
    assert len(str(error).splitlines()) == 1, str(error)
    answer: Answer | None = error.answer
    assert answer is None or answer.state == "error"
    return Outcome(state="error", text=answer.text if answer else "", error=error, answer=answer)


async def asked(client: AsyncHolySheep, fault: Fault, *, stream: bool = True) -> Outcome:
    try:
        return of_answer(await client.ask("hi", model="gpt-4.1", stream=stream, **fault.params))
    except HolySheepError as error:
        return of_error(error)


def expected(text: str, fault: Fault) -> bool:
    """Whether it is the text of the fault, where `x*` is any number of x."""
    return set(text) == {"x"} if fault.text == "x*" else text == fault.text


class Watched:
    """The most memory that was in use meanwhile, beyond what was before, in MiB."""

    def __init__(self, *, looks: bool) -> None:
        self._looks = looks
        self.peak = 0.0

    def __enter__(self) -> Self:
        if self._looks:
            gc.collect()
            tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._looks:
            self.peak = tracemalloc.get_traced_memory()[1] / MIB
            tracemalloc.stop()


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Load what the first answer of a process would, which is no part of its time."""
    importlib.import_module("httpx")
    estimate("Hello", "gpt-4.1")


def client_for(fault: Fault, base_url: str, ledger: Ledger) -> AsyncHolySheep:
    times = {"timeouts": fault.timeouts, "retry": fault.retry}
    return AsyncHolySheep(KEY, base_url=base_url, ledger=ledger, prices=PRICES, **times)


@by_name
def test_faults(fault: Fault, tmp_path: Path, publish: Any) -> None:
    ledger = Ledger(tmp_path / "ledger.db")

    async def ask(base_url: str) -> tuple[Outcome, float]:
        async with client_for(fault, base_url, ledger) as client:
            started = time.monotonic()
            outcome = await asked(client, fault)
            if fault.name == IDLE_AND_CLOSED:
                await asyncio.to_thread(within, 5, lambda: not server.open)
            if fault.name in TWO_QUESTIONS:
                outcome = await asked(client, fault)
            took = time.monotonic() - started
            left = 1 if fault.kept else 0  # what is not over is closed at once, and not with its client
            assert await asyncio.to_thread(within, 5, lambda: server.open <= left), server.open
            return outcome, took

    with fault.running(tmp_path) as server:
        with Watched(looks=fault.peak > 0) as memory:
            outcome, took = asyncio.run(ask(server.base_url))
        assert within(5, lambda: not server.open)
        requests = server.tries
        gaps = server.waits

    assert outcome.kind is fault.error, repr(outcome.error or outcome.answer)
    assert expected(outcome.text, fault), outcome.text[:200]
    assert outcome.state == fault.state
    assert fault.says in outcome.words if fault.says else not outcome.words, outcome.words
    assert KEY not in outcome.words
    assert fault.least <= took < fault.seconds + SLACK
    assert memory.peak <= fault.peak
    assert requests == fault.requests
    bounds = fault.waits or [(0.0, fault.retry.cap)] * len(gaps)
    assert len(gaps) == len(bounds) or fault.server
    assert all(least <= gap < most + SLACK for gap, (least, most) in zip(gaps, bounds, strict=False)), gaps
    estimated = None if outcome.answer is None else outcome.answer.usage.estimated
    assert estimated is fault.estimated
    kept = kept_in(ledger, outcome, fault)
    publish(
        "faults",
        fault=fault.name,
        state=outcome.state,
        text_kept=shown_text(outcome.text),
        requests=requests,
        waits=", ".join(f"{gap:.2f} s" for gap in gaps),
        told=shown_words(outcome.words, server.base_url),
        receipt=receipt_of(outcome),
        ledger=kept,
        took=f"{took:.2f} s" + (f", {memory.peak:.0f} MiB" if fault.peak else ""),
    )


def cost_of(answer: Answer) -> Decimal:
    """What its tokens come to at the prices of the table."""
    return Decimal(2 * answer.usage.prompt_tokens + 8 * answer.usage.completion_tokens) / 1_000_000


def kept_in(ledger: Ledger, outcome: Outcome, fault: Fault) -> str:
    """Hold the ledger to an outcome, and return what it keeps of it."""
    rows = list(ledger.rows())
    row = rows[-1]
    assert len(rows) == (2 if len(rows) == 2 and rows[0]["state"] == "complete" else 1)
    assert row["state"] == outcome.state
    assert row["ended_at"]
    cost = fault.cost
    if outcome.answer is not None:
        cost = outcome.answer.cost
        assert cost == cost_of(outcome.answer) > 0
    assert row["cost_usd"] == (None if cost is None else format(cost, "f"))
    if outcome.state != "truncated" or outcome.answer.receipt.finish_reason in CUT:
        assert row["error_type"] == (outcome.kind and outcome.kind.__name__)
    else:
        assert row["error_type"]  # what it broke off of
    return ", ".join(filter(None, (row["state"], row["error_type"])))


def shown_words(words: str, base_url: str) -> str:
    words = words.replace(base_url.split("/")[2], "HOST")
    return words if len(words) < 200 else words[:200] + "…"


def shown_text(text: str) -> str:
    return text if len(text) < 20 else f"{len(text):,} characters"


def receipt_of(outcome: Outcome) -> str:
    answer = outcome.answer
    if answer is None:
        return "none"
    usage = answer.usage
    figures = f"{usage.prompt_tokens} in, {usage.completion_tokens:,} out"
    return f"about {figures}" if usage.estimated else figures


# --- the other faces -----------------------------------------------------------------------------

# One question each, and no more memory than a test may have beside others.
SCRIPTED = [
    fault
    for fault in FAULTS
    if fault.scripts and fault.peak == 0 and fault.seconds <= 4 and fault.name not in TWO_QUESTIONS
]
scripted = pytest.mark.parametrize("fault", SCRIPTED, ids=lambda fault: fault.name.replace(" ", "-"))


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos(HELLO) as server:
        yield server


@scripted
def test_an_iterated_stream_has_the_same_text_and_the_same_error(fault: Fault, chaos: Chaos) -> None:
    chaos.show(*fault.scripts)
    got, error = "", None
    with HolySheep(KEY, base_url=chaos.base_url, timeouts=fault.timeouts, retry=fault.retry) as client:
        messages = [{"role": "user", "content": "hi"}]
        try:
            create = client.chat.completions.create
            for chunk in create(model="gpt-4.1", messages=messages, stream=True, **fault.params):
                first = [choice for choice in chunk.choices if choice.index == 0]
                got += "".join(choice.delta.content or choice.delta.refusal or "" for choice in first)
        except HolySheepError as failure:
            error = failure
    assert expected(got, fault)
    broke_off = fault.state == "truncated" and not fault.says.startswith("cut ")
    assert type(error) is (StreamTruncatedError if broke_off else fault.error or type(None))
    assert len(chaos.requests) == fault.requests


@scripted
def test_without_a_stream_it_comes_to_the_same(fault: Fault, chaos: Chaos, tmp_path: Path) -> None:
    """Some relays answer so all the same."""
    chaos.show(*fault.scripts)
    ledger = Ledger(tmp_path / "ledger.db")

    async def ask() -> tuple[Outcome, float]:
        async with client_for(fault, chaos.base_url, ledger) as client:
            started = time.monotonic()
            return await asked(client, fault, stream=False), time.monotonic() - started

    outcome, took = asyncio.run(ask())
    assert (outcome.kind, outcome.state) == (fault.error, fault.state), outcome.words
    assert expected(outcome.text, fault), outcome.text[:200]
    assert len(chaos.requests) == fault.requests
    if took > fault.seconds + SLACK:  # before the head of a reply silence means nothing
        assert took < fault.requests * fault.timeouts.total + SLACK
        assert outcome.kind is APITimeoutError
    kept_in(ledger, outcome, fault)


@pytest.fixture
def relay(chaos: Chaos) -> Chaos:
    """What the shell asks."""
    return chaos


@scripted
def test_a_cell_keeps_the_same_text_and_says_the_same(fault: Fault, chaos: Chaos, shell: Shell) -> None:
    chaos.show(*fault.scripts)
    for name in ("idle", "total"):
        seconds = min(getattr(fault.timeouts, name), 30)
        shell.ip.run_line_magic("config", f"HolySheepMagics.{name}_timeout = {seconds}")
    params = "".join(f" -p {name}={value}" for name, value in fault.params.items())
    ran = shell.run(f"%%holysheep gpt-4.1 -o answer{params}\nhi")
    # The shell tries once, and asks for the models where it can suggest another.
    assert len(chaos.requests) == (2 if fault.error is NotFoundError else 1)
    again = fault.requests > 1 and fault.error is None
    assert type(ran.error) is (fault.error or type(None)) or again, ran.error
    if fault.error is not None:
        assert [line for line in ran.out.splitlines() if fault.error.__name__ in line]
    if fault.text and not again:
        answer = shell.names["answer"]
        assert expected(answer.text, fault)
        assert answer.state == fault.state
        assert answer.text in ran.out
    (row,) = shell.magics.purse.ledger.rows()
    assert row["state"] == ("error" if again else fault.state)


@pytest.fixture(scope="module")
def served(chaos: Chaos, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("relay"), chaos.base_url, idle=0.15, total=0.8) as running:
        yield running


def kept_by_relay(served: Edge, outcome: Outcome) -> None:
    """Hold the relay's ledger to what its client saw: who runs it must find there what went wrong."""

    def last() -> dict[str, Any]:
        return list(served.ledger.rows())[-1]

    assert within(10, lambda: last()["ended_at"]), "the relay never settled it"
    row = last()
    if outcome.kind is None:
        assert row["state"] == outcome.state
    elif outcome.kind is not EmptyAnswerError:
        assert row["error_type"] == outcome.kind.__name__
        assert row["state"] in {"error", "stopped"}  # stopped: nobody knows what it came to


@scripted
def test_through_our_own_relay_it_comes_to_the_same(fault: Fault, chaos: Chaos, served: Edge) -> None:
    chaos.show(*fault.scripts)

    async def ask() -> Outcome:
        base_url = f"http://127.0.0.1:{served.port}/v1"
        async with AsyncHolySheep(served.key, base_url=base_url, retry=fault.retry) as client:
            return await asked(client, fault)

    outcome = asyncio.run(ask())
    if fault.relayed is not None:
        assert len(chaos.requests) == 1  # what may be billed is not asked for again
    elif fault.state != "complete":
        assert len(chaos.requests) <= fault.requests
    if fault.relayed is not None:
        assert outcome.kind is fault.relayed[0], fault.relayed[1]
    else:
        assert outcome.kind is fault.error, outcome.error
        assert outcome.state == fault.state
        assert expected(outcome.text, fault), outcome.text
        if outcome.kind is None or issubclass(outcome.kind, UpstreamError | ProtocolError):
            kept_by_relay(served, outcome)
