"""What a call comes to that is stopped or fails before its answer: only what went out may be billed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from chaos import (
    STOP,
    Chaos,
    Script,
    queue_full,
    refusal,
    refusing,
    reset,
    script,
    silence,
    stream,
    whole,
)
from edge import edge, within
from loopback import SSE, Connection, Loopback
from shell import KEY

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError
from hs_notebook.exchange import Screen
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
from hs_notebook.prices import load_book
from hs_notebook.pricing.limit import limit_for
from hs_notebook.types import ChatRequest
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: A server, and what a call came to that was stopped there: the receipt's note, and whether it may be billed.
STOPPED: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "while it connects": (queue_full, "stopped before it was sent", False),
    "in the wait after a refused connection": (refusing, "stopped before it was sent", False),
    "in the wait after a 503": (lambda: Chaos(refusal(503)), "stopped before it was sent again", False),
    "in the wait after a 504": (lambda: Chaos(refusal(504)), "", True),
    "in the wait after a connection that broke": (lambda: Chaos(script(reset)), "", True),
    "before the first token": (lambda: Chaos(script(silence)), "", True),
}
PAGE = whole("200 OK", b"<p>Sign in", "text/html")
ERROR_FRAME = stream('{"error": {"message": "No."}}')
PRICED = load_book([{"model": "gpt-4.1", "input": 10, "output": 10}])
STEADY = RetryPolicy(base=1e6, cap=30.0)  # it waits for long between two attempts
CENT = Decimal("0.01")


def asking(client: AsyncHolySheep) -> Any:
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": "Hello?"}], {"max_tokens": 5})
    return client.exchange(request, limit=limit_for(request, client.quotes, CENT))


async def there(server: Any) -> None:
    """Wait until a call that has begun is where it is to be stopped."""
    deadline = time.monotonic() + 10
    if isinstance(server, Chaos):
        while not server.requests:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("where", STOPPED)
def test_what_is_stopped(where: str, stream: bool, tmp_path: Path) -> None:
    begin, note, billed = STOPPED[where]
    ledger = Ledger(tmp_path / "ledger.db")

    async def stop(base_url: str, server: Any) -> tuple[Any, Decimal, Decimal]:
        async with AsyncHolySheep(KEY, base_url=base_url, retry=STEADY, ledger=ledger) as client:
            exchange = asking(client)
            reading = asyncio.ensure_future(exchange.read(Screen(), stream=stream))
            await there(server)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            answer = await exchange.finish(stopped=True)
            return answer.receipt, exchange.charge, asking(client)._limit.worst

    with begin() as server:
        receipt, charge, worst = asyncio.run(stop(server.base_url, server))
    (row,) = ledger.rows()
    assert (receipt.state, row["state"]) == ("stopped", "stopped")
    if not billed:
        assert (receipt.note, receipt.cost, charge) == (note, 0, 0)
        assert (row["cost_usd"], row["gen_ai_usage_input_tokens"]) == ("0", 0)
    elif stream:
        assert 0 < charge < worst
        assert receipt.usage.prompt_tokens == row["gen_ai_usage_input_tokens"] > 0
    else:
        assert (receipt.cost, row["cost_usd"]) == (None, None)
        assert charge == worst


#: A server, and how many of two attempts may be billed of a call that failed there for good.
FAILED: dict[str, tuple[Callable[[], Any], int]] = {
    "never connected": (refusing, 0),
    "always refused": (lambda: Chaos(refusal(503)), 0),
    "sent, and the connection broke": (lambda: Chaos(script(reset)), 2),
    "sent, and silence": (lambda: Chaos(script(silence)), 2),
    "sent, and refused the second time": (lambda: Chaos(script(reset), refusal(400)), 1),
    "sent, and an error in a frame the second time": (lambda: Chaos(script(reset), ERROR_FRAME), 1),
    "a gateway that gave up": (lambda: Chaos(refusal(504)), 2),
    "a page in place of the answer": (lambda: Chaos(PAGE), 1),
}


@pytest.mark.parametrize("face", ["ask", "create"])
@pytest.mark.parametrize("name", FAILED)
def test_what_fails(name: str, face: str, tmp_path: Path) -> None:
    begin, unanswered = FAILED[name]
    ledger = Ledger(tmp_path / "ledger.db")

    async def fail(base_url: str) -> tuple[Decimal, Decimal]:
        async with AsyncHolySheep(
            KEY,
            base_url=base_url,
            retry=RetryPolicy(attempts=2, base=0.01, cap=0.02),
            timeouts=Timeouts(idle=0.2),
            ledger=ledger,
            prices=PRICED,
        ) as client:
            exchange = asking(client)
            if face == "create":
                messages = [{"role": "user", "content": "Hello?"}]
                with pytest.raises(HolySheepError):
                    await client.chat.completions.create(model="gpt-4.1", messages=messages, stream=True)
                receipt = exchange._assembler.billed(unanswered=1)
                return ledger.spent().charged, client.quotes.charge(receipt)
            error = await exchange.read(Screen())
            with pytest.raises(HolySheepError):
                await exchange.finish(error=error)
            return exchange.charge, exchange._limit.unanswered

    with begin() as server:
        charge, most = asyncio.run(fail(server.base_url))
    (row,) = ledger.rows()
    assert (row["state"], row["cost_usd"]) == ("error", None)
    assert bool(row["gen_ai_usage_input_tokens"]) is bool(unanswered)
    assert ledger.spent().unknown == bool(unanswered)
    assert charge == unanswered * most


FREE = (302, 400, 401, 402, 404, 429, 500, 503, 521, 529)
#: What an upstream says, and whether it may be billed: the client's ledger and a relay's between agree.
SAID: dict[str, tuple[Script, bool]] = {
    **{f"status {status}": (refusal(status), False) for status in FREE},
    **{f"status {status}": (refusal(status), True) for status in (502, 504, 520, 524)},
    "a page": (PAGE, True),
    "no JSON": (whole("200 OK", b'{"choices": [{"mess'), True),
    "JSON of another kind": (whole("200 OK", b'{"ok": true}'), True),
    "an error as JSON": (whole("200 OK", b'{"error": {"message": "No."}}'), False),
    "an error in a frame": (ERROR_FRAME, False),
    "no JSON in a frame": (stream("{"), True),
    "an event that is too large": (stream("x" * 1_100_000), True),
    "an empty stream": (stream(), True),
    "[DONE] alone": (stream("[DONE]"), True),
    "a finish reason alone": (stream(STOP, "[DONE]"), True),
    "a connection that breaks": (script(reset), True),
    "a stream that breaks": (script(SSE, reset), True),
    "silence in a stream": (script(SSE, silence), True),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_two_ledgers_say_the_same(name: str, tmp_path: Path) -> None:
    said, billed = SAID[name]
    for folder in ("alone", "between"):
        (tmp_path / folder).mkdir()
    ledgers = {folder: Ledger(tmp_path / folder / "client.db") for folder in ("alone", "between")}
    with Chaos(said) as upstream:
        fails(upstream.base_url, KEY, ledgers["alone"])
        with edge(tmp_path / "between", upstream.base_url, idle=0.3, prices=PRICED) as relay:
            fails(f"http://127.0.0.1:{relay.port}/v1", relay.key, ledgers["between"])
            assert within(10, lambda: list(relay.ledger.rows())[-1]["ended_at"])
            unknown = relay.ledger.spent(user="laptop").unknown
    assert {folder: ledger.spent().unknown for folder, ledger in ledgers.items()} == {
        "alone": billed,
        "between": billed,
    }
    assert unknown == billed


def test_two_ledgers_say_the_same_of_what_never_reached_the_upstream(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "client.db")
    with refusing() as nobody, edge(tmp_path, nobody.base_url) as relay:
        fails(f"http://127.0.0.1:{relay.port}/v1", relay.key, ledger)
        assert (ledger.spent().unknown, relay.ledger.spent(user="laptop").unknown) == (0, 0)


def fails(base_url: str, key: str, ledger: Ledger) -> None:
    settings: dict[str, Any] = {
        "retry": RetryPolicy(attempts=1),
        "timeouts": Timeouts(idle=1),
        "prices": PRICED,
    }
    with (
        HolySheep(key, base_url=base_url, ledger=ledger, **settings) as client,
        pytest.raises(HolySheepError),
    ):
        client.ask("Hello?", model="gpt-4.1")


def test_what_a_proxy_refuses_never_went_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        if server.ask(connection):
            connection.send(b"HTTP/1.1 503 Not now\r\ncontent-length: 0\r\n\r\n")

    ledger = Ledger(tmp_path / "ledger.db")
    with Loopback(serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        patience = RetryPolicy(attempts=1)
        client = HolySheep(KEY, base_url="https://far.example/v1", retry=patience, ledger=ledger)
        with client, pytest.raises(HolySheepError):
            client.ask("Hello?", model="gpt-4.1")
    assert [request.line for request in proxy.requests] == ["CONNECT far.example:443 HTTP/1.1"]
    (row,) = ledger.rows()
    assert (row["state"], row["gen_ai_usage_input_tokens"], ledger.spent().unknown) == ("error", None, 0)


@pytest.mark.parametrize("sent", [True, False])
def test_a_completion_that_is_cancelled(sent: bool, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")

    async def cancel(base_url: str, server: Any) -> None:
        async with AsyncHolySheep(KEY, base_url=base_url, ledger=ledger) as client:
            messages = [{"role": "user", "content": "Hello?"}]
            task = asyncio.ensure_future(client.chat.completions.create(model="gpt-4.1", messages=messages))
            await there(server)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Chaos(script(silence)) if sent else queue_full() as server:
        asyncio.run(cancel(server.base_url, server))
    (row,) = ledger.rows()
    assert (row["state"], row["cost_usd"]) == ("stopped", None if sent else "0")
