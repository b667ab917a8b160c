"""What came of an answer that was cancelled, or that broke off without a stream: it is kept and recorded."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from loopback import HELLO, SSE, Loopback
from shell import KEY

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import StreamTruncatedError
from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loopback import Connection

    from hs_notebook.answers import Answer
    from hs_notebook.relay import EmbeddedRelay

HI = [{"role": "user", "content": "hi"}]
SOON = 0.3  # seconds within which a connection must be closed


def begin_and_wait(connection: Connection, server: Loopback) -> None:
    """Say the beginning of an answer, and no more."""
    while server.ask(connection):
        connection.send(SSE)
        connection.events(*HELLO[:2])
        server.wait_gone(connection)


@pytest.mark.parametrize("way", ["cancel", "wait_for", "timeout"])
@pytest.mark.parametrize("how", ["stream", "whole", "completion"])
def test_what_came_of_a_cancelled_task_is_kept(how: str, way: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    prices = load_book([{"model": "m", "input": 2, "output": 8}])

    async def kept(base_url: str) -> Answer:
        client = AsyncHolySheep(KEY, base_url=base_url, ledger=ledger, prices=prices)
        if how == "completion":
            asking = asyncio.ensure_future(client.chat.completions.create(model="m", messages=HI))
        else:
            asking = asyncio.ensure_future(client.ask("hi", model="m", stream=how == "stream"))
        asyncio.get_running_loop().call_later(0.5 if way == "cancel" else 9, asking.cancel)
        try:
            async with asyncio.timeout(0.5 if way == "timeout" else None):
                await asyncio.wait_for(asking, 0.5 if way == "wait_for" else None)
        except asyncio.CancelledError as stop:
            return stop.answer
        except TimeoutError as late:
            return late.__cause__.answer
        finally:
            await client.close()
        raise AssertionError

    with Loopback(begin_and_wait) as server:
        answer = asyncio.run(kept(server.base_url))
        assert server.gone.wait(SOON)
    assert (answer.text, answer.state, answer.usage.estimated) == ("Hello", "stopped", True)
    (row,) = ledger.rows()
    assert row["state"] == "stopped"
    assert row["gen_ai_usage_output_tokens"] == answer.usage.completion_tokens > 0
    assert row["cost_usd"] == format(answer.cost, "f") != "0"


def test_an_answer_cancelled_at_any_moment_is_what_its_row_says(relay: EmbeddedRelay, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ends = Counter[str]()

    async def cancelled_after(client: AsyncHolySheep, seconds: float) -> None:
        asking = asyncio.ensure_future(client.ask("[simulate tokens=9 speed=inf]", model="gpt-4.1"))
        asyncio.get_running_loop().call_later(seconds, asking.cancel)
        before = len(list(ledger.rows()))
        try:
            answer = await asking
        except asyncio.CancelledError as stop:
            answer = stop.answer  # type: ignore[attr-defined]
            ends["cancelled"] += 1
        while any(row["state"] == "pending" for row in ledger.rows()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # a thread writes it, of which nobody tells
        new = list(ledger.rows())[before:]
        if answer is None:
            assert [(row["state"], row["cost_usd"]) for row in new] in ([], [("stopped", "0")])
        else:
            assert [row["state"] for row in new] == [answer.state]
            ends[answer.state] += 1

    async def main() -> None:
        settings: Any = {"base_url": relay.base_url, "ledger": ledger, "requests_per_minute": 10_000}
        async with AsyncHolySheep(KEY, **settings) as client:
            await client.ask("hi", model="gpt-4.1")
            began = time.monotonic()
            await client.ask("[simulate tokens=9 speed=inf]", model="gpt-4.1")
            usual = time.monotonic() - began
            for step in range(50):
                await cancelled_after(client, 1.2 * usual * step / 50)

    asyncio.run(main())
    assert ends["cancelled"] > 9
    assert ends["stopped"]
    assert ends["complete"]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda client: client.ask("hi", model="m"), id="stream"),
        pytest.param(lambda client: client.ask("hi", model="m", stream=False), id="whole"),
        pytest.param(lambda client: client.chat.completions.create(model="m", messages=HI), id="completion"),
    ],
)
def test_what_came_of_an_interrupted_call_is_kept(ask: Callable[[HolySheep], Any], tmp_path: Path) -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        connection.send(SSE)
        connection.events(*HELLO[:2])
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        server.wait_gone(connection)

    ledger = Ledger(tmp_path / "ledger.db")
    with (
        Loopback(serve) as server,
        HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client,
        pytest.raises(KeyboardInterrupt) as stop,
    ):
        ask(client)
    answer = stop.value.answer  # type: ignore[attr-defined]
    assert (answer.text, answer.state) == ("Hello", "stopped")
    (row,) = ledger.rows()
    assert row["state"] == "stopped"


def test_a_completion_that_breaks_off_has_its_text(tmp_path: Path) -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(SSE)
            connection.events(*HELLO[:2])
            connection.reset()

    ledger = Ledger(tmp_path / "ledger.db")
    with (
        Loopback(serve) as server,
        HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client,
        pytest.raises(StreamTruncatedError) as broken,
    ):
        client.chat.completions.create(model="m", messages=HI)
    answer = broken.value.answer
    assert (answer.text, answer.state) == ("Hello", "truncated")
    (row,) = ledger.rows()
    assert (row["state"], row["error_type"]) == ("truncated", "StreamTruncatedError")
