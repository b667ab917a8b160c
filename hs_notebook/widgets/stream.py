"""The live view of one answer. Neither its text nor its code travels in a trait.

Traits are saved by tools that save widgets, and sent again with each of them. So `_esm` is a loader of
two kilobytes, which fetches the code of the view once a page.
"""

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
def view_code() -> dict[str, str]:
    """Return the message that brings a page the code of the view: `script`, an ES module, and `style`."""
    return {"type": "code", "script": _read("stream.js"), "style": _read("stream.css")}


class StreamView(anywidget.AnyWidget):
    """`stream_id` names the answer in messages, `model` is shown."""

    _esm = _read("loader.js")
    stream_id = traitlets.Unicode().tag(sync=True)
    model = traitlets.Unicode().tag(sync=True)
    code = traitlets.Unicode(
        hashlib.sha256((_read("stream.js") + _read("stream.css")).encode()).hexdigest()[:16],
        help="Names the code of the view, so that a page fetches each version once.",
    ).tag(sync=True)

    def send_code(self) -> None:
        """Bring a page the code of the view: it shows its first answer."""
        self.send(view_code())

    def shut(self) -> None:
        """Close the widget in all pages."""
        layout = self.layout
        self.close()
        layout.close()  # ipywidgets makes one for each widget and leaves it open
