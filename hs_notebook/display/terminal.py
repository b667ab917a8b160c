"""The answer as plain text on standard output, as it arrives."""

from __future__ import annotations

import contextvars
import sys
from typing import TYPE_CHECKING, TextIO

from hs_notebook.display.gather import Gather
from hs_notebook.display.notes import unmarked
from hs_notebook.display.receipt import line
from hs_notebook.display.visible import visible

if TYPE_CHECKING:
    from hs_notebook.answers import Answer, Receipt
    from hs_notebook.display import Stop

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class TerminalDisplay:
    """For terminal IPython, the command line, and kernels whose front end shows text alone.

    `remarks` is where the receipt and notices go, when it is not where the answer goes.
    """

    def __init__(self, remarks: TextIO | None = None) -> None:
        self._remarks = remarks
        self._gather = Gather(self._write)
        self._ends_line = True
        self._held = ""
        # Output of another thread belongs to the cell only in the context of the cell.
        self._context = contextvars.copy_context()

    def begin(self, stop: Stop) -> None:
        pass

    def sending(self) -> None:
        pass

    def notice(self, text: str) -> None:
        if text:
            self._context.run(self._quiet, text)

    def text(self, new: str) -> None:
        self._gather.add(new)

    def done(self) -> None:
        self._gather.flush()
        if held := self._held:
            self._held = ""
            self._show(held)

    def finish(self, answer: Answer) -> None:
        self._quiet(_ending(answer.receipt))

    def fail(self, error: BaseException) -> None:
        pass

    def _write(self, text: str) -> None:
        text = self._held + text
        # Perhaps the first half of a line end, or of a character.
        self._held = text[-1:] if text[-1:] == "\r" or "\ud800" <= text[-1:] <= "\udbff" else ""
        self._show(text.removesuffix(self._held))

    def _show(self, text: str) -> None:
        shown = visible(unmarked(text))
        self._ends_line = shown.endswith("\n")
        self._context.run(self._print, shown)

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _quiet(self, text: str) -> None:
        start = "" if self._ends_line else "\n"
        self._ends_line = True
        to = self._remarks or sys.stdout
        if self._remarks is not None and start:
            self._print(start)
            start = ""
        to.write(f"{start}{_DIM}{text}{_PLAIN}\n" if to.isatty() else f"{start}{text}\n")
        to.flush()


class Announcement(TerminalDisplay):
    """For an answer in the background of a terminal: one line when it has ended, above the prompt."""

    def text(self, new: str) -> None:
        pass

    def finish(self, answer: Answer) -> None:
        self._quiet(f"An answer is there: {_ending(answer.receipt)}")

    def fail(self, error: BaseException) -> None:
        self._quiet(f"There is no answer: {type(error).__name__}: {visible(str(error))}")


def _ending(receipt: Receipt) -> str:
    ending = "" if receipt.state == "complete" else f"{receipt.state}: "
    note = f" · {visible(receipt.note)}" if receipt.note else ""
    return ending + visible(line(receipt)) + note
