"""The subcommands of ``%holysheep``."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import MissingKeyError, UsageError
from hs_notebook.magics.options import HelpRequested, parser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.magics.magic import HolySheepMagics

HELP = """\
%%holysheep MODEL      ask: the cell below the line is the prompt (%%holysheep --help lists the options)
%holysheep             where it stands: key, relay, model
%holysheep models      the models that the relay offers; one is asked whether the key is valid, too
%holysheep last        show the last answer again, for example after the page was reloaded
%holysheep version     the version
%holysheep help        this
%config HolySheepMagics  all settings
"""


def run(magics: HolySheepMagics, line: str) -> None:
    """Do what a ``%holysheep`` line says. Raises `UsageError` for what it does not know."""
    name, *rest = line.split() or ["status"]
    command = COMMANDS.get(name)
    if name in {"-h", "--help"}:
        raise HelpRequested(parser().format_help())
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean {near[0]}?" if near else "To ask, use a cell that begins with %%holysheep."
        raise UsageError(f"There is no %holysheep {name}; there are: {', '.join(COMMANDS)}.", hint=hint)
    if rest:
        raise UsageError(f"%holysheep {name} takes nothing more.")
    command(magics)


def status(magics: HolySheepMagics) -> None:
    """Say where the key was found, where requests go and what is asked by default."""
    try:
        credentials = magics.session.credentials(magics.base_url or None, ask=False)
    except MissingKeyError as error:
        where = {"key": f"none: {error}"}  # it names the relay
    else:
        odd = "; it does not begin with cr_ as the relay's keys do" if credentials.odd else ""
        where = {"key": f"from {credentials.source}{odd}", "relay": credentials.base_url}
    _show_rows(
        where
        | {
            "model": magics.model,
            "answers kept": f"{len(magics.session.answers)} in this session",
            "spent": "unknown",
        }
    )


def models(magics: HolySheepMagics) -> None:
    """List the models that the relay offers."""
    offered = magics.session.models(magics.client())
    for model in sorted(offered, key=lambda model: model.id):
        _say(f"{model.id:<32} {model.owned_by}".rstrip())


def last(magics: HolySheepMagics) -> None:
    """Show the last answer again."""
    if not magics.session.answers:
        raise UsageError("There is no answer yet in this session.", hint="Ask with %%holysheep.")
    answer = magics.session.answers[-1]
    if not magics.in_page:
        from hs_notebook.display.terminal import TerminalDisplay
        from hs_notebook.display.visible import visible

        _say(visible(answer.text))
        TerminalDisplay().finish(answer)
        return
    from hs_notebook.display.page import answer_bundle, answer_metadata

    magics.shell.display_pub.publish(data=answer_bundle(answer), metadata=answer_metadata(answer))


def version(_magics: HolySheepMagics) -> None:
    """Name the version."""
    from hs_notebook import __version__

    _say(f"hs_notebook {__version__}")


def show_help(_magics: HolySheepMagics) -> None:
    """List the commands."""
    sys.stdout.write(HELP)


COMMANDS: Mapping[str, Callable[[Any], None]] = {
    "status": status,
    "models": models,
    "last": last,
    "version": version,
    "help": show_help,
}


def _show_rows(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        _say(f"{name:<{width}}  {value}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
