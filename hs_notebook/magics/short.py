"""Errors of a cell in one line, which still stop Run All."""

from __future__ import annotations

from hs_notebook.display.visible import visible

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


def shorten(error: BaseException) -> BaseException:
    """Make IPython show an error as one line; it stays the exception that it is."""
    said = visible(" ".join(str(error).split()))
    line = f"{_RED}{type(error).__name__}{_PLAIN}" + (f": {said}" if said else "")
    error._render_traceback_ = lambda *_: [line]  # type: ignore[attr-defined]  # IPython's own hook
    return error.with_traceback(None)
