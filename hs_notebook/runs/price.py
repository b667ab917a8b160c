"""What a run may cost: said before it starts, and held while it goes on."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import BudgetError
from hs_notebook.pricing.forecast import costs
from hs_notebook.pricing.limit import Limit, estimate_request, limit_for, longest_answer
from hs_notebook.pricing.money import exactly
from hs_notebook.pricing.quotes import today
from hs_notebook.pricing.tokens import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.answers import Receipt
    from hs_notebook.pricing.calibration import Calibration
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatRequest


def price_of(requests: Sequence[ChatRequest], quotes: Quotes, calibration: Calibration | None) -> str:
    """Return in words what requests of one model and the same parameters may cost: an estimate."""
    first = requests[0]
    each = [estimate_request(request, calibration) for request in requests]
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


class Pot:
    """What the questions of a run may cost together, in USD; None is any amount.

    Each gets a share before it is sent, and its answer is held to that: all together never come to more.
    While nobody knows what a row costs, and no longest answer is named, one is asked alone with all of it.
    For use on one event loop.
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
        self._dearest: Decimal | None = None  # that a row has cost; None while none is known
        self._given_back = asyncio.Event()

    async def take(self, row: int, request: ChatRequest, *, slots: int, waits: bool = True) -> Limit | None:
        """Return the limit of a row's question; `slots` are asked at a time.

        It `waits` where others hold what it needs; raises `BudgetError` where too little is left anyway.
        """
        while self.usd is not None:
            left = max(Decimal(0), self.usd - self.spent - sum(self._shares.values()))
            limit = self._limit(request, self._share(request, left, slots - len(self._shares)), left)
            try:
                limit.check(streaming=True)
            except BudgetError:
                if self._shares and waits:
                    await self._change()
                    continue
                if self.spent:
                    raise BudgetError(f"The {self.name} of {exactly(self.usd)} is used up.") from None
                limit = self._limit(request, left, left)
                limit.check(streaming=True)
            self._shares[row] = limit.worst
            return limit
        return None

    async def _change(self) -> None:
        self._given_back.clear()
        await self._given_back.wait()

    def _share(self, request: ChatRequest, left: Decimal, slots: int) -> Decimal:
        if longest_answer(request) is not None:
            return left  # it takes no more than that needs
        if self._dearest is None:
            return left if not self._shares else Decimal(0)  # the first shows what a row costs
        if left < self._dearest:
            return Decimal(0)  # it would be stopped in the middle
        # Answers differ in length: as many at a time as leave each twice what the dearest was.
        fit = int(left / (2 * self._dearest)) if self._dearest else slots
        return left / max(1, min(slots, fit))

    def _limit(self, request: ChatRequest, share: Decimal, left: Decimal) -> Limit:
        name = self.name
        if self.usd is not None and share != left:
            name = f"{name} of {exactly(self.usd)}, of which one row has a share"
        return limit_for(request, self._quotes, share, name=name, calibration=self._calibration)

    def give_back(self, row: int, receipt: Receipt | None, *, charge: Decimal = Decimal(0)) -> None:
        """Count what a row came to, and free the rest of its share.

        `charge` is what it counts at least, where nobody knows its cost.
        """
        self._shares.pop(row, None)
        # A simulated answer counts as if it had been billed: a limit can be tried out.
        cost = (
            self._quotes.charge(msgspec.structs.replace(receipt, simulated=False)) if receipt else Decimal(0)
        )
        cost = max(cost, charge)
        self.spent += cost
        if receipt is not None and not receipt.replayed:
            self._dearest = max(self._dearest or cost, cost)
        self._given_back.set()
