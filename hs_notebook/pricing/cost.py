"""What a call costs: its tokens, as they are billed, times a price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Cost

if TYPE_CHECKING:
    from hs_notebook.pricing.price import Price
    from hs_notebook.types import Usage

MILLION = Decimal(1_000_000)
BATCH_DISCOUNT = Decimal("0.5")  # at OpenAI, Anthropic and Google


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a call by the price of each: `input` is neither read from a cache nor written to one."""

    input: int
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Billed:
        """Part a usage: cached tokens are a part of the input, and reasoning of the output.

        Some servers count the reasoning beside the output; then the total tells.
        """
        details = usage.prompt_tokens_details
        sent = max(0, usage.prompt_tokens)
        read = min(sent, max(0, (details and details.cached_tokens) or 0))
        written = min(sent - read, max(0, (details and details.cache_creation_tokens) or 0))
        return cls(input=sent - read - written, cache_read=read, cache_write=written, output=_output(usage))


def _output(usage: Usage) -> int:
    details = usage.completion_tokens_details
    said = max(0, usage.completion_tokens)
    thought = max(0, (details and details.reasoning_tokens) or 0)
    beside = thought and usage.total_tokens == usage.prompt_tokens + said + thought
    return said + thought if beside else said


def call_cost(usage: Usage, price: Price | None, *, batch: bool = False) -> Cost:
    """Return what a call cost by a price (formula F1).

    An unknown price of the cache is the one of the input; an unknown price of tokens that there are makes
    their part unknown. None as price is a cost of which nothing is known. An estimated usage gives the
    interval, too.
    """
    if price is None:
        return Cost()
    billed = Billed.of(usage)
    share = 1 - BATCH_DISCOUNT if batch else Decimal(1)
    cost = Cost(
        input=_scaled(input_cost(billed, price), share),
        output=_scaled(_part(billed.output, price.output), share),
        seller=price.seller,
        kind=price.kind,
        source=price.source,
        checked_on=price.checked_on,
    )
    known = cost.known
    if not usage.estimated or known is None:
        return cost
    low, high = Decimal(str(usage.low)), Decimal(str(usage.high))
    return msgspec.structs.replace(cost, low=known * low, high=known * high)


def input_cost(billed: Billed, price: Price) -> Decimal | None:
    """Return what the input of a call costs in USD."""
    parts = (
        _part(billed.input, price.input),
        _part(billed.cache_read, _first(price.cache_read, price.input)),
        _part(billed.cache_write, _first(price.cache_write, price.input)),
    )
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


def _part(tokens: int, price: Decimal | None) -> Decimal | None:
    if not tokens:
        return Decimal(0)
    return None if price is None else tokens * price / MILLION


def _first(*prices: Decimal | None) -> Decimal | None:
    return next((price for price in prices if price is not None), None)


def _scaled(amount: Decimal | None, share: Decimal) -> Decimal | None:
    return None if amount is None else amount * share
