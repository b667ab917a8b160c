"""Answers side by side in a page with widgets: columns in one widget, and one stream of messages for all.

What has arrived for all columns leaves together, at most twenty times a second, so that what it costs the
kernel does not grow with their number.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from hs_notebook.display.comparison.page import PageColumn, PageComparison
from hs_notebook.display.gather import Pace
from hs_notebook.display.live import Live

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.compared import Answers
    from hs_notebook.display import Stop
    from hs_notebook.display.live import Message
    from hs_notebook.display.views import Views
    from hs_notebook.widgets.comparison import ComparisonView

_TOGETHER = (
    0.008  # seconds within which the text of all columns comes: `net.pace` reads them at the same moment
)
_KEPT_OPEN = 20  # comparisons that answer a page which was reloaded, after their end


class WidgetColumn(PageColumn):
    """The place of one model: a view of its own for the page, which can stop it and ask for all of it."""

    kept_open = 0
    ended = False  # it goes with the widget

    def __init__(self, place: WidgetComparison, model: str, stream_id: str) -> None:
        super().__init__(place, model)
        self.stream_id = stream_id
        self.ready = place.ready
        self.live = Live(self.content)
        self._comparison = place
        self._held: list[str] = []

    def act(self, action: str) -> None:
        """Do what a page asks for."""
        if action == "hello":
            self._comparison.hello(self)
        elif action == "stop":
            self.stop()

    def close(self) -> None:
        """Go with the widget."""

    def sending(self) -> None:
        self._comparison.send([(self, message) for message in self.live.sending()])

    def notice(self, text: str) -> None:
        self._comparison.send([(self, self.live.notice(text))])
        super().notice(text)

    def text(self, new: str) -> None:
        first = self.content.tell() == 0
        self._held.append(new)
        super().text(new)
        self._comparison.arrived(at_once=first)

    def done(self) -> None:
        self._comparison.arrived(at_once=True)

    def end(self, state: str, receipt: str, note: str) -> None:
        self._comparison.send([(self, self.live.ended(state, receipt, note))])
        super().end(state, receipt, note)

    def new(self) -> list[Message]:
        """Return what tells of the text that is held back, and hold it no longer."""
        text = "".join(self._held)
        self._held.clear()
        return [self.live.grown(text)] if text else []


class WidgetComparison(PageComparison):
    """For JupyterLab and all that shows widgets; falls back to pictures where no view says hello."""

    kept_open = _KEPT_OPEN

    def __init__(
        self, shell: InteractiveShell, models: Sequence[str], views: Views, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(shell, models)
        self.ready = threading.Event()  # the widget is there
        self.ended = False
        self._views = views
        self._loop = loop
        self._stop: Stop = lambda: None
        self._new = Pace(self._send_new, beat=_TOGETHER)
        self.columns: Sequence[WidgetColumn] = [
            WidgetColumn(self, model, f"{self._display_id}-{number}") for number, model in enumerate(models)
        ]

    # --- in the cell's thread --------------------------------------------------------------------

    def begin(self, stop: Stop) -> None:
        from hs_notebook.widgets.comparison import ComparisonView

        self._stop = stop
        # A page may answer before the widget is ours: it must find the views, and wait for the rest.
        self._views.add(self._display_id, self)
        for column in self.columns:
            self._views.add(column.stream_id, column)
        self._widget: ComparisonView = ComparisonView(
            stream_id=self._display_id,
            model=", ".join(column.model for column in self.columns),
            columns=[{"stream_id": column.stream_id, "model": column.model} for column in self.columns],
        )
        self._widget.on_msg(lambda _widget, content, _buffers: self._views.receive(content))
        self.ready.set()
        self._publish_widget(
            self._widget, f"{len(self.columns)} models are answering. `%holysheep last` shows the answers."
        )

    def finish(self, answers: Answers) -> None:
        self.ended = True
        super().finish(answers)
        # As with one answer: a page that was reloaded in the middle has missed the picture.
        if not self._seen:
            self._views.drop(self._display_id)

    # --- from any thread -------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a page asks for all columns."""
        if action == "code":
            self._widget.send_code()
        elif action == "stop":
            self.stop()

    def hello(self, column: WidgetColumn) -> None:
        """A view of a column is new, or has missed something."""
        self._loop.call_soon_threadsafe(self._send_all, column)

    def stop(self) -> None:
        """End all answers, keep their text."""
        self._stop()

    def close(self) -> None:
        """Close the widget in all pages."""
        for column in self.columns:
            self._views.drop(column.stream_id)
        self._widget.shut()

    def send(self, messages: Iterable[tuple[WidgetColumn, Message]]) -> None:
        """Send what there is to say of some columns, in one message."""
        parts: list[dict[str, Any]] = [
            {"column": self.columns.index(column), **message} for column, message in messages
        ]
        if parts:
            self._widget.send({"type": "columns", "parts": parts})

    def changed(self) -> None:
        if self._alone:
            super().changed()

    # --- on the loop -----------------------------------------------------------------------------

    def arrived(self, *, at_once: bool) -> None:
        """Text has come for a column."""
        if at_once:
            self._send_new()
        else:
            self._new.request()

    def _send_new(self) -> None:
        self.send([(column, message) for column in self.columns for message in column.new()])

    def _send_all(self, column: WidgetColumn) -> None:
        self._send_new()
        self.send([(column, message) for message in column.live.whole()])

    def _grow(self) -> None:
        if self._alone:
            super()._grow()

    def _draw(self) -> None:
        for column in self.columns:
            column.live.given_up = True
        super()._draw()

    @property
    def _seen(self) -> bool:
        return any(column.live.seen for column in self.columns)

    @property
    def _alone(self) -> bool:
        return all(column.live.alone for column in self.columns)
