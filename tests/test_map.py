"""The same question for every row: all of them, each once, whatever goes wrong in between."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pandas as pd
import pydantic
import pytest
from IPython.core.interactiveshell import InteractiveShell
from kernels import DEFAULT_KERNEL
from nbclient import NotebookClient
from shell import KEY, WIDGET, Reply, Server, Shell, kernel, manager, said, settings

import hs_notebook
from hs_notebook import HolySheep
from hs_notebook.answers import Cost
from hs_notebook.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    HolySheepError,
    InternalServerError,
    NotFoundError,
    ReplayError,
    SchemaError,
    UsageError,
)
from hs_notebook.exchange import Screen
from hs_notebook.ledger import Ledger
from hs_notebook.mapping import Mapped
from hs_notebook.mapping.rows import fill_in, find_gaps, read_rows
from hs_notebook.mapping.run import Run
from hs_notebook.portal import portal
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.replay import AnswerFile
from hs_notebook.runs.outcome import exchanged
from hs_notebook.runs.price import Pot
from hs_notebook.runs.watched import Watched
from hs_notebook.types import ChatRequest, prompt_messages
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SAY = "[simulate text]\nAnswer to {number}."  # the relay says just what follows


@pytest.fixture
def fast() -> Iterator[EmbeddedRelay]:
    """A relay that answers at once and remembers all requests."""
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        running.stats.seen = deque()
        yield running


@pytest.fixture
def client(fast: EmbeddedRelay) -> HolySheep:
    return client_of(fast)


def client_of(relay: EmbeddedRelay, **given: Any) -> HolySheep:
    usual = {
        "requests_per_minute": 10**6,
        "retry": RetryPolicy(base=0.001),
        "prices": load_book([{"model": "gpt-4.1", "input": 2.0}]),
    }
    return HolySheep(KEY, base_url=relay.base_url, **(usual | given))


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"number": number} for number in range(count)]


def prompts(relay: EmbeddedRelay) -> Counter[str]:
    """How often each question has arrived."""
    return Counter(json.loads(seen.body)["messages"][-1]["content"] for seen in relay.stats.seen)


def ask(rows: Any, template: str = SAY, **given: Any) -> Mapped:
    return hs_notebook.map(rows, template, **{"model": "gpt-4.1", "progress": False} | given)


# --- rows into prompts ---------------------------------------------------------------------------

Point = namedtuple("Point", "x y")  # noqa: PYI024 - as users make them


@pytest.mark.parametrize(
    ("rows", "template", "filled"),
    [
        ([{"a": 1, "b": "x"}], "{a} and {b}", ["1 and x"]),
        (pd.DataFrame({"a": [1, 2], "b c": ["x", "y"]}), "{a}{row['b c']}", ["1x", "2y"]),
        (pd.DataFrame({"a": [1]}, index=["odd"]), "{a}", ["1"]),
        (pd.DataFrame([[7]]), "{row[0]}", ["7"]),
        (pd.Series(["x", "y"]), "{row}!", ["x!", "y!"]),
        (["x", "y"], "{row}!", ["x!", "y!"]),
        ((letter for letter in "xy"), "{row}", ["x", "y"]),
        ([Point(1, 2)], "{row.x}/{row.y}", ["1/2"]),
        ([{"a": {"b": [5]}}], "{a['b'][0]}", ["5"]),
        ([{"a": 1}], '{"json": {a}, "other": {}}', ['{"json": 1, "other": {}}']),
        ([{"a": 1}], "{{a}} {a} {other}", ["{{a}} 1 {other}"]),
        ([{"a": "{b}", "b": "{a}"}], "{a}{b}", ["{b}{a}"]),  # what was filled in is not looked at again
        ([{"row": "mine", "a": 1}], "{row} {a}", ["mine 1"]),
        ([{"a": 1}], '{"like": {a: 5}} {{a.b}} {a}', ['{"like": {a: 5}} {{a.b}} 1']),
        ([{"a": "long " * 10_000}], "{a}", ["long " * 10_000]),  # paid for as it is, never cut in silence
        ([{"a": pd.DataFrame({"v": range(500)})}], "{a}", [pd.DataFrame({"v": range(500)}).to_csv()]),
        ([{"_id": 1}], "{_id}", ["1"]),
        ([{"a": 1, "a b": 2}], '{a} {{a b}} {"a b": 2} { a b }', ['1 {{a b}} {"a b": 2} { a b }']),
        ([{0: 1, "a": 1}], "{a} x^{0}", ["1 x^{0}"]),
        ([], "{a}", []),
    ],
)
def test_rows_into_prompts(rows: Any, template: str, filled: list[str]) -> None:
    assert fill_in(template, read_rows(rows)) == filled


@pytest.mark.parametrize(
    "attack",
    [
        "{a.__class__}",
        "{a.__class__.__init__.__globals__}",
        "{row.__init__}",
        "{a!r:>{0}}",
        "{a.format(1)}",
        "{__import__('os').system('x')}",
        "{a[0:1]}",
        "{row['a'].__class__}",
        "%%holysheep {a",
    ],
)
def test_nothing_is_evaluated(attack: str) -> None:
    try:
        filled = fill_in("{a} " + attack, [{"a": "value"}])
    except UsageError:
        assert "{a" in attack or "{row" in attack  # with more behind a column
    else:
        assert filled == [f"value {attack}"]
    assert fill_in("{a}", [{"a": attack, "b": 1}]) == [attack]


@pytest.mark.parametrize(
    ("rows", "template", "line"),
    [
        ("text", "{row}", "rows is of the type str, which has no rows. "),
        ({"a": [1, 2]}, "{a}", "rows is of the type dict, which has no rows. "),
        (5, "{row}", "rows is of the type int, which has no rows. "),
        (
            [{"a": 1}],
            "Hello",
            "The template names no column, so all rows would be asked the same. There are: ",
        ),
        ([{"review": 1, "b": 2}], "{reveiw} {b}", "There is no column reveiw. Did you mean {review}?"),
        ([{"a": 1}, {"b": 1}], "{a}", "Row 1 has no a."),
        ([{"a": 1}], " ", "The template is empty."),
        (
            [{"a": 1.5}],
            "Price {a:.2f}?",
            "{a} has a format behind it",
        ),
        (
            [{"a": 1, "Review Text": 2}],
            "{a}: {Review Text}",
            "{Review Text} names a column in a way that is not read. Write {row['Review Text']}.",
        ),
        (
            [{"a": 1, "a-b": 2}],
            '{a} {"x": {a-b}}',
            "{a-b} names a column in a way that is not read. Write {row['a-b']}.",
        ),
        (
            [{"a": 1, "it's": 2}],
            "{a} {it's}",
            "{it's} names a column in a way that is not read. Write {row[\"it's\"]}.",
        ),
        (
            [{"row": 1, "a b": 2}],
            "{row} {a b}",
            "{a b} names a column in a way that is not read. Rename the column.",
        ),
        ([{"a": 1.5}], "{a} {a!r}", "{a} has a format behind it, and nothing is evaluated here. Format the "),
        ([{"a": 1}], '{"like": {a: 5}}', "The template names no column"),
        ([{"a": 1}], "{a} {a.nosuch}", "{a.nosuch} names nothing in row 0;"),
        ([{"a": {"x": 1}}, {"a": {}}], '{a["x"]}', '{a["x"]} names nothing in row 1;'),
        ([{"a": 1}], "{row['b']}", "{row['b']} names nothing in row 0;"),
        ([{"a": 1}], "{a.bit_length()}", "{a.bit_length()} names nothing in row 0;"),
        ([{"a": len}], "{a}", "{a} names nothing in row 0;"),
        ([{"__a": 1}], "{__a}", "{__a} names nothing in row 0;"),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "{a}",
            "Several columns are named a. Rename all but",
        ),
        ([{"a": " "}], "{a}", "The prompt is empty."),
        ([{"a": KEY}], "{a}", "The prompt or an option holds your key; nothing was sent."),
    ],
)
def test_what_cannot_be_meant_is_not_asked(
    rows: Any, template: str, line: str, fast: EmbeddedRelay, client: HolySheep
) -> None:
    with pytest.raises(UsageError) as error:
        ask(rows, template, client=client)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    assert fast.stats.requests == 0


@pytest.mark.parametrize(
    "given", [{"concurrency": 0}, {"concurrency": 1.5}, {"schema": 5}, {"max_cost": "much"}]
)
def test_what_is_no_setting(given: dict[str, Any], client: HolySheep) -> None:
    with pytest.raises(UsageError):
        ask(numbers(2), client=client, **given)


NOTHING = [
    None,
    math.nan,
    Decimal("nan"),
    Decimal("snan"),
    pd.NA,
    pd.NaT,
    np.float32("nan"),
    np.datetime64("NaT"),
]


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_row_without_a_value_is_not_asked(
    nothing: Any, fast: EmbeddedRelay, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"number": 0, "note": nothing}, {"number": nothing}, {"number": 2}, {"number": nothing}]
    mapped = ask(rows, client=client)
    assert capsys.readouterr().err == "2 rows have no value for number: not asked. .errors names them.\n"
    assert fast.stats.requests == 2
    assert list(mapped) == ["Answer to 0.", None, "Answer to 2.", None]
    assert {row: str(error) for row, error in mapped.errors.items()} == dict.fromkeys(
        [1, 3], "number has no value, so the row was not asked. Fill it in, or drop the row."
    )
    assert (mapped.costs[1], mapped.complete, mapped.ended, mapped.missing) == (0, True, None, [])
    assert mapped.resume() is mapped
    assert fast.stats.requests == 2
    assert repr(mapped).startswith("<Mapped: 2 of 4 rows answered, 2 not asked, cost $0.00")
    assert re.search(r"not asked: no value +2 +0 +0 +\$0\n", str(mapped.table()))
    frame = mapped.to_dataframe()
    assert frame["state"].fillna("none").tolist() == ["complete", "none", "complete", "none"]
    assert frame["error"].notna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("rows", "template", "gaps"),
    [
        (pd.Series(["x", None, ""]), "About {row}", {1: "row"}),
        (pd.DataFrame({"a b": ["x", None]}), "{row['a b']}", {1: "row['a b']"}),
        ([{"a": {"b": None}}, {"a": None}, {"a": {"b": 0}}], "{a['b']}", {0: "a['b']", 1: "a['b']"}),
        ([{"a": None, "b": 1}], "{b} {{a}} {row}", {}),  # what is not used, and the row itself
        ([{"a": [None], "b": {}}, {"a": False, "b": 0}], "{a}{b}", {}),
    ],
)
def test_which_rows_have_no_value(rows: Any, template: str, gaps: dict[int, str]) -> None:
    assert find_gaps(template, read_rows(rows)) == gaps


def test_where_no_row_has_a_value_nothing_is_asked(
    fast: EmbeddedRelay, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    mapped = ask([{"number": None}], client=client, progress=True)
    assert capsys.readouterr().err == "1 row has no value for number: not asked. .errors names them.\n"
    assert (len(mapped), list(mapped), mapped.cost, fast.stats.requests) == (1, [None], 0, 0)


# --- every row once ------------------------------------------------------------------------------


def is_whole(mapped: Mapped, count: int) -> None:
    """Every row has its own answer, in its place."""
    assert mapped.complete
    assert (mapped.errors, mapped.ended) == ({}, None)
    assert list(mapped) == [f"Answer to {number}." for number in range(count)]


def test_a_thousand_rows(fast: EmbeddedRelay, client: HolySheep) -> None:
    mapped = ask(numbers(1000), client=client)
    is_whole(mapped, 1000)
    assert fast.stats.requests == 1000
    assert set(prompts(fast).values()) == {1}
    assert mapped.cost == sum(cost for cost in mapped.costs if cost) > 0


def test_a_thousand_rows_with_failures(fast: EmbeddedRelay, client: HolySheep) -> None:
    rows = [{"number": n, "fault": "fault=503-once " if n % 20 == 0 else ""} for n in range(1000)]
    mapped = ask(rows, "[simulate {fault}text]\nAnswer to {number}.", client=client)
    is_whole(mapped, 1000)
    assert Counter(prompts(fast).values()) == {1: 950, 2: 50}  # the others were tried once more


RUN = """
import json, sys
import hs_notebook
from hs_notebook import HolySheep
from hs_notebook.wire.retry import RetryPolicy
client = HolySheep(requests_per_minute=10**6, retry=RetryPolicy(base=0.001))
rows = [{"number": n, "fault": "fault=503-once " if n % 20 == 0 else ""} for n in range(1000)]
template = "[simulate {fault}text]\\nAnswer to {number}."
mapped = hs_notebook.map(rows, template, model="gpt-4.1", client=client, keep=sys.argv[1])
replayed = [answer.receipt.replayed for answer in mapped]
print(json.dumps({"answers": list(mapped), "complete": mapped.complete, "replayed": sum(replayed)}))
"""


def test_a_thousand_rows_and_a_killed_kernel(fast: EmbeddedRelay, tmp_path: Path) -> None:
    keep = tmp_path / "answers.jsonl"
    command = [sys.executable, "-c", RUN, keep]
    environment = os.environ | settings(fast.base_url)
    with (tmp_path / "killed.log").open("w") as log:
        killed = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not keep.exists() or keep.read_bytes().count(b"\n") < 300:
            assert killed.poll() is None, (tmp_path / "killed.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        killed.kill()  # SIGKILL: nothing is cleaned up
        assert killed.wait(10) == -signal.SIGKILL
    kept = len(AnswerFile(keep))
    assert 300 <= kept < 1000, "killed too late to show anything"
    until_idle(fast)  # what was under way dies with its process
    first = prompts(fast)
    fast.stats.seen.clear()

    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    result = json.loads(second.stdout)
    assert result["complete"]
    assert result["answers"] == [f"Answer to {number}." for number in range(1000)]
    assert result["replayed"] == kept
    again = prompts(fast)
    assert len(again) == 1000 - kept  # no finished row, and every other one
    assert len(set(first) & set(again)) <= 5  # those that were under way
    assert len(AnswerFile(keep)) == 1000
    assert second.stderr.startswith(f"{1000 - kept:,} of 1,000 rows for gpt-4.1: ")

    third = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(third.stdout)["answers"] == result["answers"]
    assert prompts(fast) == again
    assert third.stderr == ""


def test_equal_rows_are_questions_of_their_own(
    fast: EmbeddedRelay, client: HolySheep, tmp_path: Path
) -> None:
    rows = ["same", "other", "same", "same"]
    for requests in (4, 4):
        assert ask(rows, "{row} [simulate tokens=3]", client=client, keep=tmp_path / "kept.jsonl").complete
        assert fast.stats.requests == requests
    more = ask([*rows, "same"], "{row} [simulate tokens=3]", client=client, keep=tmp_path / "kept.jsonl")
    assert more.complete
    assert fast.stats.requests == 5


def test_no_more_at_a_time_than_asked_for() -> None:
    most = 0
    with EmbeddedRelay() as relay:
        over = threading.Event()

        def look() -> None:
            nonlocal most
            while not over.wait(0.001):
                most = max(most, relay.stats.active_streams)

        looking = threading.Thread(target=look)
        looking.start()
        client = client_of(relay, concurrent_streams=50)
        ask(numbers(12), "[simulate tokens=2 ttft=60 tps=1000] {number}", client=client, concurrency=3)
        over.set()
        looking.join()
    assert most == 3


@pytest.mark.parametrize("blocking", [True, False])
def test_either_client_will_do(blocking: bool, fast: EmbeddedRelay) -> None:
    client = client_of(fast)
    is_whole(ask(numbers(3), client=client if blocking else client.asynchronous), 3)


def test_without_a_client_one_is_made(
    fast: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings(fast.base_url).items():
        monkeypatch.setenv(name, value)
    is_whole(ask(numbers(3)), 3)


def test_no_rows(client: HolySheep) -> None:
    mapped = ask([], client=client)
    assert (len(mapped), mapped.complete, mapped.cost, list(mapped)) == (0, True, Decimal(0), [])
    assert "0 of 0 rows" in str(mapped.table())
    assert list(mapped.to_dataframe().columns) == ["answer", "state", "cost", "error"]
    empty = ask(pd.DataFrame({"number": []}), client=client).to_dataframe()
    assert list(empty.columns) == ["number", "answer", "state", "cost", "error"]


# --- what goes wrong -----------------------------------------------------------------------------


def test_one_row_s_failure_leaves_the_others(
    fast: EmbeddedRelay, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = {
        3: "503",
        5: "cut-once after=3",
        7: "errorframe-once after=2",
        8: "400",
    }
    rows = [{"n": n, "fault": f"fault={faults[n]} " if n in faults else ""} for n in range(12)]
    client = client_of(fast, retry=RetryPolicy(attempts=2, base=0.001))
    mapped = ask(rows, "[simulate {fault}tokens=6] {n}", client=client)
    assert {row: type(error).__name__ for row, error in mapped.errors.items()} == {
        3: "InternalServerError",
        5: "StreamTruncatedError",
        7: "UpstreamError",
        8: "BadRequestError",
    }
    assert [row for row, answer in enumerate(mapped) if answer is None] == [3, 8]
    assert (mapped[5].state, mapped[7].state) == ("truncated", "error")  # their texts are there
    assert mapped.errors[5].answer is mapped[5]
    assert mapped.ended is None
    assert not mapped.complete
    assert capsys.readouterr().err == "4 of 12 rows went wrong; .resume() asks them again.\n"
    fast.stats.seen.clear()
    assert mapped.resume() is mapped
    assert set(mapped.errors) == {3, 8}
    assert {json.loads(seen.body)["messages"][0]["content"].split()[-1] for seen in fast.stats.seen} == {
        "3",
        "5",
        "7",
        "8",
    }


@pytest.mark.parametrize(
    ("template", "given", "kind", "most"),
    [
        ("[simulate fault=401] {number}", {}, AuthenticationError, 5),
        ("[simulate fault=402] {number}", {}, APIStatusError, 5),
        ("{number}", {"model": "gpt-41"}, NotFoundError, 5),
        ("[simulate fault=503] {number}", {}, InternalServerError, 10 + 4),
    ],
)
def test_what_every_row_would_meet_ends_it(
    template: str, given: dict[str, Any], kind: type[HolySheepError], most: int, fast: EmbeddedRelay
) -> None:
    client = client_of(fast, retry=RetryPolicy(attempts=1))
    with pytest.raises(kind) as error:
        ask(numbers(200), template, client=client, **given)
    assert "\n" not in str(error.value)
    assert fast.stats.requests <= most
    if kind is NotFoundError:
        assert "gpt-4.1" in str(error.value)


def test_a_host_that_is_none_ends_it() -> None:
    client = HolySheep(KEY, base_url="https://no-such-host.invalid/v1", retry=RetryPolicy(attempts=1))
    with pytest.raises(APIConnectionError):
        ask(numbers(200), client=client)


def test_what_came_before_such_an_end_is_returned(
    client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"number": n, "fault": "fault=402 " if n == 20 else ""} for n in range(40)]
    mapped = ask(rows, "[simulate {fault}text]\nAnswer to {number}.", client=client, concurrency=1)
    assert list(mapped)[:20] == [f"Answer to {number}." for number in range(20)]
    assert set(mapped.errors) == {20}
    assert mapped.ended is mapped.errors[20]
    assert mapped[21:] == [None] * 19
    line = capsys.readouterr().err
    assert line.endswith(" 20 of 40 rows have their answer; .resume() goes on.\n")
    assert "not asked" in str(mapped.table())


def interrupted(when: Callable[[], bool], run: Callable[[], Any]) -> Any:
    """Run, with a Ctrl-C as soon as a condition holds."""

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not when() and time.monotonic() < deadline:
            time.sleep(0.002)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        return run()
    finally:
        thread.join()


def until_idle(relay: EmbeddedRelay) -> None:
    """Wait until the relay has seen that nobody listens any more."""
    deadline = time.monotonic() + 10
    while relay.stats.active_streams:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_interrupt_keeps_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    slow = "[simulate ttft=30 tps=1000 text]\nAnswer to {number}."
    with EmbeddedRelay() as relay:
        relay.stats.seen = deque()
        client = client_of(relay)
        mapped = interrupted(
            lambda: relay.stats.completed >= 20, lambda: ask(numbers(60), slow, client=client)
        )
        done = 60 - len(mapped.missing)
        assert 15 <= done < 60
        assert isinstance(mapped.ended, KeyboardInterrupt)
        assert capsys.readouterr().err == (
            f"It was stopped. {done} of 60 rows have their answer; .resume() goes on.\n"
        )
        until_idle(relay)  # all that was under way was closed
        before, _ = prompts(relay), relay.stats.seen.clear()
        is_whole(mapped.resume(), 60)
        assert len(prompts(relay)) == 60 - done
        assert len(set(before) & set(prompts(relay))) <= 5


def test_an_interrupt_before_anything_came_is_one() -> None:
    with EmbeddedRelay() as relay:
        client = client_of(relay)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            interrupted(
                lambda: relay.stats.active_streams > 0,
                lambda: ask(numbers(20), "[simulate tokens=5 ttft=60000] {number}", client=client),
            )
        assert time.monotonic() - began < 30
        until_idle(relay)


class Gone(io.StringIO):
    """A screen that nobody reads after so many words."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self._left = words

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._left -= 1
        if self._left < 0:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.parametrize("words", [0, 1, 12])
