"""Answers that arrive while the notebook goes on, in real kernels and in the tools that run notebooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import nbclient
import nbformat
import pytest
from kernels import DEFAULT_KERNEL, KERNEL_NAMES
from shell import Cell, Kernel, kernel, manager, settings

from hs_notebook.relay import EmbeddedRelay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shell import Shell

pytestmark = pytest.mark.kernels
on_one_kernel = pytest.mark.parametrize("running", [DEFAULT_KERNEL], indirect=True)

#: Ten seconds long.
SLOW = "%%holysheep gpt-4.1 --bg -o later\n[simulate tokens=600 tps=60 ttft=50]\nTell me."
QUICK = "%%holysheep gpt-4.1 --bg -o later\n[simulate text speed=inf]\nHere it is."
TEXT = "Here it is."


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay() as running:
        yield running


@pytest.fixture(scope="module", params=KERNEL_NAMES)
def running(
    request: pytest.FixtureRequest, relay: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with kernel(request.param, tmp_path_factory.mktemp("kernel"), settings(relay.base_url)) as started:
        yield started


@pytest.fixture(autouse=True)
def _nothing_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "running" in request.fixturenames:
        stop = "get_ipython().magics_manager.registry['HolySheepMagics'].session.running"
        request.getfixturevalue("running").run(f"for one in list({stop}): one.stop()")


def begin(running: Kernel, code: str = SLOW) -> Cell:
    """Run a cell in the background, as a user who sits before it, until some of its answer is shown."""
    cell = running.wait(running.start(code))
    running.until(cell, lambda cell: len(cell.painted) > 20)
    return cell


def ended(running: Kernel, cell: Cell, *, timeout: float = 30) -> None:
    running.until(cell, lambda cell: "text/html" in cell.shown[-1]["data"], timeout=timeout)


def test_the_answer_arrives_in_its_cell_while_another_computes(running: Kernel) -> None:
    cell = begin(running)
    other = running.start(
        "import time\nuntil = time.time() + 1.5\nwhile time.time() < until: pass\nprint('done')"
    )
    running.until(other, lambda other: other.said)
    before = cell.painted
    running.wait(other)
    assert other.printed == "done\n"
    assert len(cell.painted) > len(before) + 100
    assert running.run("print(later.state, later.done, later.text[:11] in later.text)").printed.startswith(
        "streaming False"
    )
    running.run("later.stop()")
    ended(running, cell)
    assert cell.shown[-1]["data"]["text/plain"] == cell.painted
    assert cell.shown[-1]["metadata"]["holysheep"]["state"] == "stopped"


def test_it_can_be_waited_for(running: Kernel) -> None:
    running.start(QUICK)
    said = running.run("answer = later.wait(); print(answer, answer.state, type(answer).__name__)").printed
    assert said == f"{TEXT} complete Answer\n"
    assert running.run("print(await later)").printed == f"{TEXT}\n"
    shown = [said.content["data"] for said in running.run("later").said if said.kind == "execute_result"]
    assert shown[0]["text/plain"] == TEXT
    assert 'data-state="complete"' in shown[0]["text/html"]
    assert running.run("print(f'{later}', later.text, repr(later), _ is later)").printed == (
        f"{TEXT} {TEXT} <gpt-4.1: complete, 11 characters> True\n"
    )


def test_an_unfinished_answer_is_no_text_yet(running: Kernel) -> None:
    begin(running)
    shown = running.run("print(f'{later}')", fails=True).errors[-1]
    assert shown.endswith("UsageError: The answer of gpt-4.1 is still arriving. Wait for it: .wait().")


@pytest.mark.parametrize("which", ["", " all"])
@on_one_kernel
def test_a_later_cell_stops_it(which: str, running: Kernel, relay: EmbeddedRelay) -> None:
    first, second = begin(running), begin(running)
    said = running.run(f"%holysheep stop{which}").printed
    assert said == ("2 answers stopped.\n" if which else "1 answer stopped; 1 more is arriving.\n")
    ended(running, second)
    assert second.shown[-1]["metadata"]["holysheep"]["state"] == "stopped"
    if which:
        ended(running, first)
    else:
        assert relay.stats.active_streams == 1
    running.run("%holysheep stop all", fails=bool(which))


def test_the_stop_button_works_while_another_cell_computes(running: Kernel, relay: EmbeddedRelay) -> None:
    cell = begin(running)
    other = running.start("import time\nfor _ in range(300): time.sleep(0.01)")
    cancelled = relay.stats.cancelled
    running.page_says("stop", cell.stream_id)
    deadline = time.monotonic() + 2
    while relay.stats.cancelled == cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.wait(other)
    ended(running, cell)


@pytest.mark.parametrize("running", KERNEL_NAMES[1:], indirect=True)
def test_another_shell_of_the_kernel_stops_it_while_the_first_computes(
    running: Kernel, relay: EmbeddedRelay
) -> None:
    """As JupyterLab's subshell console does; ipykernel has subshells from 7.0 on."""
    begin(running)
    other = running.start("import time\nfor _ in range(400): time.sleep(0.01)")
    cancelled = relay.stats.cancelled
    running.in_subshell("%holysheep stop")
    deadline = time.monotonic() + 3
    while relay.stats.cancelled == cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not other.ended
    running.wait(other)


