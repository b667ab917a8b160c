"""Prices of models that our own book does not have, from `genai-prices` (the extra `[prices]`).

They are what those sellers ask, as a third party wrote it down; none is the relay's. The library's own
calculation is not used: it takes a missing price for 0, a name that begins alike for the same model, and an
unknown discount for none. Its data comes with it, and its updates over the network are never started.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import AMOUNTS, RELAY, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

    from hs_notebook.pricing.book import PriceBook

_SELLERS = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "deepseek": "DeepSeek"}
_FIELDS = dict(
    zip(AMOUNTS, ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok"), strict=True)
)
# What it lists as DeepSeek's own and is not: what others ask, and prices that ended in September 2025.
_NOT_ITS_OWN = {
    ("deepseek", f"deepseek-{name}") for name in ("v3.2", "v3.2-exp", "v3.1-terminus", "chat", "reasoner")
}
# Prices of text calls that do not go by tokens in and out.
_BESIDE = {"requests_kcount", "output_reasoning_mtok", "output_citation_mtok"}


def lookup(book: PriceBook, model: str, seller: str, at: date, *, input_tokens: int = 0) -> Price | None:
    """Return a price of `book` or, where that has no row of the model at `seller`, of `genai-prices`.

    None is unknown, as every model of the relay is that the book does not have.
    """
    found = book.find(model, seller, at, input_tokens=input_tokens)
    if found is not None or seller in ("", RELAY) or _has(book, model, seller):
        return found
    return other_price(model, at, seller=seller, input_tokens=input_tokens)


def other_price(model: str, at: date, *, seller: str = "", input_tokens: int = 0) -> Price | None:
    """Return the price of a call of so many input tokens, by the maker or by `seller`; None is unknown."""
    rows = other_prices(model, at, seller=seller)
    if len({row.seller for row in rows}) > 1:
        return None  # no maker sells it, and several others do
    fit = [row for row in rows if not row.context_over or input_tokens > row.context_over]
    return max(fit, key=lambda row: row.context_over, default=None)


def other_prices(model: str, at: date, *, seller: str = "") -> list[Price]:
    """Return the rows for a model on a day, one for each tier of input tokens.

    They are `seller`'s or, where none is named, the maker's; where no maker sells it, those of all who do. A
    price that changes with the hour is given at its dearest, and `source` says so. Without the library, or
    for a model that it does not know, there are none.
    """
    return [row for listed in _listed(model, seller) for row in _rows(listed, model, at)]


def installed() -> bool:
    """Tell whether the library is there."""
    return bool(_index())


class _Listed(NamedTuple):
    provider: Provider
    info: ModelInfo


def _has(book: PriceBook, model: str, seller: str) -> bool:
    return any(row.seller == seller and plain_name(model) in row.names for row in book)


def _listed(model: str, seller: str) -> list[_Listed]:
    """Return where a model is listed: at one seller, at its maker, or else wherever it is."""
    found = [
        _Listed(provider, info) for provider, names in _index() if (info := _named(model, names)) is not None
    ]
    if seller:
        return [listed for listed in found if _seller(listed.provider) == seller]
    return [listed for listed in found if _makes(listed.provider, model)] or found


def _named(model: str, names: dict[str, ModelInfo]) -> ModelInfo | None:
    # A dated name of its own may have a price of its own.
    return names.get(_dashed(model)) or names.get(plain_name(model))


def _makes(provider: Provider, model: str) -> bool:
    vendor = model.lower().rpartition("/")[0]
    if vendor:
        return provider.id == vendor
    return provider.model_match is not None and provider.model_match.is_match(model.lower())


@cache
def _index() -> tuple[tuple[Provider, dict[str, ModelInfo]], ...]:
    try:
        from genai_prices.data import providers
    except ImportError:
        return ()
    return tuple((provider, _names(provider)) for provider in providers)


def _names(provider: Provider) -> dict[str, ModelInfo]:
    """Return a provider's models by each whole name: of a rule that a name begins so, the beginning."""
    own = [info for info in provider.models if (provider.id, info.id) not in _NOT_ITS_OWN]
    names: dict[str, ModelInfo] = {}
    for info in own:
        names.setdefault(_dashed(info.id), info)
    for info in own:
        for name in (info.id, *_spellings(info.match)):
            names.setdefault(_dashed(name), info)
            names.setdefault(_dashed(name).removesuffix("-latest"), info)
    return names