def test_a_screen_that_is_gone_costs_no_answer(
    words: int, client: HolySheep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Gone(words))
    is_whole(ask(numbers(30), client=client, progress=True), 30)


def test_whatever_ends_the_waiting_ends_the_run() -> None:
    class Broken:
        def show(self, done: int, failed: int, spent: str) -> None:  # noqa: ARG002
            raise ZeroDivisionError

    with EmbeddedRelay() as relay:
        client = client_of(relay).asynchronous
        rows = numbers(200)
        mapped = Mapped(rows, model="gpt-4.1", resume=lambda _mapped, _cost: None)
        text = "[simulate ttft=50 tokens=5 tps=100]"
        request = ChatRequest.of("gpt-4.1", prompt_messages(text, None), {})
        run = Run(
            client,
            dict.fromkeys(range(200), (request, 0)),
            mapped,
            pot=Pot(None, client.quotes, name="max_cost"),
            schema=None,
            concurrency=2,
            charge=lambda _exchange: None,
        )
        with pytest.raises(ZeroDivisionError):
            run.wait(Broken())
        until_idle(relay)
        asked = relay.stats.requests
        time.sleep(0.5)  # several answers long
        assert relay.stats.requests == asked < 200


def test_an_interrupt_in_a_validator_ends_the_run(
    fast: EmbeddedRelay, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[int] = []

    class Number(pydantic.BaseModel):
        number: int

        @pydantic.field_validator("number")
        @classmethod
        def look(cls, value: int) -> int:
            read.append(value)
            if len(read) == 12:
                raise KeyboardInterrupt
            return value

    template = '[simulate text]\n{"number": {number}}'
    mapped = ask(numbers(50), template, client=client, schema=Number, concurrency=5)
    assert isinstance(mapped.ended, KeyboardInterrupt)
    assert mapped.errors == {}
    assert fast.stats.requests <= 12 + 5
    assert 50 - len(mapped.missing) >= 11
    assert "It was stopped. " in capsys.readouterr().err
    assert mapped.resume().complete


def test_what_is_not_ours_ends_the_run_and_keeps_what_is_done(fast: EmbeddedRelay, client: HolySheep) -> None:
    asking, charged = client.asynchronous, []

    def charge(exchange: Any) -> None:
        charged.append(exchange)
        if len(charged) == 12:
            raise ZeroDivisionError

    mapped = Mapped(numbers(50), model="gpt-4.1", resume=lambda _mapped, _cost: None)
    request = ChatRequest.of("gpt-4.1", prompt_messages("[simulate tokens=5]", None), {})
    pot = Pot(None, asking.quotes, name="max_cost")
    run = Run(
        asking,
        dict.fromkeys(range(50), (request, 0)),
        mapped,
        pot=pot,
        schema=None,
        concurrency=5,
        charge=charge,
    )
    run.wait(Watched(50, None, watched=False, shell=None))
    assert str(mapped.ended) == "The run broke off (ZeroDivisionError). .resume() goes on."
    assert mapped.errors == {}
    assert fast.stats.requests <= 12 + 5
    assert 50 - len(mapped.missing) >= 7


def test_however_often_it_is_cancelled_the_answer_is_kept(tmp_path: Path) -> None:
    with EmbeddedRelay() as relay:
        client = client_of(relay).asynchronous
        client.use(client.quotes.book, Ledger(tmp_path / "ledger.db"))
        text = "[simulate ttft=1 tps=50 tokens=500]"

        begun = asyncio.Event()

        class Begun(Screen):
            def text(self, new: str) -> None:  # noqa: ARG002
                begun.set()

        async def cancelled() -> Any:
            exchange = client.exchange(ChatRequest.of("gpt-4.1", prompt_messages(text, None), {}))
            task = asyncio.ensure_future(exchanged(exchange, Begun()))
            await asyncio.wait_for(begun.wait(), 20)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            return await task

        answer, error = portal().run(cancelled())
    assert error is None
    assert answer is not None
    assert answer.state == "stopped"


# --- money ---------------------------------------------------------------------------------------

# 500 tokens out, $0.004 at 8 USD per million, in many reads: one cannot be stopped within.
FIVE = "[simulate tokens=500 speed=100] {number}"


@pytest.mark.parametrize(
    ("max_cost", "params", "least"),
    [
        (Decimal("0.1"), {}, 10),
        ("0.1", {"max_tokens": 500}, 20),
        (0.1, {"max_tokens": 1000}, 20),
    ],
)
def test_the_limit_holds_for_all_rows_together(
    max_cost: Any, params: dict[str, Any], least: int, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    mapped = ask(numbers(60), FIVE, client=client, max_cost=max_cost, **params)
    whole = 60 - len(mapped.missing)
    assert least <= whole <= 25
    assert mapped.cost is not None
    assert Decimal("0.04") < mapped.cost <= Decimal("0.1")
    assert isinstance(mapped.ended, BudgetError)
    assert capsys.readouterr().err == (
        f"The max_cost of $0.10 is used up. {whole} of 60 rows have their answer; .resume() goes on.\n"
    )
    with pytest.raises(BudgetError):
        mapped.resume()  # what was left still holds
    assert mapped.resume(max_cost=1).complete
    assert mapped.cost < 1


def test_a_row_that_would_pass_the_limit_alone_is_stopped_at_it(client: HolySheep) -> None:
    mapped = ask(numbers(1), "[simulate tokens=5000] {number}", client=client, max_cost=0.01)
    assert mapped[0] is not None
    assert mapped[0].state == "stopped"
    assert isinstance(mapped.errors[0], BudgetError)
    assert str(mapped.errors[0]).startswith("The answer was stopped at the max_cost of $0.01.")
    assert mapped.cost is not None
    assert mapped.cost <= Decimal("0.0101")


HUNDRED = "[simulate tokens=100] {number}"  # 100 tokens out: $0.0008


@pytest.mark.parametrize(("max_cost", "whole"), [(0.002, 2), (0.001, 1), (0.005, 4)])
def test_a_small_limit_answers_as_many_rows_as_it_can(
    max_cost: float, whole: int, fast: EmbeddedRelay, client: HolySheep
) -> None:
    mapped = ask(numbers(4), HUNDRED, client=client, max_cost=max_cost)
    assert 4 - len(mapped.missing) == whole
    assert mapped.cost is not None
    assert mapped.cost <= Decimal(str(max_cost))
    assert fast.stats.requests == whole


def test_a_share_is_not_taken_for_the_limit(client: HolySheep) -> None:
    rows = [{"tokens": 100}, *[{"tokens": 5000}] * 3]
    mapped = ask(rows, "[simulate tokens={tokens}]", client=client, max_cost=0.02)
    share = "stopped at the max_cost of $0.02, of which one row has a share of $0.00"
    assert any(share in str(error) for error in mapped.errors.values())
    assert mapped.cost is not None
    assert mapped.cost <= Decimal("0.0201")


@pytest.mark.parametrize(
    ("output", "rows", "said"),
    [
        ("0.000806", 20, "at least $0.01"),  # $0.01612, which is less than two cents
        ("0.00000123456", 1, "at least $0.000001234"),
        ("1.239", 1, "at least $1.23"),
        ("0.01", 1, "at least $0.01"),
        (None, 1, "unknown"),
    ],
)
def test_at_least_is_never_more(output: str | None, rows: int, said: str) -> None:
    mapped = Mapped(numbers(rows), model="gpt-4.1", resume=lambda _mapped, _cost: None)
    for row in range(rows):
        mapped.charge(row, Cost(output=None if output is None else Decimal(output)))
    assert mapped.spent == said


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"max_cost": 0.001, "max_tokens": 500}, "The call may cost $0.0040"),
        ({"max_cost": 0}, "above the max_cost of $0;"),
        ({"max_cost": 1, "model": "gpt-5.5"}, "The price of gpt-5.5 at HolySheep is unknown"),
    ],
)
def test_what_is_too_dear_is_not_sent(
    given: dict[str, Any], line: str, fast: EmbeddedRelay, client: HolySheep
) -> None:
    with pytest.raises(BudgetError) as error:
        ask(numbers(5), FIVE, client=client, **given)
    assert line in str(error.value)
    assert fast.stats.requests == 0


