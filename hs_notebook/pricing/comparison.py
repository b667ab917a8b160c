"""What several sellers ask for a model, side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import ARTICLE, RELAY, Price

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import date
    from decimal import Decimal

    from hs_notebook.pricing.book import PriceBook


class Offers(msgspec.Struct, frozen=True):
    """The last known prices of one model on a day: of its maker, the relay, the article, then of others.

    `lists` are the maker's own, whether they are among the rows or not.
    """

    model: str
    rows: tuple[Price, ...]
    lists: tuple[Price, ...] = ()

    @property
    def listed(self) -> Price | None:
        """The maker's own price for a call of any length; None is unknown."""
        return next(iter(self.lists), None)

    def ratio(self, row: Price) -> Decimal | None:
        """Return a row's output price over the maker's for a call of the same length; None is unknown."""
        listed = next((other for other in self.lists if other.context_over == row.context_over), None)
        if listed is None or row.output is None or not listed.output:
            return None
        return row.output / listed.output

    def row(self, seller: str) -> Price | None:
        """Return what a seller asks for a call of any length."""
        return next((row for row in self.rows if row.seller == seller and not row.context_over), None)


def offers(book: PriceBook, model: str, at: date) -> Offers:
    """Return what all sellers in a book ask for a model on a day; without rows where it has none."""
    known = [row for row in book if plain_name(model) in row.names]
    sellers = dict.fromkeys(row.seller for row in known)
    rows = [row for seller in sellers for row in _tiers(known, partial(book.last_known, model, seller, at))]
    name = next((row.model for row in known if row.kind != "user"), known[0].model if known else model)
    lists = _tiers(known, partial(book.official, model, at))
    return Offers(name, tuple(sorted(rows, key=_place)), tuple(lists))


def models(book: PriceBook) -> list[str]:
    """Return the models of a book, each once, ours before a user's own."""
    seen: set[str] = set()
    names = []
    for row in sorted(book, key=lambda row: row.kind == "user"):
        if not row.names & seen:
            names.append(row.model)
        seen |= row.names
    return names


def _tiers(known: list[Price], asked: Callable[..., Price | None]) -> Iterator[Price]:
    """Yield what is asked for calls of any length, then for longer and longer ones."""
    for over in sorted({0, *(row.context_over for row in known)}):
        row = asked(input_tokens=over and over + 1)
        if row is not None and row.context_over == over:
            yield row


def _place(row: Price) -> tuple[int, str, int]:
    order = {RELAY: 1, ARTICLE: 2}
    return 0 if row.kind == "official" else order.get(row.seller, 3), row.seller.lower(), row.context_over


def at_sellers(found: Offers, sellers: Collection[str]) -> Offers:
    """Return the offers of some sellers alone, by their plain names."""
    return msgspec.structs.replace(
        found, rows=tuple(row for row in found.rows if row.seller.lower() in sellers)
    )


def sellers_of(all_offers: Iterable[Offers]) -> list[str]:
    """Return the names of all sellers, each once."""
    return list(dict.fromkeys(row.seller for found in all_offers for row in found.rows))
