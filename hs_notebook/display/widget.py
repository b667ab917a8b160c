"""The answer in a page with widgets: only new text travels, and the page draws it.

Everything that is sent while the answer arrives is sent on the loop that reads it, so that messages
keep their order.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from hs_notebook.display.consent import Consent
from hs_notebook.display.gather import Gather
from hs_notebook.display.live import Live
from hs_notebook.display.page import PageDisplay
from hs_notebook.display.receipt import line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.answers import Answer
    from hs_notebook.display import Stop
    from hs_notebook.display.views import Views
    from hs_notebook.widgets.stream import StreamView

_NO_BUTTONS_AFTER = 8.0  # seconds in which a page that shows a question must have said hello
_KEPT_OPEN = 50  # views that answer a page which was reloaded, after their end


class WidgetDisplay(PageDisplay):
    """For JupyterLab and all that shows widgets; falls back to pictures where no view says hello."""

    kept_open = _KEPT_OPEN

    def __init__(
        self, shell: InteractiveShell, model: str, views: Views, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(shell, model)
        self._views = views
        self._loop = loop
        self._new = Gather(lambda new: self._widget.send(self._live.grown(new)))
        self._stop: Stop = lambda: None
        self.ready = threading.Event()  # the widget is there
        self._live = Live(self._text)
        self._consent = Consent(self._show_question)

    @property
    def ended(self) -> bool:
        """Whether the answer is over."""
        return self._live.end is not None

    # --- in the cell's thread --------------------------------------------------------------------

    def begin(self, stop: Stop) -> None:
        from hs_notebook.widgets.stream import StreamView

        self._stop = stop
        self._live = Live(self._text)
        # A page may answer before the widget is ours: it must find the view, and wait for the rest.
        self._views.add(self._display_id, self)
        self._widget: StreamView = StreamView(stream_id=self._display_id, model=self._model)
        self._widget.on_msg(lambda _widget, content, _buffers: self._views.receive(content))
        self.ready.set()
        self._publish_widget(self._widget, f"{self._model} is answering. `%holysheep last` shows the answer.")

    def ask(self, question: str, stopped: Callable[[], bool]) -> bool | None:
        """Ask with two buttons; None where no page shows them, or when the answer was stopped."""
        last = time.monotonic() + _NO_BUTTONS_AFTER
        return self._consent.ask(
            question, lambda: stopped() or (not self._live.seen and time.monotonic() > last)
        )

    def _show_question(self, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._widget.send, message)

    def finish(self, answer: Answer) -> None:
        receipt = answer.receipt
        self._widget.send(self._live.ended(receipt.state, line(receipt), receipt.note))
        super().finish(answer)
        self._leave()

    def fail(self, error: BaseException) -> None:
        self._widget.send(self._live.ended("error", self._no_answer, self._told(error) or ""))
        super().fail(error)
        self._leave()

    def _leave(self) -> None:
        # A page that was reloaded in the middle has missed the final picture: its view must still be
        # answered. Where nobody ever said hello (nbclient) an open widget would be saved for nothing.
        if not self._live.seen:
            self._views.drop(self._display_id)

    # --- from any thread -------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a page asks for."""
        actions = {"code": self._widget.send_code, "hello": self.hello, "stop": self.stop}
        if act := actions.get(action):
            act()
        else:
            self._consent.decide(action)

    def hello(self) -> None:
        """A view is new, or has missed something."""
        self._loop.call_soon_threadsafe(self._send_all)

    def stop(self) -> None:
        """End the answer, keep its text."""
        self._stop()

    def close(self) -> None:
        """Close the widget in all pages."""
        self._widget.shut()

    # --- on the loop -----------------------------------------------------------------------------

    def sending(self) -> None:
        for message in self._live.sending():
            self._widget.send(message)

    def notice(self, text: str) -> None:
        self._widget.send(self._live.notice(text))
        if self._live.alone:
            super().notice(text)

    def text(self, new: str) -> None:
        super().text(new)
        self._new.add(new)

    def done(self) -> None:
        self._new.flush()
        self._live.rest()
        super().done()

    def _grow(self) -> None:
        if self._live.alone:
            super()._grow()

    def _draw(self) -> None:
        self._live.given_up = True
        super()._draw()

    def _send_all(self) -> None:
        self._new.flush()
        for message in [*self._live.whole(), self._consent.message]:
            self._widget.send(message)
