"""The answer in a page with widgets: only new text travels, and the page draws it.

Everything that is sent while the answer arrives is sent on the loop that reads it, so that messages
keep their order. What the page says (hello, stop) comes on the kernel's control channel, because a
widget's own message waits for the running cell on some kernels.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

from hs_notebook.display.gather import Gather
from hs_notebook.display.page import PageDisplay
from hs_notebook.display.receipt import line
from hs_notebook.pricing.tokens import estimate_tokens

if TYPE_CHECKING:
    import asyncio

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.answers import Answer
    from hs_notebook.display import Stop
    from hs_notebook.errors import HolySheepError
    from hs_notebook.widgets.stream import StreamView

MESSAGE_TYPE = "holysheep_stream"
_KEPT_OPEN = 50  # views that answer a page which was reloaded, after their end
_WHOLE_FOR = 1.5  # seconds in which all text so far is sent while no view has said hello: it may not hear yet
_READY_SECONDS = 1.0
_NO_VIEW_AFTER = 2.0  # seconds without a hello: this front end has no widgets


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
        self._handlers = getattr(getattr(shell, "kernel", None), "control_handlers", None)
        if self._handlers is not None:
            self._handlers[MESSAGE_TYPE] = self._from_control

    def add(self, stream_id: str, view: View) -> None:
        """Open a view; the oldest of its kind that has ended closes when there are too many."""
        self._views[stream_id] = view
        kind = {key: known for key, known in self._views.items() if type(known) is type(view)}
        ended = [key for key, known in kind.items() if known.ended]
        for key in ended[: max(0, len(kind) - view.kept_open)]:
            self._views.pop(key).close()

    def drop(self, stream_id: str) -> None:
        """Close a view."""
        if view := self._views.pop(stream_id, None):
            view.close()

    def close(self) -> None:
        """Stop and close all views."""
        if self._handlers is not None:
            self._handlers.pop(MESSAGE_TYPE, None)
        for stream_id in list(self._views):
            self._views[stream_id].stop()
            self.drop(stream_id)

    def receive(self, content: Any) -> None:
        """Take what a page says, in whatever thread; anything unknown is ignored."""
        if not isinstance(content, dict):
            return
        if view := self._views.get(str(content.get("stream_id"))):
            view.ready.wait(_READY_SECONDS)
            view.act(str(content.get("action")))

    def _from_control(self, _stream: Any, _ident: Any, message: dict[str, Any]) -> None:
        self.receive(message.get("content"))


class WidgetDisplay(PageDisplay):
    """For JupyterLab and all that shows widgets; falls back to pictures where no view says hello."""

    def __init__(
        self, shell: InteractiveShell, model: str, views: Views, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(shell, model)
        self._views = views
        self._loop = loop
        self._live = Gather(self._send_text)
        self._stop: Stop = lambda: None
        self.ready = threading.Event()  # the widget is there
        self._seen = False  # a view has said hello
        self._end: dict[str, Any] | None = None
        self._said = ""
        self._sent = 0  # UTF-16 code units
        self._tokens = 0
        self._began = self._started = time.monotonic()

    kept_open = _KEPT_OPEN

    @property
    def ended(self) -> bool:
        """Whether the answer is over."""
        return self._end is not None

    # --- in the cell's thread --------------------------------------------------------------------

    def begin(self, stop: Stop) -> None:
        from hs_notebook.widgets.stream import StreamView

        self._stop = stop
        self._began = self._started = time.monotonic()
        # A page may answer before the widget is ours: it must find the view, and wait for the rest.
        self._views.add(self._display_id, self)
        self._widget: StreamView = StreamView(stream_id=self._display_id, model=self._model)
        self._widget.on_msg(lambda _widget, content, _buffers: self._views.receive(content))
        self.ready.set()
        view = {"version_major": 2, "version_minor": 1, "model_id": self._widget.model_id}
        self._publish(
            {
                "application/vnd.jupyter.widget-view+json": view,
                "text/plain": f"{self._model} is answering. `%holysheep last` shows the answer.",
            },
            update=False,
        )

    def finish(self, answer: Answer) -> None:
        self._finish(answer.state, line(answer.receipt))
        super().finish(answer)
        self._leave()

    def fail(self, error: HolySheepError) -> None:
        self._finish("error", f"{self._model} · no answer")
        super().fail(error)
        self._leave()

    def _finish(self, state: str, summary: str) -> None:
        self._end = {"type": "end", "state": state, "summary": summary}
        self._widget.send(self._end)

    def _leave(self) -> None:
        # A page that was reloaded in the middle has missed the final picture: its view must still be
        # answered. Where nobody ever said hello (nbclient) an open widget would be saved for nothing.
        if not self._seen:
            self._views.drop(self._display_id)

    # --- from any thread -------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a page asks for."""
        actions = {"code": self.send_code, "hello": self.hello, "stop": self.stop}
        if act := actions.get(action):
            act()

    def send_code(self) -> None:
        """A page shows its first answer and has no code for it yet."""
        from hs_notebook.widgets.stream import view_code

        self._widget.send(view_code())

    def hello(self) -> None:
        """A view is new, or has missed something."""
        self._loop.call_soon_threadsafe(self._send_all)

    def stop(self) -> None:
        """End the answer, keep its text."""
        self._stop()

    def close(self) -> None:
        """Close the widget in all pages."""
        layout = self._widget.layout
        self._widget.close()
        layout.close()  # ipywidgets makes one for each widget and leaves it open

    # --- on the loop -----------------------------------------------------------------------------

    def sending(self) -> None:
        self._started = time.monotonic()

    def notice(self, text: str) -> None:
        self._said = text
        self._widget.send({"type": "notice", "text": text})
        if self._alone():
            super().notice(text)

    def text(self, new: str) -> None:
        super().text(new)
        self._live.add(new)

    def done(self) -> None:
        self._live.flush()
        super().done()

    def _grow(self, new: str) -> None:
        if self._alone():
            super()._grow(new)

    def _alone(self) -> bool:
        return not self._seen and time.monotonic() - self._began > _NO_VIEW_AFTER

    def _send_text(self, new: str) -> None:
        self._tokens += estimate_tokens(new)
        offset = self._sent
        self._sent += _utf16_length(new)
        if not self._seen and time.monotonic() - self._started < _WHOLE_FOR:
            self._send_snapshot()
        else:
            self._widget.send({"type": "delta", "offset": offset, "text": new, "tokens": self._tokens})

    def _send_snapshot(self) -> None:
        self._widget.send(
            {
                "type": "snapshot",
                "text": self._text.getvalue(),
                "tokens": self._tokens,
                "elapsed": time.monotonic() - self._started,
            }
        )

    def _send_all(self) -> None:
        self._seen = True
        self._live.flush()
        self._send_snapshot()
        if self._said:
            self._widget.send({"type": "notice", "text": self._said})
        if self._end:
            self._widget.send(self._end)


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