def test_the_price_is_said_before(
    fast: EmbeddedRelay, client: HolySheep, capsys: pytest.CaptureFixture[str]
) -> None:
    mapped = ask(numbers(1000), FIVE, client=client, max_tokens=500, dry_run=True, max_cost=0.0001)
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"1,000 rows for gpt-4\.1: input ≈\$0\.0\d \(\$0\.0\d to \$0\.0\d\); "
        r"output at most \$4\.00 \(500,000 tokens\); together at most \$4\.0\d\.\n",
        line,
    )
    assert fast.stats.requests == 0
    assert (len(mapped.missing), mapped.cost, set(mapped.costs)) == (1000, Decimal(0), {Decimal(0)})
    with pytest.raises(BudgetError):
        mapped.resume()
    ask(numbers(2), FIVE, client=client, model="gpt-5.5", dry_run=True)
    assert capsys.readouterr().err == "2 rows for gpt-5.5: cost unknown.\n"
    ask(numbers(301), FIVE, client=client_of(fast, requests_per_minute=60), dry_run=True)
    assert capsys.readouterr().err.endswith("; at 60 requests a minute it takes 5 min or more.\n")
    ask(numbers(1), FIVE, client=client, dry_run=True)
    assert "1 row for gpt-4.1" in (line := capsys.readouterr().err)
    assert line.endswith("(32,768 tokens); together at most $0.27; max_tokens would bound it.\n")


