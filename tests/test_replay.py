"""Answers from a file: kept whole, found again, never asked twice and never paid twice."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import DEFAULT_KERNEL
from nbclient import NotebookClient
from shell import KEY, Reply, Server, Shell, manager, said, sse
from shell import settings as environment

from hs_notebook import HolySheep
from hs_notebook.errors import ConfigurationError, MissingKeyError, ReplayError, UsageError
from hs_notebook.magics.replay import usual_file
from hs_notebook.prices import load_book
from hs_notebook.replay import AnswerFile, KeptAnswer, Replay, key_of
from hs_notebook.types import ChatRequest, FunctionCall, ToolCall, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

HELLO = "Hello [simulate tokens=12 speed=inf]"

# --- the file ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
counts = st.integers(0, 10**9)
amounts = st.decimals(0, 1000, places=10)
answers = st.builds(
    KeptAnswer,
    key=st.text("0123456789abcdef", min_size=4, max_size=4),
    when=st.just("2026-11-24T12:00:00Z"),
    model=texts,
    text=texts,
    state=st.sampled_from(["complete", "truncated"]),
    finish_reason=st.none() | texts,
    usage=st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, estimated=st.booleans()),
    response_model=texts,
    reasoning=texts,
    tool_calls=st.lists(
        st.builds(ToolCall, id=st.none() | texts, function=st.builds(FunctionCall, texts, texts)), max_size=2
    ).map(tuple),
    alternatives=st.lists(texts, max_size=3).map(tuple),
    simulated=st.booleans(),
    cost=st.none() | amounts,
)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def fresh(folder: Path, lines: list[KeptAnswer]) -> Path:
    path = folder / "answers.jsonl"
    path.unlink(missing_ok=True)
    file = AnswerFile(path)
    for line in lines:
        file.keep(line)
    return path


@in_one_folder
@given(st.lists(answers, max_size=6))
def test_what_is_kept_is_found_again(tmp_path: Path, kept: list[KeptAnswer]) -> None:
    path = fresh(tmp_path, kept)
    latest = {one.key: one for one in kept}
    file = AnswerFile(path)
    assert {key: file.find(key) for key in latest} == latest
    assert len(file) == len(latest)
    assert file.find("no such key") is None


@in_one_folder
@given(st.lists(answers, min_size=1, max_size=4, unique_by=lambda one: one.key), answers, st.data())
def test_a_killed_process_leaves_at_most_its_last_line_behind(
    tmp_path: Path, kept: list[KeptAnswer], later: KeptAnswer, data: st.DataObject
) -> None:
    path = fresh(tmp_path, kept)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    there = [
        one for one, end in zip(kept, ends, strict=True) if cut >= end - 1
    ]  # the line end may be missing
    file = AnswerFile(path)
    assert len(file) == len(there)
    file.keep(later)
    expected = {one.key: one for one in [*there, later]}
    again = AnswerFile(path)
    assert {key: again.find(key) for key in expected} == expected == {k: file.find(k) for k in expected}
    lines = path.read_text("utf-8").split("\n")
    assert [json.loads(line)["key"] for line in lines[:-1]] == [one.key for one in [*there, later]]
    assert lines[-1] == ""


NOT_OURS = {
    "notes": b"My notes\n\nto keep\n",
    "one word": b"notes",
    "JSON of another kind": b'{"prompt": "x"}\n',
    "a notebook": b'{\n "cells": []\n}\n',
    "bytes": b"\x89PNG\r\n\x1a\n\0\0",
    "an empty line first": b"\n",
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=list(NOT_OURS))
def test_a_file_of_somebody_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    path.write_bytes(content)
    file = AnswerFile(path)
    kept = KeptAnswer(key="k", when="2026-11-24T12:00:00Z", model="m", text="t")
    for use in (lambda: file.find("k"), lambda: file.keep(kept), file.prepare, lambda: len(file)):
        with pytest.raises(
            ConfigurationError, match=r"theirs is no file of answers; it is left as it is\."
        ) as error:
            use()
        assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_a_line_that_was_damaged_is_skipped(tmp_path: Path) -> None:
    kept = [KeptAnswer(key=str(n), when="2026-11-24T12:00:00Z", model="m", text="t") for n in range(3)]
    path = fresh(tmp_path, kept)
    first, _, last, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, b"<<<<<<< HEAD", b"\xff\xfe", b"[" * 100_000, last, b""]))
    file = AnswerFile(path)
    assert [file.find(str(n)) is not None for n in range(3)] == [True, False, True]


def test_what_others_write_and_take_away_is_seen(tmp_path: Path) -> None:
    one, other = AnswerFile(tmp_path / "a.jsonl"), AnswerFile(tmp_path / "a.jsonl")
    kept = [KeptAnswer(key=str(n), when="2026-11-24T12:00:00Z", model="m", text="t") for n in range(2)]
    assert len(other) == 0
    one.keep(kept[0])
    assert other.find("0") == kept[0]
    one.keep(kept[1])
    assert len(other) == 2
    lines = one.path.read_bytes().splitlines(keepends=True)
    one.path.write_bytes(lines[1])  # somebody wants the first to be asked again
    assert (other.find("0"), other.find("1")) == (None, kept[1])
    one.path.unlink()
    assert (len(one), len(other)) == (0, 0)


WRITER = """
import sys, threading
from hs_notebook.replay import AnswerFile, KeptAnswer
def write(who):
    file = AnswerFile(sys.argv[1])
    for n in range(40):
        key = f"{sys.argv[2]}-{who}-{n}"
        file.keep(KeptAnswer(key=key, when="2026-11-24T12:00:00Z", model="m", text="t" * 3000))
