"""The answer in a page through its display id: the static picture, which all pages end with."""

from __future__ import annotations

import contextvars
import uuid
from io import StringIO
from typing import TYPE_CHECKING, Any

from hs_notebook.display.gather import Gather
from hs_notebook.display.receipt import line
from hs_notebook.display.static import picture
from hs_notebook.display.visible import visible
from hs_notebook.fences import unfenced

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.answers import Answer
    from hs_notebook.display import Stop
    from hs_notebook.errors import HolySheepError

_GROWTH = 1.3  # a picture is sent again when the text has grown by so much: all pictures together stay linear
_INTERVAL = 0.25  # seconds between two pictures, at least


def answer_bundle(answer: Answer) -> dict[str, str]:
    """Return an answer's final picture: `text/html`, and `text/plain` with its own Markdown."""
    receipt, shown = answer.receipt, answer.shown or answer.text
    bundle = picture(shown, receipt=line(receipt), state=receipt.state, note=receipt.note or None)
    if unfenced(shown).rstrip("\n") == answer.text.rstrip("\n"):  # it is only shown in a fence
        bundle["text/plain"] = visible(answer.text)
    return bundle


def answer_metadata(answer: Answer) -> dict[str, Any]:
    """Return the metadata of an answer's output: its receipt."""
    return {"holysheep": answer.receipt.as_dict()}


class PageDisplay:
    """For notebook front ends without widgets: the picture, drawn again as the answer grows."""

    def __init__(self, shell: InteractiveShell, model: str) -> None:
        self._shell = shell
        self._model = model
        self._display_id = uuid.uuid4().hex
        self.tells_errors = False  # else the cell does
        self._text = StringIO()
        self._shown = 0
        self._gather = Gather(self._grow, interval=_INTERVAL)
        # What another thread publishes belongs to the cell only in the context of the cell.
        self._context = contextvars.copy_context()

    def begin(self, stop: Stop) -> None:  # noqa: ARG002 - the protocol's; here is no button
        self._publish(self._waiting(f"waiting for {self._model} …"), update=False)

    def sending(self) -> None:
        pass

    def notice(self, text: str) -> None:
        if text:
            self._context.run(self._publish, self._waiting(text))

    def text(self, new: str) -> None:
        self._text.write(new)
        self._gather.add(new)

    def done(self) -> None:
        self._gather.flush()

    def finish(self, answer: Answer) -> None:
        self._publish(answer_bundle(answer), answer_metadata(answer))

    def fail(self, error: HolySheepError) -> None:
        note = f"{type(error).__name__}: {error}" if self.tells_errors else None
        self._publish(picture("", receipt=f"{self._model} · no answer", state="error", note=note))

    def _grow(self, _new: str) -> None:
        if self._text.tell() >= self._shown * _GROWTH:
            self._shown = self._text.tell()
            self._context.run(self._publish, self._waiting(f"{self._model} is answering …"))

    def _waiting(self, receipt: str) -> dict[str, str]:
        return picture(self._text.getvalue(), receipt=receipt, state="streaming")

    def _publish(
        self, data: dict[str, Any], metadata: dict[str, Any] | None = None, *, update: bool = True
    ) -> None:
        self._shell.display_pub.publish(
            data=data, metadata=metadata or {}, transient={"display_id": self._display_id}, update=update
        )
