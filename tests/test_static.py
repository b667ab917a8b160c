"""The final picture of an answer: a bundle that is safe, readable and always the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert import HTMLExporter

from hs_notebook.display import static
from hs_notebook.display.fold import fold
from hs_notebook.display.static import picture

ANSWER = "## Cost\n\nA call costs $5 and $10 for $n$ tokens.\n\n```python\nx = 1\n```\n"
RECEIPT = "gpt-4.1 · 12 in, 41 out · 0.9 s"
FOLDS = json.loads((Path(__file__).parent / "vectors" / "fold.json").read_text(encoding="utf-8"))
SHEET = Path(static.__file__).with_name("answer.css")


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside the stylesheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found[-1][0] != "style":
            self.text += data


def body_of(bundle: dict[str, str]) -> str:
    return bundle["text/html"].split("</style>\n", 1)[1]


def test_markup_of_a_complete_answer() -> None:
    bundle = picture("Hello *there*.", receipt=RECEIPT, state="complete")
    assert set(bundle) == {"text/html", "text/plain"}
    assert body_of(bundle) == (
        '<div class="hs-answer mathjax_ignore tex2jax_ignore" data-state="complete">\n'
        '<div class="hs-body">\n<p>Hello <em>there</em>.</p>\n</div>\n'
        f'<div class="hs-receipt"><span class="hs-summary">{RECEIPT}</span></div>\n</div>'
    )


@pytest.mark.parametrize("vector", FOLDS, ids=[vector["name"] for vector in FOLDS])
def test_what_is_drawn_of_a_long_answer(vector: dict[str, Any]) -> None:
    text = vector["unit"] * vector["times"]
    drawn = fold(text)
    assert len(drawn) == vector["shown"]
    assert text.startswith(drawn)


def test_a_long_answer_is_drawn_to_a_point_and_one_line_tells_it() -> None:
    text = "x" * 600_000 + "The end."
    bundle = picture(text, receipt=RECEIPT, state="complete")
    assert bundle["text/plain"] == text
    said = "Only the first 300,000 of 600,008 characters are drawn; the answer's text holds all of them."
    assert f'<div class="hs-notice hs-fold">{said}</div>' in bundle["text/html"]
    assert "The end." not in bundle["text/html"]
    assert "hs-fold" not in body_of(picture("x" * 300_000, receipt=RECEIPT, state="complete"))


SECTION = """## What comes of it

