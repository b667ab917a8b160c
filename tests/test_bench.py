"""Benchmarks against a real relay: what is sent, what is measured, what is kept, whatever goes wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from chaos import queue_full
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter
from kernels import DEFAULT_KERNEL
from shell import KEY, Reply, Server, Shell, kernel, said, settings, sse

import hs_notebook
from hs_notebook import HolySheep
from hs_notebook.benchmarking.benchmark import Benchmark
from hs_notebook.benchmarking.job import setup_of
from hs_notebook.benchmarking.pictures import share
from hs_notebook.benchmarking.plan import Plan, orders
from hs_notebook.cli import main
from hs_notebook.display.distributions import ticks
from hs_notebook.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    BudgetError,
    HolySheepError,
    NotFoundError,
    UsageError,
)
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
from hs_notebook.prices import load_book
from hs_notebook.pricing.money import money
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.simulation.models import find
from hs_notebook.wire.limiter import RateLimiter
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAST = "[simulate speed=inf tokens=20] go on"
SMALL = {"requests": 3, "tokens": 20, "parallel": 2, "warmup": 1, "prompt": FAST}
LINE = f"--requests 3 --tokens 20 --parallel 2 --warmup 1 --prompt '{FAST}'"

needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that takes no file")


@pytest.fixture
def client(relay: EmbeddedRelay) -> HolySheep:
    return client_of(relay.base_url)


def client_of(base_url: str, **given: Any) -> HolySheep:
    usual = {
        "requests_per_minute": 10**6,
        "retry": RetryPolicy(attempts=1),
        "prices": load_book([{"model": "gpt-4.1", "input": 2.0}]),
    }
    return HolySheep(KEY, base_url=base_url, **(usual | given))


def bench(models: Any = "gpt-4.1", **given: Any) -> Benchmark:
    found = hs_notebook.bench(models, **(SMALL | {"progress": False} | given))
    assert found is not None
    return found


def asked(relay: EmbeddedRelay) -> list[tuple[str, str]]:
    """The models that were asked, and the numbers in front of their prompts."""
    bodies = [json.loads(seen.body) for seen in relay.stats.seen]
    return [(body["model"], body["messages"][0]["content"].split()[0]) for body in bodies]


@contextmanager
def meanwhile(relay: EmbeddedRelay, requests: int, act: Callable[[], object]) -> Iterator[None]:
    """Let another thread act once the relay has been asked so often."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        while relay.stats.requests < requests and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# --- the plan ------------------------------------------------------------------------------------


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=5, unique=True), st.integers(1, 3))
def test_each_model_stands_in_each_place_as_often(models: list[str], blocks: int) -> None:
    rounds = [order for _, order in zip(range(blocks * len(models)), orders(tuple(models)), strict=False)]
    places = Counter((place, model) for order in rounds for place, model in enumerate(order))
    assert set(places.values()) == {blocks}
    assert len(places) == len(models) ** 2


def test_a_plan_is_the_same_each_time() -> None:
    plan = Plan.of("a,b,c", **SMALL)
    turns = plan.turns()
    assert turns == plan.turns()
    assert [turn.number for several in turns for turn in several] == list(range(plan.total))
    assert [len(several) for several in turns] == [1] * 12 + [2] * 3
    assert {turn.phase for (turn,) in turns[:3]} == {"warm-up"}


@pytest.mark.parametrize(
    ("models", "given", "line"),
    [
        ("", {}, "No model was named."),
        (", ,", {}, "No model was named."),
        ([7], {}, "A model is a name."),
        ("a", {"requests": 0}, "requests is a whole number from 1, not 0."),
        ("a", {"tokens": 0}, "tokens is a whole number from 1, not 0."),
        ("a", {"parallel": -1}, "parallel is a whole number from 0, not -1."),
        ("a", {"warmup": 1.5}, "warmup is a whole number from 0, not 1.5."),
        ("a", {"requests": True}, "requests is a whole number from 1, not True."),
        ("a", {"requests": 10**7}, "10,000,003 requests are more than 100,000."),
        ("a", {"prompt": " "}, "The prompt is empty."),
        ("gpt-4.1", {"tokens": 10**6}, "gpt-4.1 answers with at most 32,768 tokens, not 1,000,000."),
        ("gpt-4.1", {"prompt": f"what is {KEY}"}, "The prompt or an option holds your key"),
        ("gpt-4.1", {"max_cost": "much"}, "much is no amount in USD."),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_sent(
    models: Any, given: dict[str, Any], line: str, client: HolySheep, relay: EmbeddedRelay
) -> None:
    with pytest.raises(UsageError) as caught:
        bench(models, client=client, **given)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert relay.stats.requests == 0


def test_a_peak_above_the_limit_of_requests_is_refused(relay: EmbeddedRelay) -> None:
    with pytest.raises(UsageError, match="A peak of 2 at once is above the 1 requests a minute"):
        bench(client=client_of(relay.base_url, requests_per_minute=1))


def test_room_for_several_comes_when_the_oldest_are_out_of_the_window() -> None:
    now = 0.0
    limiter = RateLimiter(4, 5, clock=lambda: now)
    for now in (0.0, 10.0, 20.0):  # noqa: B007 - the clock reads it
        assert limiter.count() == 0
    assert [limiter.wait_for(number) for number in (1, 2, 3, 4)] == [0, 40, 50, 60]
    assert limiter.wait_for(9) == 60  # more than a minute's can never be


# --- what is sent and measured -------------------------------------------------------------------


def test_all_is_asked_in_order_and_measured(client: HolySheep, relay: EmbeddedRelay) -> None:
    found = bench(["gpt-4.1", "deepseek-v3.2"], client=client)
    plan = Plan.of("gpt-4.1 deepseek-v3.2", **SMALL)
    kinds = {"warm-up": "w", "sequential": "s", "parallel": "p"}
    wanted = [(t.model, f"({kinds[t.phase]}{t.place + 1})") for turns in plan.turns() for t in turns]
    assert asked(relay)[:8] == wanted[:8]  # one at a time
    assert sorted(asked(relay)) == sorted(wanted)
    assert Counter(sample.phase for sample in found.samples) == {"warm-up": 2, "sequential": 6, "parallel": 4}
    for sample in found.samples:
        assert sample.whole
        assert not sample.failed
        assert (sample.state, sample.finish_reason) in {("complete", "stop"), ("truncated", "length")}
        assert sample.output_tokens == 20
        assert sample.ttft is not None
        assert sample.duration is not None
        assert 0 < sample.ttft <= sample.duration
        assert sample.attempts == 1
        assert sample.simulated
    of_gpt = [sample for sample in found.samples if sample.model == "gpt-4.1"]
    costs = [Decimal(2 * (one.input_tokens or 0) + 8 * 20) / 10**6 for one in of_gpt]
    assert [one.cost for one in of_gpt] == costs
    assert found.cost is None  # deepseek's price of input is unknown
    rows = found.table.as_dicts()
    assert [(row["Model"], row["Asked"], row["Requests"]) for row in rows] == [
        ("gpt-4.1", "one at a time", 3), ("gpt-4.1", "2 at once", 2),
        ("deepseek-v3.2", "one at a time", 3), ("deepseek-v3.2", "2 at once", 2),
    ]  # fmt: skip
    assert rows[0]["Errors"] == "0 % (0–56.1)"
    assert "simulated" in found.table.title


def test_the_peak_is_at_once_and_goes_beyond_the_client_s_places() -> None:
    """Eight answers of 0.6 s through two places would take four times as long."""
    with EmbeddedRelay() as relay:
        client = client_of(relay.base_url, concurrent_streams=2)
        found = bench(client=client, requests=1, parallel=8, prompt="[simulate tokens=2 ttft=600 tps=1000]")
    peak = [sample for sample in found.samples if sample.phase == "parallel"]
    begun = [sample.started.timestamp() for sample in peak]
    ended = [start + (sample.duration or 0) for start, sample in zip(begun, peak, strict=True)]
    assert len(peak) == 8
    assert max(begun) < min(ended)
    assert any("goes beyond the 2 streams" in note for note in found.table.notes)


def test_errors_are_those_that_the_relay_made_and_end_nothing() -> None:
    """The relay draws once a request, so which ones fail is known beforehand."""
    models = ("gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2")
    seed = 7
    with EmbeddedRelay(Simulation(speed=math.inf, errors=True, seed=seed)) as relay:
        found = bench(
            models,
            requests=100,
            parallel=0,
            warmup=0,
            prompt="[simulate tokens=2]",
            client=client_of(relay.base_url),
        )
    random, wanted = Random(seed), Counter[str]()
    plan = Plan.of(models, requests=100, parallel=0, warmup=0)
    for (turn,) in plan.turns():
        model = find(turn.model)
        assert model is not None
        wanted[turn.model] += random.random() < model.error_rate
    assert wanted.total() > 0
    assert Counter(one.model for one in found.samples if one.failed) == +wanted
    assert {one.error_type for one in found.samples} == {"", "InternalServerError"}
    assert len(found.samples) == 400
    assert found.ended == ""
    failing = next(model for model, count in wanted.items() if count)
    row = next(row for row in found.table.as_dicts() if row["Model"] == failing)
    assert row["Errors"].startswith(f"{wanted[failing]} % (")
    assert any("InternalServerError (1)" in note for note in found.table.notes)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("cut", "StreamTruncatedError"), ("errorframe", "UpstreamError"), ("503", "InternalServerError"),
     ("429", "RateLimitError"), ("empty", "EmptyAnswerError")],
)  # fmt: skip
def test_each_failure_has_its_kind(fault: str, kind: str, client: HolySheep) -> None:
    found = bench(client=client, prompt=f"[simulate speed=inf tokens=20 fault={fault}]")
    assert {one.error_type for one in found.samples} == {kind}
    assert all(one.failed and not one.whole for one in found.samples)
    assert found.ended == ""
    assert found.table.as_dicts()[0]["First token p50"] == "unknown"
    assert found.table.as_dicts()[0]["Errors"] == "100 % (43.9–100.0)"