threads = [threading.Thread(target=write, args=[who]) for who in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_processes_and_threads_write_together(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(number)]) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    keys = [json.loads(line)["key"] for line in path.read_text("utf-8").splitlines()]
    assert sorted(keys) == sorted(f"{p}-{t}-{n}" for p in range(3) for t in range(3) for n in range(40))


# --- which question it is ------------------------------------------------------------------------

ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "é"}],
    "params": {"a": 1, "b": 2},
}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"messages": [{"content": "é", "role": "user"}], "params": {"b": 2, "a": 1}}, True),
        ({"params": {"a": 1, "b": 2, "c": None}}, True),  # not sent
        ({"model": "n"}, False),
        ({"messages": [{"role": "system", "content": "é"}]}, False),
        ({"messages": [{"role": "user", "content": "e\u0301"}]}, False),
        ({"params": {"a": 1}}, False),
        ({"params": {"a": 1, "b": "2"}}, False),
    ],
)
def test_the_key_is_model_messages_and_parameters(changes: dict[str, Any], same: bool) -> None:
    one, other = (ChatRequest.of(**fields) for fields in (ASKED, ASKED | changes))
    assert (key_of(one) == key_of(other)) is same
    assert len({key_of(one), key_of(one, 1), key_of(one, 2)}) == 3


def test_a_key_does_not_change_from_version_to_version() -> None:
    digest = "618c56ac619127c6a0799cfd33a6c8202b115f720b4bb6021285cc6aab39399b"
    assert key_of(ChatRequest.of(**ASKED)) == digest


# --- cells ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """A setting and an option, and whether a cell is then asked: for the first time, and again."""

    replay: str
    option: str = ""
    first: bool = True
    again: bool


