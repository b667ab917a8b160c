"""The live view of one answer. Its text travels in messages, never in a trait."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_STATIC = Path(__file__).parent.parent / "static"


class StreamView(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget's base is untyped
    """`stream_id` names the answer in messages, `model` is shown, `live` says whether more may come."""

    _esm = (_STATIC / "stream.js").read_text(encoding="utf-8")
    _css = (_STATIC / "stream.css").read_text(encoding="utf-8")
    stream_id = traitlets.Unicode().tag(sync=True)
    model = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool(default_value=True).tag(sync=True)
