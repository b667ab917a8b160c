"""Answers side by side in a page without widgets: the picture, drawn again as they grow."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from hs_notebook.display.comparison.picture import (
    NO_ANSWER,
    columns_html,
    comparison_bundle,
    comparison_metadata,
)
from hs_notebook.display.page import Place, usual_status
from hs_notebook.display.receipt import line
from hs_notebook.display.static import answer_html
from hs_notebook.display.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.answers import Answer
    from hs_notebook.compared import Answers
    from hs_notebook.display import Stop


class PageColumn:
    """The place of one model; it tells its own errors."""

    def __init__(self, place: PageComparison, model: str) -> None:
        self.model = model
        self.content = StringIO()
        self.stop: Stop = lambda: None
        self._place = place
        self._state, self._note = "streaming", ""
        self._receipt = usual_status(self.model, self.content)

    def begin(self, stop: Stop) -> None:
        self.stop = stop

    def sending(self) -> None:
        pass

    def notice(self, text: str) -> None:
        receipt = text or usual_status(self.model, self.content)
        if receipt != self._receipt:
            self._receipt = receipt
            self._place.changed()

    def text(self, new: str) -> None:
        self.content.write(new)
        self._receipt = usual_status(self.model, self.content)
        self._place.grown(new)

    def done(self) -> None:
        pass

    def finish(self, answer: Answer) -> None:
        receipt = answer.receipt
        self.end(receipt.state, line(receipt, under=self.model), receipt.note)

    def fail(self, error: BaseException) -> None:
        self.end("error", NO_ANSWER, f"{type(error).__name__}: {error}")

    def end(self, state: str, receipt: str, note: str) -> None:
        """Show how the answer ended, while others go on."""
        self._state, self._receipt, self._note = state, receipt, note
        self._place.changed()

    def html(self) -> str:
        """Return the picture so far."""
        return answer_html(self.content.getvalue(), receipt=self._receipt, state=self._state, note=self._note)


class PageComparison(Place):
    """For notebook front ends without widgets."""

    def __init__(self, shell: InteractiveShell, models: Sequence[str]) -> None:
        super().__init__(shell)
        self.columns: Sequence[PageColumn] = [PageColumn(self, model) for model in models]

    def begin(self, stop: Stop) -> None:  # noqa: ARG002 - the protocol's; here is no button
        self._publish(self._picture(), update=False)

    def finish(self, answers: Answers) -> None:
        self._publish(comparison_bundle(answers), comparison_metadata(answers))

    def grown(self, new: str) -> None:
        """Draw anew when it is worth it."""
        self._grown(new)

    def changed(self) -> None:
        """Draw anew at once."""
        self._draw()

    def _picture(self) -> dict[str, str]:
        columns = list(self.columns)  # some grow meanwhile, in another thread
        texts = (f"## {column.model}\n\n{column.content.getvalue()}" for column in columns)
        return {
            "text/html": columns_html((column.model, column.html()) for column in columns),
            "text/plain": visible("\n\n".join(texts)),
        }