def test_what_another_attempt_mends_is_counted_and_its_wait_is_no_latency() -> None:
    again = Reply(status=503, body="{}", headers={"retry-after-ms": "400"})
    with Server([again, said("whole"), again, said("whole"), said("whole")]) as server:
        client = client_of(server.base_url, retry=RetryPolicy())
        found = bench("m", requests=3, parallel=0, warmup=0, client=client)
    first, second, third = found.samples
    for mended in (first, second):
        assert (mended.attempts, mended.mended, mended.error_type) == (2, ("InternalServerError",), "")
        assert mended.whole
        assert mended.failed
        assert mended.waited >= 0.4
        assert mended.duration is not None
        assert mended.duration < 0.4
    assert (third.attempts, third.failed) == (1, False)
    assert found.table.as_dicts()[0]["Errors"].startswith("66.7 % (")
    assert any("2 of 2 mended by another attempt" in note for note in found.table.notes)


def test_the_time_of_an_attempt_that_failed_is_told_with_the_waits(many: Benchmark) -> None:
    mended = msgspec.structs.replace(many.samples[0], waited=3.0, attempts=2, mended=("APIConnectionError",))
    notes = Benchmark(many.setup, [mended]).table.notes
    assert any(
        one.startswith("Limits, failed attempts and the waits between them took 3 s (") for one in notes
    )


def test_an_unknown_figure_stays_unknown_and_an_estimate_is_marked(client: HolySheep) -> None:
    found = bench("gpt-5.5", client=client, prompt="[simulate speed=5 tokens=20 fault=nousage]")
    assert all(one.estimated and one.cost is None for one in found.samples)
    row = found.table.as_dicts()[0]
    assert row["Cost"] == "unknown"
    assert row["Tokens/s p50"].startswith("≈")
    assert any(
        note.startswith("A price, or what an answer came to, is unknown;") for note in found.table.notes
    )


@pytest.mark.parametrize(
    ("given", "reply", "error", "line"),
    [
        ({}, Reply(status=401, body='{"error": "no such KEY"}'), AuthenticationError, "401"),
        ({}, Reply(status=404, body='{"error": "no such model"}'), NotFoundError, "no such model"),
        ({}, Reply(status=400, body='{"error": "too many tokens"}'), BadRequestError, "too many tokens"),
    ],
)
def test_what_all_share_is_raised_at_once(
    given: dict[str, Any], reply: Reply, error: type[HolySheepError], line: str
) -> None:
    with Server([reply]) as server, pytest.raises(error) as caught:
        bench("m", client=client_of(server.base_url), **given)
    assert line in str(caught.value)
    assert KEY not in str(caught.value)
    assert sum(one.path.endswith("/chat/completions") for one in server.asked) == 1


def test_a_run_that_ends_early_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    with Server([said("one"), said("two"), Reply(status=401, body="{}")]) as server:
        found = bench("m", requests=9, parallel=0, warmup=0, client=client_of(server.base_url))
    assert [one.error_type for one in found.samples] == ["", "", "AuthenticationError"]
    assert found.ended.startswith("Stopped after 3 of 9 requests: ")
    assert found.table.notes[0] == found.ended
    found.save(tmp_path / "run.json")
    assert Benchmark.load(tmp_path / "run.json").ended == found.ended


