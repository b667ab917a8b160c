"""Price files in TOML: ours, and the user's own."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec

from hs_notebook.errors import ConfigurationError
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.names import plain_name, shortened, shown_name
from hs_notebook.pricing.price import AMOUNTS, RELAY, Price, Speed

T = TypeVar("T")

_MOST = Decimal(1_000_000)  # USD per million tokens: nothing costs a dollar a token
_FINEST = 30  # decimals of an amount, which is shown with all of them
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line, or steers a terminal
_DAY = timedelta(days=1)  # days are dated in UTC: a user's own may have begun


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: list[Price] = []
    speed: list[Speed] = []
    seller: dict[str, list[str]] = {}


@cache
def builtin() -> PriceBook:
    """Return the book that comes with this package."""
    data = pkgutil.get_data(__package__, "prices.toml") or b""
    return read_book(data.decode(), "prices.toml")


def read_book(text: str, name: str) -> PriceBook:
    """Return the book that a TOML text holds; raises `ConfigurationError`, which names file and row."""
    file = _read(text, name)
    for number, row in enumerate(file.price, 1):
        _check(row, f"{name}: price {number}")
    return PriceBook(file.price, speeds=file.speed, hosts=_by_host(file.seller))


def user_rows(text: str, name: str, today: date) -> list[Price]:
    """Return the rows of a user's own file: a `[[price]]` needs `model` and an amount, no more."""
    raw = _toml(text, name)
    if unknown := set(raw) - {"price", "seller"}:
        raise ConfigurationError(f"{name}: nothing is called {shortened(min(unknown))} here.", hint=_EXAMPLE)
    return own_rows(raw.get("price", []), name, today)


def user_hosts(text: str, name: str) -> dict[str, str]:
    """Return who sells at which host by a user's own file: `[seller]` names hosts by seller."""
    hint = 'It looks like [seller] with HolySheep = ["relay.example.org"].'
    return _by_host(
        _convert(_toml(text, name).get("seller", {}), dict[str, list[str]], f"{name}: seller", hint)
    )


def _by_host(sellers: dict[str, list[str]]) -> dict[str, str]:
    return {host.lower(): seller for seller, hosts in sellers.items() for host in hosts}


def own_rows(raw: Any, name: str, today: date) -> list[Price]:
    """Return a user's rows, given as mappings; raises `ConfigurationError`, which names the row."""
    if not isinstance(raw, list):
        raise ConfigurationError(f"{name}: the prices are not a list of rows.", hint=_EXAMPLE)
    rows = []
    for number, fields in enumerate(raw, 1):
        where = f"{name}: price {number}"
        if not isinstance(fields, dict):
            raise ConfigurationError(f"{where} is no table of names and values.", hint=_EXAMPLE)
        if unknown := set(fields) - set(Price.__struct_fields__):
            name_of = shortened(min(map(str, unknown)))
            raise ConfigurationError(f"{where}: nothing is called {name_of}.", hint=_EXAMPLE)
        defaults = {
            "seller": RELAY,
            "source": name,
            "effective_from": date.min,
            "checked_on": today,
        }
        row = _convert(defaults | fields | {"kind": "user"}, Price, where)
        _check(row, where)
        if row.checked_on > today + _DAY:
            raise ConfigurationError(f"{where}: checked_on = {row.checked_on} is yet to come.")
        rows.append(row)
    return rows


_EXAMPLE = (
    'A row is [[price]] with model = "gpt-4.1", input = 2.00 and output = 8.00 (USD per million tokens).'
)


def _read(text: str, name: str) -> _File:
    return _convert(_toml(text, name), _File, name)


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is no TOML: {error}.", hint=_EXAMPLE) from None
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deeply.", hint=_EXAMPLE) from None
    except (ValueError, ArithmeticError):
        raise ConfigurationError(f"{name} holds a number out of all bounds.", hint=_EXAMPLE) from None


def _convert(raw: Any, kind: type[T], where: str, hint: str = _EXAMPLE) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}.", hint=hint) from None


def _check(row: Price, where: str) -> None:
    """Raise `ConfigurationError` for a row that cannot be meant."""
    if not plain_name(row.model) or not row.seller.strip():
        raise ConfigurationError(f"{where}: model or seller is empty.", hint=_EXAMPLE)
    if _UNSEEN.search("".join([row.model, row.seller, row.source, *row.aliases])):
        raise ConfigurationError(f"{where}: a name or the source holds a control character.", hint=_EXAMPLE)
    where += f" ({shown_name(row.model)})"
    for field in AMOUNTS:
        amount = getattr(row, field)
        if amount is not None and not _is_price(amount):
            raise ConfigurationError(
                f"{where}: {field} = {shortened(amount)} is no price in USD per million tokens."
            )
    if all(getattr(row, field) is None for field in AMOUNTS):
        raise ConfigurationError(f"{where} names no amount.", hint=_EXAMPLE)
    for field in ("context_over", "largest_output"):
        if (getattr(row, field) or 0) < 0:
            raise ConfigurationError(f"{where}: {field} is below 0.")
    if row.effective_to is not None and row.effective_to <= row.effective_from:
        raise ConfigurationError(f"{where}: effective_to is not after effective_from.")


def _is_price(amount: Decimal) -> bool:
    if not amount.is_finite() or not 0 <= amount <= _MOST:
        return False
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) <= _FINEST
