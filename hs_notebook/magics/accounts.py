"""``%holysheep prices``, ``spend`` and ``roi``: the commands about money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hs_notebook.magics.options import Parser, refuse

if TYPE_CHECKING:
    import argparse

    from hs_notebook.display.table import Table
    from hs_notebook.magics.magic import HolySheepMagics


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
    options = _read(parser, words)
    return price_table(magics.purse.book, options.models, today(), sellers=options.seller)


def _read(parser: Parser, words: list[str]) -> argparse.Namespace:
    parser.offer_help()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        refuse(unknown, parser, f"{parser.prog} takes nothing more.", f"{parser.prog} --help shows how.")
    return options


def spend(magics: HolySheepMagics, words: list[str]) -> Any:
    """Show what calls have cost."""
    raise NotImplementedError


def roi(magics: HolySheepMagics, words: list[str]) -> None:
    """Show the calculator."""
    raise NotImplementedError
