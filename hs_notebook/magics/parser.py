"""What a line may say, and how it is refused. No option takes a key."""

from __future__ import annotations

import argparse
import difflib
import json
import keyword
from typing import TYPE_CHECKING, Any, NoReturn

from hs_notebook.errors import UsageError
from hs_notebook.pricing.limit import amount
from hs_notebook.settings import without_keys
from hs_notebook.wording import LONGEST, MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """``--help`` was given; `text` is what to show, and `parser` who knows it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser

    @property
    def text(self) -> str:
        return self.parser.format_help()


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
        message = without_keys(message)  # argparse quotes what it cannot read
        raise UsageError(f"{message[0].upper()}{message[1:]}.", hint=f"{self.prog} --help shows how.")

    def offer_help(self) -> None:
        """Offer ``--help``, last of all."""
        self.add_argument("-h", "--help", nargs=0, action=_Help, help="show this")


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise HelpRequested(parser)


def read_words(parser: Parser, words: list[str]) -> argparse.Namespace:
    """Read the words of a subcommand; raises `UsageError` or `HelpRequested`."""
    parser.offer_help()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        refuse(unknown, parser, f"{parser.prog} takes nothing more.", f"{parser.prog} --help shows how.")
    return options


def parser(prog: str = "%%holysheep") -> Parser:
    """Return the parser of ``%%holysheep``, and of ``%holysheep ask``."""
    in_line = prog != "%%holysheep"
    rest = " PROMPT" if in_line else "      the cell below the line is the prompt"
    made = Parser(
        prog=prog,
        usage=f"{prog.replace('%', '%%')} [MODEL[,MODEL…]] [options]{rest}",
        description="Ask a model; the answer streams into the output and stays there.\n"
        "{name}, {df.shape}, {data['key']} and {Out[3]} in the prompt stand for their values "
        "where such a variable exists.\n"
        f"Of a value there go {LONGEST:,} characters, and of a table {MOST_ROWS} rows, at most; a line says "
        "so where more is there.",
    )
    made.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="the model, for example gpt-4.1, or several with commas between them; "
        "default: %%config HolySheepMagics.model",
    )
    made.add_argument("-m", "--model", dest="flag_model", metavar="MODEL", help="the same, as an option")
    _question(made.add_argument_group("what is asked"))
    _conversation(made.add_argument_group("a conversation"))
    _answer(made.add_argument_group("what becomes of the answer"))
    _call(made.add_argument_group("how it is sent"))
    made.offer_help()
    return made


def _question(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
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
    add(
        "--image",
        action="append",
        default=[],
        metavar="REF",
        help="an image: a path, a variable with an image or a figure, or Out[n]; may be repeated",
    )
    add(
        "--file",
        action="append",
        default=[],
        metavar="PATH",
        help="the text of a file; may be repeated",
    )
    add("--raw", action="store_true", help="send the cell as it is, braces too")


def _conversation(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--chat",
        nargs="?",
        const="",
        metavar="NAME",
        help="continue a conversation; --chat=NAME where the name could be a model's",
    )
    add("--reset", action="store_true", help="begin it anew")
    add(
        "--no-history",
        dest="history",
        action="store_false",
        help="ask without what was said before, and keep this out of it",
    )


def _answer(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-o",
        "--out",
        type=variable_name,
        metavar="NAME",
        help="put the answer into a variable; also: NAME << MODEL",
    )
    add(
        "-f",
        "--format",
        choices=("markdown", "text", "code", "json"),
        help="markdown unless said; text as it is; code alone, into a new cell, never run; JSON",
    )
    add(
        "--schema",
        metavar="NAME",
        help="a pydantic model, dataclass or JSON schema: the answer must fit it, and is in .parsed",
    )
    add("--repair", action="store_true", help="ask once more where the answer does not fit the schema")


def _call(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--max-cost",
        type=_usd,
        metavar="USD",
        help="refuse or stop the call where it would cost more; of several models each may cost so much",
    )
    add("--dry-run", action="store_true", help="show what would be sent and cost, and send nothing")
    add("--bg", action="store_true", help="go on at once; the answer arrives in the background")
    add(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="answer from the file beside the notebook where this was asked before; --no-cache asks anew, "
        "and where replay is 'record' keeps the new answer instead",
    )
    add("--tools", metavar="F,G", help="functions of the notebook that the model may ask to be called")
    add("--allow-tools", action="store_true", help="call them without asking you each time")
    add("--no-stream", dest="stream", action="store_false", help="wait for the whole answer")
    add("--base-url", metavar="URL", help="another relay; the key must belong to it")


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


def variable_name(text: str) -> str:
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
        if value.startswith(("[", "{")):  # its own quotation marks are gone with those of the line
            raise UsageError(
                f"{without_keys(name)} begins as JSON and is none.",
                hint="""Put it in single quotes, as in -p 'stop=["END"]'.""",
            ) from None
        return name, value