def test_a_row_without_an_answer_counts_as_the_most_that_it_can_be() -> None:
    """An answer of 2,000 tokens may cost 0.016 USD: after two of them a third does not fit into 0.04."""
    nothing = Reply(kind="text/event-stream")  # the stream has begun, and nothing comes
    with Server([said("whole"), nothing]) as server:
        client = HolySheep(
            KEY, base_url=server.base_url, prices=load_book([{"model": "gpt-4.1", "input": 2.0}])
        )
        mapped = ask(numbers(9), client=client, concurrency=1, max_tokens=2000, max_cost="0.04")
        assert len(server.asked) == 3
    assert str(mapped.ended).startswith("The max_cost of $0.04 is used up.")


def test_what_it_costs_is_never_too_little(fast: EmbeddedRelay) -> None:
    mapped = ask(numbers(3), FIVE, client=client_of(fast, prices=None))  # the input's price is unknown
    assert (mapped.cost, set(mapped.costs)) == (None, {None})
    assert repr(mapped) == "<Mapped: 3 of 3 rows answered, cost at least $0.01>"


# --- schemas -------------------------------------------------------------------------------------


@dataclass
class Rating:
    """What a review says."""

    stars: int
    tone: str


JSON = '[simulate text]\n{"stars": {stars}, "tone": "{tone}"}'


