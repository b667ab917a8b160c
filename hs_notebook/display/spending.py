"""What calls have cost, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hs_notebook.display.table import Column, Table
from hs_notebook.pricing.money import at_least, money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from hs_notebook.ledger import Spending, Spent, Unsettled


class Sum(NamedTuple):
    """An amount in USD; where there is `more`, its size is unknown, and `estimated` says that a part is."""

    amount: Decimal
    more: bool = False
    estimated: bool = False

    def __str__(self) -> str:
        told = at_least(self.amount) if self.more else money(self.amount)
        return told.replace("$", "≈$") if self.estimated else told


_COLUMNS = (
    Column("Calls", "right"),
    Column("Failed", "right", quiet=True),
    Column("Tokens in", "right"),
    Column("cached", "right", quiet=True),
    Column("Tokens out", "right"),
    Column("Cost", "right"),
)
_HEADINGS = {"user": "Relay key"}
_SIMULATED = (Column("Simulated", "right", quiet=True), Column("would cost", "right", quiet=True))


def spending_table(
    spending: Spending, *, scope: str, since: datetime | None = None, unsettled: Sequence[Unsettled] = ()
) -> Table:
    """Return what the calls of `scope` (in words) cost; notes say what is not in the figures."""
    total = msgspec.structs.replace(spending.total, name="all")
    rows = (*spending.rows, total) if len(spending.rows) > 1 else spending.rows
    apart = bool(total.simulated)
    start = f" since {since.astimezone():%Y-%m-%d %H:%M}" if since else ""
    return Table(
        title=f"Spent {scope}{start}",
        columns=(
            Column(_HEADINGS.get(spending.by, spending.by.capitalize())),
            *_COLUMNS,
            *_SIMULATED * apart,
        ),
        rows=tuple(_row(row) + _apart(row) * apart for row in rows),
        notes=tuple(_notes(total, since, unsettled)),
    )


def _row(spent: Spent) -> tuple[Any, ...]:
    return (
        spent.name or "(no name)",
        spent.calls,
        spent.errors,
        spent.input_tokens,
        spent.cached_tokens,
        spent.output_tokens,
        Sum(spent.cost, more=bool(spent.unknown or spent.pending), estimated=bool(spent.estimated)),
    )


def _apart(spent: Spent) -> tuple[Any, ...]:
    return spent.simulated, Sum(spent.simulated_cost, more=bool(spent.simulated_unknown))


def _notes(total: Spent, since: datetime | None, unsettled: Sequence[Unsettled]) -> Iterator[str]:
    if not total.calls and not total.simulated:
        yield "No call since then." if since else "No call is recorded yet."
    if total.unknown:
        yield (
            f"{_calls(total.unknown)} cost more than is counted here, since a price, or what an answer came "
            "to, is unknown. "
            "%config HolySheepMagics.prices takes prices of your own for the calls to come."
        )
    if total.estimated:
        yield f"≈: the tokens of {_calls(total.estimated)} were estimated, as the relay sent no figures."
    if total.simulated:
        yield "Simulated answers were not billed; what they would have cost is in no total."
    if unsettled:
        yield f"{_calls(len(unsettled))} without outcome: the kernel ended before the answer did."
    if under_way := total.pending - len(unsettled):
        yield f"{_calls(under_way)} under way."


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"