Of **all** that `a_call()` brings, the [last](https://e.example/) is what counts: it says how the answer
ended, and how many tokens it had. Who reads it sees *nothing* of the rest, since no part of it is kept (but
for its length), and who does not read it will never know. That is why it stands where it stands.

There is more to be said, and it takes a few lines. A line of prose has some ninety characters, of which few
are marks; what has many of them is code, a table, or something that nobody has asked for. A reader of such
an answer scrolls for a while, and finds a table and a piece of code under each heading.

1. One is read, and the next one follows.
2. Two are there, of which `b` is shown.
   - It has a part of its own.

| name | first | second | third |
|------|------:|-------:|-------|
| one  | 1     | 2.5    | yes   |
| two  | 3     | 4.5    | no    |

```python
def mean(values: list[float], *, weights: dict[str, int] | None = None) -> float:
    "The mean of some values, weighed."
    # An empty list has none.
    if not values or (weights and len(weights) != len(values)):
        raise ValueError(f"no values: {values!r}")

    return sum(value * 2 for value in values) / len(values)
```

"""
CODE = "\n\n".join(SECTION.split("```")[1].removeprefix("python\n") for _ in range(300))
ORDINARY = {
    "fifty thousand tokens": SECTION * (200_000 // len(SECTION)),
    "a file of code": f"```python\n{CODE}\n```\n",
    "a file of data": "```yaml\n" + "- name: the first of them\n  value: 12.5\n" * 2_400 + "```\n",
    "a script": "```sh\n"
    + 'for name in "$@"; do\n  echo "$name" >> "$(dirname "$name")/list"\ndone\n' * 1_300
    + "```\n",
    "rulers": "```python\n" + f"# {'-' * 70}\n# a part of it\n# {'=' * 70}\nvalue = 1\n" * 540 + "```\n",
    "a log": "```\n"
    + "2026-11-25 18:05:01,123 INFO [worker-1] app.jobs: done in 12.5 ms (id=42)\n" * 1_250
    + "```\n",
    "CSV": "```csv\n" + "2026-11-25,alpha,12.50,3.25,-0.75,yes\n" * 2_400 + "```\n",
    "HTML": "```html\n" + '<div class="row"><span>name of it</span> and a value</div>\n' * 1_200 + "```\n",
    "JSON of floats": "```json\n[\n" + "  [0.123456, -1.5, 22.75, 3.14159],\n" * 2_500 + "]\n```\n",
    "a derivation": "With $x_1$ and $\\alpha$ one has\n\n"
    "$$\\nabla \\times \\mathbf{E} = -\\frac{\\partial \\mathbf{B}}{\\partial t} + \\frac{1}{2}$$\n\n" * 70,
}


@pytest.mark.parametrize("name", ORDINARY)
def test_a_long_answer_of_the_usual_kind_is_drawn_as_it_is(name: str) -> None:
    text = ORDINARY[name]
    assert fold(text) == text
    html = body_of(picture(text, receipt=RECEIPT, state="complete"))
    if "$" in text:
        assert html.count("mathjax_process") == (210 if name == "a derivation" else 0)
    assert ("highlight" in html) is (name == "fifty thousand tokens")


@pytest.mark.parametrize("state", ["stopped", "truncated", "error"])
def test_other_states_are_named_beside_the_receipt(state: str) -> None:
    html = body_of(picture("a", receipt=RECEIPT, state=state))
    assert f'data-state="{state}"' in html
    assert f'<span class="hs-state">{state}</span> <span class="hs-summary">' in html


def test_note_stands_above_the_receipt() -> None:
    html = body_of(picture("a", receipt=RECEIPT, state="stopped", note="cut <short>"))
    assert '<div class="hs-notice">cut &lt;short&gt;</div>\n<div class="hs-receipt">' in html


@pytest.mark.parametrize("state", ["complete", '"><script>'])
def test_receipt_note_and_state_are_text(state: str) -> None:
    nasty = '<img src=x onerror=alert(1)>"\u202e'
    bundle = picture("a", receipt=nasty, state=state, note=nasty)
    tags = {tag for tag, _ in Elements(bundle["text/html"]).found}
    assert tags == {"style", "div", "p", "span"}
    assert "\u202e" not in bundle["text/html"]


def test_plain_text_is_the_answers_own_markdown() -> None:
    assert picture(ANSWER, receipt=RECEIPT, state="complete")["text/plain"] == ANSWER


def test_plain_text_cannot_act_on_a_terminal() -> None:
    plain = picture("a\x1b[2Jb\u202ec\U000e0041\x9b", receipt="", state="complete")["text/plain"]
    assert plain == "a⟦U+001B⟧[2Jb⟦U+202E⟧c⟦U+E0041⟧⟦U+009B⟧"


def test_mathematics_is_all_that_mathjax_may_touch() -> None:
    elements = Elements(picture(ANSWER, receipt="cost $1 of $2", state="complete")["text/html"]).found
    marked = [attrs["class"] for _, attrs in elements if "mathjax" in str(attrs.get("class"))]
    assert marked == ["hs-answer mathjax_ignore tex2jax_ignore", "hs-math mathjax_process tex2jax_process"]


@given(st.text(max_size=60), st.text(max_size=30))
def test_nothing_active_in_any_picture(markdown: str, receipt: str) -> None:
    html = picture(markdown + "<script>x</script> <b onclick=x>", receipt=receipt, state="complete")[
        "text/html"
    ]
    for tag, attrs in Elements(html).found:
        assert tag not in {
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "base",
            "form",
            "svg",
            "math",
            "b",
        }
        assert set(attrs) <= {"class", "data-state", "data-lang", "href", "rel", "target", "style", "start"}


def test_same_answer_same_picture_in_every_process() -> None:
    code = (
        "from hs_notebook.display.static import picture\n"
        f"print(picture({ANSWER!r}, receipt='r', state='stopped')['text/html'])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {(picture(ANSWER, receipt="r", state="stopped")["text/html"] + "\n").encode()}


# --- the stylesheet ------------------------------------------------------------------------------


def saved_style() -> str:
    html = picture("a", receipt="", state="complete")["text/html"]
    return re.fullmatch(r"<style>(.*)</style>", html.split("\n", 1)[0])[1]  # type: ignore[index]


def test_style_is_small_and_loads_nothing() -> None:
    assert len(saved_style()) < 6_000
    assert not re.search(r"url\(|@import|@font-face|expression|<", saved_style())


def test_every_rule_is_scoped() -> None:
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", saved_style())
    assert len(rules) > 40
    for selectors in rules:
        for selector in re.split(r",(?![^(]*\))", selectors):
            assert ".hs-answer" in selector, selector


def test_shortening_loses_no_rule() -> None:
    sheet = re.sub(r"/\*.*?\*/", "", SHEET.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert saved_style().count("{") == sheet.count("{") == saved_style().count("}")
    assert re.sub(r"[\s;]", "", saved_style()) == re.sub(r"[\s;]", "", sheet)


def test_an_exported_page_keeps_the_picture() -> None:
    bundle = picture(ANSWER, receipt=RECEIPT, state="complete")
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data=bundle)])
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert bundle["text/html"] in page