@on_one_kernel
def test_an_interrupt_of_the_waiting_leaves_the_answer(running: Kernel) -> None:
    begin(running)
    waiting = running.start("later.wait()")
    running.until(waiting, lambda _: True)
    time.sleep(0.3)
    running.interrupt()
    running.wait(waiting)
    assert waiting.reply["ename"] == "KeyboardInterrupt"
    assert running.run("print(later.state)").printed == "streaming\n"


@on_one_kernel
def test_what_went_wrong_stands_in_its_place(running: Kernel) -> None:
    cell = running.wait(running.start("%%holysheep gpt-4.1 --bg -o later\n[simulate fault=400]"))
    ended(running, cell)
    assert "BadRequestError: 400: The request cannot be meant" in cell.shown[-1]["data"]["text/html"]
    assert running.run("later.wait()", fails=True).reply["ename"] == "BadRequestError"
    assert running.run("print(later.state, later.answer)").printed == "error None\n"
    told = running.run("print(later)", fails=True).errors
    assert told[-1].startswith("UsageError: There is no answer of gpt-4.1: BadRequestError: 400: The request")
    assert "BadRequestError" not in "\n".join(told[:-1])  # one error, and not what it came from
    cell = running.wait(
        running.start("%%holysheep gpt-4.1 --bg -o later\n[simulate tokens=9 fault=errorframe]")
    )
    ended(running, cell)
    assert running.run("print(str(later) == later.text > '', later.state)").printed == "True error\n"


@on_one_kernel
def test_what_forbids_the_call_is_said_in_the_cell(running: Kernel) -> None:
    running.run("%config HolySheepMagics.budget_usd = 0")
    cell = running.run("%%holysheep gpt-4.1 --bg\nHello", fails=True)
    running.run("%config HolySheepMagics.budget_usd = None")
    assert cell.reply["ename"] == "BudgetError"
    assert cell.shown == []


@on_one_kernel
def test_a_conversation_waits_for_its_answer(running: Kernel) -> None:
    begin(running, SLOW.replace("--bg", "--bg --chat slow"))
    refused = running.run("%%holysheep --chat slow\nAnd?", fails=True).errors
    assert len(refused) == 1
    assert refused[0].startswith("UsageError: An answer is still arriving in the conversation slow. Wait ")
    running.run("later.stop()")
    assert "gpt-4.1 (stopped): " in running.run("%holysheep history slow").printed


@on_one_kernel
def test_where_nobody_sits_the_cell_waits(running: Kernel) -> None:
    code = "%%holysheep gpt-4.1 --bg -o later\n[simulate tokens=30 tps=60 ttft=50]"
    cell = running.wait(running.start(code, allow_stdin=False))
    assert "text/html" in cell.shown[-1]["data"]
    assert running.run("print(later.done, later.answer.state)").printed == "True complete\n"


@on_one_kernel
def test_where_nobody_sits_an_error_is_the_cell_s(running: Kernel) -> None:
    cell = running.start("%%holysheep gpt-4.1 --bg -o later\n[simulate fault=400]", allow_stdin=False)
    assert running.wait(cell).reply["ename"] == "BadRequestError"
    assert cell.shown[-1]["data"]["text/plain"].startswith("BadRequestError: 400: The request cannot")


@on_one_kernel
def test_text_alone_is_announced(running: Kernel) -> None:
    running.run("%config HolySheepMagics.display = 'text'")
    cell = running.wait(running.start(QUICK))
    running.until(cell, lambda cell: "An answer is there: gpt-4.1 · " in cell.printed)
    running.run("%config HolySheepMagics.display = 'auto'")
    assert TEXT not in cell.printed


# --- tools that run notebooks --------------------------------------------------------------------


def write(path: Path) -> None:
    loading = "%load_ext hs_notebook"
    cells = [loading, QUICK.replace("speed=inf", "ttft=500"), "1 + 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": DEFAULT_KERNEL, "display_name": "", "language": "python"}
    nbformat.write(notebook, path)


def is_kept(notebook: nbformat.NotebookNode) -> None:
    (output,) = notebook.cells[1].outputs
    assert output.data["text/plain"] == TEXT
    assert output.metadata.holysheep["state"] == "complete"
    assert "widgets" not in notebook.metadata


def test_nbclient_loses_nothing(
    relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in.ipynb")
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(tmp_path / "in.ipynb", 4)
    nbclient.NotebookClient(notebook, km=manager(DEFAULT_KERNEL)).execute()
    is_kept(notebook)


@pytest.mark.parametrize(
    "command",
    [
        ["jupyter", "nbconvert", "--to", "notebook", "--execute", "in.ipynb", "--output", "out.ipynb"],
        ["papermill", "in.ipynb", "out.ipynb"],
    ],
    ids=lambda command: command[0],
)
def test_others_lose_nothing(command: list[str], relay: EmbeddedRelay, tmp_path: Path) -> None:
    from kernels import JUPYTER_PATH

    write(tmp_path / "in.ipynb")
    environment = os.environ | settings(relay.base_url) | {"JUPYTER_PATH": os.fspath(JUPYTER_PATH)}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    is_kept(nbformat.read(tmp_path / "out.ipynb", 4))


def test_in_a_shell_without_a_terminal_the_cell_waits_and_unloading_ends_all(shell: Shell) -> None:
    ran = shell.run(QUICK)
    assert ran.out.startswith("An answer is there: gpt-4.1 · ")
    assert shell.run("later.wait()").result == TEXT
    assert json.dumps(shell.names["later"].wait()) == f'"{TEXT}"'
