"""TAB in JupyterLab: the menu, what it says beside each model, and what a choice writes."""

from __future__ import annotations

import pytest

MENU = ".jp-Completer"


def tab(notebook, n, line):
    """Go to the end of a line of a cell and press TAB."""
    notebook.page.locator(".jp-Notebook .jp-CodeCell").nth(n).locator(".cm-line").nth(line).click()
    notebook.page.keyboard.press("End")
    notebook.page.keyboard.press("Tab")


def items(notebook):
    menu = notebook.page.locator(f"{MENU} .jp-Completer-item")
    menu.first.wait_for(state="visible")
    texts = menu.all_inner_texts()
    return [" ".join(text.replace("\N{NON-BREAKING HYPHEN}", "-").split()) for text in texts]


def kinds(notebook):
    return notebook.page.locator(f"{MENU} .jp-Completer-typeExtended").all()


def line_height(notebook):
    return round(notebook.page.locator(f"{MENU} .jp-Completer-match").first.bounding_box()["height"])


def source(notebook, n):
    return "\n".join(
        notebook.page.locator(".jp-Notebook .jp-CodeCell").nth(n).locator(".cm-line").all_inner_texts()
    )


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_menu_shows_models_with_prices(theme, open_asking, tmp_path):
    notebook = open_asking(["%%holysheep g\nSay hello."])
    notebook.use_theme(theme)
    tab(notebook, 1, 0)
    shown = items(notebook)
    assert len(shown) == 2, shown  # by name, and nobody else's
    gemini, gpt = (text.lower() for text in shown)  # JupyterLab writes all kinds in small letters
    assert "gemini-2.5-flash 2.50 $/mtok out, retire" in gemini
    assert "gpt-4.1 8.00 $/mtok out" in gpt
    heights = {round(box["height"]) for box in (row.bounding_box() for row in kinds(notebook))}
    assert heights == {line_height(notebook)}, "what stands beside a model keeps to its line"
    notebook.screenshot(tmp_path / "menu.png")
    notebook.page.keyboard.press("Enter")
    notebook.wait_until("the choice", lambda: "gemini" in source(notebook, 1))
    assert source(notebook, 1) == "%%holysheep gemini-2.5-flash\nSay hello."
    notebook.use_theme("JupyterLab Light")  # as all others find it


def test_a_field_is_completed(open_asking):
    notebook = open_asking(["rows = [{'name': 'Paris', 'size': 3}]", "%%holysheep gpt-4.1\nSay "])
    notebook.run(1)
    notebook.page.locator(".jp-Notebook .jp-CodeCell").nth(2).locator(".cm-line").nth(1).click()
    notebook.page.keyboard.press("End")
    notebook.page.keyboard.type("{rows[0]['")
    notebook.page.keyboard.press("Tab")
    shown = items(notebook)
    assert [text for text in shown if "name" in text]
    assert [text for text in shown if "size" in text]
    notebook.page.keyboard.press("Enter")
    notebook.wait_until("the choice", lambda: "name" in source(notebook, 2))
    assert source(notebook, 2).splitlines()[1] == "Say {rows[0]['name']"
