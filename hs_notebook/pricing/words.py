"""Numbers that are no money, in words; ties go to the even digit, as with money."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from hs_notebook.pricing.money import money

_CENT = Decimal("0.01")
_SIGNIFICANT = 3  # digits of a figure that chance has a part in


def count(number: Decimal | None) -> str:
    """Return a number with thousands separators: whole from 1,000 up, below with two decimals at most."""
    if number is None:
        return "unknown"
    quantum = Decimal(1) if abs(number) >= 1000 else _CENT
    text = f"{number.quantize(quantum, ROUND_HALF_EVEN):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: Decimal | None) -> str:
    """Return a fraction of 1 as percent with two decimals; "0 %" is exactly nothing."""
    if share is None:
        return "n/a"
    if not share:
        return "0 %"
    rounded = (100 * share).quantize(_CENT, ROUND_HALF_EVEN)
    if not rounded:
        return "under 0.01 %"
    return f"{rounded:,f} %"


def about(amount: Decimal | None) -> str:
    """Return USD with three significant digits: "$551", "$49.0", "$1,230,000"."""
    if not amount:
        return money(amount)
    quantum = Decimal(1).scaleb(amount.adjusted() - _SIGNIFICANT + 1)
    rounded = amount.quantize(quantum, ROUND_HALF_EVEN)
    return f"{'-' if amount < 0 else ''}${abs(rounded.quantize(min(quantum, Decimal(1)))):,f}"
