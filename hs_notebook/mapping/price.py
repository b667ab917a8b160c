"""What a run may cost: said before it starts, and held while it goes on."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import BudgetError
from hs_notebook.magics.dry_run import costs
from hs_notebook.pricing.limit import Limit, limit_for, longest_answer
from hs_notebook.pricing.money import exactly
from hs_notebook.pricing.quotes import today
from hs_notebook.pricing.tokens import Estimate, estimate, estimate_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.answers import Receipt
    from hs_notebook.pricing.calibration import Calibration
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatRequest


def price_of(requests: Sequence[ChatRequest], quotes: Quotes, calibration: Calibration | None) -> str:
    """Return in words what requests of one model and the same parameters may cost: an estimate."""
    first = requests[0]
    each = [_sent(request, calibration) for request in requests]
    sent = Estimate(
        tokens=sum(one.tokens for one in each),
        low=sum(one.low for one in each),
        high=sum(one.high for one in each),
        method=each[0].method,
    )
    largest = max(one.tokens for one in each)
    price = quotes.price(first.model, today(), input_tokens=largest)
    ceiling = quotes.ceiling(first.model, today(), input_tokens=largest)
    asked = longest_answer(first)
    longest = asked or (price and price.largest_output) or 0
    parts = costs(sent, price, ceiling, longest * len(requests) or None)
    if not asked and price is not None:
        parts.append("max_tokens would bound it")
    return "; ".join(parts) if price is not None else "cost unknown"


def _sent(request: ChatRequest, calibration: Calibration | None) -> Estimate:
    counted = estimate_messages(request.messages, request.model)
    if calibration is not None:
        counted = calibration.apply(request.model, counted)
    beside = {name: value for name, value in request.params.items() if isinstance(value, dict | list)}
    if not beside:
        return counted
    more = estimate(json.dumps(beside), request.model)
    return Estimate(
        tokens=counted.tokens + more.tokens,
        low=counted.low + more.low,
        high=counted.high + more.high,
        method=counted.method,
    )


class Pot:
    """What the questions of a run may cost together, in USD; None is any amount.

    Each gets a share before it is sent, and its answer is held to that: all together never come to more. For
    use on one event loop.
    """

    def __init__(
        self, usd: Decimal | None, quotes: Quotes, *, name: str, calibration: Calibration | None = None
    ) -> None:
        self.usd = usd
        self.name = name
        self.spent = Decimal(0)
        self._quotes = quotes
        self._calibration = calibration
        self._shares: dict[int, Decimal] = {}
        self._dearest = Decimal(0)
        self._given_back = asyncio.Event()

    async def take(self, row: int, request: ChatRequest, *, slots: int) -> Limit | None:
        """Return the limit of a row's question; `slots` are asked at a time.

        Waits where others hold what it needs; raises `BudgetError` where too little is left in any case.
        """
        while self.usd is not None:
            limit = self._limit(request, self.usd, slots)
            try:
                limit.check(streaming=True)
            except BudgetError as error:
                if not self._shares:
                    raise self._spent(error) from None
                self._given_back.clear()
                await self._given_back.wait()
            else:
                self._shares[row] = limit.worst
                return limit
        return None

    def _limit(self, request: ChatRequest, usd: Decimal, slots: int) -> Limit:
        left = max(Decimal(0), usd - self.spent - sum(self._shares.values()))
        share = left
        if longest_answer(request) is None:
            # Nobody knows how long it gets: an equal part, or as much as the dearest so far came to.
            share = min(left, max(left / max(1, slots - len(self._shares)), self._dearest))
            if share < self._dearest:  # it would be stopped in the middle
                share = Decimal(0)
        return limit_for(request, self._quotes, share, name=self.name, calibration=self._calibration)

    def _spent(self, error: BudgetError) -> BudgetError:
        if not self.spent:
            return error
        return BudgetError(f"The {self.name} of {exactly(self.usd or Decimal(0))} is used up.")

    def give_back(self, row: int, receipt: Receipt | None) -> None:
        """Count what a row came to, and free the rest of its share."""
        self._shares.pop(row, None)
        # A simulated answer counts as if it had been billed: a limit can be tried out.
        cost = (
            self._quotes.charge(msgspec.structs.replace(receipt, simulated=False)) if receipt else Decimal(0)
        )
        self.spent += cost
        self._dearest = max(self._dearest, cost)
        self._given_back.set()
