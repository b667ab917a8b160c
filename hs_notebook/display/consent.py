"""A question with two buttons in a live view, and the wait for one of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_AGAIN = 0.1  # seconds


class Consent:
    """Asks in the cell's thread; the answer comes from another one. `show` sends a message to the pages."""

    def __init__(self, show: Callable[[dict[str, Any]], None]) -> None:
        self._show = show
        self._number = 0  # a click that comes late must not answer the next question
        self._question = ""
        self._decided = threading.Event()
        self._yes = False

    @property
    def message(self) -> dict[str, Any]:
        """What a page must show now; without a question it shows none."""
        return {"type": "ask", "number": self._number, "question": self._question}

    def ask(self, question: str, given_up: Callable[[], bool]) -> bool | None:
        """Wait for a click, and return whether it was a yes; None once it is `given_up`."""
        self._number += 1
        self._decided.clear()
        self._question = question
        self._show(self.message)
        try:
            while not self._decided.wait(_LOOK_AGAIN):
                if given_up():
                    return None
            return self._yes
        finally:
            self._question = ""
            self._show(self.message)

    def decide(self, action: str) -> None:
        """Take `run NUMBER` or `refuse NUMBER` of a page; anything else is ignored."""
        name, _, number = action.partition(" ")
        if number == str(self._number) and self._question and name in {"run", "refuse"}:
            self._yes = name == "run"
            self._decided.set()