def test_each_answer_is_read_by_the_schema(fast: EmbeddedRelay, client: HolySheep, tmp_path: Path) -> None:
    rows = [{"stars": n if n != 2 else "many", "tone": "warm"} for n in range(4)]
    mapped = ask(rows, JSON, client=client, schema=Rating, keep=tmp_path / "kept.jsonl")
    asked = json.loads(fast.stats.seen[0].body)["response_format"]
    assert asked["json_schema"]["name"] == "Rating"
    assert [answer.parsed for answer in mapped if answer] == [
        Rating(0, "warm"),
        Rating(1, "warm"),
        None,
        Rating(3, "warm"),
    ]
    assert isinstance(mapped.errors[2], SchemaError)
    assert mapped[2] == '{"stars": many, "tone": "warm"}'
    frame = mapped.to_dataframe()
    assert list(frame.columns) == [
        "stars",
        "tone",
        "holysheep_stars",
        "holysheep_tone",
        "state",
        "cost",
        "error",
    ]
    assert frame["holysheep_stars"].tolist()[:2] == [0, 1]
    # What does not fit is not kept: it is asked again, and nothing else.
    assert len(AnswerFile(tmp_path / "kept.jsonl")) == 3
    before = fast.stats.requests
    again = ask(rows, JSON, client=client, schema=Rating, keep=tmp_path / "kept.jsonl")
    assert fast.stats.requests == before + 1
    assert again[3] is not None
    assert again[3].parsed == Rating(3, "warm")


