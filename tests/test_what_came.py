"""What came of an answer that was cancelled, or that broke off without a stream: it is kept and recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from loopback import HELLO, SSE, Loopback
from shell import KEY

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import StreamTruncatedError
from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Connection

    from hs_notebook.answers import Answer

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
