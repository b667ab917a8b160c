"""What a call costs: every token by its own price, and nothing unknown as nothing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.answers import Cost, Receipt
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.cost import Billed, call_cost
from hs_notebook.pricing.price import RELAY, Price
from hs_notebook.pricing.quotes import Quotes
from hs_notebook.types import CompletionTokensDetails, PromptTokensDetails, Usage

DAY = date(2026, 11, 24)
SONNET = {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "output": "15"}


def price(**amounts: str) -> Price:
    return Price(
        seller="S",
        model="m",
        kind="official",
        source="a test",
        effective_from=date(2025, 1, 1),
        checked_on=DAY,
        **{name: Decimal(value) for name, value in amounts.items()},
    )


def usage(
    sent: int, said: int, *, cached: int = 0, written: int = 0, thought: int = 0, total: int = 0, **more: Any
) -> Usage:
    return Usage(
        prompt_tokens=sent,
        completion_tokens=said,
        total_tokens=total or sent + said,
        prompt_tokens_details=PromptTokensDetails(cached, written) if cached or written else None,
        completion_tokens_details=CompletionTokensDetails(thought) if thought else None,
        **more,
    )


@pytest.mark.parametrize(
    ("tokens", "amounts", "parts"),
    [
        (usage(12000, 800, cached=9000), SONNET, ("0.0117", "0.012")),
        (usage(12000, 800), SONNET, ("0.036", "0.012")),
        (usage(12000, 800, cached=9000, written=3000), SONNET, ("0.01395", "0.012")),
        (usage(1000, 500), {"input": "2", "output": "8"}, ("0.002", "0.004")),
        (usage(1000, 500, cached=400), {"input": "2", "output": "8"}, ("0.002", "0.004")),
        (usage(1000, 500), {"output": "8"}, (None, "0.004")),
        (usage(0, 500), {"output": "8"}, ("0", "0.004")),
        (usage(1000, 0), {"input": "2"}, ("0.002", "0")),
        (usage(1000, 500), {"input": "2"}, ("0.002", None)),
        (usage(1000, 500), {"input": "0", "output": "0"}, ("0", "0")),
        (usage(100, 50, thought=30), {"input": "1", "output": "1"}, ("0.0001", "0.00005")),
        (usage(100, 50, cached=500), {"input": "1", "cache_read": "0", "output": "1"}, ("0", "0.00005")),
    ],
    ids=[
        "cached",
        "not cached",
        "written to the cache",
        "plain",
        "an unknown price of the cache is the input's",
        "an unknown price of the input",
        "no input at all",
        "no output at all",
        "an unknown price of the output",
        "a price of nothing",
        "reasoning within the output",
        "more cached than sent",
    ],
)
def test_parts(tokens: Usage, amounts: dict[str, str], parts: tuple[str | None, str | None]) -> None:
    cost = call_cost(tokens, price(**amounts))
    expected = tuple(None if part is None else Decimal(part) for part in parts)
    assert (cost.input, cost.output) == expected
    assert cost.total == (None if None in expected else sum(part for part in expected if part is not None))
    assert (cost.seller, cost.kind, cost.checked_on) == ("S", "official", DAY)


def test_without_a_price_nothing_is_known() -> None:
    cost = call_cost(usage(1000, 500), None)
    assert cost == Cost()
    assert (cost.total, cost.known) == (None, None)


def test_what_is_known_of_a_cost() -> None:
    assert call_cost(usage(1000, 500), price(output="8")).known == Decimal("0.004")
    assert call_cost(usage(1000, 500), price(input="2", output="8")).known == Decimal("0.006")


def test_an_estimate_has_an_interval() -> None:
    """Input and output are not as far off as each other, nor as dear."""
    off = {"input_low": 0.9, "input_high": 1.1, "output_low": 0.5, "output_high": 1.5}
    guess = usage(1000, 500, estimated=True, **off)
    cost = call_cost(guess, price(input="2", output="8"))
    assert (cost.low, cost.total, cost.high) == (Decimal("0.0038"), Decimal("0.006"), Decimal("0.0082"))
    assert call_cost(guess, price(output="8")).high == Decimal("0.006")
    assert (guess.low, guess.high) == pytest.approx((0.7667, 1.2333), abs=1e-4)


TOKENS = st.integers(min_value=-5, max_value=10**9)


@given(sent=TOKENS, said=TOKENS, cached=TOKENS, written=TOKENS, thought=TOKENS, total=TOKENS)
def test_every_token_is_billed_once(
    *, sent: int, said: int, cached: int, written: int, thought: int, total: int
) -> None:
    billed = Billed.of(usage(sent, said, cached=cached, written=written, thought=thought, total=total))
    assert billed.input + billed.cache_read + billed.cache_write == max(0, sent)
    assert billed.output == max(0, said)
    assert min(billed.input, billed.cache_read, billed.cache_write, billed.output) >= 0


def quotes(*rows: Price) -> Quotes:
    return Quotes(PriceBook(rows), RELAY)


def at_relay(model: str, **amounts: str) -> Price:
    return Price(
        seller=RELAY,
        model=model,
        kind="vendor_claim",
        source="a test",
        effective_from=date.min,
        checked_on=DAY,
        **{name: Decimal(value) for name, value in amounts.items()},
    )


def test_the_model_that_answered_decides() -> None:
    known = quotes(at_relay("cheap", input="1", output="1"), at_relay("dear", input="9", output="9"))
    tokens = usage(1_000_000, 1_000_000)
    assert known.cost("dear-2026-01-01", tokens).total == 18
    assert known.cost("cheap", tokens).total == 2
    assert known.cost("another", tokens).total is None


def test_a_long_prompt_has_its_own_price() -> None:
    rows = (at_relay("m", input="1", output="1"), at_relay("m", input="2", output="3"))
    long = Price(
        **{name: getattr(rows[1], name) for name in Price.__struct_fields__} | {"context_over": 1000}
    )
    known = quotes(rows[0], long)
    assert known.cost("m", usage(1000, 1000)).total == Decimal("0.002")
    assert known.cost("m", usage(1001, 0)).total == Decimal("0.002002")


def test_a_budget_takes_an_unknown_input_price_from_the_makers_list() -> None:
    official = Price(
        seller="Maker",
        model="m",
        kind="official",
        source="a list",
        effective_from=date.min,
        checked_on=DAY,
        input=Decimal(2),
        output=Decimal(8),
    )
    known = Quotes(PriceBook([at_relay("m", output="8"), official]), RELAY)
    receipt = Receipt(request_model="m", usage=usage(1000, 500))
    priced = Receipt(request_model="m", usage=receipt.usage, costs=known.cost("m", receipt.usage))
    assert priced.cost is None
    assert known.charge(priced) == Decimal("0.006")
    assert quotes(at_relay("m", output="8")).charge(receipt) == 0
    ceiling = known.ceiling("m", DAY)
    assert ceiling is not None
    assert (ceiling.input, ceiling.seller, ceiling.source) == (Decimal(2), RELAY, "a test; input: a list")
