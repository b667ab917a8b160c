"""What was spent, added up exactly: by model, by the user's own day, by notebook, or by a relay's key."""

from __future__ import annotations

from decimal import Context, Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from hs_notebook.errors import UsageError
from hs_notebook.ledger.entries import ODD, plain
from hs_notebook.ledger.moments import since_stamp
from hs_notebook.pricing.names import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from sqlite3 import Connection

By: TypeAlias = Literal["model", "day", "notebook", "user"]
Since: TypeAlias = "datetime | timedelta | None"

# No sum of what the ledger keeps has more digits, so nothing is rounded.
_EXACT = Context(prec=200)
_NOTHING = Decimal(0)
_PICO = Decimal(10**12)
_MARK = ODD / _PICO
_MICRO = 10**6


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one model, day, notebook or user, or all of them.

    `calls` holds the `pending` and the `errors`, `input_tokens` the `cached_tokens`. `cost` is what is known,
    in USD: `unknown` counts the calls that cost more than that (an error that brought nothing did not),
    `estimated` those of which it is an estimate.
    `charged` is what counts against a budget, in USD: a pending call counts with what it may cost at most.
    Simulated calls were not billed: `simulated` counts them, `simulated_cost` is what is known of what they
    would have cost, and `simulated_unknown` counts those that would have cost more; no other figure has them.
    """

    name: str = ""
    calls: int = 0
    pending: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal = Decimal(0)
    unknown: int = 0
    estimated: int = 0
    charged: Decimal = Decimal(0)
    simulated: int = 0
    simulated_cost: Decimal = Decimal(0)
    simulated_unknown: int = 0

    def plus(self, other: Spent) -> Spent:
        """Return both together, under this one's name."""
        ours, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return Spent(**{field: _sum(field, ours[field], theirs[field]) for field in ours})


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by model, notebook or user, the dearest first, or by day, the earliest first."""

    by: By
    rows: tuple[Spent, ...] = ()

    @property
    def total(self) -> Spent:
        """All rows together."""
        total = Spent()
        for row in self.rows:
            total = total.plus(row)
        return total


# By what an index is ordered: then nothing is sorted, and no row of a call is looked at.
_GROUPS: dict[By, str] = {
    "model": "gen_ai_response_model, gen_ai_request_model",
    "day": "local_day",
    "notebook": "notebook",
    "user": "user_name",
}
_NAMES: dict[By, str] = _GROUPS | {"model": "COALESCE(gen_ai_response_model, gen_ai_request_model)"}
# Money is added in whole and broken millionths of a dollar: no sum of theirs overflows 64 bits. The marks of
# odd amounts are added with the rest, which is quicker than to leave them out; `_odd_amounts` takes them off.
_SUMS = """
    simulated, COUNT(*), SUM(state = 'pending'), SUM(state = 'error'),
    SUM(gen_ai_usage_input_tokens), SUM(gen_ai_usage_output_tokens),
    SUM(gen_ai_usage_cache_read_input_tokens),
    SUM(cost_usd IS NULL AND state != 'pending' AND (state != 'error'
        OR COALESCE(gen_ai_usage_input_tokens, gen_ai_usage_output_tokens, cost_pico) IS NOT NULL)),
    SUM(usage_estimated AND cost_pico IS NOT NULL),
    SUM(cost_pico / 1000000), SUM(cost_pico % 1000000),
    SUM(charged_pico / 1000000), SUM(charged_pico % 1000000)
