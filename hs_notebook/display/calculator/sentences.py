"""What the calculator says in sentences."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from hs_notebook.pricing.formulas import share_of, total
from hs_notebook.pricing.money import money
from hs_notebook.pricing.price import ARTICLE, RELAY
from hs_notebook.pricing.words import count, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.pricing.catalog import Offer, Role
    from hs_notebook.pricing.feasible import ModelCheck
    from hs_notebook.pricing.report import Report

SELLERS: dict[Role, str] = {"official": "the official list", "relay": RELAY, "article": ARTICLE}
ASSUMED = "assumes the official input price"
UNVERIFIED = "top-up rate, unverified"
OUTPUT_ONLY = "output only, input unknown"


def headline(report: Report) -> str:
    """Return the first sentence: that it cannot be done, or what it saves."""
    if report.limits.feasible is False:
        return f"infeasible: {report.limits.problems[0]}"
    return summary(report)


def summary(report: Report) -> str:
    """Return what is saved, as one sentence; "n/a" and the output's part where an input price is unknown."""
    if report.saving is not None:
        said = _saves(report.saving, report.saving_share, report.month_now, report.month_then)
        rest = _against_the_list(report) + _after_running_cost(report) + _paid_back(report)
        return said[0].upper() + said[1:] + rest
    why = " and ".join(missing(report)) or "a price is unknown"
    if report.output_saving is None:
        return f"n/a: {why}"
    alone = _saves(report.output_saving, report.output_saving_share, report.output_now, report.output_then)
    return f"n/a: {why}; the output alone {alone}{_against_the_list(report)}"


def _saves(saving: Decimal, share: Decimal | None, before: Decimal | None, after: Decimal | None) -> str:
    part = "" if share is None else f" ({percent(abs(share))})"
    verb, more = ("costs", " more") if saving < 0 else ("saves", "")
    return f"{verb} {money(abs(saving))}{more} a month{part}: {money(before)} now, {money(after)} then"


def _against_the_list(report: Report) -> str:
    """Return what is left of a saving over the article's own reference."""
    saved = total(report.model_effect, report.relay_effect)
    if report.scenario.reference != "article" or saved is None:
        return ""
    return f"; against the official list {money(saved)} ({percent(share_of(saved, report.official_now))})"


def _after_running_cost(report: Report) -> str:
    return f"; after running cost {money(report.net)} a month" if report.scenario.running_cost else ""


def _paid_back(report: Report) -> str:
    if not report.scenario.switching_cost:
        return ""
    if report.payback_months is None:
        return "; never paid back"
    return f"; paid back in {months(report.payback_months)}"


def months(number: Decimal) -> str:
    """Return a number of months with one decimal place."""
    return f"{number.quantize(Decimal('0.1'), ROUND_HALF_EVEN):,f} months"


def missing(report: Report) -> list[str]:
    """Return which prices are unknown that a bill needs."""
    sides = ((report.now, report.scenario.reference), (report.then, report.scenario.seller))
    found = (_unknown(report, model, role) for mix, role in sides for model in mix)
    return list(dict.fromkeys(name for name in found if name))


def _unknown(report: Report, model: str, role: Role) -> str:
    scenario, offer = report.scenario, report.catalog.offer(model, role)
    if offer is None:
        return f"no price of {model} at {SELLERS[role]} is known"
    if offer.price.output is None and scenario.output_tokens:
        return f"the output price of {model} at {SELLERS[role]} is unknown"
    official = report.catalog.offer(model, "official") if scenario.assume_official_input else None
    taken = role == "relay" and official is not None and official.price.input is not None
    if offer.price.input is None and scenario.input_tokens and not taken:
        return f"the input price of {model} at {SELLERS[role]} is unknown"
    return ""


def mix_of(shares: dict[str, Decimal]) -> str:
    """Return a mix of models: "gpt-4.1", or "20 % gpt-4.1 + 80 % deepseek-v3.2"."""
    if len(shares) == 1:
        return next(iter(shares))
    return " + ".join(f"{count(100 * share)} % {model}" for model, share in shares.items())


def kinds_of(offers: Iterable[Offer | None], *, assumed: bool = False, unverified: bool = False) -> str:
    """Return kinds and dates of prices, each once, and what else they rest on."""
    labels = dict.fromkeys("no price known" if offer is None else offer.label for offer in offers)
    extra = [ASSUMED] * assumed + [UNVERIFIED] * unverified
    return ", ".join(["; ".join(labels), *extra])


def bill(month: Decimal | None, output: Decimal | None) -> str:
    """Return a month's bill; where an input price is unknown the output's part, and that it is no more."""
    if month is None and output is not None:
        return f"{money(output)} ({OUTPUT_ONLY})"
    return money(month)


def known(amount: Decimal | None) -> str:
    """Return an amount that follows from others: "n/a" where one of them is unknown."""
    return "n/a" if amount is None else money(amount)


def basis(report: Report) -> str:
    """Return why what follows is of the output alone; nothing where it is of all."""
    if report.basis == "all":
        return ""
    return "Split, sensitivity and range are of the output alone: " + " and ".join(missing(report)) + "."


def top_up(report: Report) -> str:
    """Return what the top-up does to the relay's prices."""
    return f"{UNVERIFIED}: the relay's prices times {report.relay_factor:.4f}"


def verdict(report: Report) -> str:
    """Return whether the limits allow it."""
    limits, scenario = report.limits, report.scenario
    if limits.problems:
        return f"infeasible: {'; '.join(limits.problems)}"
    rate = f"{count(limits.asked_a_minute)} of {count(scenario.requests_per_minute)} calls a minute"
    if limits.streams is None:
        return f"no verdict, a speed is unknown: {rate}"
    return f"feasible: {count(limits.streams)} of {count(scenario.concurrent_streams)} streams, {rate}"


def capped(report: Report) -> str:
    """Return what the limits leave of it, and what that costs beside what was asked."""
    limits = report.limits
    longest = max(one.allowed_output for one in limits.models)
    possible = bill(report.capped_month, report.capped_output)
    asked = bill(report.month_then, report.output_then)
    return (
        f"Within the limits: {count(limits.possible_calls)} calls a month with answers of up to "
        f"{count(longest)} tokens, {possible} a month; asked: {asked}"
    )


def check_of(one: ModelCheck) -> str:
    """Return how long one model's answers may be."""
    allowed = f"up to {count(one.allowed_output)} tokens"
    return f"{allowed}, speed unknown" if one.seconds is None else allowed


def payback(report: Report) -> str:
    """Return when the switching cost is saved."""
    if report.net is None:
        return "n/a"
    if not report.scenario.switching_cost:
        return "no switching cost"
    return "never" if report.payback_months is None else months(report.payback_months)


def break_even(report: Report) -> str:
    """Return how many calls earn the running cost."""
    if report.saving is None:
        return "n/a"
    if not report.scenario.running_cost:
        return "no running cost"
    if report.break_even_calls is None:
        return "never"
    told = count(report.break_even_calls)
    return f"{told} {'call' if told == '1' else 'calls'} a month"
