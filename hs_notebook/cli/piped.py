"""What comes on standard input: a question, or what a question is about."""

from __future__ import annotations

import os
import select
import stat
import sys

from hs_notebook.errors import UsageError

_SOON, _PATIENCE = 2.0, 60.0  # seconds without a word: until it is told, and until it is given up
_WAY_OUT = "< /dev/null, where none is to come"


def is_typed() -> bool:
    """Tell whether a terminal stands before standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def with_piped(question: str) -> str:
    """Return a question with what it is about below it, or what comes instead of one; raises `UsageError`."""
    if not question:
        return "" if sys.stdin is None or is_typed() else _read()
    text = _brought()
    return f"{question}\n\n{text}" if text.strip() else question


def _brought(soon: float = _SOON, patience: float = _PATIENCE) -> str:
    """Return what a pipe or a file brings; nothing else is read, as nobody may ever write to it.

    Nor may anybody to a pipe that was inherited: where nothing comes, `UsageError` ends the waiting.
    """
    try:
        number = sys.stdin.fileno()
        mode = os.fstat(number).st_mode
    except (AttributeError, OSError, ValueError):  # it is closed
        return ""
    if stat.S_ISREG(mode):
        return _read()
    if not stat.S_ISFIFO(mode):
        return ""
    if sys.platform != "win32" and not select.select([number], [], [], soon)[0]:
        sys.stderr.write(f"Waiting for standard input. It can be closed: {_WAY_OUT}.\n")
        if not select.select([number], [], [], patience - soon)[0]:
            raise UsageError(
                f"Nothing came on standard input in {patience:g} s; nothing was asked.",
                hint=f"Write {_WAY_OUT}.",
            )
    return _read()


def _read() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"Standard input is no {error.encoding}.", hint="Set PYTHONIOENCODING to what it is."
        ) from None
