"""``%holysheep fix``: the last error and the cell that raised it, for a model to explain and correct.

What is sent is the cell and the traceback as Python words it, both bounded: no variable's value but what
stands in the error's own message. The corrected cell is offered below and never run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.answers import Answer
from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.fences import code_blocks, fenced, is_python
from hs_notebook.magics.ask import ask
from hs_notebook.magics.options import parse_fix
from hs_notebook.prices import full_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hs_notebook.magics.magic import HolySheepMagics

_LONGEST_CELL = 12_000  # characters
_LONGEST_REPORT = 6_000
_FRAMES = 12  # the innermost
_ASKED = (
    "A cell of a notebook (IPython) raised an error. Say in a few sentences what went wrong and why. Then "
    "give the whole corrected cell in one fenced Python block, with nothing changed that need not be. Where "
    "the cell is not at fault, say what to do and give no code."
)


class Mishap(NamedTuple):
    """An error in a cell: the cell's text, the traceback, and the way out where the error is our own."""

    cell: str
    report: str
    own: str = ""

    def prompt(self) -> str:
        """Return what the model is asked."""
        cell = _cut(self.cell, _LONGEST_CELL) or "# its text is not known"
        return f"{_ASKED}\n\nThe cell:\n\n{fenced(cell, 'python')}\nThe error:\n\n{fenced(self.report)}"


def watch(magics: HolySheepMagics) -> Callable[[], None]:
    """Remember the last error of a cell, as text: its frames are not kept. Returns what ends that."""
    shell = magics.shell

    def remember(result: Any) -> None:
        error = result.error_in_exec or result.error_before_exec
        cell = result.info.raw_cell if result.info is not None else ""
        if not isinstance(error, Exception) or (isinstance(error, HolySheepError) and " fix" in cell):
            return  # an interrupt is no mistake, and what went wrong with `fix` is not what it is to explain
        with contextlib.suppress(Exception):  # what the user's error does when it is shown is no news here
            magics.mishap = mishap_of(shell, error, cell)

    shell.events.register("post_run_cell", remember)
    return lambda: shell.events.unregister("post_run_cell", remember)


def fix(magics: HolySheepMagics, words: list[str]) -> Any:
    """Explain the last error, and offer the corrected cell."""
    options = parse_fix(words)
    mishap = magics.mishap or _before(magics.shell)
    if mishap is None:
        raise UsageError("There is no error to explain.", hint="Run the cell that fails, then this.")
    if mishap.own:
        sys.stdout.write(f"The last error is one of hs_notebook itself; no model was asked.\n{mishap.own}\n")
        return None
    offer = options.format is None
    options.raw, options.format = True, options.format or "markdown"
    answer = ask(magics, options, mishap.prompt())
    if offer and isinstance(answer, Answer) and answer.state == "complete" and (code := _corrected(answer)):
        magics.shell.set_next_input(code, replace=False)
    if answer is not None:
        magics.is_shown(answer)
    return answer


def _corrected(answer: Answer) -> str:
    """Return the corrected cell: the last block of Python, or without a language, if there is one."""
    blocks = [block.code for block in code_blocks(answer.text) if not block.language or is_python(block)]
    return blocks[-1].strip("\n") if blocks else ""


def mishap_of(shell: Any, error: BaseException, cell: str) -> Mishap:
    """Return an error of a cell as text."""
    own = f"{type(error).__name__}: {error}" if isinstance(error, HolySheepError) else ""
    return Mishap(cell, _cut(_report(shell, error), _LONGEST_REPORT), own)


def _before(shell: Any) -> Mishap | None:
    """Return the last error from before the magics were loaded, if any."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if not isinstance(error, Exception):
        return None
    numbers = [number for name in _files(error) if (number := _number(shell, name))]
    history = shell.user_ns.get("In", [])
    number = numbers[0] if numbers else 0
    return mishap_of(shell, error, history[number] if 0 < number < len(history) else "")


def _files(error: BaseException) -> Iterator[str]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame.f_code.co_filename


def _number(shell: Any, file: str) -> int:
    """Return the number of the cell that a file's name stands for; 0 for any other file."""
    kind, name = getattr(shell.compile, "format_code_name", lambda _: None)(file) or ("", "")
    digits = name.removeprefix("In[").removesuffix("]")
    return int(digits) if kind == "Cell" and digits.isdecimal() else 0


def _report(shell: Any, error: BaseException) -> str:
    """Return the traceback without IPython's own frames, and with cells by their numbers."""
    told = traceback.TracebackException.from_exception(error)
    seen: traceback.TracebackException | None = told
    links: list[traceback.TracebackException] = []
    while seen is not None and seen not in links:
        links.append(seen)
        _shorten(shell, seen)
        seen = seen.__cause__ or seen.__context__
    return "".join(told.format())


def _shorten(shell: Any, told: traceback.TracebackException) -> None:
    import IPython

    machinery = os.path.dirname(IPython.__file__)  # noqa: PTH120 - as frames have it
    kept = [frame for frame in told.stack if not frame.filename.startswith(machinery)]
    told.stack[:] = kept[-_FRAMES:]
    for frame in told.stack:
        frame.filename = _named(shell, frame.filename)
    if isinstance(getattr(told, "filename", None), str):  # of a SyntaxError
        told.filename = _named(shell, told.filename)


def _named(shell: Any, file: str) -> str:
    if number := _number(shell, file):
        return f"Cell In[{number}]"
    home = str(full_path("~"))
    return f"~{file.removeprefix(home)}" if file.startswith(home + os.sep) else file


def _cut(text: str, most: int) -> str:
    """Return a text without its middle where it is too long: what matters stands at its ends."""
    if len(text) <= most:
        return text
    head = most // 3
    return f"{text[:head]}\n… ({len(text) - most:,} characters left out) …\n{text[-(most - head) :]}"