@pytest.mark.parametrize(
    "case",
    [
        Case(replay="off", again=True),
        Case(replay="off", option="--no-cache", again=True),
        Case(replay="off", option="--cache", again=False),
        Case(replay="record", again=False),
        Case(replay="record", option="--cache", again=False),
        Case(replay="record", option="--no-cache", again=True),
        Case(replay="replay", first=False, again=False),
        Case(replay="replay", option="--cache", first=False, again=False),
        Case(replay="replay", option="--no-cache", first=False, again=False),
    ],
    ids=lambda case: f"{case.replay} {case.option}",
)
def test_when_a_cell_is_asked(case: Case, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.magics.replay = case.replay
    cell = f"%%holysheep gpt-4.1 {case.option}\n{HELLO}"
    for asks in (case.first, case.again):
        before = relay.stats.requests
        ran = shell.run(cell)
        assert relay.stats.requests - before == asks
        if case.replay == "replay":
            assert isinstance(ran.error, UsageError)
            assert ran.out.count("\n") == 1
        else:
            assert ran.error is None


def test_a_replayed_answer_is_the_same_and_costs_nothing(shell: Shell, relay: EmbeddedRelay) -> None:
    line = f"%%holysheep gpt-4.1 --cache -o {{}} -s 'Be brief.' -t 0.5 -p top_p=0.9\n{HELLO}"
    shell.run(line.format("first"))
    ran = shell.run(line.format("again"))
    first, again = shell.names["first"], shell.names["again"]
    assert relay.stats.requests == 1
    assert ran.out.startswith(first.text)
    assert (again.text, again.messages, again.usage, again.state) == (
        first.text,
        first.messages,
        first.usage,
        "complete",
    )
    receipt = again.receipt
    assert (receipt.replayed, first.receipt.replayed, receipt.simulated) == (True, False, True)
    assert (again.cost, receipt.model, receipt.finish_reason) == (Decimal(0), "gpt-4.1", "stop")
    assert math.isnan(receipt.ttft)
    assert math.isnan(receipt.duration)
    assert "· $0 · replayed · simulated · asked on 20" in ran.out
    assert shell.magics.purse.ledger.spent().simulated == 1


def test_the_cell_is_not_asked_elsewhere_either(shell: Shell, relay: EmbeddedRelay) -> None:
    """Neither the key nor the place is part of what is asked."""
    shell.magics.replay = "record"
    shell.run(f"%%holysheep\n{HELLO}")
    client = HolySheep("another_key_0123456789", base_url=relay.base_url, replay=Replay("answers.jsonl"))
    assert client.ask(HELLO, model="gpt-4.1").receipt.replayed
    assert relay.stats.requests == 1


QUESTIONS = {
    "side by side": "%%holysheep gpt-4.1,deepseek-v3.2 -o answer\nHello [simulate tokens=4 speed=inf]",
    "in the background": "%%holysheep gpt-4.1 --bg -o answer\nHello [simulate tokens=4 speed=inf]\n",
    "in a line": "answer = %holysheep ask gpt-4.1 'Hello [simulate tokens=4 speed=inf]'",
    "in one piece": "%%holysheep gpt-4.1 --no-stream -o answer\nHello [simulate tokens=4 speed=inf]",
    "JSON": '%%holysheep gpt-4.1 -f json -o answer\n[simulate speed=inf text]\n{"a": 1}',
    "a schema": "%%holysheep gpt-4.1 --schema Point -o answer\nHello [simulate speed=inf]",
    "a tool": "%%holysheep gpt-4.1 --tools double --allow-tools -o answer\n"
    'Hello [simulate tool=double arguments={"number":4} speed=inf]',
    "a conversation": "%%holysheep gpt-4.1 --chat --reset -o answer\nHello [simulate tokens=4 speed=inf]",
}
NAMES = """
from dataclasses import dataclass
@dataclass
class Point:
    x: int
def double(number: int) -> int:
    "Twice a number."
    return 2 * number
"""


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_every_kind_of_question_is_replayed(question: str, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(NAMES)
    shell.magics.replay = "record"
    said: list[list[Any]] = []
    for requests in (1, 0):
        before = relay.stats.requests
        ran = shell.run(question)
        assert ran.error is None, ran.out
        answer = shell.names["answer"]
        answers = list(answer.values()) if hasattr(answer, "values") else [answer]
        answers = [one.wait() if hasattr(one, "wait") else one for one in answers]
        assert (relay.stats.requests > before) is bool(requests)
        assert [one.receipt.replayed for one in answers] == [not requests] * len(answers)
        said.append([(one.text, one.parsed, one.receipt.usage.completion_tokens) for one in answers])
    assert said[0] == said[1]
    assert shell.magics.session.charged == 0


def test_without_a_key_and_a_relay(
    shell: Shell, relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run(f"%%holysheep --cache\n{HELLO}")
    relay.stop()
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    shell.run("%config HolySheepMagics.replay = 'replay'")
    ran = shell.run(f"%%holysheep -o answer --max-cost 0.000001\n{HELLO}")
    assert ran.error is None
    assert shell.names["answer"].receipt.replayed
    shell.magics.budget_usd = 0.0  # all of it is spent
    assert shell.run(f"%%holysheep\n{HELLO}").error is None
    missing = shell.run("%%holysheep\nSomething else")
    assert isinstance(missing.error, ReplayError)
    assert missing.out.startswith("ReplayError: This question to gpt-4.1 has no answer in answers.jsonl, ")
    assert missing.out.count("\n") == 1
    assert isinstance(shell.run("%holysheep models").error, MissingKeyError)


def test_a_recorded_answer_is_given_though_the_budget_is_spent(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "input": 2.0}]
    shell.run(f"%%holysheep --cache\n{HELLO}")
    shell.magics.budget_usd = 0.0
    assert shell.run(f"%%holysheep --cache\n{HELLO}").error is None
    assert "budget of $0 is spent" in shell.run("%%holysheep --cache\nSomething else").out
    assert relay.stats.requests == 1


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ("[simulate text speed=inf]\nWhole.", True),
        ("[simulate tokens=50 speed=inf]", True),  # cut by max_tokens
        ("[simulate fault=cut after=3 speed=inf]", False),
        ("[simulate fault=errorframe after=3 speed=inf]", False),
        ("[simulate fault=401]", False),
        ("[simulate fault=empty]", False),
    ],
)
def test_only_whole_answers_are_kept(prompt: str, kept: bool, shell: Shell) -> None:
    shell.run(f"%%holysheep --cache --max-tokens 20\n{prompt}")
    assert len(AnswerFile("answers.jsonl")) == kept


