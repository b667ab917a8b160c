"""One question to several models: in IPython's own shell, and in real kernels."""

from __future__ import annotations

import json
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest
from IPython.core.displaypub import DisplayPublisher
from kernels import DEFAULT_KERNEL
from shell import WIDGET, Kernel, Shell, kernel, settings

import hs_notebook
from hs_notebook.answers import Answer, Cost, Receipt
from hs_notebook.compared import Answers
from hs_notebook.display.comparison.page import PageComparison
from hs_notebook.display.comparison.picture import comparison_bundle, comparison_table
from hs_notebook.errors import NotFoundError
from hs_notebook.relay import EmbeddedRelay
from hs_notebook.relay.simulation.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shell import Cell

    from hs_notebook.types import State

TWO = "gpt-4.1,deepseek-v3.2"
SHORT = "[simulate text speed=inf]\nYes."
SIX = '{"n": 6}'
SLOW = "[simulate tokens=3000 tps=60 ttft=100]\nTell me."


# --- Answers -------------------------------------------------------------------------------------


def answer(model: str, output: str | None, *, given: str | None = None, state: State = "complete") -> Answer:
    costs = Cost(input=given and Decimal(given), output=output and Decimal(output))  # type: ignore[arg-type]
    return Answer(f"I am {model}.", Receipt(request_model=model, state=state, costs=costs))


@pytest.mark.parametrize(
    ("answers", "relative"),
    [
        ([("a", "4", "1"), ("b", "2", "0")], {"a": "2.5", "b": "1"}),
        ([("a", "4", None), ("b", "2", None)], {"a": "2", "b": "1"}),
        # Of b the whole is known, of a the output alone: the outputs are what can be compared.
        ([("a", "4", None), ("b", "2", "100")], {"a": "2", "b": "1"}),
        ([("a", "4", "0"), ("b", None, None)], {"a": "1"}),
        ([("a", "0", "0"), ("b", "2", "0")], {"a": "0", "b": "1"}),
        ([("a", None, None), ("b", None, None)], {}),
    ],
)
def test_costs_are_compared_with_the_smallest(
    answers: list[tuple[str, str | None, str | None]], relative: Mapping[str, str]
) -> None:
    made = {model: answer(model, output, given=given) for model, output, given in answers}
    found = Answers(list(made), made).relative_costs()
    assert found == {model: Decimal(value) for model, value in relative.items()}


def comparison(**states: tuple[str, State, str | None]) -> tuple[dict[str, str], dict[str, str]]:
    """What the costs of answers (output cost, state, finish reason) are to each other, also in the table."""
    made = {}
    for model, (output, state, reason) in states.items():
        made[model] = answer(model, output, given="0", state=state)
        made[model].receipt = msgspec.structs.replace(made[model].receipt, finish_reason=reason)
    answers = Answers(list(made), made)
    told = comparison_table(answers).as_dicts()
    return (
        {model: f"{times:.1f}" for model, times in answers.relative_costs().items()},
        {row["Model"]: row["Relative cost"] for row in told},
    )


def test_an_answer_that_was_cut_short_is_not_the_cheapest() -> None:
    relative, told = comparison(
        a=("1", "stopped", None), b=("2", "complete", "stop"), c=("6", "complete", "stop")
    )
    assert relative == {"a": "0.5", "b": "1.0", "c": "3.0"}
    assert told == {"a": "0.5×", "b": "1.0×", "c": "3.0×"}


def test_an_answer_that_reached_its_limit_may_be_the_cheapest() -> None:
    relative, told = comparison(a=("1", "truncated", "length"), b=("20", "complete", "stop"))
    assert relative == {"a": "1.0", "b": "20.0"}
    assert told == {"a": "cheapest 1.0×", "b": "20.0×"}


def test_next_to_nothing_is_told_as_such() -> None:
    _, told = comparison(a=("1", "stopped", None), b=("100", "complete", "stop"))
    assert told == {"a": "<0.1×", "b": "1.0×"}