def test_max_cost_holds_for_all_together(client: HolySheep) -> None:
    found = bench(client=client, requests=50, max_cost="0.003")
    assert found.ended.endswith("The max_cost of $0.003 is used up.")
    assert found.cost is not None
    assert Decimal("0.002") < found.cost <= Decimal("0.003")
    with pytest.raises(BudgetError, match=r"above the max_cost of \$0\.0001"):
        bench(client=client, max_cost="0.0001")
    with pytest.raises(BudgetError, match=r"price of gpt-5\.5 .* is unknown"):
        bench("gpt-5.5", client=client, max_cost=1)


UNANSWERED = Reply(kind="text/event-stream")  # the stream has begun, and nothing comes


def test_what_broke_before_its_first_token_counts_as_the_most_it_can_be() -> None:
    """An answer may cost (input + 2,000 tokens at 8 USD a million): three of them do not fit into 0.04."""
    one = {
        "model": "gpt-4.1",
        "choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}],
    }
    with Server([sse(one), UNANSWERED]) as server:
        found = bench(
            client=client_of(server.base_url), requests=9, tokens=2000, warmup=0, parallel=0, max_cost="0.04"
        )
        assert len(server.asked) == 3
    assert [one.error_type for one in found.samples] == ["", "EmptyAnswerError", "EmptyAnswerError"]
    assert found.ended.endswith("The max_cost of $0.04 is used up.")
    assert found.cost is None
    assert all((one.input_tokens or 0) > 0 and one.known_cost > 0 for one in found.samples[1:])
    assert found.table.as_dicts()[0]["Cost"].startswith("at least ≈$")


