"""A price, dated and with its source."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from typing import Literal, TypeAlias

import msgspec

from hs_notebook.pricing.names import plain_name

Kind: TypeAlias = Literal["official", "vendor_claim", "third_party", "user"]
KINDS: dict[Kind, str] = {
    "official": "official list",
    "vendor_claim": "vendor claim",
    "third_party": "third party",
    "user": "yours",
}
RELAY = "HolySheep"
ARTICLE = "the article's reference"
OLD_AFTER = timedelta(days=60)
_RETIRES_WITHIN = timedelta(days=30)
AMOUNTS = ("input", "cache_read", "cache_write", "output")


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller asks for one model in a span of time.

    Amounts are USD per million tokens; None is unknown, never 0. The row holds from `effective_from` to the
    day before `effective_to`, for calls with more than `context_over` input tokens. `checked_on` is the day
    on which somebody last read the source.
    """

    seller: str
    model: str
    kind: Kind
    source: str
    effective_from: date
    checked_on: date
    aliases: tuple[str, ...] = ()
    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
    context_over: int = 0
    largest_output: int | None = None
    effective_to: date | None = None
    retires_on: date | None = None

    @property
    def names(self) -> frozenset[str]:
        """The model's id and its aliases, as `plain_name` spells them."""
        return frozenset(map(plain_name, (self.model, *self.aliases)))

    def holds(self, at: date) -> bool:
        """Tell whether this is the price on a day."""
        return self.effective_from <= at and (self.effective_to is None or at < self.effective_to)

    def retirement(self, at: date) -> str:
        """Return one line on the end of the model where it is near on a day or past, or nothing."""
        if self.retires_on and at >= self.retires_on:
            return (
                f"{self.model} was to retire on {self.retires_on}: who answers now may cost something else."
            )
        if self.retires_on and self.retires_on - at <= _RETIRES_WITHIN:
            left = (self.retires_on - at).days
            return f"{self.model} retires on {self.retires_on}, in {left} {'day' if left == 1 else 'days'}."
        return ""

    def warning(self, at: date) -> str:
        """Return one line for who relies on this row on a day, or nothing."""
        if told := self.retirement(at):
            return told
        if at - self.checked_on > OLD_AFTER:
            age = (at - self.checked_on).days
            return f"The price of {self.model} at {self.seller} was last checked {age} days ago."
        return ""


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a model was measured: `ttft` in seconds to the first token, then `tokens_per_second`."""

    model: str
    ttft: Decimal
    tokens_per_second: Decimal
    kind: Kind
    source: str
