"""A limit on what one call may cost, kept before it is sent and while its answer arrives."""

from __future__ import annotations

import json
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import BudgetError, UsageError
from hs_notebook.pricing.cost import MILLION
from hs_notebook.pricing.money import at_most, exactly, money
from hs_notebook.pricing.quotes import today
from hs_notebook.pricing.tokens import Estimate, estimate, estimate_messages, estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.pricing.calibration import Calibration
    from hs_notebook.pricing.price import Price
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatCompletionChunk, ChatRequest

_MOST_USD = 10**9


class Limit:
    """Holds one call under `usd`.

    `price` knows input and output, `sent` is the most input tokens that the request may have, `longest` the
    most output tokens that it asks for, None if it names no number. `name` says in words whose limit it is,
    `otherwise` what to do about it; `of` is what it was before a part of it was spent.
    """

    def __init__(
        self,
        usd: Decimal,
        price: Price,
        *,
        sent: int,
        longest: int | None = None,
        several: int = 1,
        name: str = "limit",
        of: Decimal | None = None,
        otherwise: str = "raise the limit",
    ) -> None:
        self.usd = usd
        self._otherwise = otherwise
        self.words = _in_words(usd, name, of)
        self._longest = longest
        self._largest = price.largest_output and several * price.largest_output
        self._input = sent * (price.input or Decimal(0)) / MILLION
        self._output = price.output or Decimal(0)
        self._deltas = 0
        self._estimated = 0

    def check(self, *, streaming: bool) -> None:
        """Raise `BudgetError` where the call may not be sent.

        A stream that names no largest length may begin: it is stopped at the limit.
        """
        worst = self.needed(streaming=streaming)
        if worst > self.usd:
            raise BudgetError(
                f"The call may cost {at_most(worst)}, above the {self.words}; nothing was sent.",
                hint=f"Shorten the prompt, lower max_tokens, or {self._otherwise}.",
            )

    def needed(self, *, streaming: bool) -> Decimal:
        """Return the USD without which the call may not be sent; raises `BudgetError` where none will do."""
        longest = self._longest or (1 if streaming else self._largest)
        if longest is None:
            raise BudgetError(
                f"An answer in one piece cannot be held to the {self.words}.",
                hint="Give max_tokens, or let it stream.",
            )
        return self._input + longest * self._output / MILLION

    @property
    def worst(self) -> Decimal:
        """What the call may cost in USD at most, as far as it can be held."""
        longest = self._longest or self._largest
        return min(self._input + longest * self._output / MILLION, self.usd) if longest else self.usd

    @property
    def unanswered(self) -> Decimal:
        """What the call may have cost in USD if it was sent and nothing of an answer came."""
        return self.worst if self._longest or self._largest else min(self._input, self.usd)

    @property
    def room(self) -> int:
        """The output tokens that the limit allows."""
        if not self._output:
            return 2**53
        left = (self.usd - self._input) * MILLION / self._output
        return max(0, int(left.to_integral_value(ROUND_FLOOR)))

    def reached(self, chunks: Iterable[ChatCompletionChunk]) -> bool:
        """Count what has come now, and tell whether the answer must end here."""
        for chunk in chunks:
            for choice in chunk.choices:
                said = choice.delta.billed
                if said or choice.delta.tool_calls:
                    self._deltas += 1
                    self._estimated += estimate_tokens(said)
        # A delta has one token or more, and the estimate may be low: the dearer of the two counts. Where the
        # answer's length has a bound that fits, only a server that does not keep to it is cut short.
        if self._longest:
            return self._deltas > self.room
        return max(self._deltas, self._estimated) >= self.room

    def passed(self, cost: Decimal) -> str:
        """Return one line where a call came to more than the limit, or nothing."""
        if cost <= self.usd:
            return ""
        return (
            f"came to {money(cost)}, above the {self.words}: what is not streamed, "
            "such as hidden reasoning, cannot be stopped"
        )


def limit_for(
    request: ChatRequest,
    quotes: Quotes,
    usd: Decimal,
    *,
    name: str = "limit",
    of: Decimal | None = None,
    calibration: Calibration | None = None,
    otherwise: str = "raise the limit",
) -> Limit:
    """Return the limit of `usd` for a request, or of what is left `of` one.

    Raises `BudgetError` where no price is known to hold it to.
    """
    sent = most_sent(request, calibration)
    price = quotes.ceiling(request.model, today(), input_tokens=sent)
    if price is None:
        raise BudgetError(
            f"The price of {request.model} at {quotes.seller} is unknown, so the "
            f"{_in_words(usd, name, of)} cannot be kept.",
            hint=f"Name it in %config HolySheepMagics.prices with seller {quotes.seller!r}, or lift it.",
        )
    longest = longest_answer(request)
    return Limit(
        usd,
        _dearest(price, request),
        sent=sent,
        longest=longest,
        several=request.alternatives,
        name=name,
        of=of,
        otherwise=otherwise,
    )


def _dearest(price: Price, request: ChatRequest) -> Price:
    """Return a price whose input is as dear as it may get: a request may have it written to a cache."""
    written = price.cache_write
    if written is None or price.input is None or written <= price.input:
        return price
    caches = b'"cache_control":' in request.body(stream=False, usage=False)
    return msgspec.structs.replace(price, input=written) if caches else price


def _in_words(usd: Decimal, name: str, of: Decimal | None) -> str:
    limit = f"{name} of {exactly(usd if of is None else of)}"
    return limit if of is None else f"{exactly(usd)} left of the {limit}"


def most_sent(request: ChatRequest, calibration: Calibration | None = None) -> int:
    """Return the most input tokens that a request may have; see `estimate_messages` of images."""
    return estimate_request(request, calibration).high


def estimate_request(request: ChatRequest, calibration: Calibration | None = None) -> Estimate:
    """Return about how many input tokens a request has, with what is sent beside its messages."""
    counted = estimate_messages(request.messages, request.model)
    if calibration is not None:
        counted = calibration.apply(request.model, counted)
    if not (beside := request.structured_params):
        return counted
    more = estimate(json.dumps(beside), request.model)
    return Estimate(
        tokens=counted.tokens + more.tokens,
        low=counted.low + more.low,
        high=counted.high + more.high,
        method=counted.method,
    )


def longest_answer(request: ChatRequest) -> int | None:
    """Return the most output tokens that a request asks for, of all alternatives; None is any number."""
    asked = [
        value
        for name in ("max_completion_tokens", "max_tokens")
        if isinstance(value := request.params.get(name), int) and value > 0
    ]
    return request.alternatives * max(asked) if asked else None


def amount(value: Decimal | float | str) -> Decimal:
    """Return an amount in USD; raises `UsageError` for what is none."""
    try:
        usd = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not (usd.is_finite() and 0 <= usd <= _MOST_USD):
        raise UsageError(f"{value} is no amount in USD.", hint="Write it as 0.05.")
    return usd