def test_and_against_the_budget_of_the_notebook(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("%config HolySheepMagics.prices = [{'model': 'gpt-4.1', 'input': 2.0}]")
    shell.run("%config HolySheepMagics.budget_usd = 0.04")
    with Server([said("one"), UNANSWERED]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        ran = shell.run("b = %holysheep bench gpt-4.1 --requests 9 --tokens 2000 --warmup 0 --parallel 0")
        assert ran.error is None, ran.out
        assert len(server.asked) == 3
    assert 0.032 < float(shell.magics.session.charged) <= 0.04


@pytest.mark.parametrize("models", ["gpt-4.1", "gpt-4.1,deepseek-v3.2"])
def test_a_run_ends_where_the_relay_is_out_of_reach(models: str) -> None:
    relay = EmbeddedRelay(Simulation(speed=math.inf))

    def stop() -> None:
        deadline = time.monotonic() + 20
        while relay.stats.requests < 8 and time.monotonic() < deadline:
            time.sleep(0.002)
        relay.stop()

    with relay:
        client = client_of(relay.base_url)
        stopper = threading.Thread(target=stop)
        stopper.start()
        found = bench(models, client=client, requests=400, prompt="[simulate ttft=50 tps=1000 tokens=3]")
        stopper.join()
    kinds = [one.error_type for one in found.samples]
    assert kinds[-5:] == ["APIConnectionError"] * 5
    assert kinds[:4] == [""] * 4
    assert len(kinds) < 50
    assert found.ended.startswith(f"Stopped after {len(kinds)} of ")
    assert found.ended.endswith("So did 5 requests in a row; doctor tells why, then begin again.")


def gone() -> str:
    """Where a relay has been."""
    with EmbeddedRelay() as relay:
        return relay.base_url


def test_failures_alone_are_a_measurement(tmp_path: Path) -> None:
    found = bench(client=client_of(gone()), requests=9, parallel=0, warmup=0)
    assert [one.error_type for one in found.samples] == ["APIConnectionError"] * 5
    assert found.ended.startswith("Stopped after 5 of 9 requests: ")
    assert found.table.as_dicts()[0]["Errors"] == "100 % (56.6–100.0)"
    assert "gpt-4.1, one at a time: APIConnectionError (5)." in found.table.notes
    assert "<svg" not in found._repr_mimebundle_()["text/html"]
    assert "Time to first token" not in str(found)
    written = found.save(tmp_path / "new")
    assert [path.suffix for path in written] == [".json", ".csv", ".md"]
    assert Benchmark.load(written[0]) == found
    with pytest.raises(UsageError, match="Nothing was measured that could be drawn"):
        found.save(tmp_path / "run.svg")


def test_and_a_warm_up_alone_is_none() -> None:
    with pytest.raises(APIConnectionError, match="So did 5 requests in a row"):
        bench(client=client_of(gone()), warmup=9)


def test_failures_that_use_the_budget_up_are_kept(client: HolySheep) -> None:
    found = bench(client=client, requests=50, max_cost="0.003", prompt="[simulate fault=empty]")
    assert {one.error_type for one in found.samples} == {"EmptyAnswerError"}
    assert found.ended.endswith("The max_cost of $0.003 is used up.")
    assert found.simulated


def test_failures_before_an_interrupt_are_kept(shell: Shell, relay: EmbeddedRelay) -> None:
    with meanwhile(relay, 3, interrupt):
        ran = shell.run(
            "b = %holysheep bench gpt-4.1 --warmup 0 --prompt '[simulate ttft=100 fault=errorframe after=1]'"
        )
    assert ran.error is None, ran.out
    found: Benchmark = shell.names["b"]
    assert found.interrupted
    assert sum(one.failed for one in found.samples) >= 2


@pytest.mark.parametrize("parallel", [0, 6])
def test_what_comes_too_late_is_measured_and_ends_nothing(parallel: int, relay: EmbeddedRelay) -> None:
    client = client_of(relay.base_url, timeouts=Timeouts(idle=0.05))
    found = bench(client=client, requests=7, parallel=parallel, warmup=0, prompt="[simulate ttft=5000]")
    assert [one.error_type for one in found.samples] == ["APITimeoutError"] * (7 + parallel)
    assert found.ended == ""
    assert found.table.as_dicts()[0]["Errors"] == "100 % (64.6–100.0)"


@needs_proc
def test_but_where_no_connection_is_made_in_time_there_is_no_relay() -> None:
    with queue_full() as nobody:
        client = client_of(nobody.base_url, timeouts=Timeouts(connect=0.05))
        found = bench(client=client, requests=9, parallel=0, warmup=0)
    assert [one.error_type for one in found.samples] == ["APITimeoutError"] * 5
    assert "So did 5 requests in a row" in found.ended


BROKEN = Reply(headers={"content-length": "99"})  # less comes than was promised


def test_what_is_not_in_a_row_ends_nothing() -> None:
    with Server([BROKEN, said("whole")] * 8) as server:
        found = bench("a", requests=16, parallel=0, warmup=0, client=client_of(server.base_url))
    assert [one.error_type for one in found.samples] == ["APIConnectionError", ""] * 8
    assert found.ended == ""


def test_a_model_that_is_out_of_reach_alone_ends_nothing() -> None:
    """The whole peak of the first of two models fails, and nothing else does."""
    with Server([said("whole")] * 2 + [BROKEN] * 6 + [said("whole")]) as server:
        found = bench("a,b", requests=1, parallel=6, warmup=0, client=client_of(server.base_url))
    assert Counter(one.error_type for one in found.samples) == {"": 8, "APIConnectionError": 6}
    assert found.ended == ""


def test_a_run_of_a_simulated_relay_without_an_answer_is_called_simulated(client: HolySheep) -> None:
    found = bench(client=client, prompt="[simulate fault=503]")
    assert not any(one.whole for one in found.samples)
    assert found.simulated
    assert json.loads(found.to_json())["simulated"] is True
    assert found.table.title.endswith("simulated")
    assert any(note.startswith("Simulated answers") for note in found.table.notes)


def test_and_one_of_a_real_relay_is_not() -> None:
    with Server([Reply(status=503, body="{}")]) as server:
        found = bench("m", client=client_of(server.base_url))
    assert not found.simulated


def test_a_peak_is_let_go_at_one_moment(relay: EmbeddedRelay, tmp_path: Path) -> None:
    """Ten calls are written down first, on a disk that others keep busy: that must not spread their start."""
    ledger = Ledger(tmp_path / "busy.db")
    ledger.check()
    other = sqlite3.connect(tmp_path / "busy.db", check_same_thread=False, isolation_level=None)
    over = threading.Event()

    def keep_busy() -> None:
        while not over.is_set():
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.02)
            other.execute("COMMIT")
            time.sleep(0.005)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        found = bench(
            client=client_of(relay.base_url, ledger=ledger),
            requests=1,
            parallel=10,
            prompt="[simulate tokens=2]",
        )
    finally:
        over.set()
        busy.join()
        other.close()
    begun = [one.started.timestamp() for one in found.samples if one.phase == "parallel"]
    assert len(begun) == 10
    assert max(begun) - min(begun) < 0.02


def test_to_write_a_call_down_is_no_wait(relay: EmbeddedRelay, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "busy.db")
    ledger.check()
    with closing(
        sqlite3.connect(tmp_path / "busy.db", check_same_thread=False, isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        let = threading.Timer(1.0, other.execute, ["COMMIT"])
        let.start()
        found = bench(client=client_of(relay.base_url, ledger=ledger), requests=1, parallel=2, warmup=0)
        let.join()
    assert max(one.waited for one in found.samples) < 0.5
    assert not any("Limits, failed attempts" in note for note in found.table.notes)


# --- the files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> Iterator[Benchmark]:
    with EmbeddedRelay() as relay:
        yield bench("gpt-4.1,deepseek-v3.2", client=client_of(relay.base_url))


def test_what_is_saved_can_be_loaded(measured: Benchmark, tmp_path: Path) -> None:
    written = measured.save(tmp_path / "new")
    assert [path.name for path in written] == [f"benchmark.{kind}" for kind in ("json", "csv", "md", "svg")]
    assert Benchmark.load(written[0]) == measured
    fields = json.loads(written[0].read_text())
    assert fields["version"] == 1
    assert fields["simulated"] is True
    assert fields["setup"]["server_address"].startswith("127.0.0.1:")
    assert FAST not in written[0].read_text()
    assert [one["requests"] for one in fields["summary"]] == [3, 2, 3, 2]
    lines = written[1].read_text().splitlines()
    assert lines[0].startswith("model,phase,index,started,ttft")
    assert len(lines) == 1 + len(measured.samples)
    markdown = written[2].read_text()
    assert "| gpt-4.1 | one at a time | 3 |" in markdown
    assert "simulated" in markdown
    drawing = ET.fromstring(written[3].read_text())
    texts = [text for text in drawing.itertext() if text.strip()]
    assert "simulated" in texts[0]
    assert {"gpt-4.1", "gpt-4.1 × 2", "deepseek-v3.2", "Tokens/s"} <= set(texts)
    assert list(tmp_path.glob("**/.*")) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [("run.txt", "What to write into run.txt is not clear."), ("no/run.json", "There is no folder"),
     ("no/such/folder", "What to write into folder is not clear.")],
)  # fmt: skip
def test_where_nothing_can_be_saved_is_told(
    name: str, line: str, measured: Benchmark, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        measured.save(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is no benchmark. A run is saved by"),
        ("[]", "is no benchmark"),
        ('{"format": "other", "version": 1}', "is no benchmark"),
        ('{"format": "hs-notebook benchmark", "version": 1}', "is no benchmark (Object missing required"),
        ('{"format": "hs-notebook benchmark", "version": 2}', "was made by a newer version"),
        ("\ufeff\x00", "is no benchmark"),
        ("[" * 100_000, "is no benchmark"),
    ],
)
def test_a_file_that_is_no_benchmark_is_one_line(content: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        Benchmark.load(file)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cost", ["NaN", "sNaN", "Infinity", "-Infinity", "-0.01"])
@pytest.mark.parametrize("name", ["cost", "known_cost"])
def test_what_is_no_cost_breaks_a_file(name: str, cost: str, measured: Benchmark, tmp_path: Path) -> None:
    fields = json.loads(measured.to_json())
    fields["samples"][0][name] = cost
    file = tmp_path / "file.json"
    file.write_text(json.dumps(fields))
    with pytest.raises(UsageError, match=rf"is no benchmark \({cost} is no cost"):
        Benchmark.load(file)


def test_of_few_requests_no_more_is_shown_than_is_known(measured: Benchmark, many: Benchmark) -> None:
    row = measured.table.as_dicts()[0]
    assert (row["p95"], row["p5"]) == ("unknown", "unknown")
    assert "p95 and p5 are known from 20 answers on." in measured.table.notes
    bars = [benchmark.svg().count('stroke-width="3"') for benchmark in (measured, many)]
    assert bars == [0, 2]  # of three values there is no interval; of many, one in each panel
    row = many.table.as_dicts()[0]
    assert "unknown" not in (row["p95"], row["p5"])


def test_the_cost_of_the_whole_run_is_told(client: HolySheep) -> None:
    found = bench(client=client)
    assert found.cost == sum(one.cost or 0 for one in found.samples)
    assert len(found.samples) == 6
    told = next(note for note in found.table.notes if "warm-up included" in note)
    assert told == f"The whole run cost {money(found.cost)}, warm-up included."


def test_a_dataframe_has_a_row_for_each_request(measured: Benchmark) -> None:
    frame = measured.to_dataframe()
    assert len(frame) == len(measured.samples)
    kinds = {name: str(frame[name].dtype) for name in ("ttft", "cost", "output_tokens", "started")}
    assert kinds["ttft"] == kinds["cost"] == "float64"
    assert kinds["output_tokens"] == "Int64"
    assert kinds["started"].endswith("UTC]")


def test_what_others_named_runs_nowhere(measured: Benchmark) -> None:
    """A file may come from anybody: its names are text in all pictures."""
    bad = "=<script>alert(1)</script>|`\u202e\x1b[31m"
    samples = [msgspec.structs.replace(one, model=bad) for one in measured.samples]
    found = Benchmark(measured.setup, samples, ended=bad)
    bundle = found._repr_mimebundle_()
    assert "<script" not in bundle["text/html"]
    assert "<script" not in found.to_markdown()
    ET.fromstring(found.svg())
    assert found.to_csv().splitlines()[1].startswith("'=")
    for text in (bundle["text/plain"], found.to_markdown(), bundle["text/html"], found.svg()):
        assert "\u202e" not in text
        assert "\x1b" not in text


# --- two runs ------------------------------------------------------------------------------------


def slower(benchmark: Benchmark, times: float, failed: int = 0) -> Benchmark:
    """The same run, with all times longer and so many requests failed."""
    changed = []
    for number, one in enumerate(benchmark.samples):
        ttft = times * (one.ttft or 0)
        error = "InternalServerError" if one.phase == "sequential" and number < failed else ""
        changed.append(msgspec.structs.replace(one, ttft=ttft, error_type=error))
    return Benchmark(benchmark.setup, changed)


@pytest.fixture
def many() -> Benchmark:
    plan = Plan.of("m", requests=60, warmup=0, parallel=0)
    random = Random(3)
    with Server([said("x")]) as server:
        one = bench("m", requests=1, parallel=0, warmup=0, client=client_of(server.base_url))
    first = one.samples[0]
    samples = [
        msgspec.structs.replace(first, index=number, ttft=random.uniform(0.9, 1.1), tokens_per_second=50.0)
        for number in range(plan.total)
    ]
    return Benchmark(one.setup, samples)


@pytest.mark.parametrize(
    ("times", "failed", "words"),
    [(1.0, 0, ("within chance", "within chance")), (1.2, 0, ("later, beyond chance", "within chance")),
     (0.8, 30, ("sooner, beyond chance", "more, beyond chance")),
     (1.001, 2, ("within chance", "within chance"))],
)  # fmt: skip
def test_two_runs_differ_beyond_chance_or_not(
    times: float, failed: int, words: tuple[str, str], many: Benchmark
) -> None:
    table = slower(many, times, failed).compare(many)
    found = {row["Figure"]: row["In words"] for row in table.as_dicts()}
    assert (found["First token p50"], found["Errors"]) == words
    assert found["Tokens/s p50"] == "within chance"
    assert "bootstrap" in table.notes[-1]


def test_runs_that_were_made_otherwise_are_told_apart(many: Benchmark) -> None:
    other = Benchmark(msgspec.structs.replace(many.setup, tokens=7, prompt="other"), many.samples)
    notes = many.compare(other).notes
    assert f"The runs differ in tokens: 7, now {many.setup.tokens}." in notes
    assert "The runs differ in prompt." in notes
    assert "made otherwise" in str(many.compare(other))
    with pytest.raises(UsageError, match="no model in common"):
        many.compare(Benchmark(many.setup, [msgspec.structs.replace(many.samples[0], model="other")]))


@pytest.mark.parametrize(
    "change",
    [{"server_address": "other"}, {"tokens": 7}, {"prompt": "other"}, {"simulated": True}],
)
def test_of_runs_made_otherwise_chance_is_not_asked(change: dict[str, Any], many: Benchmark) -> None:
    other = slower(many, 2.0, 40)
    assert "later, beyond chance" in str(other.compare(many))
    if "simulated" in change:
        samples = [msgspec.structs.replace(one, **change) for one in other.samples]
        table = Benchmark(many.setup, samples).compare(many)
    else:
        table = Benchmark(msgspec.structs.replace(many.setup, **change), other.samples).compare(many)
    assert {row["In words"] for row in table.as_dicts()} == {"made otherwise"}
    assert f"The runs differ in {next(iter(change))}" in table.notes[0]


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("api.holysheep.ai", "api.holysheep.ai"),
        ("https://API.holysheep.ai:443/v1/", "api.holysheep.ai"),
        ("https://gate.example:8443/team/v1", "gate.example:8443/team"),
        (f"https://gate.example/{KEY}/v1", "gate.example/[key]"),
    ],
)
def test_a_relay_is_told_by_host_port_and_path(base_url: str, address: str) -> None:
    assert setup_of(Plan.of("m"), client_of(base_url).asynchronous).server_address == address


def test_simulated_relays_are_alike_at_any_port(measured: Benchmark) -> None:
    other = Benchmark(msgspec.structs.replace(measured.setup, server_address="127.0.0.1:1"), measured.samples)
    assert "made otherwise" not in str(measured.compare(other))


def test_of_a_burst_no_interval_is_drawn_and_no_verdict_given(many: Benchmark) -> None:
    """Sixty at once, which all met one moment: however many, they are one observation."""
    setup = msgspec.structs.replace(many.setup, parallel=60)
    burst = Benchmark(setup, [msgspec.structs.replace(one, phase="parallel") for one in many.samples])
    row = burst.table.as_dicts()[0]
    assert (row["Asked"], row["Errors"]) == ("60 at once", "0 of 60")
    assert "(" not in row["First token p50"] + row["Tokens/s p50"]
    assert any("one burst" in note for note in burst.table.notes)
    assert 'stroke-width="3"' not in burst.svg()
    (summary,) = json.loads(burst.to_json())["summary"]
    assert summary["error_rate"] == summary["ttft"]["p50_interval"] == {"low": None, "high": None}
    worse = [
        msgspec.structs.replace(one, ttft=3 * (one.ttft or 0), error_type="UpstreamError" * (one.index < 30))
        for one in burst.samples
    ]
    table = Benchmark(setup, worse).compare(burst)
    assert {row["In words"] for row in table.as_dicts()} == {"one burst each"}
    assert table.as_dicts()[0]["Change (95 %)"].startswith("× ")
    assert "(" not in "".join(row["Change (95 %)"] for row in table.as_dicts())
    assert any("Two bursts are two observations" in note for note in table.notes)


def test_another_peak_takes_no_verdict_from_what_was_asked_one_at_a_time(many: Benchmark) -> None:
    table = Benchmark(msgspec.structs.replace(many.setup, parallel=7), slower(many, 2.0).samples).compare(
        many
    )
    assert table.as_dicts()[0]["In words"] == "later, beyond chance"
    assert "The peaks differ: 0 at once before, now 7." in table.notes


def test_of_few_requests_no_verdict_is_given(many: Benchmark) -> None:
    few = Benchmark(many.setup, many.samples[:5])
    table = slower(few, 3.0).compare(few)
    assert table.as_dicts()[0]["In words"] == "too few to tell"
    assert "one in 20" in table.notes[-1]


# --- in a notebook -------------------------------------------------------------------------------


def test_the_magic_measures_with_the_notebook_s_own_means(
    shell: Shell, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    shell.run("%config HolySheepMagics.replay = 'record'")
    for _ in range(2):  # nothing comes from the file of answers
        before = relay.stats.requests
        ran = shell.run(f"b = %holysheep bench gpt-4.1,deepseek-v3.2 {LINE} --save run.json")
        assert ran.error is None, ran.out
        assert relay.stats.requests - before == 12
    assert "Saved: run.json." in ran.out
    assert "gpt-4.1, 6 requests: input" in ran.out + ran.err
    assert "12 requests in all" in ran.out + ran.err
    assert "%|" in ran.err
    assert not list(tmp_path.glob("*.jsonl"))
    calls = list(Ledger(tmp_path / "ledger.db").rows())
    assert len(calls) == 24
    assert shell.magics.session.charged == 0  # simulated
    shown = shell.run("b").out
    assert "Time to first token" in shown
    assert "one at a time" in shown
    compared = shell.run(f"%holysheep bench gpt-4.1 {LINE} --compare run.json")
    assert "Change (95 %)" in compared.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bench --requests 0", "requests is a whole number from 1, not 0."),
        ("bench --requests many", "invalid int value: 'many'"),
        ("bench --request 3", "There is no option --request. Did you mean --requests?"),
        ("bench --max-cost much", "much is no amount in USD"),
        ("bench --compare missing.json", "missing.json cannot be read"),
        ("bench --save run.txt", "What to write into run.txt is not clear."),
        ("bench --api-key cr_0123456789abcdef0123", "no option takes a key"),
        ("bench gpt-4.1 --prompt ' '", "The prompt is empty."),
    ],
)
def test_a_mistaken_line_is_one_line(line: str, said: str, shell: Shell, relay: EmbeddedRelay) -> None:
    ran = shell.run(f"%holysheep {line}")
    assert isinstance(ran.error, UsageError)
    assert said in ran.out
    assert "cr_0123456789" not in ran.out
    assert relay.stats.requests == 0


