"""The subcommands of ``%holysheep``."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import MissingKeyError, UsageError
from hs_notebook.magics import accounts, talk
from hs_notebook.magics.bench import bench
from hs_notebook.magics.checkup import doctor
from hs_notebook.magics.fix import fix
from hs_notebook.magics.options import split
from hs_notebook.magics.parser import HelpRequested, Parser, parser, read_words
from hs_notebook.magics.replay import show_replay
from hs_notebook.magics.shown import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.magics.magic import HolySheepMagics

    Command = Callable[[HolySheepMagics, list[str]], Any]

HELP = """\
%%holysheep MODEL      ask: the cell below the line is the prompt (%%holysheep --help lists the options)
%holysheep [status]    where it stands: key, relay, model, money spent
%holysheep ask MODEL "…"  ask in a line; x = %holysheep ask … puts the answer into x
%holysheep models      the models that the relay offers; one is asked whether the key is valid, too
%holysheep prices      what sellers ask for models, with sources and dates
%holysheep spend       what calls have cost, by model, day or notebook
%holysheep roi         the calculator: what a month costs, and what another model or seller would save
%holysheep bench       how fast models answer, how often they fail, what that costs; with intervals
%holysheep doctor      what works and what does not, and the one thing to do next; nothing is billed
%holysheep fix         explain the last error and offer the corrected cell, which is never run
%holysheep last        show the last answer again, for example after the page was reloaded
%holysheep history     what was said in a conversation (--chat); one with a name: history NAME
%holysheep reset       forget a conversation
%holysheep stop        stop an answer that arrives in the background; stop all: all of them
%holysheep replay      where answers are kept to be given again, and how many
%holysheep version     the version
%holysheep help        this list
%config HolySheepMagics  all settings

A command followed by --help shows its options.
"""


def run(magics: HolySheepMagics, line: str) -> Any:
    """Do what a ``%holysheep`` line says. Raises `UsageError` for what it does not know."""
    name, *words = split(line) or ["status"]
    if name in {"-h", "--help"}:
        raise HelpRequested(parser())
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean {near[0]}?" if near else "To ask, use a cell that begins with %%holysheep."
        raise UsageError(f"There is no %holysheep {name}; there are: {', '.join(COMMANDS)}.", hint=hint)
    return command(magics, words)


def alone(command: Callable[[Any], None]) -> Command:
    """Make a command of a function that takes no words."""

    def run_alone(magics: HolySheepMagics, words: list[str]) -> None:
        name = f"%holysheep {command.__name__.removeprefix('show_')}"
        read_words(Parser(prog=name, usage=f"%{name}", description=command.__doc__), words)
        command(magics)

    return run_alone


def status(magics: HolySheepMagics) -> None:
    """Say where the key was found, where requests go and what is asked by default."""
    try:
        credentials = magics.session.credentials(magics.relay, ask=False, named_by=magics.relay_named_by)
    except MissingKeyError as error:
        where = {"key": f"none: {error}"}  # it names the relay
    else:
        odd = "; it does not begin with cr_ as the relay's keys do" if credentials.odd else ""
        named = f" (named by {magics.relay_named_by})" if magics.relay_named_by else ""
        where = {"key": f"from {credentials.source}{odd}", "relay": f"{credentials.base_url}{named}"}
    _show_rows(
        where
        | {
            "model": magics.model,
            "answers kept": f"{len(magics.session.answers)} in this session",
            "spent": magics.purse.summary(),
            **_settings(magics),
        }
    )


def _settings(magics: HolySheepMagics) -> dict[str, str]:
    """Return which settings came from files."""
    files = magics.settings_files().items()
    return (
        {"settings": "; ".join(f"{', '.join(names)} from {file}" for file, names in files)} if files else {}
    )


def models(magics: HolySheepMagics) -> None:
    """List the models that the relay offers."""
    offered = magics.session.models(magics.client())
    for model in sorted(offered, key=lambda model: model.id):
        _say(f"{model.id:<32} {model.owned_by}".rstrip())


def last(magics: HolySheepMagics) -> None:
    """Show the last answer again."""
    if (answer := magics.session.last) is None:
        raise UsageError("There is no answer yet in this session.", hint="Ask with %%holysheep.")
    show(magics, answer)


def version(_magics: HolySheepMagics) -> None:
    """Name the version."""
    from hs_notebook import __version__

    _say(f"hs_notebook {__version__}")


def show_help(_magics: HolySheepMagics) -> None:
    """List the commands."""
    sys.stdout.write(HELP)


COMMANDS: Mapping[str, Command] = {
    "status": alone(status),
    "ask": talk.ask,
    "models": alone(models),
    "prices": accounts.prices,
    "spend": accounts.spend,
    "roi": accounts.roi,
    "bench": bench,
    "doctor": doctor,
    "fix": fix,
    "last": alone(last),
    "history": talk.history,
    "reset": talk.reset,
    "stop": talk.stop,
    "replay": alone(show_replay),
    "version": alone(version),
    "help": alone(show_help),
}


def _show_rows(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        _say(f"{name:<{width}}  {value}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
