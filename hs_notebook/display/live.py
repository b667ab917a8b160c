"""One answer as a page with widgets follows it: only new text travels.

Offsets count UTF-16 code units, as the page does. The messages must leave in the order of their making.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hs_notebook.pricing.tokens import estimate_tokens

if TYPE_CHECKING:
    from io import StringIO

    Message = dict[str, Any]

_WHOLE_FOR = 1.5  # seconds in which all text so far is sent while no view has said hello: it may not hear yet
_LATE = 0.5  # seconds until a request is sent, after which its clock begins anew
_NO_VIEW_AFTER = 2.0  # seconds without a hello: this front end has no widgets


class Live:
    """Makes the messages of one answer; `text` is the buffer that holds what came so far."""

    def __init__(self, text: StringIO) -> None:
        self.seen = False  # a view has said hello
        self.given_up = False  # pictures stand in its place: a view that comes now is in no page
        self.end: Message | None = None
        self._text = text
        self._said = ""
        self._sent = 0
        self._counting = True
        self._tokens = 0
        self._began = self._started = time.monotonic()

    @property
    def alone(self) -> bool:
        """Whether no view shows it, and none will."""
        late = time.monotonic() - self._began > _NO_VIEW_AFTER
        return self.given_up or (late and not self.seen)

    def sending(self) -> list[Message]:
        """The request is sent now; return what tells a page that the first of them had to wait."""
        self._counting = True
        self._started = time.monotonic()
        late = not self._sent and self._started - self._began > _LATE
        return [self._snapshot()] if late else []

    def rest(self) -> None:
        """What is added until the next request is sent is not the model's and has no tokens."""
        self._counting = False

    def grown(self, new: str) -> Message:
        """Return what tells of text that was added to the buffer."""
        self._tokens += estimate_tokens(new) if self._counting else 0
        offset = self._sent
        self._sent += _utf16_length(new)
        if not self.seen and time.monotonic() - self._started < _WHOLE_FOR:
            return self._snapshot()
        return {"type": "delta", "offset": offset, "text": new, "tokens": self._tokens}

    def notice(self, text: str) -> Message:
        """Return what tells of a wait; with an empty text, that it is over."""
        self._said = text
        return {"type": "notice", "text": text}

    def ended(self, state: str, summary: str, note: str = "") -> Message:
        """Return what tells how it ended: the receipt's line, and a line above it."""
        self.end = {"type": "end", "state": state, "summary": summary, "note": note}
        return self.end

    def whole(self) -> list[Message]:
        """Return what a view that has said hello must know: everything."""
        self.seen = not self.given_up
        notice = [{"type": "notice", "text": self._said}] if self._said else []
        return [self._snapshot(), *notice, *([self.end] if self.end else [])]

    def _snapshot(self) -> Message:
        return {
            "type": "snapshot",
            "text": self._text.getvalue(),
            "tokens": self._tokens,
            "elapsed": time.monotonic() - self._started,
        }


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