def _spellings(clause: object) -> Iterator[str]:
    for field in ("equals", "starts_with"):
        if isinstance(name := getattr(clause, field, None), str):
            yield name
    for inner in getattr(clause, "or_", ()):
        yield from _spellings(inner)


def _dashed(model: str) -> str:
    return model.strip().rpartition("/")[2].lower().replace(".", "-")


def _seller(provider: Provider) -> str:
    return _SELLERS.get(provider.id, provider.name)


def _rows(listed: _Listed, model: str, at: date) -> list[Price]:
    asked = _of_the_day(listed.info, at)
    begins, ends = _span(listed.info, at)
    row = Price(
        seller=_seller(listed.provider),
        model=listed.info.id,
        aliases=(model,),
        kind="third_party",
        source=_source(asked),
        effective_from=begins,
        effective_to=ends,
        checked_on=_last_change(at),
    )
    return [
        msgspec.structs.replace(row, context_over=over, **amounts)
        for over in _tiers(asked)
        if (amounts := _amounts(asked, over)).keys() & {"input", "output"}
    ]


def _of_the_day(info: ModelInfo, at: date) -> list[ModelPrice]:
    """Return the prices that hold at some hour of a day; more than one where they depend on the hour."""
    times = {time()}
    for constraint in _constraints(info):
        times |= {
            at_time for edge in ("start_time", "end_time") if (at_time := getattr(constraint, edge, None))
        }
    found: list[ModelPrice] = []
    for at_time in sorted(moment.replace(tzinfo=None) for moment in times):
        prices = info.get_prices(datetime.combine(at, at_time, UTC))
        if prices not in found:
            found.append(prices)
    return found


def _span(info: ModelInfo, at: date) -> tuple[date, date | None]:
    starts = _starts([info])
    return (
        max((start for start in starts if start <= at), default=date.min),
        min((start for start in starts if start > at), default=None),
    )


def _constraints(info: ModelInfo) -> list[object]:
    # One `ModelPrice` where there are no conditions, else a list of them.
    return (
        [each.constraint for each in info.prices if each.constraint] if isinstance(info.prices, list) else []
    )


def _starts(infos: Iterable[ModelInfo]) -> list[date]:
    dates = (getattr(constraint, "start_date", None) for info in infos for constraint in _constraints(info))
    return [start for start in dates if start is not None]


@cache
def _last_change(at: date) -> date:
    """Return the day of the newest price that the library has by then: somebody looked on that day."""
    infos = (info for _, names in _index() for info in names.values())
    return max((start for start in _starts(infos) if start <= at), default=at)


def _tiers(asked: list[ModelPrice]) -> list[int]:
    tiers = (getattr(value, "tiers", ()) for prices in asked for value in vars(prices).values())
    return sorted({0, *(tier.start for each in tiers for tier in each)})


def _amounts(asked: list[ModelPrice], over: int) -> dict[str, Decimal]:
    """Return the known amounts for calls with more input tokens than that, of several the dearest."""
    found = {}
    for name, field in _FIELDS.items():
        values = [value for prices in asked if (value := getattr(prices, field, None)) is not None]
        if values:
            found[name] = max(_in_tier(value, over) for value in values)
    return found


def _in_tier(value: Decimal | TieredPrices, over: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if over >= tier.start), value.base)


def _source(asked: list[ModelPrice]) -> str:
    from genai_prices import __version__

    parts = [f"genai-prices {__version__}"]
    if len(asked) > 1:
        parts.append("at the dearest hour of the day")
    if any(getattr(prices, field, None) is not None for prices in asked for field in _BESIDE):
        parts.append("without what is not billed by tokens in and out")
    return ", ".join(parts)
