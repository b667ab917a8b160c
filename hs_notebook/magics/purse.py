"""The money of one notebook: its price book, its ledger, and what it may still spend."""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

from hs_notebook.errors import BudgetError, ConfigurationError
from hs_notebook.ledger import Ledger, notebook_name
from hs_notebook.prices import full_path, load_book
from hs_notebook.pricing.limit import Limit, amount, limit_for
from hs_notebook.pricing.money import exactly, money

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.ledger import Spent
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatRequest

_NOWHERE = "off"
NO_NOTEBOOK = "IPython"


class Purse:
    """What `%config HolySheepMagics` says of prices, ledger and budget, put to use."""

    def __init__(self, magics: HolySheepMagics) -> None:
        self._magics = magics
        self._ledger: tuple[tuple[str, bool], Ledger | None] | None = None
        self._before: dict[tuple[Path, str], Decimal] = {}  # what was recorded when the session began

    @property
    def book(self) -> PriceBook:
        """The price book with the user's own rows; raises `ConfigurationError` where one is wrong."""
        return load_book(self._magics.prices, self._magics.own_price_file)

    @property
    def ledger(self) -> Ledger | None:
        """Where calls are recorded; None is nowhere."""
        asked = (self._magics.ledger, self._magics.keep_text)
        if self._ledger is None or self._ledger[0] != asked:
            place, keep_text = asked
            nowhere = place.strip().lower() == _NOWHERE
            path = full_path(place) if place and not nowhere else None
            self._ledger = asked, None if nowhere else Ledger(path, keep_text=keep_text)
        return self._ledger[1]

    @property
    def notebook(self) -> str:
        """The name of this notebook."""
        return notebook_name(os.environ, self._magics.shell.user_ns)

    def equip(self, client: AsyncHolySheep) -> AsyncHolySheep:
        """Let a client price and record as this notebook does."""
        client.use(self.book, self.ledger, notebook=self.notebook)
        self._recorded_before()
        return client

    @property
    def budget(self) -> Decimal | None:
        """The most that this notebook may spend, in USD; raises `UsageError` for what is no amount."""
        budget = self._magics.budget_usd
        return None if budget is None else amount(budget)

    def spent(self) -> Decimal:
        """Return what counts against the budget, in USD: this session's calls, or all of the notebook's.

        Shells without a notebook have one name for all, so there the session counts alone.
        """
        session, ledger = self._magics.session.charged, self.ledger
        if ledger is None or self.notebook == NO_NOTEBOOK:
            return session
        # Calls that are about to be written down count too, and those that could not be.
        return max(self._recorded_before() + session, self._recorded(ledger))

    def _recorded_before(self) -> Decimal:
        """Return what the ledger had of this notebook before its first call with it."""
        if (ledger := self.ledger) is None:
            return Decimal(0)
        place = ledger.path, self.notebook
        if place not in self._before:
            self._before[place] = self._recorded(ledger)
        return self._before[place]

    def limit(
        self,
        request: ChatRequest,
        quotes: Quotes,
        max_cost: Decimal | None,
        *,
        charged: Decimal = Decimal(0),
        among: int = 1,
    ) -> Limit | None:
        """Return what a call may cost: `max_cost`, or what is left of the budget where that is less.

        Of `max_cost` so much is `charged` already, and what is left of the budget is divided `among` so many
        calls that are still to be sent.
        Raises `BudgetError` where nothing is left, or no price is known to hold a limit to.
        """
        name, usd, of = "limit", max_cost, None
        if max_cost is not None and charged:
            usd, of = max(Decimal(0), max_cost - charged), max_cost
        if (budget := self.budget) is not None:
            left = budget - self.spent()
            if left <= 0:
                raise self._nothing_left(budget, left)
            if usd is None or left / among < usd:
                name, usd = f"{'share' if among > 1 else 'rest'} of the notebook's budget", left / among
                of = None
        if usd is None:
            return None
        calibration = self._magics.session.calibration
        return limit_for(request, quotes, usd, name=name, of=of, calibration=calibration)

    def _nothing_left(self, budget: Decimal, left: Decimal) -> BudgetError:
        number, held = self._magics.session.held
        if left + held > 0:
            answers, them = ("an answer", "it") if number == 1 else (f"{number} answers", "them")
            rest = f"The rest of the notebook's budget of {exactly(budget)}"
            return BudgetError(
                f"{rest} is held for {answers} still arriving.",
                hint=f"Wait for {them}, or give {them} --max-tokens.",
            )
        return BudgetError(
            f"The notebook's budget of {exactly(budget)} is spent.",
            hint="Raise it with %config HolySheepMagics.budget_usd, or lift it with None.",
        )

    def _recorded(self, ledger: Ledger) -> Decimal:
        try:
            return ledger.spent(notebook=self.notebook).charged
        except ConfigurationError:  # a file that cannot be read: this session is all that is known
            return Decimal(0)

    def summary(self) -> str:
        """Say what was spent, by this notebook and in all."""
        ledger = self.ledger
        if ledger is None:
            return f"at most {money(self._magics.session.charged)} in this session; nothing is recorded"
        try:
            here, all_of_it = ledger.spent(notebook=self.notebook), ledger.spent()
        except ConfigurationError as error:
            return f"unknown: {error}"
        budget = self.budget
        of = "" if budget is None else f"; {money(self.spent())} of a budget of {exactly(budget)} are counted"
        return f"{spent_words(here)} in this notebook ({self.notebook}); {spent_words(all_of_it)} in all{of}"

    def say_warning(self) -> None:
        """Tell once that calls could not be recorded."""
        ledger = self.ledger
        if ledger is not None and (warning := ledger.warning()):
            sys.stderr.write(warning + "\n")


def spent_words(spent: Spent) -> str:
    """Return an amount spent in words, with what is not in it."""
    beside = [
        f"{spent.unknown:,} of unknown cost" if spent.unknown else "",
        f"{spent.pending:,} without outcome" if spent.pending else "",
        f"{spent.simulated:,} simulated" if spent.simulated else "",
    ]
    more = ", ".join(filter(None, beside))
    return "≈" * bool(spent.estimated) + money(spent.cost) + (f" (besides: {more})" if more else "")