def test_answers_are_a_mapping_in_the_order_that_was_asked() -> None:
    failed = NotFoundError("404: no such model.", status_code=404)
    made = {"b": answer("b", "1"), "a": answer("a", "2")}
    answers = Answers(["a", "lost", "b"], made, {"lost": failed})
    assert (list(answers), len(answers), answers["b"]) == (["a", "b"], 2, "I am b.")
    assert dict(answers.items()) == made
    assert answers.errors == {"lost": failed}
    assert answers.state == "error"
    assert (
        repr(answers)
        == "<Answers: a: complete, 7 characters; lost: NotFoundError; b: complete, 7 characters>"
    )
    with pytest.raises(KeyError) as missing:
        answers["lost"]
    assert missing.value.__cause__ is failed
    assert list(pickle.loads(pickle.dumps(answers)).items()) == list(answers.items())


def test_the_picture_is_static_and_escaped() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    made = {hostile: answer(hostile, "1"), "b": answer("b", "2")}
    error = NotFoundError(f"404: {hostile}", status_code=404)
    bundle = comparison_bundle(Answers([*made, "lost"], made, {"lost": error}))
    assert "<img" not in bundle["text/html"]
    assert bundle["text/html"].count('class="hs-column"') == 3
    assert "<script" not in bundle["text/html"]


# --- a shell -------------------------------------------------------------------------------------


def test_each_model_is_asked_the_same_and_answers_for_itself(shell: Shell, relay: EmbeddedRelay) -> None:
    ran = shell.run(f"%%holysheep {TWO} -t 0.5 -o both\n{SHORT}")
    assert (ran.error, ran.result) == (None, None)
    both = shell.names["both"]
    assert {model: str(said) for model, said in both.items()} == {"gpt-4.1": "Yes.", "deepseek-v3.2": "Yes."}
    assert [said.model for said in both.values()] == ["gpt-4.1", "deepseek-v3.2"]
    assert shell.names["_"] is both
    sent = [json.loads(seen.body) for seen in relay.stats.seen]
    assert {body.pop("model") for body in sent} == set(both)
    assert sent[0] == sent[1]
    assert sent[0]["temperature"] == 0.5
    headings = re.findall(r"^(\S+)\n─+\nYes\.$", ran.out, re.MULTILINE)
    assert sorted(headings) == sorted(both)
    assert re.search(r"^deepseek-v3\.2 +complete .* cheapest 1\.0×$", ran.out, re.MULTILINE)
    assert re.search(r"^gpt-4\.1 +complete .* 19\.0×$", ran.out, re.MULTILINE)


def test_they_arrive_at_the_same_time(shell: Shell) -> None:
    begun = time.monotonic()
    shell.run("%%holysheep gpt-4.1,gpt-5.4,gpt-5.5,deepseek-v3.2 -o four\n[simulate tokens=40 tps=40 ttft=0]")
    assert time.monotonic() - begun < 3 * max(said.receipt.duration for said in shell.names["four"].values())
    assert len(shell.names["four"]) == 4


def test_one_failure_leaves_the_others(shell: Shell) -> None:
    ran = shell.run(f"%%holysheep kept << gpt-4.1,nonsense-9\n{SHORT}")
    assert ran.error is None
    kept = shell.names["kept"]
    assert list(kept) == ["gpt-4.1"]
    assert isinstance(kept.errors["nonsense-9"], NotFoundError)
    assert "error: NotFoundError: 404" in ran.out
    assert re.search(r"^nonsense-9 +no answer", ran.out, re.MULTILINE)


def test_a_text_before_an_error_is_kept(shell: Shell) -> None:
    ran = shell.run(f"%%holysheep {TWO} -o both\n[simulate tokens=20 speed=inf fault=errorframe]")
    assert isinstance(ran.error, hs_notebook.HolySheepError)
    both = shell.names["both"]
    assert [said.state for said in both.values()] == ["error", "error"]
    assert all(said for said in both.values())
    assert list(both.errors) == list(both)


