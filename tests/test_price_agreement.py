"""What a call costs by our arithmetic and by `genai-prices`: the same, wherever both know it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hs_notebook.pricing import others
from hs_notebook.pricing.catalog import read_catalog
from hs_notebook.pricing.cost import call_cost
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.names import plain_name
from hs_notebook.types import PromptTokensDetails, Usage

if TYPE_CHECKING:
    from hs_notebook.pricing.price import Price

genai_prices = pytest.importorskip("genai_prices")

DAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PROVIDERS = {"OpenAI": "openai", "Anthropic": "anthropic", "Google": "google", "DeepSeek": "deepseek"}
# DeepSeek ended its list of this model on 2026-07-24; what the library lists for it is what others ask.
EXEMPT = {("DeepSeek", "deepseek-v3.2")}


class Call(NamedTuple):
    sent: int
    read: int = 0  # of these from the cache
    written: int = 0  # and to it
    said: int = 0

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.sent,
            completion_tokens=self.said,
            total_tokens=self.sent + self.said,
            prompt_tokens_details=PromptTokensDetails(self.read, self.written),
        )


BATCH = Call(12_000, said=800)
CALLS = [
    Call(0),
    Call(1, said=1),
    Call(1000, said=500),
    Call(12_000, 9_000, said=800),
    Call(12_000, 12_000, said=1),
    Call(199_999, 7, said=33_333),
    Call(200_000, 100_000, said=64_000),
    Call(200_001, said=1),
    Call(999_983, 123_457, said=8_191),
]
WRITES = [
    Call(12_000, 9_000, 3_000, 800),
    Call(200_000, 1, 199_999, 7),
    Call(200_001, 50_000, 150_001, 64_000),
]


def official() -> list[Price]:
    return [row for row in builtin() if row.kind == "official" and not row.context_over]


def ours(row: Price, call: Call) -> Decimal | None:
    price = builtin().find(row.model, row.seller, DAY, input_tokens=call.sent)
    return call_cost(call.usage, price).total


def theirs(row: Price, call: Call, context: dict[str, str] | None = None) -> Decimal:
    counts = {"cache_read_tokens": call.read, "cache_write_tokens": call.written}
    usage = genai_prices.Usage(
        input_tokens=call.sent,
        output_tokens=call.said,
        **{name: count for name, count in counts.items() if count},
    )
    found = genai_prices.calc_price(
        usage,
        row.model,
        provider_id=PROVIDERS[row.seller],
        genai_request_timestamp=NOON,
        price_context=context,
    )
    return Decimal(found.total_price)


HOLDING = [row for row in official() if (row.seller, row.model) not in EXEMPT]


def test_which_rows_are_compared() -> None:
    assert {(row.seller, row.model) for row in HOLDING} == {
        ("OpenAI", "gpt-4.1"),
        ("Anthropic", "claude-sonnet-4.5"),
        ("Google", "gemini-2.5-flash"),
    }
    assert all(row.holds(DAY) for row in HOLDING)
    assert not any(row.holds(DAY) for row in official() if (row.seller, row.model) in EXEMPT)


@pytest.mark.parametrize("row", HOLDING, ids=lambda row: row.model)
def test_a_call_costs_the_same(row: Price) -> None:
    calls = CALLS + (WRITES if row.cache_write is not None else [])
    compared = {call: (ours(row, call), theirs(row, call)) for call in calls}
    assert {call: pair for call, pair in compared.items() if pair[0] != pair[1]} == {}
    assert all(pair[0] for call, pair in compared.items() if call.said)


@pytest.mark.parametrize("row", HOLDING, ids=lambda row: row.model)
def test_a_batch_costs_half(row: Price) -> None:
    whole = theirs(row, BATCH)
    assert theirs(row, BATCH, {"service_tier": "batch"}) == whole  # the trap
    offer = read_catalog(builtin(), DAY).offer(row.model, "official")
    assert offer is not None
    assert (1 - offer.batch_discount) * whole == theirs(row, BATCH, {"processing": "batch"}) == whole / 2


def test_the_exempt_row_would_not_agree() -> None:
    """Once it does, the exemption has to go."""
    row = next(row for row in official() if (row.seller, row.model) in EXEMPT)
    assert call_cost(BATCH.usage, row).total != theirs(row, BATCH)


def test_all_other_models_cost_the_same() -> None:
    """Every model of the library that is priced by tokens alone, below and above each of its tiers."""
    compared = 0
    for provider, info, rows in listed():
        prices = info.get_prices(NOON)
        edges = [edge for row in rows for edge in (row.context_over, row.context_over + 1)]
        for sent in {1000, *edges}:
            row = max((row for row in rows if row.context_over < sent or not row.context_over), key=over)
            usage = Usage(prompt_tokens=sent, completion_tokens=77, total_tokens=sent + 77)
            price = prices.calc_price(genai_prices.Usage(input_tokens=sent, output_tokens=77))
            assert call_cost(usage, row).total == price["total_price"], (provider.id, info.id, sent)
            compared += 1
    assert compared > 3000


def over(row: Price) -> int:
    return row.context_over


def listed() -> list[tuple[Any, Any, list[Price]]]:
    whole = []
    for provider, names in others._index():
        for info in {id(info): info for info in names.values()}.values():
            rows = others._rows(others._Listed(provider, info), info.id, DAY)
            if rows and all(both_known(row) and "," not in row.source for row in rows):
                whole.append((provider, info, rows))
    return whole


def both_known(row: Price) -> bool:
    return row.input is not None and row.output is not None


def test_what_the_library_offers_agrees_with_our_book() -> None:
    """Its rows for our models, as they would stand beside ours."""
    for row in HOLDING:
        rows = others.other_prices(row.model, DAY, seller=row.seller)
        ours = [
            known
            for known in builtin()
            if known.seller == row.seller and plain_name(known.model) == plain_name(row.model)
        ]
        assert {figures(found) for found in rows} == {figures(known) for known in ours}


def figures(row: Price) -> tuple[object, ...]:
    return row.context_over, row.input, row.cache_read, row.cache_write, row.output
