"""``hs-notebook``: the same from a terminal."""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hs_notebook import __version__
from hs_notebook.cli import bench, relay
from hs_notebook.cli.needs import need
from hs_notebook.cli.parser import Parser
from hs_notebook.cli.piped import is_typed, with_piped
from hs_notebook.cli.values import count, speed, temperature
from hs_notebook.errors import HolySheepError, MissingKeyError, UsageError
from hs_notebook.settings import (
    BASE_URL_NAME,
    DEFAULT_BASE_URL,
    DEFAULT_MODEL,
    KEY_NAME,
    find_credentials,
    named_base_url,
    normal_base_url,
    refuse_key,
    without_keys,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

_QUICKSTART = "01-quickstart.ipynb"
_ANY_KEY = "any"  # too short to be taken out of an answer as a secret
_INTERRUPTED = 130  # what shells report for an interrupt
_UNREAD = 141  # and for output that nobody reads any more


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. An error is one line on standard error."""
    options, rest = _parser().parse_known_args(arguments)
    if options.command is ask and not any(word.startswith("-") and " " not in word for word in rest):
        options.prompt, rest = options.prompt + rest, []  # argparse takes no words after an option
    if rest and options.command is not lab:
        options.parser.refuse(rest[0])
    options.rest = rest
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal cannot show costs no answer
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would tell of it when it flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    except HolySheepError as error:
        sys.stderr.write(without_keys(f"{type(error).__name__}: {error}\n"))
        return 1
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"{interrupt}\n")
        return _INTERRUPTED
    return status


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab; without a key on a simulated relay of its own."""
    need("jupyterlab", "lab")
    place = Path(options.folder or ("notebooks" if Path("notebooks").is_dir() else "."))
    if not place.exists():
        raise UsageError(f"There is no {place}.", hint="Name a folder or a notebook.")
    folder = place if place.is_dir() else place.parent
    target = place / _QUICKSTART if (place / _QUICKSTART).is_file() else place
    command = [sys.executable, "-m", "jupyter", "lab", str(target), *options.rest]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container everybody is root
    with _relay_settings(folder, options.speed) as settings:
        return _run_until_it_ends(command, {**os.environ, **settings})


@contextlib.contextmanager
def _relay_settings(folder: Path, times: float) -> Iterator[dict[str, str]]:
    try:
        credentials = find_credentials(folder=folder.resolve())
    except MissingKeyError:
        pass
    else:
        sys.stderr.write(f"Answers come from {credentials.base_url}; the key is from {credentials.source}.\n")
        yield {}
        return
    need("uvicorn", "relay")
    from hs_notebook.relay import EmbeddedRelay, Simulation

    with EmbeddedRelay(Simulation(speed=times)) as relay:
        sys.stderr.write(
            f"No key was found: answers are simulated, by a relay on {relay.base_url}. "
            f"Set {KEY_NAME} for real ones.\n"
        )
        yield {BASE_URL_NAME: relay.base_url, KEY_NAME: _ANY_KEY}


def _run_until_it_ends(command: list[str], environ: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=environ)  # noqa: S603 - our own interpreter and the user's words
    # Jupyter hears Ctrl-C itself and asks whether to stop; here it must not end the relay before that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def ask(options: argparse.Namespace) -> int:
    """Ask one question; the answer streams to standard output."""
    from hs_notebook.asking import Asking
    from hs_notebook.display.terminal import TerminalDisplay
    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.limit import amount, limit_for
    from hs_notebook.session import Session
    from hs_notebook.types import ChatRequest, prompt_messages

    prompt = with_piped(" ".join(options.prompt))
    params = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    request = ChatRequest.of(options.model, prompt_messages(prompt, options.system), params)
    session = Session(prompt=getpass.getpass if is_typed() else None)
    client, ledger = session.client(options.base_url), Ledger()
    refuse_key(request, client.credentials.key)
    client.use(client.quotes.book, ledger)
    limit = (
        limit_for(request, client.quotes, amount(options.max_cost)) if options.max_cost is not None else None
    )
    # A file or the next program gets the answer alone.
    display = TerminalDisplay(None if sys.stdout.isatty() else sys.stderr)
    asking = Asking(session, client, request, display, limits=lambda *_: limit)
    try:
        asking.run()
    finally:
        if warning := ledger.warning():
            sys.stderr.write(f"{warning}\n")
    if asking.unread:
        raise BrokenPipeError  # the answer is stopped and kept; `main` ends quietly
    return 0


def prices(options: argparse.Namespace) -> int:
    """Compare what sellers ask for models."""
    from hs_notebook.display.prices import price_table
    from hs_notebook.prices import load_book
    from hs_notebook.pricing.quotes import today

    sys.stdout.write(f"{price_table(load_book(), options.models, today(), sellers=options.seller)}\n")
    return 0


def spend(options: argparse.Namespace) -> int:
    """Show what calls have cost, or write them to a file."""
    from hs_notebook.ledger import Ledger, parse_since
    from hs_notebook.magics.accounts import exported, spent_table

    since = parse_since(options.since) if options.since else None
    if options.relay and options.export:
        raise UsageError(
            "--relay is for the table alone.", hint="Elsewhere user_name tells the calls of a relay's keys."
        )
    if options.export:
        sys.stdout.write(exported(Ledger(), options.export, since))
    else:
        sys.stdout.write(f"{spent_table(Ledger(), options.by, since, None, relay=options.relay)}\n")
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Look at everything that an answer needs, without a billed call; 1 where something is a problem."""
    from hs_notebook.doctor import Case, Finding, examine, named_by_environment, table, well
    from hs_notebook.ledger import Ledger
    from hs_notebook.prices import load_book

    here = Finding("ok", "front end", "the command line; notebooks: %holysheep doctor")
    findings = examine(
        Case(
            credentials=lambda: find_credentials(options.base_url),
            base_url=normal_base_url(options.base_url or named_base_url() or DEFAULT_BASE_URL),
            named_by="--base-url" if options.base_url else named_by_environment(),
            model=options.model,
            book=load_book,
            ledger=Ledger(),
            more=[here],
        )
    )
    sys.stdout.write(without_keys(f"{table(findings)}\n"))
    return 0 if well(findings) else 1


def _parser() -> Parser:
    parser = Parser(prog="hs-notebook", description="Language models through the HolySheep relay.")
    parser.add_argument("--version", action="version", version=f"hs-notebook {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    made = commands.add_parser("lab", help="open JupyterLab; without a key answers are simulated")
    made.add_argument("folder", nargs="?", help="a folder or a notebook; default: notebooks/ here")
    made.add_argument(
        "--speed", type=speed, default=1.0, help="times as fast as measured, for simulated answers"
    )
    made.set_defaults(command=lab)

    _add_ask(commands)

    made = commands.add_parser("prices", help="compare what sellers ask for models, with sources and dates")
    made.add_argument("models", nargs="*", help="only these; all that the book has unless said")
    made.add_argument("--seller", action="append", metavar="NAME", help="only this seller; may be repeated")
    made.set_defaults(command=prices)

    made = commands.add_parser("spend", help="show what calls have cost")
    made.add_argument(
        "--by", choices=("model", "day", "notebook", "user"), default="model", help="what to add up by"
    )
    made.add_argument(
        "--relay", action="store_true", help="the calls of a relay's keys, and not those made here"
    )
    made.add_argument("--since", metavar="WHEN", help="only calls since 24h, 7d, 2w or a date")
    made.add_argument("--export", metavar="FILE", help="write every call to a .csv or .json file")
    made.set_defaults(command=spend)

    made = commands.add_parser("doctor", help="what works, what does not, and the one thing to do next")
    made.add_argument("model", nargs="?", default=DEFAULT_MODEL, help="look for this one, too")
    made.add_argument("--base-url", metavar="URL", help="another relay; the key must belong to it")
    made.set_defaults(command=doctor)

    bench.add_command(commands)
    relay.add_commands(commands)
    return parser


def _add_ask(commands: argparse._SubParsersAction[Parser]) -> None:
    made = commands.add_parser(
        "ask",
        help="ask a model; the prompt may come on standard input",
        description="Ask a model. What a pipe or a file brings on standard input is the question, or goes "
        "below the one that is named: cat notes.md | hs-notebook ask gpt-4.1 'Sum this up'. With < /dev/null "
        "nothing does, for example in a loop that reads the same input.",
    )
    made.add_argument("model", help="for example gpt-4.1")
    made.add_argument("prompt", nargs="*", help="the question; without one standard input is it")
    made.add_argument("-s", "--system", metavar="TEXT", help="the system message")
    made.add_argument(
        "-t", "--temperature", type=temperature, metavar="T", help="0 to 2; not sent unless given"
    )
    made.add_argument("--max-tokens", type=count, metavar="N", help="the longest answer, in tokens")
    made.add_argument("--base-url", metavar="URL", help="another relay; the key must belong to it")
    made.add_argument("--max-cost", metavar="USD", help="refuse or stop the call where it would cost more")
    made.set_defaults(command=ask)
