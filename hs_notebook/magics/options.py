"""The line of a magic into options. No option takes a key."""

from __future__ import annotations

import argparse
import difflib
import json
import keyword
import re
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from hs_notebook.errors import UsageError
from hs_notebook.pricing.limit import amount

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

KEY_SHAPED = re.compile(r"\b(?:cr_|sk-)[A-Za-z0-9_-]{16,}")


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """``--help`` was given; `text` is what to show."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Options(argparse.Namespace):
    """What the line of ``%%holysheep`` says; None where it says nothing."""

    model: str | None
    system: str | None
    temperature: float | None
    max_tokens: int | None
    param: list[tuple[str, Any]]
    out: str | None
    raw: bool
    max_cost: Decimal | None
    dry_run: bool
    stream: bool
    base_url: str | None

    def params(self) -> dict[str, Any]:
        """Return what the request carries besides model and messages: only what was given."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens} | dict(self.param)
        return {name: value for name, value in given.items() if value is not None}


def parse(line: str) -> Options:
    """Read the line of ``%%holysheep``.

    Raises `UsageError`, with the nearest right option, or `HelpRequested`.
    """
    options, unknown = parser().parse_known_args(split(line), Options())
    if unknown:
        refuse(
            unknown,
            parser(),
            "The line names more than a model.",
            "The prompt goes into the cell, below the line.",
        )
    if options.flag_model:
        if options.model and options.model != options.flag_model:
            raise UsageError(
                f"Two models were named: {options.model} and {options.flag_model}.", hint="Name one."
            )
        options.model = options.flag_model
    return options


def split(line: str) -> list[str]:
    """Return the words of a line as a shell parts them; raises `UsageError`."""
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError(
            "A quotation mark is not closed.", hint='Write -s "…" around several words.'
        ) from None


def refuse(words: list[str], parser: argparse.ArgumentParser, otherwise: str, hint: str) -> NoReturn:
    """Raise `UsageError` for words that a parser does not know; `otherwise` is for those without a dash."""
    # A key that somebody tried to pass must not be printed: only the option's name is.
    word = next((word for word in words if word.startswith("-")), None)
    if word is None:
        raise UsageError(otherwise, hint=hint)
    name = word.partition("=")[0]
    if "key" in name.lower() or name.strip("-").lower() == "token":
        raise UsageError(
            f"There is no option {name}: no option takes a key.",
            hint="Set HOLYSHEEP_API_KEY in the environment.",
        )
    known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001
    begun = [option for option in known if option.startswith(name)]
    near = begun or difflib.get_close_matches(name, known, 1, cutoff=0.4)
    raise UsageError(
        f"There is no option {name}.",
        hint=f"Did you mean {near[0]}?" if near else f"{parser.prog} --help lists them.",
    )


class Parser(argparse.ArgumentParser):
    """One whose errors are ours and whose help is asked for, not printed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        message = KEY_SHAPED.sub("[key]", message)  # argparse quotes what it cannot read
        raise UsageError(f"{message[0].upper()}{message[1:]}.", hint=f"{self.prog} --help shows how.")

    def offer_help(self) -> None:
        """Offer ``--help``, last of all."""
        self.add_argument("-h", "--help", nargs=0, action=_Help, help="show this")


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise HelpRequested(parser.format_help())


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``%%holysheep``."""
    made = Parser(
        prog="%%holysheep",
        usage="%%%%holysheep [MODEL] [options]      the cell below the line is the prompt",
        description="Ask a model; the answer streams into the output and stays there. "
        "{name}, {df.shape}, {data['key']} and {Out[3]} in the prompt stand for their values "
        "where such a variable exists.",
    )
    add = made.add_argument
    add(
        "model",
        nargs="?",
        metavar="MODEL",
        help="the model, for example gpt-4.1; default: %%config HolySheepMagics.model",
    )
    add("-m", "--model", dest="flag_model", metavar="MODEL", help="the same, as an option")
    add("-s", "--system", metavar="TEXT", help="the system message")
    add("-t", "--temperature", type=_number(float, 0, 2), metavar="T", help="0 to 2; not sent unless given")
    add("--max-tokens", type=_number(int, 1, 10_000_000), metavar="N", help="the longest answer, in tokens")
    add(
        "-p",
        "--param",
        type=_param,
        action="append",
        default=[],
        metavar="K=V",
        help="any other parameter, V as JSON or text",
    )
    add("-o", "--out", type=_name, metavar="NAME", help="put the answer into a variable")
    add("--max-cost", type=_usd, metavar="USD", help="refuse or stop the call where it would cost more")
    add("--dry-run", action="store_true", help="show what would be sent and cost, and send nothing")
    add("--raw", action="store_true", help="send the cell as it is, braces too")
    add("--no-stream", dest="stream", action="store_false", help="wait for the whole answer")
    add("--base-url", metavar="URL", help="another relay; the key must belong to it")
    made.offer_help()
    return made


def _number(kind: type, low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value: float = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:,} and {high:,}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read


def _usd(text: str) -> Decimal:
    try:
        return amount(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message.rstrip(".")) from None


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a variable")
    return text


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not K=V")
    if name in {"model", "messages", "stream"}:
        raise argparse.ArgumentTypeError(f"{name} is not set this way")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
