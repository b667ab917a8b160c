"""What a request may cost, in words, before it is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.pricing.cost import MILLION
from hs_notebook.pricing.money import at_most, money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hs_notebook.pricing.price import Price
    from hs_notebook.pricing.tokens import Estimate


def costs(sent: Estimate, price: Price | None, ceiling: Price | None, longest: int | None) -> list[str]:
    """Return what so many tokens cost at a price, part by part.

    `longest` is how many tokens the answer may have; else it is the model's own bound. Where `price` has no
    input price, that of `ceiling` is what limits count with.
    """
    if price is None:
        return ["unknown"]
    return [_input(sent, price, ceiling), *_output(sent, price, longest)]


def _input(sent: Estimate, price: Price, ceiling: Price | None) -> str:
    known = price.input
    if known is None and ceiling is not None:
        known = ceiling.input
    if known is None:
        return "input unknown"
    low, likely, high = (money(tokens * known / MILLION) for tokens in (sent.low, sent.tokens, sent.high))
    if price.input is None:
        return f"input unknown; at the maker's list, as limits count it, ≈{likely} ({low} to {high})"
    return f"input ≈{likely} ({low} to {high})"


def _output(sent: Estimate, price: Price, longest: int | None) -> Iterator[str]:
    longest, why = (longest, "") if longest else (price.largest_output, ", the model's longest answer")
    if price.output is None or longest is None:
        yield "output unknown"
        return
    yield f"output at most {at_most(longest * price.output / MILLION)} ({longest:,} tokens{why})"
    if price.input is not None:
        worst = (sent.high * price.input + Decimal(longest) * price.output) / MILLION
        yield f"together at most {at_most(worst)}"
