"""Notebook 7: the same widgets on another shell."""

from __future__ import annotations

import pytest
from kernels import DEFAULT_KERNEL

from browser.answers import BODY, WORDS, asking, receipt, spoken
from browser.conftest import loading_cell
from browser.notebook import Notebook, write_notebook

COMPARED = "%%holysheep gpt-4.1,deepseek-v3.2\n[simulate tokens=40 speed=5]\nHello"


@pytest.fixture
def notebook(context, lab, relay):
    cells = [loading_cell(relay.base_url), asking(WORDS, "tps=150"), COMPARED, "%holysheep roi"]
    write_notebook(lab.notebooks / "notebook-7.ipynb", cells, DEFAULT_KERNEL)
    notebook = Notebook(context, lab, "notebook-7.ipynb").open_in_notebook_7(lab.url)
    yield notebook
    notebook.close()


def test_answers_stream_stop_and_stay_and_the_rest_works(notebook, relay):
    notebook.run(0)
    notebook.start(1)
    notebook.wait_for_text(1, "word9 ")
    notebook.output(1).get_by_role("button", name="Stop").click()
    notebook.wait_until_done()
    assert relay.stats.cancelled == 1
    kept = notebook.outputs(1)[0]["data"]["text/plain"]
    assert kept == WORDS[: len(kept)]
    assert spoken(notebook.text(1, BODY)) == spoken(kept)
    assert receipt(notebook, 1)["state"] == "stopped"

    notebook.run(2)
    assert [one["state"] for one in notebook.outputs(2)[0].metadata.holysheep] == ["complete"] * 2

    notebook.run(3)
    notebook.output(3).locator(".hs-calc").wait_for()
    assert "widgets" not in notebook.save().metadata
