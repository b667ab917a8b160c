"""The price book: prices by model, seller and moment.

A row is never overwritten. A new price is a new row, and the old one gets its `effective_to`, so that
what a call cost can be told later, too.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import AMOUNTS, Price, Speed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date


class PriceBook:
    """Prices by model, seller and moment. Rows of the kind `user` win over all others."""

    def __init__(
        self, rows: Iterable[Price], *, speeds: Iterable[Speed] = (), hosts: dict[str, str] | None = None
    ) -> None:
        self.rows = tuple(rows)
        self._speeds = {plain_name(speed.model): speed for speed in speeds}
        self._hosts = hosts or {}
        self._by_name: dict[str, list[Price]] = {}
        for row in self.rows:
            for name in row.names:
                self._by_name.setdefault(name, []).append(row)

    def with_rows(self, rows: Iterable[Price], hosts: dict[str, str] | None = None) -> PriceBook:
        """Return a book in which `rows` stand, too, and the sellers of `hosts`."""
        both = self._hosts | (hosts or {})
        return PriceBook((*rows, *self.rows), speeds=self._speeds.values(), hosts=both)

    def __iter__(self) -> Iterator[Price]:
        return iter(self.rows)

    def __contains__(self, model: str) -> bool:
        """Tell whether anybody has a price for a model."""
        return plain_name(model) in self._by_name

    def find(self, model: str, seller: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return what `seller` asks on a day for a call of so many input tokens; None is unknown.

        Of a user's rows that hold the first in the book wins. What it leaves out is taken from the next ones,
        and then from ours.
        """
        return _best([row for row in self._asked(model, seller, input_tokens) if row.holds(at)])

    def last_known(self, model: str, seller: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return the price on a day or, where it has ended by then, the last one before."""
        return _last(self._asked(model, seller, input_tokens), at)

    def official(self, model: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return the last known list price of a model's maker for a call of so many input tokens.

        A user's own price, whoever the seller, is no list.
        """
        rows = [row for row in self._by_name.get(plain_name(model), ()) if row.kind == "official"]
        makers = dict.fromkeys(row.seller for row in rows)
        found = (_last(_of(rows, maker, input_tokens), at) for maker in makers)
        return max((row for row in found if row), key=_rank, default=None)

    def _asked(self, model: str, seller: str, input_tokens: int) -> list[Price]:
        return _of(self._by_name.get(plain_name(model), ()), seller, input_tokens)

    def speed(self, model: str) -> Speed | None:
        """Return how fast a model was measured, where anybody did."""
        return self._speeds.get(plain_name(model))

    def seller_of(self, host: str) -> str:
        """Return who sells at a host: what is on this machine passes on to the relay. Empty is unknown."""
        return self._hosts.get(host.lower(), "")


def _of(rows: Iterable[Price], seller: str, input_tokens: int) -> list[Price]:
    """Return a seller's rows for calls of so many input tokens."""
    asked = (row for row in rows if row.seller == seller)
    return [row for row in asked if input_tokens > row.context_over or not row.context_over]


def _best(rows: list[Price]) -> Price | None:
    """Return the row that wins of those that hold: a user's, of a longer call's, the first or the newest."""
    own = sorted((row for row in rows if row.kind == "user"), key=lambda row: -row.context_over)
    ours = max((row for row in rows if row.kind != "user"), key=_newest, default=None)
    return reduce(_completed, [*own, ours] if ours else own) if own else ours


def _last(rows: list[Price], at: date) -> Price | None:
    holding = _best([row for row in rows if row.holds(at)])
    return holding or max((row for row in rows if row.effective_from <= at), key=_rank, default=None)


def _completed(own: Price, other: Price) -> Price:
    """Return a user's row; what it leaves out stands as in another one."""
    kept = {
        field: value
        for field in (*AMOUNTS, "largest_output", "retires_on")
        if getattr(own, field) is None and (value := getattr(other, field)) is not None
    }
    gaps = [field for field in AMOUNTS if field in kept]
    source = f"{own.source}; {', '.join(gaps)}: {other.source}" if gaps else own.source
    return msgspec.structs.replace(own, **kept, source=source)


def _newest(row: Price) -> tuple[int, date]:
    return row.context_over, row.effective_from


def _rank(row: Price) -> tuple[bool, date, int]:
    return row.kind == "user", row.effective_from, row.context_over
