"""The kernel's side of the live calculator, in real kernels: what it publishes, what it takes from a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from browser.calculators import SETTING
from kernels import DEFAULT_KERNEL, KERNEL_NAMES
from nbclient import NotebookClient
from shell import WIDGET, Cell, Kernel, manager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kernels
on_one_kernel = pytest.mark.parametrize("running", [DEFAULT_KERNEL], indirect=True)
PICTURE = {"text/html", "text/plain"}
SHOWN = "one = calc(assume_official_input=True)"


@pytest.fixture(scope="module", params=KERNEL_NAMES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(request.param, tmp_path_factory.mktemp("kernel"), {})
    try:
        kernel.run(SETTING)
        yield kernel
    finally:
        kernel.close()


def opened(cell: Cell) -> list[dict[str, Any]]:
    """The states of the calculators that were made, each with its comm."""
    found = [said.content for said in cell.said if said.kind == "comm_open"]
    return [
        {"comm_id": content["comm_id"], **content["data"]["state"]}
        for content in found
        if "calculator_id" in content["data"]["state"]
    ]


def shown(kernel: Kernel, code: str = SHOWN) -> tuple[Cell, dict[str, Any]]:
    """Run a cell that shows one calculator; return what it said, and the calculator's state."""
    cell = kernel.run(code)
    kernel.until(cell, opened)
    return cell, opened(cell)[0]


def page_sets(kernel: Kernel, calculator: dict[str, Any], inputs: object) -> None:
    """Send inputs as a page does."""
    data = {"method": "update", "state": {"inputs": inputs}, "buffer_paths": []}
    message = kernel._client.session.msg("comm_msg", {"comm_id": calculator["comm_id"], "data": data})
    kernel._client.shell_channel.send(message)


def test_the_output_is_the_picture_and_the_widget_comes_after_the_cell(running: Kernel) -> None:
    cell = running.run(SHOWN)
    assert [set(content["data"]) for content in cell.shown] == [PICTURE]
    assert opened(cell) == []
    running.until(cell, opened)
    (calculator,) = opened(cell)
    assert f'data-roi="{calculator["calculator_id"]}"' in cell.shown[0]["data"]["text/html"]
    assert calculator["inputs"] == calculator["start"]
    assert calculator["inputs"]["assume_official_input"] is True
    assert len(calculator["_esm"]) <= 2000
    assert "article" in [preset["name"] for preset in calculator["presets"]]
    assert cell.printed == ""


def test_the_inputs_of_a_page_make_the_next_picture(running: Kernel) -> None:
    cell, calculator = shown(running)
    page_sets(running, calculator, calculator["inputs"] | {"calls": 5000})
    running.until(cell, lambda cell: {"type": "shown"} in cell.custom)
    update = cell.shown[-1]
    assert update["transient"] == cell.shown[0]["transient"]
    assert set(update["data"]) == PICTURE
    assert "$27.55" in update["data"]["text/plain"]
    assert running.run("print(one.scenario.calls)").printed == "5000\n"
    running.page_says("picture", calculator["calculator_id"])
    running.until(cell, lambda cell: cell.custom[-1]["type"] == "picture")
    assert cell.custom[-1]["data"] == update["data"]


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"calls": -1}, "calls"),
        ({"calls": "__import__('os')"}, "calls"),
        ({"calls": None, "timeout": []}, "calls"),
        ({"calls": 1e308}, "calls"),
        ({"retries": True}, "retries"),
        ({"now": {"<script>": 1}}, "now"),
        ({"now": {f"m{n}": 0 for n in range(1000)}}, "now"),
        ({"now": {"gpt-4.1": {"gpt-4.1": 1}}}, "now"),
        ({"then": []}, "then"),
        ({"reference": {"official": 1}}, "reference"),
        ({"no such input": 1}, "calls"),
        ({"__class__": 1}, "calls"),
    ],
)
@on_one_kernel
def test_what_cannot_be_meant_is_refused_and_the_picture_stays(
    running: Kernel, inputs: dict[str, Any], field: str
) -> None:
    cell, calculator = shown(running)
    page_sets(running, calculator, inputs)
    running.until(cell, lambda cell: cell.custom)
    (said,) = cell.custom
    assert said["type"] == "problems"
    assert field in said["problems"]
    assert all("\n" not in line and len(line) < 300 for line in said["problems"].values())
    assert len(cell.shown) == 1
    assert running.run("print(one.scenario.calls)").printed == "100000\n"


@on_one_kernel
@pytest.mark.parametrize("inputs", [None, 7, "calls", [1, 2]])
def test_what_is_no_set_of_inputs_at_all_does_no_harm(running: Kernel, inputs: object) -> None:
    cell, calculator = shown(running)
    page_sets(running, calculator, inputs)
    running.rest(cell, 0.3)
    page_sets(running, calculator, calculator["inputs"] | {"calls": 5000})
    running.until(cell, lambda cell: {"type": "shown"} in cell.custom)
    assert "$27.55" in cell.shown[-1]["data"]["text/plain"]


def test_the_code_is_sent_while_a_cell_runs(running: Kernel) -> None:
    cell, calculator = shown(running)
    busy = running.start("import time; time.sleep(1.5)")
    running.rest(busy, 0.2)
    running.page_says("code", calculator["calculator_id"])
    running.until(cell, lambda cell: cell.custom)
    assert not busy.ended
    assert cell.custom[0]["type"] == "code"
    assert "hs-calc" in cell.custom[0]["style"]
    running.wait(busy)


@on_one_kernel
def test_the_oldest_closes_and_leaves_its_picture(running: Kernel) -> None:
    first, oldest = shown(running)
    cell = running.run("many = [calc(calls=n + 1) for n in range(20)]")
    running.until(cell, lambda cell: len(opened(cell)) == 20)
    running.rest(cell, 0.2)
    heard = [*first.said, *cell.said]
    closed = [said.content["comm_id"] for said in heard if said.kind == "comm_close"]
    assert oldest["comm_id"] in closed
    assert not {calculator["comm_id"] for calculator in opened(cell)} & set(closed)
    assert len(cell.shown) == 20


@on_one_kernel
def test_as_a_widget_the_picture_is_renewed_when_the_page_asks(running: Kernel) -> None:
    cell, calculator = shown(running, "one = calc(mode='widget', assume_official_input=True)")
    (bundle,) = (content["data"] for content in cell.shown)
    assert set(bundle) == PICTURE | {WIDGET}
    assert bundle[WIDGET]["model_id"] == calculator["comm_id"]
    assert calculator["html"] == bundle["text/html"]
    page_sets(running, calculator, calculator["inputs"] | {"calls": 5000})
    running.until(cell, lambda cell: {"type": "shown"} in cell.custom)
    assert len(cell.shown) == 1
    running.page_says("picture", calculator["calculator_id"])
    running.until(cell, lambda cell: len(cell.shown) == 2)
    assert "$27.55" in cell.shown[-1]["data"]["text/plain"]
    assert set(cell.shown[-1]["data"]) == PICTURE | {WIDGET}


def test_a_tool_that_runs_notebooks_saves_the_picture_alone(tmp_path: Path) -> None:
    sources = [SETTING, SHOWN, "import time; time.sleep(0.2)", "1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, km=manager(DEFAULT_KERNEL), timeout=60).execute(cwd=str(tmp_path))
    (output,) = notebook.cells[1].outputs
    assert set(output.data) == PICTURE
    assert "widgets" not in notebook.metadata
    assert WIDGET not in json.dumps(notebook)
