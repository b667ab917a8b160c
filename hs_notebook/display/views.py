"""What is live in a kernel's pages, and the way from the page to it.

What the page says (hello, stop) comes on the kernel's control channel, because a widget's own message waits
for the running cell on some kernels.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import threading

    from IPython.core.interactiveshell import InteractiveShell

MESSAGE_TYPE = "holysheep_stream"
_READY_SECONDS = 1.0


class View(Protocol):
    """What a page can speak to: an answer or a calculator. `ready` is set once its widget is there."""

    ready: threading.Event

    @property
    def ended(self) -> bool:
        """Whether it may be closed for another of its kind; the last `kept_open` of each kind stay."""

    @property
    def kept_open(self) -> int:
        """How many that have ended may stay open."""

    def act(self, action: str) -> None:
        """Do what a page asks for; anything unknown is ignored."""

    def stop(self) -> None:
        """End what is still going on."""

    def close(self) -> None:
        """Close the widget in all pages."""


class Views:
    """The live views of one kernel, by their ids, and the way from the page to them."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._views: OrderedDict[str, View] = OrderedDict()
        self.heard = False  # a page has shown one of them
        self._handlers = getattr(getattr(shell, "kernel", None), "control_handlers", None)
        self.has_control = self._handlers is not None  # the page reaches a kernel that is busy
        if self._handlers is not None:
            self._handlers[MESSAGE_TYPE] = self._from_control

    def add(self, stream_id: str, view: View) -> None:
        """Open a view; the oldest of its kind that has ended closes when there are too many."""
        self._views[stream_id] = view
        kind = {key: known for key, known in self._views.items() if type(known) is type(view)}
        ended = [key for key, known in kind.items() if known.ended]
        for key in ended[: max(0, len(kind) - view.kept_open)]:
            self.drop(key)

    def drop(self, stream_id: str) -> None:
        """Close a view."""
        if view := self._views.pop(stream_id, None):
            view.close()

    def close(self) -> None:
        """Stop and close all views."""
        if self._handlers is not None:
            self._handlers.pop(MESSAGE_TYPE, None)
        for stream_id, view in list(self._views.items()):
            view.stop()
            self.drop(stream_id)

    def receive(self, content: Any) -> None:
        """Take what a page says, in whatever thread; anything unknown is ignored."""
        if not isinstance(content, dict):
            return
        if view := self._views.get(str(content.get("stream_id"))):
            self.heard = True
            view.ready.wait(_READY_SECONDS)
            view.act(str(content.get("action")))

    def _from_control(self, _stream: Any, _ident: Any, message: dict[str, Any]) -> None:
        self.receive(message.get("content"))
