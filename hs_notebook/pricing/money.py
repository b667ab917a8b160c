"""Amounts of money in words."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

_CENT = Decimal("0.01")
_MANY = Decimal(10**15)
_DIGITS = 4  # significant ones, of an amount below a cent


def money(amount: Decimal | None) -> str:
    """Return USD as text: to the cent, and below one with four significant digits, so never "$0.00".

    Ties go to the even digit. None is "unknown", and "$0" exactly nothing.
    """
    if amount is None:
        return "unknown"
    if not amount:
        return "$0"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    rounded = size.quantize(_quantum(size), ROUND_HALF_EVEN)
    if size < _CENT <= rounded:
        rounded = _CENT
    return f"{sign}${rounded:,f}"


def exactly(amount: Decimal) -> str:
    """Return USD as text with all their digits, as somebody wrote them down."""
    if not amount:
        return "$0"
    short = amount.normalize()
    return f"${max(short, short.quantize(_CENT), key=_places) if abs(amount) < _MANY else short:,f}"


def at_most(amount: Decimal) -> str:
    """Return USD as text, rounded up: what a limit promises must not be less than what it allows."""
    return money(amount.quantize(_quantum(amount), ROUND_CEILING)) if amount else "$0"


def at_least(known: Decimal) -> str:
    """Return the known part of a cost as text, rounded down: rounded up it would not be true."""
    return f"at least {money(known.quantize(_quantum(known), ROUND_FLOOR))}" if known else "unknown"


def _places(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _quantum(size: Decimal) -> Decimal:
    if abs(size) >= _MANY:  # to the cent they have more digits than a context has
        return Decimal(1).scaleb(size.adjusted() - _MANY.adjusted())
    return _CENT if abs(size) >= _CENT else Decimal(1).scaleb(size.adjusted() - _DIGITS + 1)
