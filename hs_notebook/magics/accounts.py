"""``%holysheep prices``, ``spend`` and ``roi``: the commands about money."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.magics.parser import Parser, read_words
from hs_notebook.prices import full_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hs_notebook.calculator import Preset, Roi
    from hs_notebook.display.table import Table
    from hs_notebook.ledger import Ledger
    from hs_notebook.ledger.spending import By
    from hs_notebook.magics.magic import HolySheepMagics

_OWN = "notebook"
_FIRST = "chat"


def prices(magics: HolySheepMagics, words: list[str]) -> Table:
    """Compare what sellers ask for models."""
    from hs_notebook.display.prices import price_table
    from hs_notebook.pricing.quotes import today

    parser = Parser(
        prog="%holysheep prices",
        usage="%%holysheep prices [MODEL …] [options]",
        description="What sellers ask for models, in USD per million tokens, with sources and dates.",
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="only these; default: all that the book has"
    )
    parser.add_argument("--seller", action="append", metavar="NAME", help="only this seller; may be repeated")
    options = read_words(parser, words)
    return price_table(magics.purse.book, options.models, today(), sellers=options.seller)


def spend(magics: HolySheepMagics, words: list[str]) -> Any:
    """Show what calls have cost, or write them to a file."""
    from hs_notebook.ledger import parse_since, to_dataframe

    options = read_words(spend_parser("%holysheep spend"), words)
    ledger = magics.purse.ledger
    if ledger is None:
        raise UsageError("No ledger is kept.", hint="Keep one: %config HolySheepMagics.ledger = ''.")
    since = parse_since(options.since) if options.since else None
    notebook = magics.purse.notebook if options.here else None
    if options.relay and (options.export or options.dataframe):
        raise UsageError(
            "--relay is for the table alone.", hint="Elsewhere user_name tells the calls of a relay's keys."
        )
    if options.export:
        sys.stdout.write(exported(ledger, options.export, since, notebook))
    if options.dataframe:
        return to_dataframe(ledger, since=since, notebook=notebook)
    if options.export:
        return None
    return spent_table(ledger, options.by, since, notebook, relay=options.relay)


def spend_parser(prog: str) -> Parser:
    """Return the parser of ``spend``, in a notebook and on the command line."""
    parser = Parser(
        prog=prog,
        usage=f"{prog.replace('%', '%%')} [options]",
        description="What calls have cost, as the ledger has it.",
    )
    add = parser.add_argument
    add(
        "--by",
        choices=("model", "day", "notebook", "user"),
        default="model",
        help="what to add up by; default: model",
    )
    add("--since", metavar="WHEN", help="only calls since 24h, 7d, 2w or a date such as 2026-11-01")
    add("--here", action="store_true", help="only this notebook's calls")
    add("--relay", action="store_true", help="the calls of a relay's keys, and not those made here")
    add("--export", metavar="FILE", help="write every call to a .csv or .json file")
    add("--dataframe", action="store_true", help="return every call as a pandas DataFrame")
    return parser


def spent_table(
    ledger: Ledger, by: By, since: datetime | None, notebook: str | None, *, relay: bool = False
) -> Table:
    """Return what calls have cost, as a table: those made here, or those that a relay here handed on."""
    from hs_notebook.display.spending import spending_table

    relay = relay or by == "user"
    spending = ledger.spending(by, since=since, notebook=notebook, relay=relay)
    scope = "in all" if notebook is None else f"in {notebook or 'this notebook'}"
    unsettled = [
        call
        for call in ledger.unsettled(since=since)
        if notebook in {None, call.notebook} and bool(call.user) == relay
    ]
    return spending_table(
        spending, scope="by the keys of the relay" if relay else scope, since=since, unsettled=unsettled
    )


def exported(ledger: Ledger, file: str, since: datetime | None, notebook: str | None = None) -> str:
    """Write every call to a file, and say so."""
    from hs_notebook.ledger import export

    number = export(ledger, full_path(file), since=since, notebook=notebook, text=ledger.keep_text)
    return f"{number:,} {'call' if number == 1 else 'calls'} written to {file}.\n"


def roi(magics: HolySheepMagics, words: list[str]) -> None:
    """Show the calculator: live in a page, as a picture or as text elsewhere."""
    from hs_notebook.calculator import roi_of
    from hs_notebook.pricing.quotes import today

    parser = Parser(
        prog="%holysheep roi",
        usage="%%holysheep roi [PRESET]",
        description="What a month of calls costs, and what another model or seller would save.",
    )
    presets = _presets(magics)
    listed = "; ".join(f"{name}: {preset.title}" for name, preset in presets.items())
    parser.add_argument(
        "preset", nargs="?", metavar="PRESET", help=f"where to begin; {_FIRST} unless said. {listed}"
    )
    name = read_words(parser, words).preset
    if name is not None and name not in presets:
        raise UsageError(f"There is no preset {name}.", hint=f"There are {', '.join(presets)}.")
    begun = roi_of(presets[name or _FIRST].inputs, magics.purse.book, today())
    if not magics.in_page:
        sys.stdout.write(f"{begun}\n")
    elif magics.display == "page":
        magics.shell.display_pub.publish(data=begun._repr_mimebundle_())
    else:
        _show_live(magics, begun, presets)


def _show_live(magics: HolySheepMagics, begun: Roi, presets: Mapping[str, Preset]) -> None:
    from hs_notebook.display.calculator_live import LiveCalculator
    from hs_notebook.pricing.scenario import plain_inputs, scenario_of

    book = magics.purse.book
    offered = [
        {
            "name": name,
            "title": preset.title,
            "scenario": plain_inputs(scenario_of(book, **preset.inputs)),
        }
        for name, preset in presets.items()
    ]
    LiveCalculator(
        magics.shell,
        magics.views,
        begun.scenario,
        book,
        begun.report.catalog.at,
        presets=offered,
        mode="widget" if magics.display == "widget" else "picture",
    ).show()


def _presets(magics: HolySheepMagics) -> dict[str, Preset]:
    """Return the presets, with this notebook's own calls where there are any."""
    from hs_notebook.calculator import PRESETS, own_calls
    from hs_notebook.pricing.quotes import today

    ledger = magics.purse.ledger
    try:
        usual = ledger.usage_of(magics.purse.notebook) if ledger else None
    except ConfigurationError:  # a file that cannot be read: the calculator does without
        usual = None
    own = own_calls(usual, magics.purse.book, today()) if usual else None
    return {**PRESETS, **({_OWN: own} if own else {})}