def test_where_all_fail_the_first_error_is_raised(shell: Shell) -> None:
    ran = shell.run(f"%%holysheep nonsense-8,nonsense-9 -o none\n{SHORT}")
    assert isinstance(ran.error, NotFoundError)
    assert "nonsense-8" in str(ran.error)
    assert list(shell.names["none"].errors) == ["nonsense-8", "nonsense-9"]
    assert "Traceback" not in ran.out


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_a_schema_whose_code_raises_what_is_no_error_leaves_the_others(kind: str, shell: Shell) -> None:
    first = "seen.append(n) or len(seen) == 1"
    shell.run(
        "import pydantic\nseen = []\nclass Cross(pydantic.BaseModel):\n    n: int\n"
        "    @pydantic.field_validator('n')\n    @classmethod\n    def first(cls, n):\n"
        f"        if {first}: raise {kind}\n        return n"
    )
    ran = shell.run(
        f"%%holysheep gpt-4.1,gpt-5.4,deepseek-v3.2 --schema Cross -o three\n[simulate text speed=inf]\n{SIX}"
    )
    assert ran.error is None
    three = shell.names["three"]
    assert [said.text for said in three.values()] == [SIX] * 3
    (failed,) = three.errors
    assert {model: said.parsed.n for model, said in three.items() if model != failed} == dict.fromkeys(
        set(three) - {failed}, 6
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{TWO} --chat", "UsageError: A conversation has one model, and several were named."),
        (f"{TWO} --reset", "UsageError: A conversation has one model"),
        (f"{TWO} --tools len", "UsageError: There are no tools for several models at a time."),
    ],
)
def test_what_several_models_cannot_do_is_refused_before_anything_is_sent(
    line: str, said: str, shell: Shell, relay: EmbeddedRelay
) -> None:
    assert said in shell.run(f"%%holysheep {line}\n{SHORT}").out
    assert relay.stats.requests == 0


def test_a_conversation_of_every_cell_is_left_alone_when_asked_to(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.chat = ''")
    assert "A conversation has one model" in shell.run(f"%%holysheep {TWO}\n{SHORT}").out
    assert shell.run(f"%%holysheep {TWO} --no-history -o both\n{SHORT}").error is None
    assert len(shell.names["both"]) == 2


def test_a_budget_is_shared_and_a_limit_holds_for_each(shell: Shell) -> None:
    prices = [{"model": name, "input": 1.0, "output": 10.0} for name in ("gpt-4.1", "gpt-5.4", "gpt-5.5")]
    shell.magics.prices = prices
    long = "[simulate tokens=5000 speed=inf]"
    shell.magics.budget_usd = 0.03
    ran = shell.run(f"%%holysheep gpt-4.1,gpt-5.4,gpt-5.5 -o three\n{long}")
    assert ran.error is None
    three = shell.names["three"]
    assert [said.state for said in three.values()] == ["stopped"] * 3
    assert all("share of the notebook's budget" in said.receipt.note for said in list(three.values())[:2])
    # One token of each may come above its limit before it is counted.
    assert sum(said.cost for said in three.values()) <= Decimal("0.031")
    assert min(said.cost for said in three.values()) > Decimal("0.005")
    shell.magics.budget_usd = None
    shell.run(f"%%holysheep gpt-4.1,gpt-5.4 --max-cost 0.002 -o two\n{long}")
    assert [said.state for said in shell.names["two"].values()] == ["stopped"] * 2
    assert all("limit of $0.002" in said.receipt.note for said in shell.names["two"].values())


def test_a_limit_that_one_model_cannot_keep_is_its_own_affair(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "input": 1.0, "output": 10.0}]
    ran = shell.run(f"%%holysheep gpt-4.1,gpt-5.5 --max-cost 1 -o two\n{SHORT}")
    assert (ran.error, list(shell.names["two"])) == (None, ["gpt-4.1"])
    assert "BudgetError: The price of gpt-5.5" in ran.out
    assert relay.stats.requests == 1


