"""The live calculator. As with an answer, `_esm` is a loader: its code is fetched once a page."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import anywidget
import traitlets

_STATIC = Path(__file__).parent.parent / "static"


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


@cache
def calculator_code() -> dict[str, str]:
    """Return the message that brings a page the calculator's code: `script`, an ES module, and `style`."""
    return {"type": "code", "script": _read("calculator.js"), "style": _read("calculator.css")}


class CalculatorView(anywidget.AnyWidget):
    """One calculator in a page.

    `calculator_id` names it in messages and in its picture; `inputs` is its scenario as the page last left
    it, which the kernel must check, and `start` the one that it began with; `catalog` holds the prices to
    reckon with, `presets` scenarios to begin from, each with `name`, `title` and `scenario`. In the mode
    `picture` the page finds the calculator's picture and lays the form over it; in the mode `widget` it
    stands where the widget is shown, and `html` is the picture that it is made of.
    """

    _esm = _read("calculator-loader.js")
    calculator_id = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Enum(["picture", "widget"], default_value="picture").tag(sync=True)
    start = traitlets.Dict().tag(sync=True)
    inputs = traitlets.Dict().tag(sync=True)
    catalog = traitlets.Dict().tag(sync=True)
    presets = traitlets.List(traitlets.Dict()).tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)
    code = traitlets.Unicode(
        hashlib.sha256((_read("calculator.js") + _read("calculator.css")).encode()).hexdigest()[:16],
        help="Names the code of the calculator, so that a page fetches each version once.",
    ).tag(sync=True)
