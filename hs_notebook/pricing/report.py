"""What the calculator says of a scenario."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from hs_notebook.pricing.catalog import Catalog, Offer

if TYPE_CHECKING:
    from hs_notebook.pricing.feasible import Feasibility
    from hs_notebook.pricing.scenario import Scenario
    from hs_notebook.pricing.sensitivity import Chances, Swing

_DIGITS = Context(prec=28)

Basis: TypeAlias = Literal["all", "output"]


class OfferCost(msgspec.Struct, frozen=True, kw_only=True):
    """What all calls would cost a month at one offer, and their `output` alone; None is unknown."""

    offer: Offer
    month: Decimal | None
    output: Decimal | None
    in_now: bool
    in_then: bool
    assumed: bool


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay saves on a model's output: as its article claims, and against the maker's list."""

    model: str
    claimed: Decimal | None
    official: Decimal | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the calculator says of a scenario. Money is USD a month if not said; None is unknown.

    `basis` says what the saving is split, moved and drawn on: "all", or the "output" alone where the price of
    an input is unknown. `reference_effect` + `model_effect` + `relay_effect` is that saving, exactly, and
    `top_up_effect` is a part of the last. Shares are fractions: each effect's of what it takes away from.
    """

    scenario: Scenario
    catalog: Catalog
    now: dict[str, Decimal]
    then: dict[str, Decimal]
    now_offers: tuple[Offer | None, ...]
    then_offers: tuple[Offer | None, ...]
    assumed: bool
    call_now: Decimal | None
    call_then: Decimal | None
    month_now: Decimal | None
    month_then: Decimal | None
    output_now: Decimal | None
    output_then: Decimal | None
    year_now: Decimal | None
    year_then: Decimal | None
    saving: Decimal | None
    saving_share: Decimal | None
    output_saving: Decimal | None
    output_saving_share: Decimal | None
    year_saving: Decimal | None
    basis: Basis
    official_now: Decimal | None
    official_then: Decimal | None
    list_then: Decimal | None
    reference_effect: Decimal | None
    reference_share: Decimal | None
    model_effect: Decimal | None
    model_share: Decimal | None
    relay_effect: Decimal | None
    relay_share: Decimal | None
    top_up_effect: Decimal | None
    relay_factor: Decimal
    net: Decimal | None
    payback_months: Decimal | None
    roi_12_months: Decimal | None
    break_even_calls: Decimal | None
    limits: Feasibility
    capped_month: Decimal | None
    capped_output: Decimal | None
    costs: tuple[OfferCost, ...]
    claims: tuple[Claim, ...]
    swings: tuple[Swing, ...]
    chances: Chances


def numbers(report: Report) -> dict[str, Any]:
    """Return a report's numbers for JSON: decimal strings of 28 digits at most, null for what is unknown.

    Its scenario and its catalog are left out; an offer is its model and its role.
    """
    names = [name for name in report.__struct_fields__ if name not in {"scenario", "catalog"}]
    return {name: _plain(getattr(report, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        text = f"{_DIGITS.plus(value):f}"
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    if isinstance(value, Offer):
        return {"model": value.model, "role": value.role}
    if isinstance(value, msgspec.Struct):
        return {name: _plain(part) for name, part in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value
