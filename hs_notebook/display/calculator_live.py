"""The live calculator: a form laid over the picture, which is all that is ever saved.

The cell's output is the picture alone. A widget's model without a view is made beside it; in the page its
code finds the picture and puts the form in its place. What the page reckons is for the eye: when the inputs
have settled, they come here, are checked, and make the next picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any, Literal

from hs_notebook.display.calculator import picture
from hs_notebook.pricing.catalog import catalog
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import Scenario, plain_inputs, problems, scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.display.views import Views
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.widgets.calculator import CalculatorView

_KEPT_OPEN = 20
_AFTER_CELL = 0.05  # seconds after a cell's end until its last message has been sent
_MOST_MODELS = 100  # in a mix from a page


class LiveCalculator:
    """One calculator in a page.

    `presets` are mappings with `name`, `title` and `scenario` (inputs as JSON has them). In the mode
    "picture" the model has no view; "widget" is for front ends that make no model without one (VS Code,
    Colab, marimo), and puts the widget beside the picture in the output.
    """

    kept_open = _KEPT_OPEN
    ended = True  # it may be closed for a newer one: its picture stays

    def __init__(
        self,
        shell: InteractiveShell,
        views: Views,
        scenario: Scenario,
        book: PriceBook,
        at: date,
        *,
        presets: Sequence[Mapping[str, Any]] = (),
        mode: Literal["picture", "widget"] = "picture",
    ) -> None:
        self._shell, self._views = shell, views
        self._book, self._at = book, at
        self._presets = [dict(preset) for preset in presets]
        self._mode = mode
        self._scenario = scenario
        self._id = uuid.uuid4().hex
        self._lock = threading.Lock()  # changes may come on a subshell's thread
        self._widget: CalculatorView | None = None
        self.ready = threading.Event()

    @property
    def scenario(self) -> Scenario:
        """The scenario that is shown."""
        return self._scenario

    def show(self) -> None:
        """Publish the picture, and make it live; raises `UsageError` for a scenario with a problem."""
        bundle = self._picture()
        if self._mode == "widget":
            self._open(bundle["text/html"])
            self._publish(bundle, update=False)
        else:
            self._publish(bundle, update=False)
            _after_cell(self._shell, self._open)

    # --- what a page says, in whatever thread ----------------------------------------------------

    def act(self, action: str) -> None:
        """Send what a page asks for."""
        from hs_notebook.widgets.calculator import calculator_code

        if action == "code":
            self._send(calculator_code())
        elif action == "picture" and self._mode == "widget":
            self._publish(self._picture(), update=True)
        elif action == "picture":
            self._send({"type": "picture", "data": self._picture()})

    def take(self, inputs: Any) -> None:
        """Take the inputs of a page: right ones make the next picture, wrong ones are refused."""
        with self._lock:
            if found := _refusal(inputs, self._book):
                self._send({"type": "problems", "problems": found})
                return
            scenario = scenario_of(self._book, **inputs)
            if scenario == self._scenario:
                return
            self._scenario = scenario
            if self._mode == "picture":  # else it would take the view down: the page asks
                self._publish(self._picture(), update=True)
            self._send({"type": "shown"})

    def stop(self) -> None:
        """Nothing goes on here."""

    def close(self) -> None:
        """Close the widget in all pages; the picture stays."""
        widget, self._widget = self._widget, None
        if widget is not None:
            layout = widget.layout
            widget.close()
            layout.close()  # ipywidgets makes one for each widget and leaves it open

    # --- parts -----------------------------------------------------------------------------------

    def _open(self, html: str = "") -> None:
        from hs_notebook.widgets.calculator import CalculatorView

        # A page may ask before the widget is ours: it must find the calculator, and wait for the rest.
        self._views.add(self._id, self)
        inputs = plain_inputs(self._scenario)
        self._widget = CalculatorView(
            calculator_id=self._id,
            mode=self._mode,
            start=inputs,
            inputs=inputs,
            catalog=catalog(self._book, self._at),
            presets=self._presets,
            html=html,
        )
        self._widget.on_msg(lambda _widget, content, _buffers: self._views.receive(content))
        self._widget.observe(lambda change: self.take(change["new"]), "inputs")
        self.ready.set()

    def _picture(self) -> dict[str, str]:
        return picture(evaluate(self._scenario, self._book, self._at), calculator_id=self._id)

    def _send(self, message: dict[str, Any]) -> None:
        if self._widget is not None:
            self._widget.send(message)

    def _publish(self, bundle: dict[str, str], *, update: bool) -> None:
        data: dict[str, Any] = dict(bundle)
        if self._mode == "widget" and self._widget is not None:
            view = {"version_major": 2, "version_minor": 1, "model_id": self._widget.model_id}
            data["application/vnd.jupyter.widget-view+json"] = view
        self._shell.display_pub.publish(
            data=data, metadata={}, transient={"display_id": self._id}, update=update
        )


def _refusal(inputs: Any, book: PriceBook) -> dict[str, str]:
    """Return what is wrong with what came from a page, by field: it may be anything."""
    if not isinstance(inputs, dict) or not set(inputs) <= set(Scenario.__struct_fields__):
        return {"calls": "came with an input that is not known here"}
    mixes = [value for value in inputs.values() if isinstance(value, dict)]
    if any(len(mix) > _MOST_MODELS for mix in mixes):
        return {"now": "names too many models"}
    return problems(inputs, book)


def _after_cell(shell: InteractiveShell, act: Callable[[], object]) -> None:
    """Act soon after the running cell has ended.

    A tool that runs notebooks saves each widget that a cell makes, code and all, and whoever reads that
    notebook is sent to the network for it. Those tools listen while a cell runs; a page always does.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        act()
        return

    def ended(_result: object = None) -> None:
        with contextlib.suppress(ValueError):
            shell.events.unregister("post_run_cell", ended)
        loop.call_later(_AFTER_CELL, act)

    shell.events.register("post_run_cell", ended)
