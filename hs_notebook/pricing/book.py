"""The price book: prices by model, seller and moment.

A row is never overwritten. A new price is a new row, and the old one gets its `effective_to`, so that
what a call cost can be told later, too.
"""

from __future__ import annotations

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

    def with_rows(self, rows: Iterable[Price]) -> PriceBook:
        """Return a book in which `rows` stand, too."""
        return PriceBook((*rows, *self.rows), speeds=self._speeds.values(), hosts=self._hosts)

    def __iter__(self) -> Iterator[Price]:
        return iter(self.rows)

    def find(self, model: str, seller: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return what `seller` asks on a day for a call of so many input tokens; None is unknown."""
        found = [
            row
            for row in self._by_name.get(plain_name(model), ())
            if row.seller == seller and row.holds(at)
            if input_tokens > row.context_over or not row.context_over
        ]
        best = max(found, key=_rank, default=None)
        if best is None or best.kind != "user":
            return best
        return _completed(best, max((row for row in found if row.kind != "user"), key=_rank, default=None))

    def last_known(self, model: str, seller: str, at: date) -> Price | None:
        """Return the price on a day or, where it has ended by then, the last one before."""
        known = [
            row
            for row in self._by_name.get(plain_name(model), ())
            if row.seller == seller and row.effective_from <= at and not row.context_over
        ]
        return self.find(model, seller, at) or max(known, key=_rank, default=None)

    def official(self, model: str, at: date) -> Price | None:
        """Return the last known list price of a model's maker."""
        makers = {row.seller for row in self._by_name.get(plain_name(model), ()) if row.kind == "official"}
        found = (self.last_known(model, maker, at) for maker in makers)
        return max((row for row in found if row), key=_rank, default=None)

    def speed(self, model: str) -> Speed | None:
        """Return how fast a model was measured, where anybody did."""
        return self._speeds.get(plain_name(model))

    def seller_of(self, host: str) -> str:
        """Return who sells at a host: what is on this machine passes on to the relay. Empty is unknown."""
        return self._hosts.get(host.lower(), "")


def _completed(own: Price, ours: Price | None) -> Price:
    """Return a user's row; what it leaves out stands as in our own row."""
    kept = {
        field: value
        for field in (*AMOUNTS, "largest_output", "retires_on")
        if getattr(own, field) is None and (value := getattr(ours, field, None)) is not None
    }
    if ours is None or not (gaps := [field for field in AMOUNTS if field in kept]):
        return msgspec.structs.replace(own, **kept)
    source = f"{own.source}; {', '.join(gaps)}: {ours.source}"
    return msgspec.structs.replace(own, **kept, source=source)


def _rank(row: Price) -> tuple[bool, date, int]:
    return row.kind == "user", row.effective_from, row.context_over
