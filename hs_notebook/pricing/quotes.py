"""What the seller at hand asks, and what a call there came to."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.pricing.cost import call_cost
from hs_notebook.pricing.others import lookup

if TYPE_CHECKING:
    from datetime import date

    from hs_notebook.answers import Cost, Receipt
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.price import Price
    from hs_notebook.types import Usage


class Quotes:
    """A price book as the customer of one host reads it.

    `seller` is who sells there: by the book or, where that does not know the host, the host's own name.
    """

    def __init__(self, book: PriceBook, host: str) -> None:
        self.book = book
        self.seller = book.seller_of(host) or host

    def price(self, model: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return the price on a day; None is unknown."""
        return lookup(self.book, model, self.seller, at, input_tokens=input_tokens)

    def cost(self, model: str, usage: Usage) -> Cost:
        """Return what a call of today cost; the reply's own `model` decides."""
        return call_cost(usage, self.price(model, today(), input_tokens=usage.prompt_tokens))

    def ceiling(self, model: str, at: date, *, input_tokens: int = 0) -> Price | None:
        """Return a price to hold a limit to: an unknown input price is taken from the maker's list.

        None where even so nothing is known.
        """
        price = self.price(model, at, input_tokens=input_tokens)
        if price is None or price.output is None:
            return None
        if price.input is not None:
            return price
        official = self.book.official(model, at, input_tokens=input_tokens)
        if official is None or official.input is None:
            return None
        source = f"{price.source}; input: {official.source}"
        return msgspec.structs.replace(
            price, input=official.input, cache_write=official.cache_write, source=source
        )

    def charge(self, receipt: Receipt) -> Decimal:
        """Return what a call counts against a budget: unknown and estimated parts at their dearest.

        An answer of a model without a price counts as one of the model that was asked for. A simulated one
        was not billed.
        """
        if receipt.simulated:
            return Decimal(0)
        costs = receipt.costs
        for model in (receipt.model, receipt.request_model):
            if costs.total is not None:
                break
            usage = receipt.usage
            costs = call_cost(usage, self.ceiling(model, today(), input_tokens=usage.prompt_tokens))
        return costs.high or costs.known or receipt.costs.known or Decimal(0)

    def warning(self, model: str) -> str:
        """Return one line on the age of a price or the end of a model, or nothing."""
        at = today()
        price = self.price(model, at)
        return price.warning(at) if price else ""


def today() -> date:
    """Return the day in UTC, by which prices are dated."""
    return datetime.now(UTC).date()
