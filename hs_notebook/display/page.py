"""The answer in a page through its display id: the static picture, which all pages end with."""

from __future__ import annotations

import contextvars
import uuid
from io import StringIO
from typing import TYPE_CHECKING, Any

from hs_notebook.display.gather import Pace
from hs_notebook.display.notes import foreign
from hs_notebook.display.receipt import line
from hs_notebook.display.static import picture
from hs_notebook.display.visible import visible
from hs_notebook.fences import unfenced

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.answers import Answer
    from hs_notebook.display import Stop
    from hs_notebook.widgets.stream import StreamView

_GROWTH = 1.3  # a picture is sent again when the text has grown by so much: all pictures together stay linear
_INTERVAL = 0.25  # seconds between two pictures, at least


def answer_bundle(answer: Answer) -> dict[str, str]:
    """Return an answer's final picture: `text/html`, and `text/plain` with its own Markdown."""
    receipt, shown = answer.receipt, answer.picture or foreign(answer.text)
    bundle = picture(shown, receipt=line(receipt), state=receipt.state, note=receipt.note or None)
    if unfenced(shown).rstrip("\n") == answer.text.rstrip("\n"):  # it is only shown in a fence
        bundle["text/plain"] = visible(answer.text)
    return bundle


def answer_metadata(answer: Answer) -> dict[str, Any]:
    """Return the metadata of an answer's output: its receipt."""
    return {"holysheep": answer.receipt.as_dict()}


def usual_status(model: str, text: StringIO) -> str:
    """Return what is said of an answer on its way, of which `text` has come."""
    return f"{model} is answering …" if text.tell() else f"waiting for {model} …"


class Place:
    """A place in a page, under a display id: a picture that is drawn again as it grows."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._display_id = uuid.uuid4().hex
        self._length = self._shown = 0
        self._pace = Pace(self._grow, interval=_INTERVAL)
        # What another thread publishes belongs to the cell only in the context of the cell.
        self._context = contextvars.copy_context()

    def _picture(self) -> dict[str, str]:
        """Return the picture so far."""
        raise NotImplementedError

    def _grown(self, new: str) -> None:
        self._length += len(new)
        self._pace.request()

    def _grow(self) -> None:
        if self._length > self._shown * _GROWTH:
            self._shown = self._length
            self._draw()

    def _draw(self) -> None:
        # A context is entered by one thread at a time, and several answers may end at once.
        self._context.copy().run(self._publish, self._picture())

    def _publish(
        self, data: dict[str, Any], metadata: dict[str, Any] | None = None, *, update: bool = True
    ) -> None:
        self._shell.display_pub.publish(
            data=data, metadata=metadata or {}, transient={"display_id": self._display_id}, update=update
        )

    def _publish_widget(self, widget: StreamView, otherwise: str) -> None:
        """Show a widget; `otherwise` is what stands where there are none."""
        view = {"version_major": 2, "version_minor": 1, "model_id": widget.model_id}
        self._publish(
            {"application/vnd.jupyter.widget-view+json": view, "text/plain": otherwise}, update=False
        )


class PageDisplay(Place):
    """For notebook front ends without widgets: the picture, drawn again as the answer grows."""

    def __init__(self, shell: InteractiveShell, model: str) -> None:
        super().__init__(shell)
        self._model = model
        self.tells_errors = False  # else the cell does
        self._text = StringIO()
        self._status = usual_status(self._model, self._text)

    def begin(self, stop: Stop) -> None:  # noqa: ARG002 - the protocol's; here is no button
        self._publish(self._picture(), update=False)

    def sending(self) -> None:
        pass

    def notice(self, text: str) -> None:
        status = text or usual_status(self._model, self._text)
        if status != self._status:
            self._status = status
            self._draw()

    def text(self, new: str) -> None:
        self._text.write(new)
        self._status = usual_status(self._model, self._text)
        self._grown(new)

    def done(self) -> None:
        self._grow()

    def finish(self, answer: Answer) -> None:
        self._publish(answer_bundle(answer), answer_metadata(answer))

    def fail(self, error: BaseException) -> None:
        self._publish(picture("", receipt=self._no_answer, state="error", note=self._told(error)))

    @property
    def _no_answer(self) -> str:
        return f"{self._model} · no answer"

    def _told(self, error: BaseException) -> str | None:
        return f"{type(error).__name__}: {error}" if self.tells_errors else None

    def _picture(self) -> dict[str, str]:
        return picture(self._text.getvalue(), receipt=self._status, state="streaming")
