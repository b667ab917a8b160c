"""A click in the page lets a tool run, or does not; code is offered as a new cell. In real kernels."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from kernels import DEFAULT_KERNEL, KERNEL_NAMES
from nbclient import NotebookClient
from shell import Cell, Kernel, kernel, manager, settings

from hs_notebook.display.notes import AS_IS, unmarked
from hs_notebook.relay import EmbeddedRelay, Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kernels
on_one_kernel = pytest.mark.parametrize("running", [DEFAULT_KERNEL], indirect=True)

DEFINED = "ran = []\ndef add(x: int):\n    ran.append(x)\n    return x + 1"
ASK = '%%holysheep --tools add -o reply\n[simulate text tool={} arguments={{"x":2}}]\nIt is 3.'


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(Simulation(speed=math.inf)) as started:
        yield started


@pytest.fixture(scope="module", params=KERNEL_NAMES)
def running(
    request: pytest.FixtureRequest, relay: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with kernel(request.param, tmp_path_factory.mktemp("kernel"), settings(relay.base_url)) as started:
        started.run(DEFINED)
        yield started


def questions(cell: Cell) -> list[dict[str, Any]]:
    return [said for said in cell.custom if said["type"] == "ask" and said["question"]]


def start(running: Kernel, tools: str = "add") -> Cell:
    """Start a cell before a page that shows widgets, and wait for its question."""
    running.run("ran.clear()")
    cell = running.start(ASK.format(tools), allow_stdin=True)
    running.until(cell, lambda cell: cell.stream_id)
    running.page_says("hello", cell.stream_id)
    running.until(cell, questions)
    return cell


def told(relay: EmbeddedRelay) -> list[str]:
    turns = json.loads(relay.stats.seen[-1].body)["messages"]
    return [turn["content"] for turn in turns if turn["role"] == "tool"]


def test_a_click_runs_the_function_in_the_cell(running: Kernel, relay: EmbeddedRelay) -> None:
    cell = start(running)
    (asked,) = questions(cell)
    assert asked["question"] == "Run add(x=2)? The cell waits for your click, or an interrupt."
    assert unmarked(cell.painted) == "```call\nadd(x=2)\n```\n\n", "what is asked about is on the screen"
    running.page_says(f"run {asked['number'] + 1}", cell.stream_id)  # of another question
    running.page_says("run", cell.stream_id)
    running.page_says("stop please", cell.stream_id)
    running.rest(cell, 0.4)
    assert not cell.ended
    running.page_says(f"run {asked['number']}", cell.stream_id)
    running.wait(cell)
    assert cell.status == "ok"
    assert running.run("print(ran, reply)").printed == "[2] It is 3.\n"
    assert told(relay) == ["3"]
    final = cell.shown[-1]["data"]["text/plain"]
    assert final == "```call\nadd(x=2)\n```\n\n```result\n3\n```\n\nIt is 3."
    assert [said["question"] for said in cell.custom if said["type"] == "ask"][-1] == ""


@on_one_kernel
def test_each_call_is_asked_for_and_a_refusal_is_told(running: Kernel, relay: EmbeddedRelay) -> None:
    cell = start(running, "add,add")
    running.page_says(f"refuse {questions(cell)[0]['number']}", cell.stream_id)
    running.until(cell, lambda cell: len(questions(cell)) == 2)
    running.page_says(f"run {questions(cell)[0]['number']}", cell.stream_id)  # too late
    running.page_says(f"run {questions(cell)[1]['number']}", cell.stream_id)
    running.wait(cell)
    assert running.run("print(ran)").printed == "[2]\n"
    assert told(relay) == ["Not run: the user refused.", "3"]
    assert "*Not run: you did not allow it.*" in cell.shown[-1]["data"]["text/plain"]


@on_one_kernel
def test_a_page_that_is_reloaded_is_asked_again(running: Kernel) -> None:
    cell = start(running)
    running.page_says("hello", cell.stream_id)
    running.until(cell, lambda cell: len(questions(cell)) > 1)
    assert len({said["number"] for said in questions(cell)}) == 1
    running.page_says(f"run {questions(cell)[0]['number']}", cell.stream_id)
    running.wait(cell)
    assert running.run("print(ran)").printed == "[2]\n"


@pytest.mark.parametrize("how", ["stop", "interrupt"])
def test_stop_and_interrupt_end_the_waiting(how: str, running: Kernel, relay: EmbeddedRelay) -> None:
    cell = start(running)
    requests = relay.stats.requests
    pressed = running.page_says("stop", cell.stream_id) if how == "stop" else running.interrupt()
    running.wait(cell)
    assert cell.ended - pressed < 5
    assert cell.status == ("ok" if how == "stop" else "error")
    assert running.run("print(ran, reply.state)").printed == "[] stopped\n"
    assert relay.stats.requests == requests
    final = cell.shown[-1]
    assert final["metadata"]["holysheep"]["state"] == "stopped"
    assert "add(x=2)" in final["data"]["text/plain"]
    assert "buttons" not in final["data"]["text/plain"]
    assert ("*Not run: the answer was stopped.*" in final["data"]["text/plain"]) is (how == "stop")


@on_one_kernel
@pytest.mark.parametrize(
    ("setting", "stdin", "why"),
    [
        ("page", True, "this page has no buttons to allow it."),
        ("widget", True, "this page has no buttons to allow it."),  # and nobody says hello
        ("auto", False, "nobody is here to allow it."),
    ],
)
def test_without_buttons_nothing_runs(
    setting: str, stdin: bool, why: str, running: Kernel, relay: EmbeddedRelay
) -> None:
    running.run(f"ran.clear()\n%config HolySheepMagics.display = '{setting}'")
    cell = running.wait(running.start(ASK.format("add"), allow_stdin=stdin), timeout=60)
    running.run("%config HolySheepMagics.display = 'auto'")
    assert cell.status == "ok"
    assert running.run("print(ran)").printed == "[]\n"
    assert told(relay) == ["Not run: nobody allowed it."]
    assert f"*Not run: {why} --allow-tools" in cell.shown[-1]["data"]["text/plain"]


@on_one_kernel
def test_a_front_end_of_plain_text_asks_as_a_terminal_does(running: Kernel) -> None:
    running.run("ran.clear()\n%config HolySheepMagics.display = 'text'")
    asked, cell = running.answer_prompt(ASK.format("add"), "y")
    running.run("%config HolySheepMagics.display = 'auto'")
    assert asked["prompt"] == "Run add(x=2)? [y/N] "
    assert cell.status == "ok"
    assert running.run("print(ran)").printed == "[2]\n"


# --- formats -------------------------------------------------------------------------------------

CODE = "%%holysheep -f {} -o reply\n[simulate text]\n{}"


def test_code_is_offered_below_and_not_run(running: Kernel) -> None:
    text = "```python\nmade = 1\n```"
    cell = running.run(CODE.format("code", text))
    assert cell.reply["payload"] == [{"source": "set_next_input", "text": "made = 1", "replace": False}]
    assert cell.shown[-1]["data"]["text/plain"] == f"{text}\n"
    assert running.run("print('made' in globals())").printed == "False\n"


@on_one_kernel
def test_text_and_json_arrive_in_a_fence_and_end_as_they_are(running: Kernel) -> None:
    cell = running.start(CODE.format("text", "* a\n```\nb"), allow_stdin=True)
    running.wait(cell)
    assert cell.painted == f"{'`' * 40}{AS_IS}\n* a\n```\nb\n{'`' * 40}\n"
    assert cell.shown[-1]["data"]["text/plain"] == "* a\n```\nb"
    cell = running.start(CODE.format("json", '{"a":[1]}'), allow_stdin=True)
    running.wait(cell)
    assert cell.painted.startswith(f"{'`' * 40}json\n")
    assert cell.shown[-1]["data"]["text/plain"] == '```json\n{\n  "a": [\n    1\n  ]\n}\n```\n'
    assert '<div class="hs-code highlight" data-lang="json">' in cell.shown[-1]["data"]["text/html"]


@on_one_kernel
def test_a_misfit_is_said_under_the_answer_too(running: Kernel) -> None:
    cell = running.run(CODE.format("json", "No."), fails=True)
    assert cell.errors == ["SchemaError: The answer is no JSON: Expecting value: line 1 column 1 (char 0)."]
    assert "The answer is no JSON" in cell.shown[-1]["metadata"]["holysheep"]["note"]
    assert cell.shown[-1]["data"]["text/plain"] == "No."


@on_one_kernel
def test_an_answer_in_the_background_says_its_misfit(running: Kernel) -> None:
    running.run(CODE.format("json --bg", "No."))
    caught = running.run("try: reply.wait()\nexcept Exception as error: print(type(error).__name__)")
    assert caught.printed == "SchemaError\n"


def test_where_notebooks_run_by_themselves_nothing_is_inserted_and_nothing_is_lost(
    relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    cells = [
        "%load_ext hs_notebook",
        DEFINED,
        "%%holysheep -f code\n[simulate text]\n```python\nmade = 1\n```",
        ASK.format("add").replace("--tools add", "--tools add --allow-tools"),
        "print('made' in globals(), ran, reply)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, km=manager(DEFAULT_KERNEL), timeout=60).execute(cwd=str(tmp_path))
    assert [cell.source for cell in notebook.cells] == cells
    code, tools, printed = (cell.outputs[0] for cell in notebook.cells[2:])
    assert code["data"]["text/plain"] == "```python\nmade = 1\n```\n"
    assert tools["data"]["text/plain"].startswith("```call\nadd(x=2)\n```\n\n```result\n3\n```\n")
    assert printed["text"] == "False [2] It is 3.\n"