FITTING = "[simulate text]\n{number}"


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, "unprintable"])
def test_a_validator_may_raise_what_it_likes(
    kind: Any, keep: bool, client: HolySheep, tmp_path: Path
) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    class Odd(pydantic.RootModel[int]):
        @pydantic.field_validator("root")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise UnprintableError if kind == "unprintable" else kind
            return number

    mapped = ask(
        numbers(6), FITTING, client=client, schema=Odd, keep=tmp_path / "kept.jsonl" if keep else None
    )
    assert list(mapped) == ["0", "1", "2", "3", "4", "5"]
    assert {row: type(error) for row, error in mapped.errors.items()} == dict.fromkeys([1, 3, 5], SchemaError)
    assert client.ask(SAY, model="gpt-4.1").state == "complete"


@pytest.mark.parametrize("keep", [False, True])
def test_a_validator_may_ask_with_the_same_client(keep: bool, client: HolySheep, tmp_path: Path) -> None:
    class Twice(pydantic.RootModel[int]):
        @pydantic.field_validator("root")
        @classmethod
        def asked(cls, number: int) -> int:
            return number + int(client.ask("[simulate text]\n100", model="gpt-4.1"))

    mapped = ask(
        numbers(40),
        FITTING,
        client=client_of_many(client),
        schema=Twice,
        keep=tmp_path / "kept.jsonl" if keep else None,
        concurrency=40,  # more than any pool of threads
    )
    assert mapped.errors == {}
    assert [answer.parsed.root for answer in mapped if answer] == [100 + number for number in range(40)]


