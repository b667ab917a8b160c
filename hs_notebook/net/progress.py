"""What is told of a call while it gets on."""

from __future__ import annotations

from typing import Protocol

from hs_notebook.errors import UpstreamError


class Progress(Protocol):
    """Who wants to know how a call gets on."""

    def sending(self) -> None:
        """An attempt begins now."""

    def sent(self) -> None:
        """It has a connection and goes out: from here on it may be billed."""

    def refused(self) -> None:
        """The relay has answered it with an error, and bills nothing."""

    def notice(self, text: str) -> None:
        """One line for the user, about a wait; empty when it is over."""


class Attempts(Progress):
    """Knows of the attempts of a call whether one may be billed."""

    def __init__(self) -> None:
        self.lost = 0  # earlier attempts that went out and brought no answer
        self._is_out = self.were_refused = False

    @property
    def may_be_billed(self) -> bool:
        """Whether one went out and was not refused."""
        return self._is_out or self.lost > 0

    def unanswered(self, failure: Exception) -> int:
        """Return how many may be billed of a call that ended in a failure and left no answer."""
        return self.lost + (self._is_out and not isinstance(failure, UpstreamError))

    def sending(self) -> None:
        """Begin another: what became of the one before is not heard any more."""
        self.lost, self._is_out = self.lost + self._is_out, False

    def sent(self) -> None:
        """Take note that it is out."""
        self._is_out = True

    def refused(self) -> None:
        """Take note that it costs nothing."""
        self._is_out, self.were_refused = False, True

    def notice(self, text: str) -> None:
        """Nobody is to be told."""