"""


def spending(
    connection: Connection,
    by: By,
    since: Since = None,
    *,
    notebook: str | None = None,
    user: str | None = None,
    relay: bool = False,
) -> Spending:
    """Add up the calls that began since a moment, of one notebook or all.

    They are those that were made here or, with `relay` or of one user, those that a relay here handed on; by
    `user`, where neither is said, all of them.
    """
    if by not in _GROUPS:
        raise UsageError(f"Spending is not told by {by!a}.", hint=f"Ask by {', '.join(_GROUPS)}.")
    only = {"notebook": notebook, "user_name": user}
    values = {name: plain(value) for name, value in only.items() if value is not None}
    where = "".join(["started_at >= :since", *(f" AND {name} = :{name}" for name in values)])
    if user is None and (relay or by != "user"):
        where += f" AND +user_name {'!=' if relay else '='} ''"  # + keeps to the grouping's index
    values["since"] = since_stamp(since)
    rows: dict[str, Spent] = {}
    for part in (*_sums(connection, by, where, values), *_odd_amounts(connection, by, where, values)):
        before = rows.get(part.name)
        rows[part.name] = part if before is None else before.plus(part)
    found = _joined(rows.values()) if by == "model" else rows.values()
    return Spending(by=by, rows=tuple(sorted(found, key=_by_name if by == "day" else _dearest)))


def _sums(connection: Connection, by: By, where: str, values: dict[str, Any]) -> Iterator[Spent]:
    query = f"""
        SELECT {_NAMES[by]}, {_SUMS} FROM calls WHERE {where} GROUP BY {_GROUPS[by]}, simulated
    """  # noqa: S608 - names of ours
    for row in connection.execute(query, values):
        yield _spent(*row)


def _odd_amounts(connection: Connection, by: By, where: str, values: dict[str, Any]) -> Iterator[Spent]:
    """Give the costs and charges that no integer of the file can say."""
    query = f"""
        SELECT {_NAMES[by]}, simulated, CASE WHEN cost_pico < 0 THEN COALESCE(cost_usd, cost_known_usd) END,
            CASE WHEN charged_pico < 0 THEN charged_usd END
        FROM calls INDEXED BY calls_of_odd_cost WHERE (cost_pico < 0 OR charged_pico < 0) AND {where}
    """  # noqa: S608 - names of ours
    sums: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}
    for name, simulated, *texts in connection.execute(query, values):
        cost, charged = sums.get((name, simulated), (_NOTHING, _NOTHING))
        more, also = (_NOTHING if text is None else _EXACT.subtract(Decimal(text), _MARK) for text in texts)
        sums[name, simulated] = _EXACT.add(cost, more), _EXACT.add(charged, also)
    for (name, simulated), (cost, charged) in sums.items():
        if simulated:
            yield Spent(name=name, simulated_cost=cost)
        else:
            yield Spent(name=name, cost=cost, charged=charged)


def _spent(name: str, simulated: int, calls: int, *sums: int | None) -> Spent:
    pending, errors, sent, said, cached, unknown, estimated, *amounts = (number or 0 for number in sums)
    cost, charged = _usd(*amounts[:2]), _usd(*amounts[2:])
    if simulated:
        return Spent(name=name, simulated=calls, simulated_cost=cost, simulated_unknown=unknown + pending)
    return Spent(
        name=name,
        calls=calls,
        pending=pending,
        errors=errors,
        input_tokens=sent,
        output_tokens=said,
        cached_tokens=cached,
        cost=cost,
        unknown=unknown,
        estimated=estimated,
        charged=charged,
    )


def _usd(whole: int, broken: int) -> Decimal:
    """Return millionths of a dollar, and millionths of those, in USD."""
    return _EXACT.divide(Decimal(whole * _MICRO + broken), _PICO)


def _joined(rows: Iterable[Spent]) -> Iterator[Spent]:
    """Give one row for the spellings of a model, under the one that was used most."""
    spellings: dict[str, list[Spent]] = {}
    for row in rows:
        spellings.setdefault(plain_name(row.name) or row.name, []).append(row)
    for same in spellings.values():
        yield reduce(Spent.plus, sorted(same, key=_most_used))


def _sum(field: str, ours: Any, theirs: Any) -> Any:
    if field == "name":
        return ours
    return _EXACT.add(ours, theirs) if isinstance(ours, Decimal) else ours + theirs


def _most_used(row: Spent) -> Any:
    return -row.calls - row.simulated, len(row.name), row.name


def _by_name(row: Spent) -> Any:
    return row.name


def _dearest(row: Spent) -> Any:
    return -row.cost, -row.simulated_cost, -row.calls, row.name
