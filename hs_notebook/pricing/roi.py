"""The calculator: a scenario and a price book make a report. The page's arithmetic is held to this one."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hs_notebook.pricing.catalog import ROLES, Catalog, Offer, Role, assumed, read_catalog
from hs_notebook.pricing.feasible import feasibility
from hs_notebook.pricing.formulas import (
    Amounts,
    Attempts,
    attempts,
    blend,
    break_even,
    difference,
    input_cost,
    part,
    payback,
    relay_factor,
    return_on,
    scaled,
    share_of,
    task_cost,
    total,
    year,
)
from hs_notebook.pricing.report import Claim, OfferCost, Report
from hs_notebook.pricing.scenario import Scenario, scenario_of
from hs_notebook.pricing.sensitivity import chances, swings

if TYPE_CHECKING:
    from datetime import date

    from hs_notebook.pricing.book import PriceBook

# A quotient goes on for ever. It ends at 10⁻²⁰ USD, so that the parts of a saving add up exactly.
_CONTEXT = Context(prec=64)
_END = Decimal("1e-20")


class _Prices(NamedTuple):
    """The blended prices of both sides; `then` is before the relay's factor."""

    now: Amounts
    official_now: Amounts
    official_then: Amounts
    then: Amounts


def evaluate(scenario: Scenario, book: PriceBook, at: date) -> Report:
    """Return the report of a scenario at the prices of a day (formulas F1 to F9).

    Raises `UsageError` for a scenario with a problem.
    """
    with localcontext(_CONTEXT):
        checked = scenario_of(book, **msgspec.structs.asdict(scenario))
        return _Evaluation(checked, read_catalog(book, at)).report()


def factor_of(scenario: Scenario) -> Decimal:
    """Return by what relay prices are multiplied (F5); 1 without a top-up, and at the makers."""
    if not scenario.top_up or scenario.seller != "relay":
        return Decimal(1)
    return relay_factor(scenario.markup, scenario.top_up_fee, scenario.local_paid, scenario.local_per_usd)


def task(scenario: Scenario, price: Amounts, made: Attempts) -> Decimal | None:
    """Return what a call costs with its retries (F1, F2)."""
    cost_in = input_cost(scenario.input_tokens, scenario.cached_share, scenario.cache_write_share, price)
    return task_cost(cost_in, part(scenario.output_tokens, price.output), made)


def month(scenario: Scenario, price: Amounts, factor: Decimal = Decimal(1)) -> Decimal | None:
    """Return what a month costs at blended prices (F3), to the 20th decimal place."""
    one = task(scenario, price, attempts(scenario.error_rate, scenario.retries))
    return None if one is None else (scenario.calls * one * factor).quantize(_END)


