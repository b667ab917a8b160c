"""A run over rows in JupyterLab: its bar moves, an interrupt ends it, and it stays as text."""

from __future__ import annotations

import json

from browser.answers import WIDGET

RUN = (
    "import hs_notebook\n"
    "mapped = hs_notebook.map(range(40), '{row} [simulate tokens=3 ttft=%d tps=1000]', model='gpt-4.1')\n"
    "mapped"
)
BAR = ".jupyter-widgets [role=progressbar], .jupyter-widgets.widget-hprogress"
FAST = "%config HolySheepMagics.requests_per_minute = 6000"


def live(notebook):
    """The text of the run's output, in which tqdm writes spaces of its own."""
    return notebook.text(2).replace("\u2007", " ")


def test_the_bar_moves_and_stays_as_text(open_asking):
    notebook = open_asking([FAST, RUN % 400])
    notebook.run(1)
    notebook.start(2)
    notebook.wait_until("the bar", lambda: notebook.output(2).locator(BAR).count() > 0)
    notebook.wait_until("the bar to move", lambda: "5/40" in live(notebook))
    notebook.wait_until_done()
    text = notebook.text(2)
    assert "40 rows for gpt-4.1: " in text
    assert "100%|" in text
    assert "40/40 [" in text
    assert "40 of 40 rows answered by gpt-4.1" in text
    assert notebook.output(2).locator(BAR).count() == 0
    saved = notebook.save()
    assert WIDGET not in json.dumps(saved)
    assert "40/40 [" in json.dumps(saved.cells[2].outputs)
    assert notebook.traffic.foreign == []


def test_the_interrupt_keeps_what_is_done(open_asking):
    notebook = open_asking([FAST, RUN % 800, "mapped.resume().complete"])
    notebook.run(1)
    notebook.start(2)
    notebook.wait_until("some rows", lambda: "at least" in live(notebook))
    notebook.interrupt()
    notebook.wait_until_done()
    text = notebook.text(2)
    assert "It was stopped. " in text
    assert "not asked" in text
    assert "100%|" not in text
    notebook.run(3)
    assert notebook.text(3).endswith("True")