def test_a_dry_run_says_the_price_and_asks_nothing(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.requests_per_minute = 60")
    ran = shell.run("b = %holysheep bench gpt-4.1 --dry-run")
    told = ran.out + ran.err
    assert "gpt-4.1, 113 requests: input unknown; at the maker's list" in told
    assert "output at most $0.46 (56,500 tokens)" in told
    assert "at 60 requests a minute it takes 1 min or more" in told
    assert "beyond the client's 5 streams" in told
    assert "An attempt that brings no answer is made again, and may be billed on top." in told
    assert relay.stats.requests == 0
    assert shell.names["b"] is None


def test_the_budget_of_the_notebook_holds(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.prices = [{'model': 'gpt-4.1', 'input': 2.0}]")
    shell.run("%config HolySheepMagics.budget_usd = 0.002")
    ran = shell.run(f"b = %holysheep bench gpt-4.1 {LINE.replace('3', '50', 1)}")
    assert ran.error is None, ran.out
    assert shell.names["b"].ended.endswith("The rest of the notebook's budget of $0.002 is used up.")


def test_what_it_costs_counts_against_the_budget(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([said("a word or two")]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        ran = shell.run("b = %holysheep bench gpt-4.1 --requests 2 --parallel 2 --warmup 1 --tokens 9")
    assert ran.error is None, ran.out
    assert len(shell.names["b"].samples) == 5
    assert shell.magics.session.charged > 0  # the price of the model that was asked: the other's is unknown


def test_in_the_mode_replay_nothing_is_measured(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.replay = 'replay'")
    ran = shell.run(f"%holysheep bench {LINE}")
    assert "there is nothing to measure" in ran.out
    assert relay.stats.requests == 0


def test_tab_completes_options_and_models(shell: Shell) -> None:
    def offered(line: str) -> set[str]:
        with provisionalcompleter():
            return {found.text for found in shell.ip.Completer.completions(line, len(line))}

    assert {"--requests", "--parallel", "--compare"} <= offered("%holysheep bench --")
    assert "deepseek-v3.2" in offered("%holysheep bench deep")
    assert "deepseek-v3.2" in offered("%holysheep bench gpt-4.1,deep")
    assert "deepseek-v3.2" in offered("%holysheep bench gpt-4.1 deep")


@pytest.mark.parametrize("how", ["interrupt", "stop"])
def test_an_interrupt_or_stop_keeps_what_is_measured(how: str, shell: Shell, relay: EmbeddedRelay) -> None:
    """After the fourth request has begun."""

    def stop() -> None:
        shell.magics.session.running[-1].stop()

    with meanwhile(relay, 5, stop if how == "stop" else interrupt):
        ran = shell.run(
            "b = %holysheep bench gpt-4.1 --requests 500 --warmup 1 "
            "--prompt '[simulate ttft=100 tps=1000 tokens=5]'"
        )
    assert ran.error is None, ran.out
    found: Benchmark = shell.names["b"]
    assert 3 <= sum(one.whole for one in found.samples) < 100
    done = sum(one.over for one in found.samples)
    assert found.ended == f"Stopped after {done} of 511 requests."
    assert found.table.notes[0] == found.ended
    assert shell.magics.session.running == []
    assert relay.stats.requests < 100


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize(
    "asking",
    [
        "%holysheep bench gpt-4.1 --requests 500 --prompt '[simulate tps=100 tokens=50]' --save kept.json",
        "hs_notebook.bench('gpt-4.1', requests=500, prompt='[simulate tps=100 tokens=50]', client=client)",
    ],
    ids=["magic", "python"],
)
def test_who_interrupts_again_while_it_settles_loses_nothing(
    times: int, asking: str, shell: Shell, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    """What is under way is written down as stopped, which a busy ledger holds up for a second."""
    shell.run("%holysheep version")
    ledger = shell.magics.purse.ledger
    assert ledger is not None
    ledger.check()

    def interrupt_again() -> None:
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(times):
                interrupt()
                time.sleep(0.3)
            other.execute("ROLLBACK")

    shell.names["client"] = client_of(relay.base_url, ledger=Ledger(tmp_path / "ledger.db"))
    with meanwhile(relay, 5, interrupt_again):
        ran = shell.run(f"import hs_notebook\nb = {asking}")
    assert ran.error is None, ran.out
    found: Benchmark = shell.names["b"]
    assert found.interrupted
    assert found.ended.startswith("Stopped after ")
    assert sum(one.whole for one in found.samples) >= 3
    if "kept.json" in asking:
        assert Benchmark.load("kept.json") == found


@pytest.mark.kernels
def test_a_kernel_that_is_interrupted_again_and_again_keeps_it_and_goes_on(
    relay: EmbeddedRelay, tmp_path: Path
) -> None:
    prompt = "[simulate ttft=60 tps=100 tokens=20]"
    with kernel(DEFAULT_KERNEL, tmp_path, settings(relay.base_url)) as running:
        cell = running.start(f"b = %holysheep bench gpt-4.1 --requests 500 --warmup 1 --prompt '{prompt}'")
        running.until(cell, lambda _: relay.stats.requests > 4)
        for _ in range(12):
            running.interrupt()
            running.rest(cell, 0.01)
        running.wait(cell)
        kept = running.run("print(len(b.samples), b.interrupted)")
    assert cell.status == "ok"
    measured, interrupted = kept.printed.split()
    assert int(measured) >= 4
    assert interrupted == "True"


def test_an_interrupt_before_anything_is_measured_says_so(shell: Shell, relay: EmbeddedRelay) -> None:
    with meanwhile(relay, 1, interrupt):
        ran = shell.run("%holysheep bench gpt-4.1 --prompt '[simulate ttft=5000]'")
    assert isinstance(ran.error, KeyboardInterrupt)
    assert "Stopped before anything was measured." in ran.out


@pytest.mark.kernels
def test_a_page_sees_it_grow_and_keeps_one_picture(relay: EmbeddedRelay, tmp_path: Path) -> None:
    prompt = "[simulate ttft=60 tps=1000 tokens=5]"
    with kernel(DEFAULT_KERNEL, tmp_path, settings(relay.base_url)) as running:
        cell = running.run(
            f"%holysheep bench gpt-4.1 deepseek-v3.2 --requests 9 --parallel 2 --warmup 1 --prompt '{prompt}'"
        )
        again = running.run("_")
    drawn = [content for content in cell.shown if "<svg" in content["data"].get("text/html", "")]
    assert len(drawn) >= 2  # while it ran, and at the end
    assert len({content["transient"]["display_id"] for content in drawn}) == 1
    final = drawn[-1]["data"]
    assert "9" in final["text/plain"]
    assert "simulated" in final["text/html"]
    assert "<script" not in final["text/html"]
    assert 'aria-label="Benchmark of 2 models' in final["text/html"]
    kinds = [said.kind for said in cell.said]
    assert "execute_result" not in kinds  # the page has it already
    result = next(said for said in again.said if said.kind == "execute_result")
    assert result.content["data"]["text/html"] == final["text/html"]


# --- from a terminal -----------------------------------------------------------------------------


def test_the_command_line_writes_a_table_or_json(
    relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    given = ["--requests", "2", "--parallel", "2", "--warmup", "0", "--tokens", "20", "--prompt", FAST]
    file = tmp_path / "run.json"
    assert main(["bench", "gpt-4.1", "deepseek-v3.2", *given, "--save", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Benchmark of 2 models at 127.0.0.1")
    assert "Tokens/s" in out
    assert "8 requests in all" in err
    assert f"Saved: {file}." in err
    assert main(["bench", "gpt-4.1", *given, "--json", "--compare", str(file)]) == 0
    out, err = capsys.readouterr()
    fields = json.loads(out)
    assert len(fields["samples"]) == 4
    compared = fields["comparison"]
    assert [(one["phase"], one["figure"]) for one in compared["changes"]] == [
        (phase, figure)
        for phase in ("sequential", "parallel")
        for figure in ("ttft", "tokens_per_second", "duration", "error_rate")
    ]
    assert {one["verdict"] for one in compared["changes"]} == {
        "too few to tell",
        "within chance",
        "one burst each",
    }
    errors = compared["changes"][3]
    assert (errors["before"], errors["now"], errors["change"]) == (0, 0, 0)
    assert errors["interval"]["low"] < 0 < errors["interval"]["high"]
    assert "Both were simulated" in " ".join(compared["notes"])
    (tmp_path / "new.json").write_text(out)
    assert len(Benchmark.load(tmp_path / "new.json").samples) == 4
    assert main(["bench", "gpt-4.1", *given, "--csv", "--compare", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("model,phase,index,started,ttft")
    assert out.count("\n") == 5
    assert "Change (95 %)" in err
    assert main(["bench", "gpt-4.1", *given, "--compare", str(file)]) == 0
    assert "within chance" in capsys.readouterr().out
    assert main(["bench", "nonsense", *given]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("NotFoundError: ")
    assert main(["bench", "--requests", "0"]) == 1
    assert capsys.readouterr().err == "UsageError: requests is a whole number from 1, not 0.\n"


def test_help_says_the_same_in_a_notebook_and_in_a_terminal(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    def rest(text: str, prog: str) -> str:
        return text[text.index("what is measured") :].replace(prog, "bench")

    in_notebook = shell.run("%holysheep bench --help").out
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--help"])
    in_terminal = capsys.readouterr().out
    assert ended.value.code == 0
    assert rest(in_notebook, "%holysheep bench") == rest(in_terminal, "hs-notebook bench")
    assert "113 of 500" in in_notebook  # the answers of a run, and how long they are
    for option in ("--requests", "--tokens", "--parallel", "--warmup", "--save", "--compare", "--max-cost"):
        assert f"  {option} " in in_notebook
        assert f"  {option} " in in_terminal
    for word in ("USD", "seconds", "%", "130", "examples:", "one burst"):
        assert word in rest(in_terminal, "hs-notebook bench")
    assert max(map(len, in_terminal.splitlines())) <= 100


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--compare", "other.json", "--save", "new.json"], "have no model in common"),
        (["--save", f"{'x' * 300}.json"], "cannot be written (File name too long)"),
        pytest.param(
            ["--save", "/proc/run.json"], "/proc/run.json cannot be written", marks=needs_proc, id="proc"
        ),
    ],
)
def test_what_could_not_be_kept_is_not_asked(
    given: list[str], said: str, shell: Shell, relay: EmbeddedRelay, measured: Benchmark
) -> None:
    measured.save("other.json")
    ran = shell.run(f"%holysheep bench gpt-5.5 {' '.join(given)}")
    assert isinstance(ran.error, HolySheepError)
    assert said in ran.out
    ran = shell.run(f"from hs_notebook.cli import main; status = main({['bench', 'gpt-5.5', *given]})")
    assert shell.names["status"] == 1
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert relay.stats.requests == 0
    assert sorted(path.name for path in Path.cwd().glob("*.json")) == ["other.json"]
    assert list(Path.cwd().glob(".*.part")) == []


def test_what_breaks_after_the_run_is_a_line(
    shell: Shell, relay: EmbeddedRelay, measured: Benchmark, tmp_path: Path
) -> None:
    """The folder to save in is gone when the run has begun."""
    folder = tmp_path / "gone"
    folder.mkdir()
    measured.save(tmp_path / "other.json")
    slow = "--requests 1 --warmup 0 --parallel 0 --prompt '[simulate tokens=1 ttft=1500]'"
    before = relay.stats.requests

    def remove() -> None:
        while relay.stats.requests == before:
            time.sleep(0.01)
        folder.rmdir()

    remover = threading.Thread(target=remove)
    remover.start()
    ran = shell.run(f"b = %holysheep bench gpt-4.1 {slow} --save {folder}/b.json --compare other.json")
    remover.join()
    assert ran.error is None, ran.out
    assert "Not saved: There is no folder" in ran.out
    assert "Change (95 %)" in ran.out
    assert len(shell.names["b"].samples) == 1


def test_a_run_that_ends_early_fails_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--requests", "9", "--parallel", "0", "--warmup", "0"]
    with Server([said("one"), said("two"), Reply(status=401, body="{}")]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        assert main(["bench", "m", *given]) == 1
    assert "\nStopped after 3 of 9 requests: " in capsys.readouterr().err


def test_an_interrupt_has_its_status_in_a_terminal(
    relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)

    prompt = "[simulate ttft=100 tps=1000 tokens=5]"
    with meanwhile(relay, 4, interrupt):
        assert main(["bench", "gpt-4.1", "--requests", "500", "--warmup", "0", "--prompt", prompt]) == 130
    assert "Stopped after " in capsys.readouterr().err


@given(st.floats(1e-6, 1e9))
@example(0.3)
def test_an_axis_has_few_round_ticks_within_it(most: float) -> None:
    """Steps of 1, 2 or 5 times a power of ten, the last of them less than one from the end."""
    found = ticks(most)
    step = found[1]
    assert 3 <= len(found) <= 6
    assert f"{step:e}".partition("e")[0] in {"1.000000", "2.000000", "5.000000"}
    assert found == pytest.approx([number * step for number in range(len(found))])
    assert most * (1 - 1e-9) - step <= found[-1] <= most * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0 %"),
        (1 / 2500, "under 0.1 %"),
        (1 / 1000, "0.1 %"),
        (0.5, "50 %"),
        (2499 / 2500, "over 99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_that_is_not_0_or_1_is_not_told_so(value: float, told: str) -> None:
    assert share(value) == told


def test_a_sample_that_was_stopped_says_nothing(measured: Benchmark) -> None:
    stopped = msgspec.structs.replace(measured.samples[-1], state="stopped", finish_reason=None)
    assert not stopped.whole
    assert not stopped.over
    assert not stopped.failed
    table = Benchmark(measured.setup, [*measured.samples[:-1], stopped]).table
    assert table.as_dicts()[-1]["Requests"] == 1


def ended_by_themselves(benchmark: Benchmark, **changes: Any) -> list[str]:
    samples = [msgspec.structs.replace(one, **changes) for one in benchmark.samples]
    return [note for note in Benchmark(benchmark.setup, samples).table.notes if "by themselves" in note]


def test_answers_that_ended_by_themselves_are_told_by_how_they_ended(measured: Benchmark) -> None:
    assert ended_by_themselves(measured, output_tokens=5, finish_reason="length") == []
    told = ended_by_themselves(measured, output_tokens=5, finish_reason="stop")
    limit = measured.setup.tokens
    assert told == [
        f"{model}, {how}: most answers ended by themselves, after 5 tokens in the median, before {limit}."
        for model in ("gpt-4.1", "deepseek-v3.2")
        for how in ("one at a time", "2 at once")
    ]
    told = ended_by_themselves(measured, output_tokens=5, finish_reason="stop", estimated=True)
    assert "after ≈5 tokens" in told[0]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_of_an_answer_may_be_a_parameter(name: str) -> None:
    assert Plan.of("m", params={name: 50}).longest == 50
    assert Plan.of("m", tokens=70).longest == 70


def test_of_a_burst_the_longest_wait_counts(measured: Benchmark) -> None:
    samples = [
        msgspec.structs.replace(one, waited=6.0 if one.phase == "parallel" else 0.0)
        for one in measured.samples
    ]
    notes = Benchmark(measured.setup, samples).table.notes
    assert any(" took 12 s (" in note for note in notes)  # two models, each a burst of two


def test_long_names_are_told_apart(measured: Benchmark) -> None:
    names = ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Llama-3.3-70B-Instruct-Reference")
    old = dict(zip(measured.setup.models, names, strict=True))
    samples = [msgspec.structs.replace(one, model=old[one.model]) for one in measured.samples]
    setup = msgspec.structs.replace(measured.setup, models=names)
    drawing = ET.fromstring(Benchmark(setup, samples).svg())
    labels = [text for text in drawing.itertext() if text.startswith("meta")]
    assert len(set(labels)) == 4
    assert sum(label.endswith(" × 2") for label in labels) == 2


def test_no_cost_begins_a_formula(measured: Benchmark) -> None:
    markdown = measured.to_markdown()
    assert markdown.count("$") == markdown.count("\\$") > 1


def test_what_only_one_of_two_runs_measured_is_named(measured: Benchmark) -> None:
    one = [sample for sample in measured.samples if sample.model == "gpt-4.1"]
    setup = msgspec.structs.replace(measured.setup, models=("gpt-4.1",))
    alone = Benchmark(setup, one)
    missing = "deepseek-v3.2 one at a time, deepseek-v3.2 2 at once."
    assert f"Only in this run: {missing}" in measured.compare(alone).notes
    assert f"Only in the other: {missing}" in alone.compare(measured).notes
    assert not any(note.startswith("Only") for note in measured.compare(measured).notes)


def test_unknown_tokens_are_no_short_answer(many: Benchmark) -> None:
    unknown = [msgspec.structs.replace(one, output_tokens=None) for one in many.samples[:40]]
    known = [msgspec.structs.replace(one, output_tokens=500) for one in many.samples[40:]]
    setup = msgspec.structs.replace(many.setup, tokens=500)
    (summary,) = json.loads(Benchmark(setup, [*unknown, *known]).to_json())["summary"]
    assert summary["tokens"] == 500
    for samples in ([*unknown, *known], unknown):
        assert not any("by themselves" in note for note in Benchmark(setup, samples).table.notes)


def test_what_was_stopped_makes_an_estimate_of_the_cost_and_of_no_rate(many: Benchmark) -> None:
    stopped = msgspec.structs.replace(
        many.samples[0], state="stopped", finish_reason=None, estimated=True, cost=Decimal("0.01")
    )
    whole = [msgspec.structs.replace(one, estimated=False, cost=Decimal("0.01")) for one in many.samples[1:]]
    row = Benchmark(many.setup, [stopped, *whole]).table.as_dicts()[0]
    assert row["Cost"] == "≈$0.60"
    notes = Benchmark(many.setup, [stopped, *whole]).table.notes
    assert "The whole run cost ≈$0.60, warm-up included." in notes
    assert row["Tokens/s p50"].startswith("50.0")