def test_they_show_again_at_a_cell_s_end_and_by_last(shell: Shell) -> None:
    shell.run(f"%%holysheep {TWO} -o both\n{SHORT}")
    for code in ("both", "%holysheep last"):
        shown = shell.run(code).out
        assert "## gpt-4.1\n\nYes.\n\n## deepseek-v3.2\n\nYes.\n\n2 models side by side" in shown, code
    assert [str(said) for said in shell.magics.session.answers] == ["Yes.", "Yes."]


def test_in_the_background_they_are_waited_for_together(shell: Shell) -> None:
    ran = shell.run(f"%%holysheep {TWO} --bg -o both\n{SHORT}")
    assert ran.error is None
    both = shell.names["both"]
    assert list(both.wait(10)) == ["gpt-4.1", "deepseek-v3.2"]
    assert both.state == "complete"
    assert str(both) == "## gpt-4.1\n\nYes.\n\n## deepseek-v3.2\n\nYes."


def test_a_picture_may_be_drawn_by_several_threads_at_a_time(shell: Shell) -> None:
    place = PageComparison(shell.ip, ["a", "b"])
    drawn: list[str] = []

    class Publisher(DisplayPublisher):  # type: ignore[misc]
        def publish(self, data: dict[str, str], **_: object) -> None:
            drawn.append(data["text/html"])
            if len(drawn) == 1:
                with ThreadPoolExecutor() as others:
                    others.submit(place.columns[1].notice, "the second waits, too").result()

    shell.ip.display_pub = Publisher(shell=shell.ip)
    place.columns[0].notice("the first waits")
    assert [("first waits" in one, "second waits" in one) for one in drawn] == [(True, False), (True, True)]


# --- kernels -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, EmbeddedRelay]]:
    with (
        EmbeddedRelay() as relay,
        kernel(DEFAULT_KERNEL, tmp_path_factory.mktemp("kernel"), settings(relay.base_url)) as started,
    ):
        yield started, relay


def parts(cell: Cell, column: int) -> list[dict[str, object]]:
    return [part for said in cell.custom for part in said.get("parts", ()) if part["column"] == column]


def begin(running: Kernel, code: str) -> Cell:
    """Start a cell and wait until both columns have text."""
    cell = running.start(code)
    running.until(cell, lambda cell: all(has_text(cell, column) for column in (0, 1)))
    return cell


def has_text(cell: Cell, column: int) -> bool:
    return any(len(str(part.get("text", ""))) > 20 for part in parts(cell, column))


def is_kept(cell: Cell, states: list[str]) -> None:
    final = cell.shown[-1]
    assert set(final["data"]) == {"text/html", "text/plain"}
    assert [receipt["state"] for receipt in final["metadata"]["holysheep"]] == states
    assert final["transient"]["display_id"] == cell.shown[0]["transient"]["display_id"]
    assert WIDGET in cell.shown[0]["data"]


@pytest.mark.kernels
def test_an_interrupt_stops_all_and_keeps_what_came(running: tuple[Kernel, EmbeddedRelay]) -> None:
    running_kernel, relay = running
    before = relay.stats.cancelled
    cell = begin(running_kernel, f"%%holysheep {TWO} -o both\n{SLOW}")
    pressed = running_kernel.interrupt()
    running_kernel.wait(cell)
    assert cell.ended - pressed < 2
    assert relay.stats.cancelled == before + 2
    assert cell.errors == ["Interrupted: The answers stop here; their text is kept."]
    is_kept(cell, ["stopped", "stopped"])
    kept = running_kernel.run("print([(len(said) > 20, said.state) for said in both.values()])").printed
    assert kept == "[(True, 'stopped'), (True, 'stopped')]\n"


