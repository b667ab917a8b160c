"""marimo: the Python surface, the calculator's picture and the table of a map. It has no magics."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
from shell import settings

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import hs_notebook

    client = hs_notebook.HolySheep()
    text = "A **long** answer that is shown as it is, with <script>alert(1)</script> in it."
    answer = client.ask(f"[simulate text speed=inf]\\n{text}", model="gpt-4.1")
    answer
    return client, hs_notebook


@app.cell
def _(hs_notebook):
    hs_notebook.roi("chat")
    return


@app.cell
def _(client, hs_notebook):
    hs_notebook.map(["one", "two"], "[simulate text speed=inf]\\nRow {row}", model="gpt-4.1", client=client)
    return


if __name__ == "__main__":
    app.run()
"""


def test_a_notebook_of_marimo_runs_and_shows_what_it_made(relay: EmbeddedRelay, tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(NOTEBOOK, encoding="utf-8")
    export = [
        "marimo",
        "export",
        "ipynb",
        "notebook.py",
        "--output",
        "out.ipynb",
        "--include-outputs",
        "--no-sandbox",
    ]
    environment = os.environ | settings(relay.base_url)
    done = subprocess.run(
        [sys.executable, "-m", *export],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    answer, calculator, table = (
        next(one.data["text/html"] for one in cell.outputs if "data" in one)
        for cell in cells
        if cell.cell_type == "code" and cell.outputs
    )
    assert "A **long** answer" in answer
    assert "<script>" not in answer
    assert "a month" in calculator
    assert "gpt-4.1" in table
    assert relay.stats.requests == 3
