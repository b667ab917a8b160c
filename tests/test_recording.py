"""Every call in the ledger: pending before it is sent, then its outcome, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from shell import KEY, Server, said, sse

from hs_notebook import AsyncHolySheep, HolySheep, HolySheepError, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

MODEL = "gpt-4.1"
SHORT = [{"role": "user", "content": "[simulate tokens=20 speed=inf]"}]
LONG = [{"role": "user", "content": "[simulate tokens=2000 tps=200]"}]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def client(relay: EmbeddedRelay, ledger: Ledger) -> Iterator[HolySheep]:
    with HolySheep(KEY, base_url=relay.base_url, ledger=ledger) as running:
        yield running


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    return list(ledger.rows())


def test_an_answer(client: HolySheep, ledger: Ledger) -> None:
    answer = client.ask("[simulate tokens=20 speed=inf]", model=MODEL, temperature=0.5, max_tokens=100)
    (row,) = rows(ledger)
    expected = {
        "state": "complete",
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "holysheep",
        "gen_ai_request_model": MODEL,
        "gen_ai_request_temperature": 0.5,
        "gen_ai_request_max_tokens": 100,
        "gen_ai_response_model": MODEL,
        "gen_ai_response_id": answer.receipt.response_id,
        "gen_ai_response_finish_reasons": ["stop"],
        "gen_ai_usage_input_tokens": answer.usage.prompt_tokens,
        "gen_ai_usage_output_tokens": 20,
        "server_address": "127.0.0.1",
        "seller": "HolySheep",
        "simulated": True,
        "usage_estimated": False,
        "cost_usd": None,
        "cost_known_usd": "0.00016",
    }
    assert {name: row[name] for name in expected} == expected
    assert 0 < row["time_to_first_token"] <= row["duration"]


def test_what_has_openai_s_names_is_recorded_too(client: HolySheep, ledger: Ledger) -> None:
    create = client.chat.completions.create
    create(model=MODEL, messages=SHORT)
    for _ in create(model=MODEL, messages=SHORT, stream=True):
        pass
    for _ in create(model=MODEL, messages=LONG, stream=True):
        break
    with pytest.raises(HolySheepError):
        create(model=MODEL, messages=[{"role": "user", "content": "[simulate fault=400]"}])
    figures = ("state", "gen_ai_usage_output_tokens", "cost_known_usd", "simulated", "error_type")
    whole, streamed, left, refused = (tuple(row[name] for name in figures) for row in rows(ledger))
    assert whole == streamed == ("complete", 20, "0.00016", True, None)
    assert refused == ("error", None, None, True, "BadRequestError")
    arrived = left[1]  # one was read; others may have come before the loop was left
    assert 1 <= arrived < 200
    assert (left[0], Decimal(left[2]), *left[3:]) == ("stopped", arrived * Decimal("0.000008"), True, None)


def test_an_answer_that_broke_off_says_of_what(client: HolySheep, ledger: Ledger) -> None:
    assert client.ask("[simulate tokens=30 speed=inf fault=cut]", model=MODEL).state == "truncated"
    (row,) = rows(ledger)
    assert (row["state"], row["error_type"]) == ("truncated", "StreamTruncatedError")


def test_without_a_ledger_nothing_is_written(
    relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with HolySheep(KEY, base_url=relay.base_url) as client:
        client.ask("[simulate tokens=2 speed=inf]", model=MODEL)
    assert Ledger().path.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_pending_while_it_is_on_its_way(client: HolySheep, ledger: Ledger) -> None:
    stream = iter(client.chat.completions.create(model=MODEL, messages=LONG, stream=True))
    next(stream)
    assert [row["state"] for row in rows(ledger)] == ["pending"]
    stream.close()
    (row,) = rows(ledger)
    assert (row["state"], row["usage_estimated"]) == ("stopped", True)


def test_it_is_written_before_it_is_sent(ledger: Ledger) -> None:
    seen: list[list[str]] = []

    class Looking(Server):
        def _answer(self, handler: Any) -> None:
            seen.append([row["state"] for row in ledger.rows()])
            super()._answer(handler)

    with Looking([said("Yes.")]) as server, HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client:
        client.ask("Hello", model=MODEL)
    assert seen == [["pending"]]
    (row,) = rows(ledger)
    assert (row["gen_ai_response_model"], row["cost_usd"], row["cost_known_usd"]) == ("m", None, None)


def test_a_cancelled_question_is_settled_as_stopped(relay: EmbeddedRelay, ledger: Ledger) -> None:
    async def cancel() -> None:
        async with AsyncHolySheep(KEY, base_url=relay.base_url, ledger=ledger) as client:
            asking = asyncio.create_task(client.ask(LONG[0]["content"], model=MODEL))
            await asyncio.sleep(1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(cancel())
    (row,) = rows(ledger)
    assert (row["state"], row["usage_estimated"]) == ("stopped", True)
    assert row["gen_ai_usage_output_tokens"] > 0


def test_one_cancelled_before_it_was_sent_costs_nothing(relay: EmbeddedRelay, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    kept = Ledger(path)

    async def cancel() -> None:
        async with AsyncHolySheep(KEY, base_url=relay.base_url, ledger=kept) as client:
            asking = asyncio.create_task(client.ask(LONG[0]["content"], model=MODEL))
            await asyncio.sleep(0.3)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            lock.execute("ROLLBACK")
            await asyncio.sleep(0.5)

    asyncio.run(cancel())
    lock.close()
    assert relay.stats.requests == 0
    (row,) = rows(kept)
    assert (row["state"], row["cost_usd"], row["gen_ai_usage_output_tokens"]) == ("stopped", "0", 0)


def test_one_cancelled_on_a_loop_that_ends_leaves_nothing_pending(
    relay: EmbeddedRelay, ledger: Ledger
) -> None:
    """Also where its row is being written in that very moment."""

    async def ask(patience: float) -> None:
        async with AsyncHolySheep(KEY, base_url=relay.base_url, ledger=ledger) as client:
            asking = asyncio.ensure_future(client.ask("[simulate ttft=60000]", model=MODEL))
            await asyncio.sleep(patience)
            asking.cancel()
            await asyncio.wait([asking])

    for number in range(30):
        asyncio.run(ask(number % 10 / 1000))
    assert {row["state"] for row in rows(ledger)} == {"stopped"}


def test_one_cancelled_in_one_piece_is_of_unknown_cost(relay: EmbeddedRelay, ledger: Ledger) -> None:
    async def cancel(*, whole: bool) -> None:
        async with AsyncHolySheep(KEY, base_url=relay.base_url, ledger=ledger) as client:
            words = LONG[0]["content"]
            create = client.chat.completions.create(model=MODEL, messages=LONG)
            asking = asyncio.create_task(create if whole else client.ask(words, model=MODEL, stream=False))
            if not whole:
                create.close()
            await asyncio.sleep(0.5)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(cancel(whole=True))
    asyncio.run(cancel(whole=False))
    assert [(row["state"], row["cost_usd"]) for row in rows(ledger)] == [("stopped", None)] * 2
    assert ledger.spent().unknown == 2


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 12, "completion_tokens": 1e30},
        {"prompt_tokens": 12, "completion_tokens": "12"},
        {"prompt_tokens": 12},
        {"prompt_tokens": -5, "completion_tokens": -7},
        {"prompt_tokens": 12, "completion_tokens": 10**40},
    ],
)
def test_a_usage_that_cannot_be_is_none(usage: dict[str, Any], ledger: Ledger) -> None:
    choice = {"index": 0, "delta": {"content": "A whole sentence."}, "finish_reason": "stop"}
    for frames in (
        [{"model": MODEL, "choices": [choice]}, {"choices": [], "usage": usage}],
        [
            {"model": MODEL, "choices": [{"index": 0, "delta": {"content": "A whole"}}], "usage": usage},
            {"choices": [choice]},
        ],
    ):
        with (
            Server([sse(*frames)]) as server,
            HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client,
        ):
            answer = client.ask("Hello", model=MODEL)
            assert answer.usage.estimated
            assert answer.usage.completion_tokens > 0
            list(client.chat.completions.create(model=MODEL, messages=SHORT, stream=True))
    assert [row["usage_estimated"] for row in rows(ledger)] == [True] * 4


def test_an_estimate_counts_what_is_called_and_refused(ledger: Ledger) -> None:
    said = "abcd" * 50
    for delta in (
        {"refusal": said},
        {"tool_calls": [{"function": {"arguments": said}}]},
        {"tool_calls": [{"function": {"name": said}}]},
    ):
        frame = {"model": MODEL, "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
        with (
            Server([sse(frame)]) as server,
            HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client,
        ):
            list(client.chat.completions.create(model=MODEL, messages=SHORT, stream=True))
    assert [row["gen_ai_usage_output_tokens"] > 30 for row in rows(ledger)] == [True] * 3


def test_cached_tokens_on_a_frame_with_text(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_cache_hit_tokens": 90, "estimated": True}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    frame = {"model": MODEL, "choices": [choice], "usage": usage}
    with Server([sse(frame)]) as server, HolySheep(KEY, base_url=server.base_url, ledger=ledger) as client:
        client.ask("Hello", model=MODEL)
    (row,) = rows(ledger)
    assert (row["gen_ai_usage_cache_read_input_tokens"], row["usage_estimated"]) == (90, False)


def test_no_word_is_kept_unless_asked(relay: EmbeddedRelay, tmp_path: Path) -> None:
    for keep, found in ((False, False), (True, True)):
        path = tmp_path / f"{keep}.db"
        kept = Ledger(path, keep_text=keep)
        with HolySheep(KEY, base_url=relay.base_url, ledger=kept) as client:
            client.ask("[simulate text speed=inf] an answering canary", model=MODEL, system="asking canary")
        data = b"".join(file.read_bytes() for file in tmp_path.glob(f"{keep}.db*"))
        assert (b"asking canary" in data, b"an answering canary" in data) == (found, found)
        assert KEY.encode() not in data


def test_a_server_that_gives_the_key_back(ledger: Ledger, tmp_path: Path) -> None:
    choice = {"index": 0, "delta": {"content": "It is KEY."}, "finish_reason": "stop"}
    kept = Ledger(ledger.path, keep_text=True)
    with (
        Server([sse({"model": "KEY", "id": "KEY", "choices": [choice]})]) as server,
        HolySheep(KEY, base_url=server.base_url, ledger=kept) as client,
    ):
        client.ask("Hello", model=MODEL)
        client.chat.completions.create(model=MODEL, messages=SHORT)
        list(client.chat.completions.create(model=MODEL, messages=SHORT, stream=True))
        with pytest.raises(HolySheepError):
            client.chat.completions.create(model=KEY, messages="nothing")
        client.chat.completions.create(model=KEY, messages=SHORT)
    assert [row["gen_ai_response_model"] for row in kept.rows()] == ["[key]"] * 4
    assert [row["gen_ai_request_model"] for row in kept.rows()] == [MODEL] * 3 + ["[key]"]
    assert next(row["answer"] for row in kept.rows(text=True)) == "It is [key]."
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_a_killed_process_leaves_its_call_pending(relay: EmbeddedRelay, ledger: Ledger) -> None:
    script = (
        "import sys; from pathlib import Path; from hs_notebook import HolySheep, Ledger\n"
        "client = HolySheep(sys.argv[1], base_url=sys.argv[2], ledger=Ledger(Path(sys.argv[3])))\n"
        "client.ask(sys.argv[4], model='gpt-4.1')"
    )
    words = [KEY, relay.base_url, os.fspath(ledger.path), LONG[0]["content"]]
    process = subprocess.Popen([sys.executable, "-c", script, *words])
    deadline = time.monotonic() + 30
    while not relay.stats.requests:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert [row["state"] for row in rows(ledger)] == ["pending"]
    (call,) = ledger.unsettled()
    assert call.model == MODEL


@pytest.mark.parametrize("stream", [True, False])
def test_a_locked_ledger_holds_no_answer_back_for_long(
    relay: EmbeddedRelay, tmp_path: Path, stream: bool
) -> None:
    path = tmp_path / "ledger.db"
    list(Ledger(path).rows())
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    kept = Ledger(path, timeout=0.2)
    with HolySheep(KEY, base_url=relay.base_url, ledger=kept) as client:
        start = time.monotonic()
        with pytest.warns(UserWarning, match="Calls go on, but are not recorded"):
            answer = client.ask("[simulate tokens=5 speed=inf]", model=MODEL, stream=stream)
        assert time.monotonic() - start < 2
    lock.close()
    assert answer.state == "complete"


def test_an_answer_in_one_piece_that_was_stopped_is_charged_in_full(
    relay: EmbeddedRelay, ledger: Ledger
) -> None:
    async def stop() -> None:
        async with AsyncHolySheep(KEY, base_url=relay.base_url, ledger=ledger) as client:
            words = {"model": MODEL, "stream": False, "max_tokens": 1000, "max_cost": "0.01"}
            asking = asyncio.create_task(client.ask(LONG[0]["content"], **words))
            await asyncio.sleep(0.5)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(stop())
    (row,) = rows(ledger)
    assert (row["state"], row["cost_usd"]) == ("stopped", None)
    assert 0.008 < float(row["charged_usd"]) < 0.0081


def test_a_simulated_relay_s_failures_are_simulated_too(client: HolySheep, ledger: Ledger) -> None:
    client.ask("[simulate tokens=2 speed=inf]", model=MODEL)
    for fault in ("500", "empty", "badjson", "429"):
        with pytest.raises(HolySheepError):
            client.ask(f"[simulate fault={fault} speed=inf]", model=MODEL)
    assert {row["simulated"] for row in rows(ledger)} == {True}
    spent = ledger.spent()
    assert (spent.calls, spent.simulated, spent.charged) == (0, 5, 0)