def client_of_many(client: HolySheep) -> HolySheep:
    """One with room for many answers at a time: those that are read wait for others."""
    return HolySheep(
        KEY, base_url=client.base_url, requests_per_minute=10**6, concurrent_streams=100, prices=load_book()
    )


def test_an_interrupt_out_of_a_validator_ends_the_run(client: HolySheep) -> None:
    class Cross(pydantic.RootModel[int]):
        @pydantic.field_validator("root")
        @classmethod
        def three(cls, number: int) -> int:
            if number == 3:
                raise KeyboardInterrupt
            return number

    mapped = ask(numbers(50), FITTING, client=client, schema=Cross, concurrency=1)
    assert isinstance(mapped.ended, KeyboardInterrupt)
    assert list(mapped)[:3] == ["0", "1", "2"]
    assert client.ask(SAY, model="gpt-4.1").state == "complete"


# --- what comes of it ----------------------------------------------------------------------------


def test_a_data_frame_comes_back(client: HolySheep) -> None:
    reviews = pd.DataFrame(
        {"number": [1, 2, 3], "answer": ["a", "b", "c"], "fault": ["", "fault=400 ", ""]}, index=list("xyz")
    )
    mapped = ask(reviews, "[simulate {fault}text]\nAnswer to {number}.", client=client)
    frame = mapped.to_dataframe()
    assert list(frame.columns) == [*reviews.columns, "holysheep_answer", "state", "cost", "error"]
    assert list(frame.index) == list("xyz")
    assert frame[list(reviews.columns)].equals(reviews)
    assert frame["holysheep_answer"].iloc[[0, 2]].tolist() == ["Answer to 1.", "Answer to 3."]
    assert pd.isna(frame["holysheep_answer"].iloc[1])
    assert frame["state"].tolist() == ["complete", "error", "complete"]
    assert frame["error"].isna().tolist() == [True, False, True]
    assert frame["error"].iloc[1].startswith("400: ")
    assert frame["cost"].dtype == "float64"
    assert math.isclose(frame["cost"].sum(), float(mapped.cost or 0))
    assert list(reviews.columns) == ["number", "answer", "fault"]


@pytest.mark.parametrize("name", [None, "text", ("a", 1)])
def test_a_series_comes_back_with_its_index(name: Any, client: HolySheep) -> None:
    """Some rows of a table: the answers stand beside those, and not beside the first ones."""
    texts = pd.Series(["zero", "one", "two"], name=name, index=list("xyz"))[["z", "y"]]
    frame = ask(texts, "[simulate text]\nabout {row}", client=client).to_dataframe()
    assert frame["answer"].to_dict() == {"z": "about two", "y": "about one"}
    assert frame["row"].equals(texts.rename("row"))
    assert texts.name == name


def test_a_series_of_records_comes_back_with_its_index(client: HolySheep) -> None:
    rows = pd.Series([{"number": 1}, {"number": 2}], index=[5, 3])
    frame = ask(rows, client=client).to_dataframe()
    assert frame["number"].to_dict() == {5: 1, 3: 2}
    assert frame["answer"].to_dict() == {5: "Answer to 1.", 3: "Answer to 2."}


@dataclass
class Claim:
    """Its fields are called as columns of ours are."""

    state: str
    cost: float
    error: str


def test_fields_called_as_our_columns_are_kept(client: HolySheep) -> None:
    claim = '[simulate text]\n{"state": "{state}", "cost": 7.5, "error": "E7"}'
    frame = ask(pd.DataFrame({"state": ["Ohio"]}), claim, client=client, schema=Claim).to_dataframe()
    ours = ["holysheep_state_2", "holysheep_cost", "holysheep_error"]
    assert list(frame.columns) == ["state", "holysheep_state", "cost", "error", *ours]
    row = frame.iloc[0].to_dict()
    assert (row["state"], row["holysheep_state"], row["cost"], row["error"]) == ("Ohio", "Ohio", 7.5, "E7")
    assert row["holysheep_state_2"] == "complete"
    assert 0 < row["holysheep_cost"] < 1
    assert row["holysheep_error"] is None


def test_however_often_a_data_frame_comes_back_no_column_is_lost(client: HolySheep) -> None:
    frame = pd.DataFrame({"number": [1, 2]})
    for turn in range(4):
        mapped = ask(frame, SAY.replace("Answer", f"Answer {turn}"), client=client)
        frame = mapped.to_dataframe()
        assert frame.columns.is_unique
        assert f"Answer {turn} to 2." in mapped.text
    assert len(frame.columns) == 1 + 4 * 4
    answers = ["answer", "holysheep_answer", "holysheep_answer_2", "holysheep_answer_3"]
    assert frame[answers].iloc[0].tolist() == [f"Answer {turn} to 1." for turn in range(4)]
    again = pd.read_csv(io.StringIO(mapped.text))
    assert list(again.columns) == [
        name for name in frame.columns if not name.endswith(("state_3", "cost_3", "error_3"))
    ]
    assert again[answers].equals(frame[answers])


def test_a_root_model_is_one_column(client: HolySheep) -> None:
    mapped = ask(numbers(2), FITTING, client=client, schema=pydantic.RootModel[int])
    assert [value.root for value in mapped.to_dataframe()["answer"]] == [0, 1]


def test_it_is_a_sequence_with_a_summary(client: HolySheep) -> None:
    mapped = ask(["<b>", "y", "[simulate fault=400]"], "{row} [simulate tokens=3]", client=client)
    assert len(mapped) == 3
    assert mapped[0] in mapped
    assert mapped[-1] is None
    assert [row["row"] for row in mapped.rows] == ["<b>", "y", "[simulate fault=400]"]
    assert repr(mapped).startswith("<Mapped: 2 of 3 rows answered, 1 failed, cost $0.00")
    shown = mapped._repr_mimebundle_()
    assert "2 of 3 rows answered by gpt-4.1" in shown["text/html"]
    assert re.search(r"complete +2 +\d+ +6 +\$0\.00", shown["text/plain"])
    assert re.search(r"failed: BadRequestError +1 +0 +0 +\$0", shown["text/plain"])
    assert "Answers were simulated: nothing was billed." in shown["text/plain"]
    assert ".resume() asks the 1 row without an answer." in shown["text/plain"]


