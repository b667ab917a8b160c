"""What several models answer to one question: in columns on a page, one after the other in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.compared import Answers
    from hs_notebook.display import Display, Stop


class ComparisonDisplay(Protocol):
    """A place on a screen for several answers; `columns` are theirs, in the order of the models."""

    @property
    def columns(self) -> Sequence[Display]:
        """One place for each model."""

    def begin(self, stop: Stop) -> None:
        """Take a place on the screen; `stop` ends all answers from any thread."""

    def finish(self, answers: Answers) -> None:
        """All have ended: show the table, and what stays."""
