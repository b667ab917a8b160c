"""A benchmark in JupyterLab: its plots grow, Stop keeps what is measured, and what stays is static."""

from __future__ import annotations

import json

from browser.answers import WIDGET

FAST = "%config HolySheepMagics.requests_per_minute = 6000"
SHORT = "%holysheep bench gpt-4.1,deepseek-v3.2 --requests 6 --tokens 20 --parallel 3 --warmup 0"
LONG = "%holysheep bench gpt-4.1 --requests 40 --tokens 20 --parallel 2 --warmup 0"
DRY = "%holysheep bench gpt-4.1,gemini-2.5-flash --dry-run"
#: The words of a cell's first output that stand in two lines.
BROKEN = r"""(n) => {
  const output = hsTest.outputNode(n).querySelector(".jp-OutputArea-output");
  const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT), found = [];
  for (let text; (text = texts.nextNode()); ) {
    for (const word of text.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) found.push(word[0]);
    }
  }
  return found;
}"""
PLOT, BAR = "svg.hs-strips", "[role=progressbar], .widget-hprogress"


def axes(notebook, n):
    """The numbers that stand at the axes of the plots, by axis: milliseconds, and tokens a second."""
    found = []
    for text in notebook.output(n).locator(f"{PLOT} text[text-anchor=middle]").all_text_contents():
        number = float(text.split()[0]) * (1000 if text.endswith(" s") else 1)
        found = [*found, [number]] if number == 0 else [*found[:-1], [*found[-1], number]]
    return found


def rows(notebook, n):
    """How many rows the table has now."""
    return notebook.output(n).locator("tbody tr").count()


def test_plots_grow_and_stay_as_static_pictures(open_asking, tmp_path):
    notebook = open_asking([FAST, f"{SHORT} --save {tmp_path}/it.svg"])
    notebook.run(1)
    notebook.start(2)
    notebook.wait_until("a plot while it runs", lambda: notebook.output(2).locator(PLOT).count() > 0)
    assert "Saved: " not in notebook.text(2)
    notebook.wait_until_done()
    assert rows(notebook, 2) == 4  # one at a time and at once, for each of two
    assert "one at a time" in notebook.text(2)
    assert notebook.output(2).locator(PLOT).count() == 1
    assert notebook.output(2).locator(BAR).count() == 0
    assert len(axes(notebook, 2)) == 2
    box = notebook.output(2).locator(PLOT).first.bounding_box()
    assert box["width"] > 300
    assert box["height"] > 100
    notebook.page.set_viewport_size({"width": 600, "height": 1000})
    assert notebook.output(2).locator(PLOT).first.bounding_box()["width"] >= 640, "it can still be read"
    for axis in axes(notebook, 2):
        step = axis[1]
        assert f"{step:e}"[:3] in {"1.0", "2.0", "5.0"}
        assert axis == [number * step for number in range(len(axis))]
        assert 3 <= len(axis) <= 6
    saved = json.dumps(notebook.save().cells[2].outputs)
    assert WIDGET not in saved
    assert "<svg" in saved
    assert "<script" not in saved
    assert (tmp_path / "it.svg").read_text().startswith("<svg")
    assert notebook.traffic.foreign == []
    assert notebook.traffic.errors == []


def test_an_interrupt_keeps_what_is_measured(open_asking):
    notebook = open_asking([FAST, LONG, "1 + 1"])
    notebook.run(1)
    notebook.start(2)
    notebook.wait_until("a plot while it runs", lambda: notebook.output(2).locator(PLOT).count() > 0)
    notebook.interrupt()
    notebook.wait_until_done()
    assert rows(notebook, 2) >= 1
    assert "Stopped after " in notebook.text(2)
    assert notebook.output(2).locator(PLOT).count() == 1
    notebook.run(3)
    assert notebook.text(3).endswith("2")


def test_no_word_of_the_price_is_broken_in_a_narrow_page(open_asking):
    notebook = open_asking([DRY, "print('input ≈$0.001858 ' * 9)"])
    notebook.page.set_viewport_size({"width": 600, "height": 1000})
    notebook.run_all()
    assert "output at most $0.15 (56,500 tokens)" in notebook.text(1)
    assert "gpt-4.1, 113 requests" in notebook.outputs(1)[0]["data"]["text/plain"]
    assert notebook.page.evaluate(BROKEN, 1) == []
    assert notebook.page.evaluate(BROKEN, 2) != []  # as lines are that are printed
