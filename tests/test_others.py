"""Prices of other models: what `genai-prices` knows, without what it would have us believe."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from hs_notebook.pricing import others
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.others import lookup, other_price, other_prices
from hs_notebook.pricing.price import AMOUNTS, Price

genai_prices = pytest.importorskip("genai_prices")
AT = date(2026, 11, 24)


def amounts(price: Price) -> tuple[str | None, ...]:
    values = (getattr(price, name) for name in AMOUNTS)
    return tuple(None if value is None else str(value) for value in values)


@pytest.mark.parametrize(
    ("model", "seller", "expected"),
    [
        ("gpt-4o", "OpenAI", ("2.5", "1.25", None, "10")),
        ("openai/GPT-4o", "OpenAI", ("2.5", "1.25", None, "10")),
        ("gpt-4o-2024-05-13", "OpenAI", ("5", None, None, "15")),  # a dated name may have its own price
        ("claude-haiku-4.5", "Anthropic", ("1", "0.1", "1.25", "5")),
        ("claude-haiku-4-5-20251001", "Anthropic", ("1", "0.1", "1.25", "5")),
        ("claude-3-5-haiku", "Anthropic", ("0.8", "0.08", "1", "4")),
    ],
)
def test_a_maker_s_price(model: str, seller: str, expected: tuple[str | None, ...]) -> None:
    price = other_price(model, AT)
    assert price is not None
    assert (price.seller, price.kind, amounts(price)) == (seller, "third_party", expected)
    assert price.source == f"genai-prices {genai_prices.__version__}"
    assert price.holds(AT)
    assert date(2026, 1, 1) < price.checked_on <= AT


@pytest.mark.parametrize(
    "model", ["", "no-such-model", "gpt-4.1-nonsense", "gpt-4o-2-super", "claude", "xgpt-4o"]
)
def test_what_only_begins_like_a_model_is_another(model: str) -> None:
    assert other_prices(model, AT) == []
    assert other_price(model, AT) is None


def test_without_a_maker_all_sellers_are_named() -> None:
    rows = other_prices("glm-4.6", AT)
    assert {"Novita", "OpenRouter"} < {row.seller for row in rows}
    assert other_price("glm-4.6", AT) is None
    assert [row.seller for row in other_prices("glm-4.6", AT, seller="Novita")] == ["Novita"]


def test_tiers_are_rows() -> None:
    rows = other_prices("gemini-2.5-pro", AT)
    assert [(row.context_over, amounts(row)) for row in rows] == [
        (0, ("1.25", "0.125", None, "10")),
        (200_000, ("2.5", "0.25", None, "15")),
    ]
    asked = [other_price("gemini-2.5-pro", AT, input_tokens=count) for count in (0, 200_000, 200_001)]
    assert [price and str(price.output) for price in asked] == ["10", "10", "15"]


@pytest.mark.parametrize(
    ("at", "output", "begins", "ends"),
    [
        (date(2026, 10, 18), "0.3432", date.min, date(2026, 10, 19)),
        (date(2026, 10, 19), "0.42", date(2026, 10, 19), date(2026, 11, 9)),
        (date(2026, 11, 8), "0.42", date(2026, 10, 19), date(2026, 11, 9)),
        (date(2026, 11, 9), "0.38", date(2026, 11, 9), None),
    ],
)
def test_a_price_has_its_days(at: date, output: str, begins: date, ends: date | None) -> None:
    price = other_price("deepseek-v3.2", at, seller="OpenRouter")
    assert price is not None
    assert (str(price.output), price.effective_from, price.effective_to) == (output, begins, ends)


def test_a_price_by_the_hour_is_given_at_its_dearest() -> None:
    price = other_price("deepseek-v4-pro", AT)
    assert price is not None
    assert amounts(price) == ("1.32", "0.044", None, "3.96")
    assert "at the dearest hour of the day" in price.source
    hours = [datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in range(24)]
    asked = {
        genai(output_tokens=10**6, model="deepseek-v4-pro", provider="deepseek", at=hour) for hour in hours
    }
    assert asked == {Decimal("1.98"), Decimal("3.96")}


def genai(*, model: str, provider: str, at: datetime, **usage: int) -> Decimal:
    found = genai_prices.calc_price(
        genai_prices.Usage(**usage), model, provider_id=provider, genai_request_timestamp=at
    )
    return Decimal(found.total_price)


def rows_of(provider: Any, info: Any) -> list[Price]:
    return others._rows(others._Listed(provider, info), info.id, AT)


def test_a_missing_price_is_unknown_and_not_0() -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert genai(model="mai-ds-r1:free", provider="azure", at=noon, input_tokens=10**6) == 0  # the trap
    assert other_prices("mai-ds-r1:free", AT) == []
    listed = [(provider, info) for provider, names in others._index() for info in names.values()]
    gaps = 0
    for provider, info in listed:
        prices = info.get_prices(noon)
        for row in rows_of(provider, info):
            for name, field in others._FIELDS.items():
                assert (getattr(row, name) is None) is (getattr(prices, field, None) is None)
                gaps += getattr(row, name) is None
    assert gaps > 1000


def test_what_is_free_is_0() -> None:
    """The library lists free models without a price; one with a price of 0 would be free indeed."""
    from genai_prices import types

    info = types.ModelInfo(
        id="gift",
        match=types.ClauseEquals("gift"),
        prices=types.ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0)),
    )
    provider = types.Provider(id="giver", name="Giver", api_pattern="", models=[info])
    assert [(row.seller, row.input, row.output) for row in rows_of(provider, info)] == [("Giver", 0, 0)]


@pytest.mark.parametrize(
    "model", ["deepseek-v3.2", "deepseek-v3.2-exp", "deepseek-v3.1-terminus", "deepseek-reasoner"]
)
def test_what_others_ask_is_not_the_maker_s_list(model: str) -> None:
    from genai_prices.data import providers

    deepseek = next(provider for provider in providers if provider.id == "deepseek")
    assert deepseek.find_model(model) is not None  # the trap
    assert other_prices(model, AT, seller="DeepSeek") == []
    assert all(row.seller != "DeepSeek" for row in other_prices(model, AT))


def test_what_is_billed_beside_tokens_is_said() -> None:
    price = other_price("sonar-deep-research", AT, seller="Perplexity")
    assert price is not None
    assert price.source.endswith(", without what is not billed by tokens in and out")


@pytest.mark.parametrize(
    ("model", "seller", "found"),
    [
        ("gpt-4.1", "OpenAI", "official"),
        ("gpt-4.1", "HolySheep", "vendor_claim"),
        ("gpt-4o", "OpenAI", "third_party"),
        ("gpt-4o", "HolySheep", None),  # the relay's price of another model is unknown
        ("gpt-4o", "", None),
        ("gpt-4o", "Anthropic", None),
        ("deepseek-v3.2", "DeepSeek", None),  # ended, and no third party's takes its place
        ("deepseek-v3.2", "OpenRouter", "third_party"),
        ("no-such-model", "OpenAI", None),
    ],
)
def test_lookup(model: str, seller: str, found: str | None) -> None:
    price = lookup(builtin(), model, seller, AT)
    assert (price and price.kind) == found


def test_lookup_knows_tiers() -> None:
    price = lookup(builtin(), "gemini-2.5-pro", "Google", AT, input_tokens=200_001)
    assert price is not None
    assert price.output == 15


def test_rows_join_a_book() -> None:
    book = PriceBook([]).with_rows(other_prices("openai/gpt-4o", AT))
    price = book.find("openai/gpt-4o", "OpenAI", AT)
    assert price is not None
    assert price == book.find("gpt-4o", "OpenAI", AT)


WITHOUT = """
import sys
from datetime import date
sys.modules["genai_prices"] = None  # as where it is not installed
from hs_notebook.pricing.others import other_prices
print(other_prices("gpt-4o", date(2026, 11, 24)))
"""
LATE = """
import sys
from datetime import date
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.others import lookup
lookup(builtin(), "gpt-4.1", "OpenAI", date(2026, 11, 24))
lookup(builtin(), "no-such-model", "HolySheep", date(2026, 11, 24))
print("genai_prices" in sys.modules)
"""
QUIET = """
import sys, threading
from datetime import date
used = []
sys.addaudithook(lambda event, args: used.append(event) if event.startswith("socket.") else None)
from hs_notebook.pricing.others import other_prices
print(len(other_prices("gpt-4o", date(2026, 11, 24))), threading.active_count(), used)
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [(WITHOUT, "[]"), (LATE, "False"), (QUIET, "1 1 []")],
    ids=["not installed", "late", "no network and no thread"],
)
def test_the_library_may_be_missing_and_is_quiet(script: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == printed
