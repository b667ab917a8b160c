"""What the calculator chooses from: what makers, the relay and the article's reference ask."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from hs_notebook.pricing.chance import INPUTS
from hs_notebook.pricing.cost import BATCH_DISCOUNT, amounts_of
from hs_notebook.pricing.formulas import Amounts, first
from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import AMOUNTS, ARTICLE, KINDS, RELAY, Price, Speed
from hs_notebook.pricing.scenario import CHOICES, LIMITS, Scenario, plain_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.pricing.book import PriceBook

Role: TypeAlias = Literal["official", "relay", "article"]
ROLES: tuple[Role, ...] = ("official", "relay", "article")
_BATCH_SELLERS = {"OpenAI", "Anthropic", "Google"}
LABELS = {
    "calls": "calls a month",
    "input_tokens": "input tokens a call",
    "output_tokens": "output tokens a call",
    "cached_share": "share read from cache",
    "error_rate": "error rate",
    "growth": "growth a month",
    "local_per_usd": "local units per USD",
}


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One seller's price for one model; `ended` is the day from which it no longer holds.

    `above` are the prices of calls with more input tokens than their `context_over`, in ascending order.
    """

    model: str
    role: Role
    price: Price
    ended: date | None = None
    above: tuple[Price, ...] = ()

    @property
    def label(self) -> str:
        """The kind and the date of the price."""
        end = f", ended {self.ended}" if self.ended else ""
        return f"{KINDS[self.price.kind]} · checked {self.price.checked_on}{end}"

    @property
    def batch_discount(self) -> Decimal:
        """By how much a batch is cheaper; only the makers that say so give one."""
        return BATCH_DISCOUNT if self.price.seller in _BATCH_SELLERS else Decimal(0)

    def amounts(self, input_tokens: Decimal) -> Amounts:
        """Return the prices of a call with so much input."""
        row = self.price
        for long in self.above:
            if input_tokens > long.context_over:
                row = long
        return amounts_of(row)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The models of a book on a day, in the book's order, and what each seller asks for them."""

    at: date
    names: dict[str, str]
    offers: tuple[Offer, ...]
    speeds: dict[str, Speed]

    @property
    def models(self) -> tuple[str, ...]:
        """The models, each once."""
        return tuple(dict.fromkeys(self.names.values()))

    def mix(self, shares: dict[str, Decimal]) -> dict[str, Decimal]:
        """Return model → share with the models' names as they stand here; what has no share is left out."""
        found: dict[str, Decimal] = {}
        for name, share in shares.items():
            model = self.names[plain_name(name)]
            found[model] = found.get(model, Decimal(0)) + share
        return {model: share for model, share in found.items() if share}

    def offer(self, model: str, role: Role) -> Offer | None:
        """Return what one seller asks for a model; None is unknown."""
        return next((one for one in self.offers if (one.model, one.role) == (model, role)), None)

    def largest_output(self, model: str) -> int | None:
        """Return how many tokens a model answers with at most, where anybody says so."""
        known = [offer.price.largest_output for offer in self.offers if offer.model == model]
        return min((tokens for tokens in known if tokens is not None), default=None)


def read_catalog(book: PriceBook, at: date) -> Catalog:
    """Return the catalog of a book on a day; a price that has ended stands in it and says so."""
    names = _names(book)
    models: dict[str, list[str]] = {}
    for name, model in names.items():
        models.setdefault(model, []).append(name)
    overs = sorted({row.context_over for row in book if row.context_over})
    found = [
        _offer(model, role, _asked(book, spelled, role, at), overs, at)
        for model, spelled in models.items()
        for role in ROLES
    ]
    speeds = {model: speed for model in models if (speed := book.speed(model))}
    return Catalog(at=at, names=names, offers=tuple(one for one in found if one), speeds=speeds)


def _names(book: PriceBook) -> dict[str, str]:
    """Return all spellings in the book's order, each to its model: ours, before what a user calls it."""
    names: dict[str, str] = {}
    for row in sorted(book, key=lambda row: row.kind == "user"):
        spelled = [plain_name(name) for name in (row.model, *row.aliases)]
        model = next((names[name] for name in spelled if name in names), row.model)
        names |= {name: model for name in spelled if name not in names}
    return {name: names[name] for row in book for name in sorted(row.names)}