MISFIT, FIT = said("nope"), said('{"x": 3}')


def points(line: str, *replies: Reply, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run one cell until each reply was asked for, and once more; return what it said each time."""
    shell.run(NAMES)
    shell.magics.replay = "record"
    with Server(replies) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        shell.run(f"%%holysheep gpt-4.1 {line}\nHello")
        ran = [shell.run(f"%%holysheep gpt-4.1 {line} -o answer\nHello") for _ in range(2)]
    assert len(server.asked) == len(replies)
    return [one.out for one in ran]


@pytest.mark.parametrize("form", ["--schema Point", "-f json"])
def test_an_answer_that_does_not_fit_is_asked_again(
    form: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, replayed = points(form, MISFIT, FIT, shell=shell, monkeypatch=monkeypatch)
    assert "replayed" not in asked
    assert "replayed" in replayed
    assert shell.names["answer"].text == '{"x": 3}'


def test_one_that_was_repaired_is_replayed_with_its_repair(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = points("--schema Point --repair", MISFIT, FIT, shell=shell, monkeypatch=monkeypatch)
    assert all("2 rounds" in out and "replayed" in out for out in told)
    assert shell.names["answer"].parsed == shell.names["Point"](3)


def test_a_repair_that_does_not_fit_is_asked_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "--schema Point --repair"
    told = points(line, MISFIT, MISFIT, FIT, shell=shell, monkeypatch=monkeypatch)
    assert all("2 rounds" in out for out in told)
    assert shell.names["answer"].parsed == shell.names["Point"](3)


def test_no_cache_replaces_what_was_kept(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.magics.replay = "record"
    shell.run(f"%%holysheep\n{HELLO}")
    shell.run(f"%%holysheep --no-cache\n{HELLO}")
    file = AnswerFile("answers.jsonl")
    assert (relay.stats.requests, len(file.path.read_text("utf-8").splitlines()), len(file)) == (2, 2, 1)
    assert "keeps the new answer instead" in " ".join(shell.run("%holysheep ask --help").out.split())


@pytest.mark.parametrize(
    ("base_url", "mode", "free"),
    [
        ("http://127.0.0.1:8787/v1", "record", True),
        ("https://api.holysheep.ai/v1", "record", False),
        ("https://api.holysheep.ai/v1", "replay", True),
    ],
)
def test_a_real_relay_is_asked_what_a_simulated_one_answered(
    base_url: str, mode: Any, free: bool, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    file = AnswerFile(tmp_path / "answers.jsonl")
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": HELLO}])
    simulated = HolySheep(KEY, base_url=relay.base_url, replay=Replay(file))
    assert simulated.ask(HELLO, model="gpt-4.1").receipt.simulated
    assert simulated.asynchronous.is_free(request)
    client = HolySheep(KEY, base_url=base_url, replay=Replay(file, mode)).asynchronous
    assert client.is_free(request) is free
    plain = HolySheep(KEY, base_url=base_url).asynchronous
    assert plain.replaying(Replay(file, mode)).is_free(request) is free


def test_the_key_is_never_in_the_file(tmp_path: Path) -> None:
    call = {
        "index": 0,
        "id": KEY,
        "type": "function",
        "function": {"name": "f", "arguments": f'{{"a": "{KEY}"}}'},
    }
    delta = {"content": f"Your key is {KEY}.", "reasoning_content": KEY, "tool_calls": [call]}
    reply = sse(
        {"model": KEY, "choices": [{"index": 0, "delta": delta}]},
        {"choices": [{"index": 1, "delta": {"content": KEY}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    file = AnswerFile(tmp_path / "answers.jsonl")
    with Server([reply]) as server:
        client = HolySheep(KEY, base_url=server.base_url, replay=Replay(file))
        client.ask("What is my key?", model="m")
        again = client.ask("What is my key?", model="m")
    assert KEY not in file.path.read_text("utf-8")
    assert (again.text, again.reasoning, again.alternatives) == (
        "Your key is [key].",
        "[key]",
        ("Your key is [key].", "[key]"),
    )
    (found,) = again.tool_calls
    assert (found.id, found.function) == ("[key]", FunctionCall("f", '{"a": "[key]"}'))
    assert again.receipt.replayed


def test_what_it_cost_then_is_told(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    with Server([sse({"model": "m", "choices": [choice]}, {"choices": [], "usage": usage})]) as server:
        prices = load_book([{"model": "m", "input": 2.0, "output": 8.0}])
        file = tmp_path / "answers.jsonl"
        client = HolySheep(KEY, base_url=server.base_url, prices=prices, replay=Replay(file))
        first, again = (client.ask("?", model="m") for _ in range(2))
    assert (first.cost, again.cost) == (Decimal("0.01"), Decimal(0))
    assert re.fullmatch(r"asked on 20\d\d-\d\d-\d\d for \$0\.01", again.receipt.note)


def test_nothing_is_spent_where_the_answer_could_not_be_kept(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("import os; os.mkdir('taken')")
    shell.magics.replay_file = "taken"
    ran = shell.run(f"%%holysheep --cache\n{HELLO}")
    assert isinstance(ran.error, ConfigurationError)
    assert ran.out.startswith("ConfigurationError: The file of answers ")
    assert ran.out.count("\n") == 1
    assert relay.stats.requests == 0


def test_in_python(relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)
    file = tmp_path / "answers.jsonl"
    recording = HolySheep(KEY, base_url=relay.base_url, replay=Replay(file))
    first = recording.ask(HELLO, model="gpt-4.1", stream=False)
    replaying = HolySheep(replay=Replay(file, "replay"))
    assert replaying.ask(HELLO, model="gpt-4.1") == first
    messages = [{"role": "user", "content": HELLO}]
    for asks in (
        lambda: replaying.ask("Something else", model="gpt-4.1"),
        replaying.models.list,
        lambda: replaying.chat.completions.create(model="gpt-4.1", messages=messages),
        lambda: replaying.chat.completions.create(model="gpt-4.1", messages=messages, stream=True),
    ):
        with pytest.raises(ReplayError):
            asks()
    assert relay.stats.requests == 1
    with pytest.raises(UsageError, match="mode is 'record' or 'replay'"):
        Replay(file, "rewind")  # type: ignore[arg-type]


def test_estimates_learn_nothing_from_it(shell: Shell) -> None:
    usage = {"prompt_tokens": 5000, "completion_tokens": 1, "total_tokens": 5001}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    with Server([sse({"model": "gpt-4.1", "choices": [choice]}, {"choices": [], "usage": usage})]) as server:
        shell.names["os"] = os
        for name, value in environment(server.base_url).items():
            shell.run(f"os.environ[{name!r}] = {value!r}")
        shell.run("%%holysheep --cache\nHello")
        learned = shell.magics.session.calibration.over_billing("gpt-4.1")
        charged = shell.magics.session.charged
        for _ in range(5):
            shell.run("%%holysheep --cache\nHello")
    assert len(server.asked) == 1
    assert shell.magics.session.calibration.over_billing("gpt-4.1") == learned
    assert shell.magics.session.charged == charged > 0


# --- which file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notebook", "there", "file"),
    [
        ("{here}/analysis.ipynb", [], "analysis.answers.jsonl"),
        ("{here}/sub/analysis.ipynb", [], "sub/analysis.answers.jsonl"),
        ("/gone/analysis.ipynb", [], "analysis.answers.jsonl"),
        ("script.py", [], "script.answers.jsonl"),
        ("IPython", [], "answers.jsonl"),
        ("", [], "answers.jsonl"),
        ("IPython", ["analysis.answers.jsonl"], "analysis.answers.jsonl"),
        ("IPython", ["analysis.answers.jsonl", "answers.jsonl"], "answers.jsonl"),
        ("IPython", ["a.answers.jsonl", "b.answers.jsonl"], "answers.jsonl"),
        ("{here}/analysis.ipynb", ["other.answers.jsonl"], "analysis.answers.jsonl"),
    ],
)
def test_the_file_lies_beside_the_notebook(
    notebook: str, there: list[str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in there:
        (tmp_path / name).touch()
    assert usual_file(notebook.format(here=tmp_path)) == tmp_path / file


def test_the_command_shows_it(shell: Shell) -> None:
    assert shell.run("%holysheep replay").out.splitlines() == [
        "mode     off: every question is asked (--cache records a cell)",
        "file     answers.jsonl (not there yet)",
        "answers  0 kept, 0 used in this session",
    ]
    shell.magics.replay, shell.magics.replay_file = "record", "mine.jsonl"
    for _ in range(3):
        shell.run(f"%%holysheep\n{HELLO}")
    _, file, numbers = shell.run("%holysheep replay").out.splitlines()
    assert (file, numbers) == ("file     mine.jsonl", "answers  1 kept, 2 used in this session")
    assert isinstance(shell.run("%holysheep replay now").error, UsageError)


# --- a whole notebook ----------------------------------------------------------------------------

CELLS = (
    "%load_ext hs_notebook",
    f"%%holysheep gpt-4.1 -o one\n{HELLO}",
    "%%holysheep deepseek-v3.2 --chat\n[simulate tokens=30 speed=inf] About {one.usage.completion_tokens}.",
    "%%holysheep deepseek-v3.2 --chat\n[simulate tokens=30 speed=inf] And then?",
    "from hs_notebook import HolySheep\nprint(len(one))",
)


def run_all(mode: str, folder: Path, variables: dict[str, str]) -> Any:
    first, *rest = CELLS
    setting = f"{first}\n%config HolySheepMagics.replay = '{mode}'"
    cells = [nbformat.v4.new_code_cell(source) for source in (setting, *rest)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, km=manager(DEFAULT_KERNEL), timeout=60)
    client.execute(env={**os.environ, **variables}, cwd=os.fspath(folder))
    return notebook


def test_run_all_without_a_key_gives_the_same_notebook(relay: EmbeddedRelay, tmp_path: Path) -> None:
    recorded = run_all("record", tmp_path, environment(relay.base_url))
    assert relay.stats.requests == 3
    relay.stop()
    replayed = run_all("replay", tmp_path, {})
    for before, after in zip(recorded.cells[1:4], replayed.cells[1:4], strict=True):
        (one,), (other,) = before.outputs, after.outputs
        assert other.data["text/plain"].splitlines()[0] == one.data["text/plain"].splitlines()[0]
        assert (one.metadata.holysheep.replayed, other.metadata.holysheep.replayed) == (False, True)
        assert (other.metadata.holysheep.cost, other.metadata.holysheep.ttft) == ("0", None)
        assert "replayed" in other.data["text/html"]
    assert recorded.cells[4].outputs == replayed.cells[4].outputs
