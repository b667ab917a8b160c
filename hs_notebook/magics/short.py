"""Errors of a cell in one line, which still stop Run All."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from hs_notebook.display.visible import visible

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


def shorten(error: BaseException) -> BaseException:
    """Make IPython show an error as one line; it stays the exception that it is."""
    said = visible(" ".join(str(error).split()))
    line = f"{_RED}{type(error).__name__}{_PLAIN}" + (f": {said}" if said else "")
    error._render_traceback_ = lambda *_: [line]  # type: ignore[attr-defined]  # IPython's own hook
    return error.with_traceback(None)


def hidden_prompt(shell: InteractiveShell):  # type: ignore[no-untyped-def]
    """Return a function that asks for a key without showing it; where nobody can be asked it returns nothing."""
    kernel = getattr(shell, "kernel", None)

    def ask(text: str) -> str:
        # Without a terminal getpass would read the key from a pipe, and fail at its end.
        somebody = sys.stdin and sys.stdin.isatty() if kernel is None else getattr(kernel, "_allow_stdin", False)
        if not somebody:
            return ""
        try:
            return getpass.getpass(text)
        except EOFError:
            return ""

    return ask