class _Evaluation:
    """One scenario on its way to a report."""

    def __init__(self, scenario: Scenario, found: Catalog) -> None:
        self.scenario, self.found = scenario, found
        self.now, self.then = found.mix(scenario.now), found.mix(scenario.then)
        self.made = attempts(scenario.error_rate, scenario.retries)
        self.factor = factor_of(scenario)
        self.prices = _Prices(
            self.blended(self.now, scenario.reference),
            self.blended(self.now, "official"),
            self.blended(self.then, "official"),
            self.blended(self.then, scenario.seller),
        )

    def blended(self, mix: dict[str, Decimal], role: Role) -> Amounts:
        return blend([(share, self.price(model, role)) for model, share in mix.items()])

    def price(self, model: str, role: Role) -> Amounts:
        """Return what a model costs at one seller, a batch's discount taken in."""
        offer = self.found.offer(model, role)
        if offer is None:
            return Amounts()
        tokens = self.scenario.input_tokens
        own = offer.amounts(tokens)
        if self.scenario.assume_official_input and role == "relay":
            own = assumed(offer, self.found.offer(model, "official"), tokens)
        return scaled(own, 1 - self.scenario.batch_share * offer.batch_discount)

    def is_assumed(self, model: str, role: Role) -> bool:
        """Tell whether a bill of the relay rests on the official input price."""
        offer, official = self.found.offer(model, role), self.found.offer(model, "official")
        scenario = self.scenario
        if role != "relay" or not (scenario.assume_official_input and scenario.input_tokens and offer):
            return False
        own, taken = offer.amounts(scenario.input_tokens), assumed(offer, official, scenario.input_tokens)
        return own != taken

    def report(self) -> Report:
        scenario = self.scenario
        known = self.bills(scenario)
        on = scenario if difference(known[0], known[-1]) is not None else output_only(scenario)
        part_costs: Any = {
            **self.totals(known),
            **self.split(on),
            **self.worth(known),
            **self.capped(),
            "basis": "all" if on is scenario else "output",
            "swings": swings(on, self.saving),
            "chances": chances(on, self.then_and_saving),
        }
        return Report(
            scenario=scenario,
            catalog=self.found,
            now=self.now,
            then=self.then,
            now_offers=tuple(self.found.offer(model, scenario.reference) for model in self.now),
            then_offers=tuple(self.found.offer(model, scenario.seller) for model in self.then),
            assumed=any(self.is_assumed(model, scenario.seller) for model in self.then),
            relay_factor=self.factor,
            costs=tuple(self.cost(offer) for offer in self.found.offers),
            claims=tuple(self.claim(model) for model in self.found.models),
            **part_costs,
        )

    def bills(self, scenario: Scenario) -> tuple[Decimal | None, ...]:
        """Return a month of `now` at its reference and officially; of `then` officially, at list, as paid."""
        prices = self.prices
        return (
            *(month(scenario, price) for price in prices),
            month(scenario, prices.then, factor_of(scenario)),
        )

    def then_and_saving(self, scenario: Scenario) -> tuple[Decimal | None, Decimal | None]:
        then = month(scenario, self.prices.then, factor_of(scenario))
        return then, difference(month(scenario, self.prices.now), then)

    def saving(self, scenario: Scenario) -> Decimal | None:
        return self.then_and_saving(scenario)[1]

    def totals(self, bills: tuple[Decimal | None, ...]) -> dict[str, Any]:
        scenario = self.scenario
        now, then = bills[0], bills[-1]
        out_now, *_, out_then = self.bills(output_only(scenario))
        call_then = task(scenario, self.prices.then, self.made)
        return {
            "call_now": task(scenario, self.prices.now, self.made),
            "call_then": None if call_then is None else (call_then * self.factor).quantize(_END),
            "month_now": now,
            "month_then": then,
            "output_now": out_now,
            "output_then": out_then,
            "year_now": year(now, scenario.growth),
            "year_then": year(then, scenario.growth),
            "saving": difference(now, then),
            "saving_share": share_of(difference(now, then), now),
            "output_saving": difference(out_now, out_then),
            "output_saving_share": share_of(difference(out_now, out_then), out_now),
            "year_saving": year(difference(now, then), scenario.growth),
        }

    def split(self, on: Scenario) -> dict[str, Any]:
        """Return the parts of the saving: of the reference, of the model, of the relay."""
        asked, official_now, official_then, listed, then = self.bills(on)
        reference, model = difference(asked, official_now), difference(official_now, official_then)
        relay = difference(official_then, then)
        return {
            "official_now": official_now,
            "official_then": official_then,
            "list_then": listed,
            "reference_effect": reference,
            "reference_share": share_of(reference, asked),
            "model_effect": model,
            "model_share": share_of(model, official_now),
            "relay_effect": relay,
            "relay_share": share_of(relay, official_then),
            "top_up_effect": difference(listed, then),
        }

    def worth(self, bills: tuple[Decimal | None, ...]) -> dict[str, Any]:
        """Return what the saving is worth after what it costs (F6, F7)."""
        scenario = self.scenario
        saving = difference(bills[0], bills[-1])
        net = difference(saving, scenario.running_cost)
        before, then = task(scenario, self.prices.now, self.made), task(scenario, self.prices.then, self.made)
        after = None if then is None else then * self.factor
        return {
            "net": net,
            "payback_months": payback(scenario.switching_cost, net, scenario.growth),
            "roi_12_months": return_on(scenario.switching_cost, net, scenario.growth),
            "break_even_calls": break_even(scenario.running_cost, before, after),
        }

    def capped(self) -> dict[str, Any]:
        """Return what the limits allow, and what is billed when they are kept (F8)."""
        limits = feasibility(self.scenario, self.then, self.found, self.made)
        calls = msgspec.structs.replace(self.scenario, calls=limits.possible_calls)
        cut = [
            (
                msgspec.structs.replace(
                    calls, calls=calls.calls * one.share, output_tokens=one.allowed_output
                ),
                self.price(one.model, self.scenario.seller),
            )
            for one in limits.models
        ]
        return {
            "limits": limits,
            "capped_month": total(*(month(part, price, self.factor) for part, price in cut)),
            "capped_output": total(*(month(output_only(part), price, self.factor) for part, price in cut)),
        }

    def cost(self, offer: Offer) -> OfferCost:
        scenario, price = self.scenario, self.price(offer.model, offer.role)
        relay = msgspec.structs.replace(scenario, seller="relay")
        factor = factor_of(relay) if offer.role == "relay" else Decimal(1)
        return OfferCost(
            offer=offer,
            month=month(scenario, price, factor),
            output=month(output_only(scenario), price, factor),
            in_now=offer.model in self.now and offer.role == scenario.reference,
            in_then=offer.model in self.then and offer.role == scenario.seller,
            assumed=self.is_assumed(offer.model, offer.role),
        )

    def claim(self, model: str) -> Claim:
        offers = [self.found.offer(model, role) for role in ROLES]
        official, relay, article = (None if offer is None else offer.price.output for offer in offers)
        return Claim(
            model=model,
            claimed=share_of(difference(article, relay), article),
            official=share_of(difference(official, relay), official),
        )


def output_only(scenario: Scenario) -> Scenario:
    """Return the scenario without its input."""
    return msgspec.structs.replace(scenario, input_tokens=Decimal(0))
