"""The line of a magic into options. No option takes a key."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.magics.parser import parser, refuse, variable_name

if TYPE_CHECKING:
    from decimal import Decimal


class Options(argparse.Namespace):
    """What the line of ``%%holysheep`` says; None where it says nothing."""

    model: str | None  # or several, with commas between them: see `models`
    system: str | None
    temperature: float | None
    max_tokens: int | None
    param: list[tuple[str, Any]]
    format: str | None
    schema: str | None
    repair: bool
    out: str | None
    chat: str | None  # the name of a conversation; empty is the one without a name
    chat_or_model: bool = False  # what stands in `chat` may be a model, as in `--chat gpt-4.1`
    history: bool
    reset: bool
    image: list[str]
    file: list[str]
    tools: str | None
    allow_tools: bool
    bg: bool
    cache: bool | None
    raw: bool
    max_cost: Decimal | None
    dry_run: bool
    stream: bool
    base_url: str | None

    @property
    def models(self) -> list[str]:
        """The models that are named, in order and once each."""
        named = (name.strip() for name in (self.model or "").split(","))
        return list(dict.fromkeys(filter(None, named)))

    def params(self) -> dict[str, Any]:
        """Return what the request carries besides model and messages: only what was given."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens} | dict(self.param)
        return {name: value for name, value in given.items() if value is not None}


def parse(line: str) -> Options:
    """Read the line of ``%%holysheep``.

    Raises `UsageError`, with the nearest right option, or `HelpRequested`.
    """
    out, line = _target(line)
    words = split(line)
    options, unknown = parser().parse_known_args(words, Options())
    if unknown:
        refuse(
            unknown,
            parser(),
            "The line names more than a model.",
            "The prompt goes into the cell, below the line; several models have commas between them.",
        )
    options.out = out or options.out
    return _settled(options, words)


def parse_ask(words: list[str]) -> tuple[Options, str]:
    """Read the words of ``%holysheep ask MODEL "…"`` into options and the prompt; raises as `parse`."""
    made = parser("%holysheep ask")
    options, rest = made.parse_known_args(words, Options())
    if any(word.startswith("-") and " " not in word for word in rest):
        refuse(rest, made, "", "")
    if not rest and options.model and (options.flag_model or len(options.model.split()) > 1):
        rest, options.model = [options.model], None  # a single word would be a model
    if not rest and options.chat and len(options.chat.split()) > 1:
        rest, options.chat = [options.chat], ""  # `--chat "What is X?"`: a single word would be its name
    return _settled(options, words), " ".join(rest)


def parse_fix(words: list[str]) -> Options:
    """Read the words of ``%holysheep fix``; raises as `parse`."""
    made = parser("%holysheep fix")
    made.usage = "%%holysheep fix [MODEL] [options]"
    made.description = (
        "Let a model explain the last error with the cell that raised it. The corrected cell is offered "
        "below, and never run."
    )
    options, unknown = made.parse_known_args(words, Options())
    if unknown:
        refuse(
            unknown,
            made,
            "%holysheep fix takes a model and options.",
            "The last error is what it asks about.",
        )
    return _settled(options, words)


def _settled(options: Options, words: list[str]) -> Options:
    if options.flag_model:
        if options.model and options.model != options.flag_model:
            raise UsageError(
                f"Two models were named: {options.model} and {options.flag_model}.",
                hint="Name one, or several with commas between them.",
            )
        options.model = options.flag_model
    if options.chat and not options.chat.isidentifier() and options.model is None:
        options.chat_or_model = not any(word.startswith("--chat=") for word in words)
    return options


def _target(line: str) -> tuple[str | None, str]:
    """Part `NAME << MODEL …` into the name and the rest."""
    found = re.match(r"\s*([^\s<]+)\s*<<(.*)", line, re.DOTALL)
    if found is None:
        return None, line
    try:
        return variable_name(found[1]), found[2]
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{error}.", hint="Write NAME << MODEL.") from None


def split(line: str, platform: str = sys.platform) -> list[str]:
    """Return the words of a line as a shell parts them; raises `UsageError`.

    On Windows a backslash parts folders and escapes nothing.
    """
    words = shlex.shlex(line, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if platform == "win32":
        words.escape = ""
    try:
        return list(words)
    except ValueError:
        raise UsageError(
            "A quotation mark is not closed.", hint='Write -s "…" around several words.'
        ) from None