@pytest.mark.kernels
def test_a_page_stops_one_or_all_and_what_it_missed_comes_again(
    running: tuple[Kernel, EmbeddedRelay],
) -> None:
    running_kernel, _ = running
    cell = begin(running_kernel, f"%%holysheep {TWO} -o both\n{SLOW}")
    running_kernel.page_says("stop", f"{cell.stream_id}-1")
    running_kernel.until(cell, lambda cell: parts(cell, 1)[-1]["type"] == "end")
    assert parts(cell, 0)[-1]["type"] != "end"
    known = len(parts(cell, 1))
    running_kernel.page_says("hello", f"{cell.stream_id}-1")
    running_kernel.until(cell, lambda cell: len(parts(cell, 1)) >= known + 2)
    assert [part["type"] for part in parts(cell, 1)[known:]] == ["snapshot", "end"]
    running_kernel.page_says("stop", cell.stream_id)
    running_kernel.wait(cell)
    assert (cell.status, cell.errors) == ("ok", [])
    is_kept(cell, ["stopped", "stopped"])


@pytest.mark.kernels
def test_the_command_stops_all_that_arrive_in_the_background(running: tuple[Kernel, EmbeddedRelay]) -> None:
    running_kernel, _ = running
    cell = running_kernel.run(f"%%holysheep {TWO} --bg -o both\n{SLOW}")
    running_kernel.until(cell, lambda cell: all(has_text(cell, column) for column in (0, 1)))
    stopped = running_kernel.run("%holysheep stop\nboth.wait()\nprint(both.state, len(both.answer))")
    assert stopped.printed.splitlines()[-1] == "stopped 2"


@pytest.mark.kernels
def test_the_messages_of_ten_columns_are_no_more_than_those_of_one(
    running: tuple[Kernel, EmbeddedRelay],
) -> None:
    running_kernel, _ = running
    running_kernel.run("%config HolySheepMagics.concurrent_streams = 10")
    ten = ",".join(model.id for model in MODELS[:10])
    cell = running_kernel.start(
        f"%%holysheep {ten} -o answers\n[simulate tokens=400 tps=200 ttft=300]\nTell."
    )
    running_kernel.until(cell, lambda cell: cell.stream_id)
    for column in range(10):
        running_kernel.page_says("hello", f"{cell.stream_id}-{column}")
    running_kernel.until(cell, lambda cell: all(parts(cell, column) for column in range(10)))
    known = len(cell.said)
    running_kernel.wait(cell)
    moments = [
        said.at
        for said in cell.said[known:]
        if said.custom and {part["type"] for part in said.custom["parts"]} == {"delta"}
    ]
    first = 10  # the first text of each goes at once
    busiest = max(sum(at <= other < at + 1 for other in moments) for at in moments)
    assert busiest <= 22 + first
    for column in range(10):
        text = "".join(str(part["text"]) for part in parts(cell, column) if part["type"] == "delta")
        assert text in cell.shown[-1]["data"]["text/plain"]
    is_kept(cell, ["complete"] * 10)


@pytest.mark.kernels
def test_without_widgets_the_picture_grows(running: tuple[Kernel, EmbeddedRelay]) -> None:
    running_kernel, _ = running
    running_kernel.run("%config HolySheepMagics.display = 'page'")
    try:
        cell = running_kernel.run(f"%%holysheep {TWO}\n[simulate tokens=90 tps=60 ttft=50]\nTell.")
    finally:
        running_kernel.run("%config HolySheepMagics.display = 'auto'")
    assert not any(said.kind.startswith("comm") for said in cell.said)
    pictures = [one["data"]["text/html"] for one in cell.shown]
    assert len(pictures) >= 4
    assert all(picture.count('class="hs-column"') == 2 for picture in pictures)
    assert 'ignore" data-state="streaming"' in pictures[0]
    assert 'ignore" data-state="streaming"' not in pictures[-1]
    assert "hs-table" in pictures[-1]
