"""The same hostile answer in Notebook 7, in a notebook that nobody trusts, and as a page from nbconvert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
import pytest
from hostile.small import HOST, HOSTILE
from kernels import DEFAULT_KERNEL
from nbconvert import HTMLExporter

from browser.answers import BODY, asking, spoken
from browser.conftest import loading_cell
from browser.notebook import Notebook, trust, write_notebook
from browser.test_hostile import END, assert_harmless
from browser.traffic import Traffic
from hs_notebook.answers import Answer, Receipt
from hs_notebook.display.page import answer_bundle

if TYPE_CHECKING:
    from pathlib import Path

#: What is in an answer's picture, without the stylesheet: its elements, the text, and where its links lead.
SEEN = """() => {
  const answer = hsTest.outputNode(1).querySelector(".hs-answer");
  const list = (found, of) => [...answer.querySelectorAll(found)].map(of);
  return {
    elements: list(".hs-body :not(mjx-container, mjx-container *)", (node) => node.localName).sort(),
    links: list("a", (node) => `${node.href} ${node.rel} ${node.target}`),
    receipt: answer.querySelector(".hs-receipt").innerText,
    code: list(".hs-code pre", (node) => node.textContent),
  };
}"""


def test_in_notebook_7(context, lab, relay):
    cells = [loading_cell(relay.base_url), asking(HOSTILE, "speed=8 fault=stall after=100000")]
    write_notebook(lab.notebooks / "hostile-7.ipynb", cells, DEFAULT_KERNEL)
    notebook = Notebook(context, lab, "hostile-7.ipynb").open_in_notebook_7(lab.url)
    try:
        notebook.run(0)
        notebook.start(1)
        notebook.wait_for_text(1, END)
        assert_harmless(notebook)
        notebook.output(1).get_by_role("button", name="Stop").click()
        notebook.wait_until_done()
        assert_harmless(notebook)
    finally:
        notebook.close()


@pytest.fixture
def saved(lab) -> Path:
    """A notebook with a hostile answer that was saved elsewhere: nobody has signed it here."""
    return save(lab.notebooks / "hostile-saved.ipynb", HOSTILE)


def save(path: Path, text: str) -> Path:
    data = answer_bundle(Answer(text, Receipt(request_model="gpt-4.1")))
    output = nbformat.v4.new_output("display_data", data)
    cells = [
        nbformat.v4.new_code_cell("pass", id="cell-0"),
        nbformat.v4.new_code_cell("pass", id="cell-1", outputs=[output]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_without_trust_it_looks_plainer_and_is_the_same(saved, open_notebook):
    found = []
    for trusted in (False, True):
        if trusted:
            trust(saved)
        reader = open_notebook(None, name=saved.stem, with_kernel=False)
        reader.wait_for_text(1, END)
        reader.page.wait_for_timeout(500)
        assert reader.is_trusted(1) is trusted
        assert reader.output(1).locator("style").count() == trusted, "a sanitiser takes the stylesheet out"
        assert reader.traffic.dialogs == []
        assert reader.traffic.foreign == []
        found.append(reader.page.evaluate(SEEN) | {"text": spoken(reader.text(1, BODY))})
        reader.close()
    untrusted, trusted = found
    assert untrusted == trusted


def requests_of(context, html: Path) -> tuple[list[str], int]:
    """What a page from disk asks for, the network cut, and how many elements of its answer could act."""
    page = context.new_page()
    traffic = Traffic("file:")
    traffic.watch(page)
    page.route(
        "**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort()
    )
    page.goto(html.as_uri())
    for link in page.locator(f"{BODY} a").all():
        link.hover()
    page.wait_for_timeout(1000)
    active = page.locator(
        f"{BODY} :is(script, img, iframe, object, embed, form, input, svg, video, link, style)"
    ).count()
    assert END in page.locator(BODY).inner_text()
    assert page.locator(".hs-receipt").count() == 1
    assert traffic.dialogs == []
    assert page.url == html.as_uri()
    page.close()
    return sorted(traffic.foreign), active


def test_as_a_page_from_nbconvert(context, saved):
    asked = []
    for notebook in (saved, save(saved.with_name("harmless.ipynb"), f"$x$ [a](https://e.invalid/) {END}")):
        html = notebook.with_suffix(".html")
        html.write_text(HTMLExporter().from_filename(str(notebook))[0], encoding="utf-8")
        requests, active = requests_of(context, html)
        assert active == 0
        asked.append(requests)
    assert asked[0] == asked[1], "only nbconvert's own page asks for something"
    assert asked[0], "and it does: for its typesetter"
    assert not any(HOST in url for url in asked[0])
