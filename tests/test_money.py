"""Amounts in words: nothing is ever shown as less than it is, nor a positive cost as nothing."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.errors import UsageError
from hs_notebook.pricing.limit import amount
from hs_notebook.pricing.money import at_most, exactly, money

AMOUNTS = st.decimals(
    min_value=Decimal("1e-12"), max_value=Decimal("1e12"), allow_nan=False, allow_infinity=False
)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        ("0", "$0"),
        ("0.00", "$0"),
        ("1896000", "$1,896,000.00"),
        ("551.0", "$551.00"),
        ("0.0237", "$0.02"),
        ("0.01", "$0.01"),
        ("0.006", "$0.006000"),
        ("0.0062104875", "$0.006210"),
        ("0.00345", "$0.003450"),
        ("0.000000012345", "$0.00000001234"),
        ("0.000000012355", "$0.00000001236"),
        ("0.125", "$0.12"),
        ("0.135", "$0.14"),
        ("0.00999996", "$0.01"),
        ("-12.5", "-$12.50"),
        ("-0.0012", "-$0.001200"),
        ("1E+1", "$10.00"),
        ("123456789012345678", "$123,456,789,012,345,700"),
        ("1E+40", f"${10**40:,}"),
    ],
)
def test_in_words(usd: str | None, text: str) -> None:
    assert money(None if usd is None else Decimal(usd)) == text


def test_a_quotient_is_no_power() -> None:
    assert str(Decimal("5E+3") / 500) == "1E+1"
    assert money(Decimal("5E+3") / 500) == "$10.00"


@pytest.mark.parametrize(
    ("usd", "text"),
    [("0", "$0"), ("0.5", "$0.50"), ("1E+3", "$1,000.00"), ("0.0005", "$0.0005"), ("0.01230", "$0.0123")],
)
def test_as_somebody_wrote_it(usd: str, text: str) -> None:
    assert exactly(Decimal(usd)) == text


@given(AMOUNTS)
def test_a_positive_amount_is_never_nothing(usd: Decimal) -> None:
    text = money(usd)
    assert re.fullmatch(r"\$[\d,]+\.\d+", text)
    assert Decimal(text.strip("$").replace(",", "")) > 0


@given(AMOUNTS)
def test_a_limit_is_rounded_up(usd: Decimal) -> None:
    assert Decimal(at_most(usd).strip("$").replace(",", "")) >= usd


@pytest.mark.parametrize(
    ("value", "usd"), [("0.05", "0.05"), ("$2", "2"), (0.1, "0.1"), (3, "3"), (" 1e-3 ", "0.001"), ("0", "0")]
)
def test_what_is_an_amount(value: str | float, usd: str) -> None:
    assert amount(value) == Decimal(usd)


@pytest.mark.parametrize("value", ["", "five", "-1", "nan", "inf", "1,5", "$", float("nan")])
def test_what_is_none(value: str | float) -> None:
    with pytest.raises(UsageError, match="is no amount in USD"):
        amount(value)
