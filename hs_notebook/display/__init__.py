"""Where an answer appears: a terminal, a page with widgets, a page without."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hs_notebook.answers import Answer

Stop = Callable[[], None]


class Display(Protocol):
    """One answer's place on a screen.

    `begin`, `finish` and `fail` are called in the cell's own thread; the others on the loop that reads
    the answer, one after the other, and never block.
    """

    def begin(self, stop: Stop) -> None:
        """Take a place on the screen; `stop` ends the answer from any thread."""

    def sending(self) -> None:
        """An attempt is being sent now."""

    def notice(self, text: str) -> None:
        """One line about a wait; empty when it is over."""

    def text(self, new: str) -> None:
        """The answer has grown by `new`."""

    def done(self) -> None:
        """Nothing more will come."""

    def finish(self, answer: Answer) -> None:
        """Put the final picture in the place."""

    def fail(self, error: BaseException) -> None:
        """There is no answer."""
