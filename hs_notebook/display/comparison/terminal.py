"""Answers side by side where there is only text: one after the other, each when it has ended."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from hs_notebook.display.comparison.picture import comparison_table
from hs_notebook.display.terminal import Announcement, TerminalDisplay
from hs_notebook.display.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.answers import Answer
    from hs_notebook.compared import Answers
    from hs_notebook.display import Stop


class TerminalColumn(TerminalDisplay):
    """One model's answer, under its name; several threads end answers, and one prints at a time."""

    def __init__(self, model: str, turn: threading.Lock) -> None:
        super().__init__()
        self._model = model
        self._turn = turn

    def notice(self, text: str) -> None:
        if text:
            super().notice(f"{self._model}: {text}")

    def text(self, new: str) -> None:
        pass

    def finish(self, answer: Answer) -> None:
        with self._turn:
            self._print(f"{self._heading}{visible(answer.text)}")
            self._ends_line = answer.text.endswith("\n")
            super().finish(answer)
            self._print("\n")

    def fail(self, error: BaseException) -> None:
        with self._turn:
            self._print(self._heading)
            self._quiet(f"error: {type(error).__name__}: {visible(str(error))}")
            self._print("\n")

    @property
    def _heading(self) -> str:
        return f"{visible(self._model)}\n{'─' * len(self._model)}\n"


class TerminalComparison:
    """For terminal IPython, and kernels whose front end shows text alone."""

    def __init__(self, models: Sequence[str], *, in_background: bool = False) -> None:
        turn = threading.Lock()
        self.columns: Sequence[TerminalDisplay] = [
            Announcement() if in_background else TerminalColumn(model, turn) for model in models
        ]
        self._in_background = in_background

    def begin(self, stop: Stop) -> None:
        pass

    def finish(self, answers: Answers) -> None:
        if not self._in_background:
            sys.stdout.write(f"{comparison_table(answers).plain()}\n")