def _offer(
    model: str, role: Role, asked: Callable[[int], Price | None], overs: list[int], at: date
) -> Offer | None:
    price = asked(0)
    if price is None:
        return None
    longer = ((over, asked(over + 1)) for over in overs)
    return Offer(
        model=model,
        role=role,
        price=price,
        ended=None if price.holds(at) else price.effective_to,
        above=tuple(row for over, row in longer if row and row.context_over == over),
    )


def _asked(book: PriceBook, names: list[str], role: Role, at: date) -> Callable[[int], Price | None]:
    """Return what tells a role's price for a call of so many input tokens; a user's own price wins."""
    seller = {"relay": RELAY, "article": ARTICLE}.get(role)

    def of(name: str, tokens: int) -> Price | None:
        if seller is None:
            return book.official(name, at, input_tokens=tokens)
        return book.last_known(name, seller, at, input_tokens=tokens)

    def asked(tokens: int) -> Price | None:
        known = (row for name in names if (row := of(name, tokens)))
        return min(known, key=lambda row: row.kind != "user", default=None)

    return asked


def catalog(book: PriceBook, at: date) -> dict[str, Any]:
    """Return the catalog as JSON has it, for the page: amounts are decimal strings, unknown ones null.

    `models` in order; `rows`, one for each model and seller; `names`, all spellings as `plain_name` has them,
    to a model; `speeds` and `largest_outputs` by model; `limits`, `choices` and `defaults` of the inputs;
    `inputs`, the order of the draws, and their `labels`.
    """
    found = read_catalog(book, at)
    return {
        "at": at.isoformat(),
        "models": list(found.models),
        "names": found.names,
        "rows": [_row(offer) for offer in found.offers],
        "speeds": {model: _speed(speed) for model, speed in found.speeds.items()},
        "largest_outputs": {model: found.largest_output(model) for model in found.models},
        "sellers": {"relay": RELAY, "article": ARTICLE},
        "inputs": list(INPUTS),
        "labels": LABELS,
        "defaults": plain_inputs(Scenario()),
        "choices": {field: list(names) for field, names in CHOICES.items()},
        "limits": {
            field: {
                "low": float(limit.low),
                "high": float(limit.high),
                "whole": limit.whole,
                "above": limit.above,
            }
            for field, limit in LIMITS.items()
        },
    }


def _row(offer: Offer) -> dict[str, Any]:
    price = offer.price
    return {
        "model": offer.model,
        "role": offer.role,
        "seller": price.seller,
        "kind": price.kind,
        "kind_label": KINDS[price.kind],
        "label": offer.label,
        "source": price.source,
        "checked_on": price.checked_on.isoformat(),
        "ended": offer.ended and offer.ended.isoformat(),
        "retires_on": price.retires_on and price.retires_on.isoformat(),
        "batch_discount": f"{offer.batch_discount:f}",
        "above": [{"over": long.context_over, **_amounts(long)} for long in offer.above],
        **_amounts(price),
    }


def _amounts(price: Price) -> dict[str, str | None]:
    amounts = {field: getattr(price, field) for field in AMOUNTS}
    return {field: None if amount is None else f"{amount:f}" for field, amount in amounts.items()}


def _speed(speed: Speed) -> dict[str, str]:
    return {
        "ttft": f"{speed.ttft:f}",
        "tokens_per_second": f"{speed.tokens_per_second:f}",
        "kind_label": KINDS[speed.kind],
        "source": speed.source,
    }


def assumed(offer: Offer, official: Offer | None, input_tokens: Decimal) -> Amounts:
    """Return an offer's prices; where it has none for the input, those of the official list stand in."""
    own = offer.amounts(input_tokens)
    if own.input is not None or official is None:
        return own
    listed = official.amounts(input_tokens)
    return Amounts(
        input=listed.input,
        cache_read=first(own.cache_read, listed.cache_read),
        cache_write=first(own.cache_write, listed.cache_write),
        output=own.output,
    )
