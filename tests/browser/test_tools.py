"""A tool runs after a click or a key in the page; code that was asked for makes a new cell, never run."""

from __future__ import annotations

import json

import pytest

from browser.answers import BODY, spoken

TOOLS = "ran = []\ndef add(x: int):\n    ran.append(x)\n    return x + 1"
ASK = '%%holysheep --tools add -o reply\n[simulate text speed=inf tool=add arguments={"x":2}]\nIt is *3*.'


def question(notebook, n):
    return notebook.output(n).locator(".hs-ask")


@pytest.mark.parametrize(("key", "ran"), [(None, [2]), ("Enter", [2]), ("Space", [])])
def test_a_tool_runs_after_a_yes_alone(key, ran, open_asking, relay):
    notebook = open_asking([TOOLS, ASK, "print(ran)"])
    notebook.run(1)
    notebook.start_all()
    question(notebook, 2).get_by_text("Run add(x=2)?").wait_for()
    notebook.wait_until("the call", lambda: "add(x=2)" in notebook.text(2, BODY))
    assert relay.stats.requests == 1
    if key is None:
        question(notebook, 2).get_by_role("button", name="Run", exact=True).click()
    else:  # Tab goes from one to the other, and to Stop
        question(notebook, 2).get_by_role("button", name="Run", exact=True).focus()
        if not ran:
            notebook.page.keyboard.press("Tab")
        notebook.page.keyboard.press(key)
    notebook.wait_until_done()
    assert notebook.text(3) == str(ran)
    told = [turn["content"] for turn in json.loads(relay.stats.seen[-1].body)["messages"]]
    assert told[-1] == ("3" if ran else "Not run: the user refused.")
    assert not question(notebook, 2).is_visible()
    shown = spoken(notebook.text(2, BODY))
    assert shown.startswith("add(x=2)")
    assert shown.endswith("It is 3.")
    assert ("Not run: you did not allow it." in shown) is not ran


def test_code_makes_a_cell_below_and_is_not_run(open_asking):
    code = "%%holysheep -f code\n[simulate text speed=inf]\nSo:\n```python\nmade = 1\nprint(made)\n```\nDone."
    notebook = open_asking([code, "print('made' in globals())"])
    notebook.run(1)
    cells = notebook.page.locator(".jp-Notebook .jp-Cell")
    notebook.wait_until("a new cell", lambda: cells.count() == 4)
    assert [cell.source for cell in notebook.save().cells][1:] == [
        code,
        "made = 1\nprint(made)",
        "print('made' in globals())",
    ]
    assert notebook.prompt(2) == "[ ]:"
    notebook.run(3)
    assert notebook.text(3) == "False"
