"""TAB on ``%%holysheep`` and ``%holysheep`` lines, and after a ``{`` in the prompt.

One matcher of IPython's completer serves JupyterLab and the terminal. Where it has a say it is the only one
to speak: IPython's own guesses take a prompt for Python.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from hs_notebook.magics.candidates import SEVERAL, options, values
from hs_notebook.magics.fields import Fit, Item, field_fit
from hs_notebook.magics.parser import HelpRequested, parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from hs_notebook.magics.magic import HolySheepMagics

_FIRST = 1000  # priority: before all of IPython's own matchers, and jedi above all
_CELL = re.compile(r"\s*%%holysheep(?P<line>[^\n]*)\n?")
_LINE = re.compile(r"\s*(?:[\w.,\s\[\]'\"]+=\s*)?%holysheep\s(?P<line>.*)$")
# JupyterLab's menu breaks what stands beside a name, over the line below.
_UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})
_TARGET = re.compile(r"\s*\w+\s*<<")
_TYPED = re.compile(r"(?:\\.|[^\s\\])*$")


class Nothing(tuple[()]):
    """No completion, and nobody else's: IPython lets only a matcher that has some silence the others."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1


def attach(magics: HolySheepMagics) -> Callable[[], None]:
    """Let TAB know the magics; returns what takes it away again."""
    matchers = magics.shell.Completer.custom_matchers

    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        return _result(magics, context)

    matcher.matcher_api_version = 2  # type: ignore[attr-defined]  # what IPython's own decorator sets
    matcher.matcher_identifier = "hs_notebook"  # type: ignore[attr-defined]
    matcher.matcher_priority = _FIRST  # type: ignore[attr-defined]
    matchers.append(matcher)
    return lambda: matchers.remove(matcher) if matcher in matchers else None


def _result(magics: HolySheepMagics, context: CompletionContext) -> SimpleMatcherResult:
    """Return what IPython wants to hear; nothing where anything goes wrong: TAB must never raise."""
    from IPython.core.completer import SimpleCompletion

    lines = context.full_text.split("\n")
    before = "\n".join([*lines[: context.cursor_line], context.text_until_cursor])
    try:
        fit = fit_at(magics, before, context.full_text[len(before) :])
    except Exception:  # noqa: BLE001 - as said above
        fit = None
    if fit is None:
        return {"completions": [], "suppress": False}
    unbroken = _UNBROKEN if magics.in_page else {}
    found = [SimpleCompletion(item.text, type=item.kind.translate(unbroken)) for item in fit.items]
    return {
        "completions": found or Nothing(),
        "matched_fragment": fit.fragment,
        "suppress": True,
        "ordered": True,
    }


def fit_at(magics: HolySheepMagics, before: str, after: str) -> Fit | None:
    """Return what fits between two halves of a cell; None where it is no business of ours."""
    cell = _CELL.match(before)
    if cell is not None:
        line = cell["line"]
        if "\n" in before[cell.start("line") :]:
            return _in_prompt(magics, line, before[cell.end() :], after)
        return _on_cell_line(magics, line) if line[:1].isspace() else None
    found = _LINE.match(before.rpartition("\n")[2])
    return _on_command_line(magics, found["line"]) if found else None


def _in_prompt(magics: HolySheepMagics, line: str, before: str, after: str) -> Fit | None:
    if "--raw" in line.split():
        return None
    return field_fit(before, after, magics.own_names())


def _on_cell_line(magics: HolySheepMagics, line: str) -> Fit:
    return _on_line(magics, parser(), _TARGET.sub("", line))


def _on_command_line(magics: HolySheepMagics, line: str) -> Fit | None:
    from hs_notebook.magics.commands import COMMANDS
    from hs_notebook.magics.manual import purposes

    name, space, rest = line.lstrip().partition(" ")
    if not space:
        return _fit(name, [Item(*purpose) for purpose in purposes().items()])
    if (command := COMMANDS.get(name)) is None:
        return None
    try:
        command(magics, ["--help"])  # shows the options of a command and does nothing else
    except HelpRequested as request:
        return _on_line(magics, request.parser, rest)
    return None


def _on_line(magics: HolySheepMagics, parser: argparse.ArgumentParser, line: str) -> Fit:
    """Return what fits at the end of a line that a parser reads."""
    if (parted := typed(line)) is None:
        return Fit("", [])
    words, part = parted
    flags = {name: action for action in parser._actions for name in action.option_strings}  # noqa: SLF001
    plain, action = _read(words, flags)
    name, equals, value = part.partition("=")
    if equals and name in flags:
        return _valued(magics, flags[name], value)
    if action is not None and action.nargs != "?":
        return _valued(magics, action, part)
    if part.startswith("-"):
        return _fit(part, options(parser, words))
    maybe = [*values(magics, action, part)] if action is not None else []
    place = _place(parser, len(plain))
    if place is not None and "," in part and not maybe:
        return _valued(magics, place, part)
    more = values(magics, place, part) if place is not None else []
    return _fit(part, [*maybe, *more, *(options(parser, words) if not part else [])])


def typed(line: str) -> tuple[list[str], str] | None:
    """Part a line as a shell does, into the words before and the one at its end; None in quotation marks."""
    found = _TYPED.search(line)
    start = found.start() if found else len(line)
    part = line[start:]
    try:
        words = shlex.split(line[:start])
    except ValueError:
        return None
    return None if "'" in part or '"' in part else (words, part)


def _read(words: list[str], flags: dict[str, argparse.Action]) -> tuple[list[str], argparse.Action | None]:
    """Return the words that belong to no option, and the option that waits for its value."""
    plain: list[str] = []
    waiting: argparse.Action | None = None
    for word in words:
        name, equals, _ = word.partition("=")
        if name in flags:
            waiting = None if flags[name].nargs == 0 or equals else flags[name]
        elif waiting is None:
            plain.append(word)
        else:
            waiting = None
    return plain, waiting


def _place(parser: argparse.ArgumentParser, taken: int) -> argparse.Action | None:
    """Return what the next word without a dash stands for, if any may follow."""
    places = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001
    if taken < len(places):
        return places[taken]
    return places[-1] if places and places[-1].nargs in {"*", "+"} else None


def _valued(magics: HolySheepMagics, action: argparse.Action, part: str) -> Fit:
    """Return the values of an option; where it takes several, those after the last comma."""
    before, _, last = part.rpartition(",") if action.dest in SEVERAL else ("", "", part)
    taken = {name.strip() for name in before.split(",")}
    return _fit(last, [item for item in values(magics, action, last) if item.text not in taken])


def _fit(part: str, items: Iterable[Item]) -> Fit:
    """Return those that begin as what is typed; where none does, those that contain it."""
    known = list({item.text: item for item in items}.values())
    begun = [item for item in known if item.text.lower().startswith(part.lower())]
    return Fit(part, begun or [item for item in known if len(part) > 1 and part.lower() in item.text.lower()])
