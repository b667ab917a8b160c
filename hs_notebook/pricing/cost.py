"""What a call costs: its tokens, as they are billed, times a price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Cost
from hs_notebook.pricing.formulas import MILLION, Amounts, part, parts_cost
from hs_notebook.pricing.price import AMOUNTS

if TYPE_CHECKING:
    from hs_notebook.pricing.price import Price
    from hs_notebook.types import Usage

__all__ = ["BATCH_DISCOUNT", "MILLION", "Billed", "amounts_of", "call_cost"]

BATCH_DISCOUNT = Decimal("0.5")  # at OpenAI, Anthropic and Google


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a call by the price of each: `input` is neither read from a cache nor written to one."""

    input: int
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Billed:
        """Part a usage: cached tokens are a part of the input."""
        details = usage.prompt_tokens_details
        sent = max(0, usage.prompt_tokens)
        read = min(sent, max(0, (details and details.cached_tokens) or 0))
        written = min(sent - read, max(0, (details and details.cache_creation_tokens) or 0))
        return cls(
            input=sent - read - written,
            cache_read=read,
            cache_write=written,
            output=max(0, usage.completion_tokens),
        )


def call_cost(usage: Usage, price: Price | None) -> Cost:
    """Return what a call cost by a price (formula F1).

    An unknown price of the cache is the one of the input; an unknown price of tokens that there are makes
    their part unknown. None as price is a cost of which nothing is known. An estimated usage gives the
    interval, too.
    """
    if price is None:
        return Cost()
    billed, amounts = Billed.of(usage), amounts_of(price)
    cost = Cost(
        input=parts_cost(billed.input, billed.cache_read, billed.cache_write, amounts),
        output=part(billed.output, amounts.output),
        seller=price.seller,
        kind=price.kind,
        source=price.source,
        checked_on=price.checked_on,
    )
    if not usage.estimated or cost.known is None:
        return cost
    low = _times(cost.input, usage.input_low) + _times(cost.output, usage.output_low)
    high = _times(cost.input, usage.input_high) + _times(cost.output, usage.output_high)
    return msgspec.structs.replace(cost, low=low, high=high)


def _times(amount: Decimal | None, ratio: float) -> Decimal:
    return Decimal(0) if amount is None else amount * Decimal(str(ratio))


def amounts_of(price: Price) -> Amounts:
    """Return a row's prices alone, as the formulas take them."""
    return Amounts(*(getattr(price, field) for field in AMOUNTS))
