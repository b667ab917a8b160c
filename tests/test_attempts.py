"""What a call comes to that is stopped or fails before its answer: only what went out may be billed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from chaos import Chaos, queue_full, refusal, refusing, reset, script, silence
from loopback import Connection, Loopback
from shell import KEY

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError
from hs_notebook.exchange import Screen
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
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
    "in the wait after a connection that broke": (lambda: Chaos(script(reset)), "", True),
    "before the first token": (lambda: Chaos(script(silence)), "", True),
}
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


#: A server, and whether a call that failed there for good may be billed.
FAILED: dict[str, tuple[Callable[[], Any], bool]] = {
    "never connected": (refusing, False),
    "always refused": (lambda: Chaos(refusal(503)), False),
    "sent, and the connection broke": (lambda: Chaos(script(reset)), True),
    "sent, and silence": (lambda: Chaos(script(silence)), True),
    "sent, and refused the second time": (lambda: Chaos(script(reset), refusal(400)), True),
}


@pytest.mark.parametrize("face", ["ask", "create"])
@pytest.mark.parametrize("name", FAILED)
def test_what_fails(name: str, face: str, tmp_path: Path) -> None:
    begin, billed = FAILED[name]
    ledger = Ledger(tmp_path / "ledger.db")

    async def fail(base_url: str) -> tuple[Decimal | None, Decimal]:
        async with AsyncHolySheep(
            KEY,
            base_url=base_url,
            retry=RetryPolicy(attempts=2, base=0.01, cap=0.02),
            timeouts=Timeouts(idle=0.2),
            ledger=ledger,
        ) as client:
            exchange = asking(client)
            if face == "create":
                messages = [{"role": "user", "content": "Hello?"}]
                with pytest.raises(HolySheepError):
                    await client.chat.completions.create(model="gpt-4.1", messages=messages, stream=True)
                return None, exchange._limit.unanswered
            error = await exchange.read(Screen())
            with pytest.raises(HolySheepError):
                await exchange.finish(error=error)
            return exchange.charge, exchange._limit.unanswered

    with begin() as server:
        charge, most = asyncio.run(fail(server.base_url))
    (row,) = ledger.rows()
    assert (row["state"], row["cost_usd"]) == ("error", None)
    assert bool(row["gen_ai_usage_input_tokens"]) is billed
    assert ledger.spent().unknown == int(billed)
    if face == "ask":
        assert charge == (most if billed else 0)


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