# --- with the notebook's own settings ------------------------------------------------------------

MAP = (
    "import hs_notebook\nm = hs_notebook.map(range(8), '{row} [simulate tokens=4 speed=inf]', model='gpt-4.1'"
)


@pytest.fixture
def notebook(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The shell of this process, as `get_ipython()` finds it in a real one."""
    monkeypatch.setattr(InteractiveShell, "_instance", shell.ip)
    return shell


def test_it_uses_the_notebook_s_ledger_budget_and_prices(notebook: Shell, relay: EmbeddedRelay) -> None:
    notebook.magics.prices = [{"model": "gpt-4.1", "input": 2.0}]
    ran = notebook.run(f"{MAP})")
    assert ran.error is None
    mapped = notebook.names["m"]
    assert mapped.complete
    assert mapped.cost == sum(answer.cost for answer in mapped) > 0
    assert notebook.magics.purse.ledger.spent().simulated == 8
    assert ran.err.startswith("8 rows for gpt-4.1: input ≈$0.00")
    assert "100%|" in ran.err
    assert "8/8 [" in ran.err
    notebook.magics.budget_usd = 0.0
    refused = notebook.run(f"{MAP})")
    assert isinstance(refused.error, BudgetError)
    assert "the rest of the notebook's budget of $0" in str(refused.error)
    assert relay.stats.requests == 8


def test_it_is_replayed_with_the_notebook(
    notebook: Shell, relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.magics.replay = "record"
    notebook.run(f"{MAP})")
    first = list(notebook.names["m"])
    relay.stop()
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    notebook.magics.replay = "replay"
    notebook.magics.budget_usd = 0.0
    ran = notebook.run(f"{MAP})")
    assert ran.error is None
    mapped = notebook.names["m"]
    assert list(mapped) == first
    assert mapped.cost == 0
    assert all(answer.receipt.replayed for answer in mapped)
    assert re.search("from the file +8", str(mapped.table()))
    missing = notebook.run(MAP.replace("range(8)", "range(9)") + ")")
    assert isinstance(missing.error, ReplayError)
    assert notebook.magics.purse.ledger.spent().simulated == 8


def test_another_file_is_replayed_just_so(
    notebook: Shell, relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run(f"{MAP}, keep='mine.jsonl')")
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    notebook.magics.replay = "replay"
    assert notebook.run(f"{MAP}, keep='mine.jsonl')").error is None
    assert isinstance(notebook.run(f"{MAP}, keep='other.jsonl')").error, ReplayError)
    assert relay.stats.requests == 8


def test_a_file_that_cannot_be_written_is_told_before(
    fast: EmbeddedRelay, client: HolySheep, tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("My notes\n")
    for keep in (tmp_path, tmp_path / "notes", tmp_path / "notes" / "kept.jsonl"):
        with pytest.raises(ConfigurationError):
            ask(numbers(5), client=client, keep=keep)
    assert fast.stats.requests == 0


def test_percent_holysheep_stop_ends_it(notebook: Shell) -> None:
    """From another thread, as a button would."""
    notebook.names["stopper"] = stopper = threading.Thread(target=lambda: stop_soon(notebook))
    stopper.start()
    slow = MAP.replace("range(8)", "range(200)").replace("speed=inf", "ttft=20 tps=1000")
    notebook.run(f"{slow})")
    stopper.join()
    mapped = notebook.names["m"]
    assert isinstance(mapped.ended, KeyboardInterrupt)
    assert 0 < len(mapped.missing) < 200


def stop_soon(shell: Shell) -> None:
    deadline = time.monotonic() + 30
    while not any(run.answered for run in shell.magics.session.running) and time.monotonic() < deadline:
        time.sleep(0.005)
    shell.magics.session.running[-1].stop()


# --- the bar -------------------------------------------------------------------------------------


def test_where_nobody_watches_the_bar_is_text(fast: EmbeddedRelay, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext hs_notebook", f"{MAP})\nm")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, km=manager(DEFAULT_KERNEL), timeout=60)
    client.execute(env=os.environ | settings(fast.base_url), cwd=os.fspath(tmp_path))
    *said, table = notebook.cells[1].outputs
    assert {one["name"] for one in said} == {"stdout"}
    price, bar = "".join(one["text"] for one in said).splitlines()
    assert price.startswith("8 rows for gpt-4.1: ")
    assert re.fullmatch(r"100%\|█+\| 8/8 \[00:0\d<00:00, .+row/s, at least \$0\.00\d+\]", bar)
    assert set(table["data"]) == {"text/html", "text/plain"}
    assert "widgets" not in notebook.metadata


def test_in_a_page_the_bar_is_live_and_stays_as_text(fast: EmbeddedRelay, tmp_path: Path) -> None:
    with kernel(DEFAULT_KERNEL, tmp_path, settings(fast.base_url)) as running:
        cell = running.wait(running.start(f"{MAP})\nm", allow_stdin=True))
        assert cell.status == "ok", cell.errors
        first, last = cell.shown
        assert WIDGET in first["data"]
        assert last["data"]["text/plain"].startswith("100%|█")
        assert "8/8" in last["data"]["text/plain"]
        assert WIDGET not in last["data"]
        assert first["transient"] == last["transient"]
        opened = [said for said in cell.said if said.kind == "comm_open"]
        closed = [said for said in cell.said if said.kind == "comm_close"]
        assert len(opened) >= len(closed) >= 4  # the box and its three parts
        running.run("%config HolySheepMagics.display = 'page'")  # a page without widgets
        cell = running.wait(running.start(f"{MAP})", allow_stdin=True))
        assert (cell.status, cell.shown) == ("ok", [])
        assert {said.content["name"] for said in cell.said if said.kind == "stream"} == {"stdout"}
        assert "8/8 [" in cell.printed
