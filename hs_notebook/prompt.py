"""Asking for a key without showing it, where somebody is there to be asked."""

from __future__ import annotations

import getpass
import sys
from typing import Any


def hidden_prompt(text: str) -> str:
    """Ask an interactive user for a key; an empty text where there is nobody, or no answer.

    Interactive is IPython, in a terminal or a front end that can ask, and Python's own prompt; not a script.
    """
    if not somebody_is_there():
        return ""
    try:
        return getpass.getpass(text)
    except EOFError:
        return ""


def somebody_is_there() -> bool:
    """Tell whether somebody sits before this session, and not a tool that runs notebooks."""
    shell = ipython()
    if (kernel := getattr(shell, "kernel", None)) is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    # Without a terminal getpass would read the key from a pipe.
    return (shell is not None or hasattr(sys, "ps1")) and sys.stdin is not None and sys.stdin.isatty()


def ipython() -> Any:
    """Return the IPython shell that runs in this process, if any."""
    # Asked for, not imported: where IPython runs, it is there already.
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None
