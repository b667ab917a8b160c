"""The notebooks run from top to bottom, and are kept without outputs: what a reader sees is their own run."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from kernels import DEFAULT_KERNEL, ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from shell import manager, plain, settings

from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.settings import KEY_SHAPED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def fast() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(notebook: Any, relay: EmbeddedRelay, folder: Path) -> None:
    environment = os.environ | settings(relay.base_url)
    client = NotebookClient(notebook, km=manager(DEFAULT_KERNEL), timeout=60)
    client.execute(env=environment, cwd=os.fspath(folder))


def test_there_are_notebooks() -> None:
    assert "01-quickstart" in [path.stem for path in NOTEBOOKS]


@every_notebook
def test_it_runs_from_top_to_bottom(path: Path, fast: EmbeddedRelay, tmp_path: Path) -> None:
    notebook = read(path)
    execute(notebook, fast, tmp_path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [(cell, output) for cell in cells for output in cell.outputs]
    assert [output for _, output in outputs if output.output_type == "error"] == []
    assert [output.text for _, output in outputs if output.get("name") == "stderr"] == []
    for cell in cells:
        if cell.source.startswith("%%holysheep") and "--dry-run" not in cell.source:
            (answer,) = cell.outputs
            limited = "--max-cost" in cell.source
            kept = answer.metadata.holysheep
            for receipt in kept if isinstance(kept, list) else [kept]:
                assert receipt.state in ({"stopped"} if limited else {"complete", "truncated"})
                assert receipt.simulated is True
            assert set(answer.data) == {"text/html", "text/plain"}
    assert fast.stats.requests > 0
    assert fast.stats.completed + fast.stats.cancelled == fast.stats.requests


@every_notebook
def test_it_is_kept_without_outputs_and_keys(path: Path) -> None:
    notebook = read(path)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (cell.outputs, cell.execution_count) == ([], None)
    text = path.read_text(encoding="utf-8")
    assert KEY_SHAPED.search(text) is None
    assert re.search(r"HOLYSHEEP_API_KEY\W{0,4}=", text) is None
    assert "widgets" not in notebook.metadata
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%%holysheep\n[simulate fault=401]", "AuthenticationError: 401: "),
        ("%%holysheep --nonsense\nHello", "UsageError: There is no option --nonsense."),
    ],
)
def test_an_error_stops_run_all(cell: str, line: str, fast: EmbeddedRelay, tmp_path: Path) -> None:
    sources = ["%load_ext hs_notebook", cell, "print('later')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with pytest.raises(CellExecutionError):
        execute(notebook, fast, tmp_path)
    first, failed, later = notebook.cells
    assert first.outputs == []
    (error,) = [output for output in failed.outputs if output.output_type == "error"]
    assert plain("\n".join(error.traceback)).startswith(line)
    assert len(error.traceback) == 1
    assert "\n" not in error.traceback[0]
    assert (later.outputs, later.execution_count) == ([], None)
