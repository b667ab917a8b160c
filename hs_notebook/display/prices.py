"""The price book as a table: what each seller asks for a model, and what that is beside its maker's list."""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.display.columns import Column, shown
from hs_notebook.display.table import Table
from hs_notebook.errors import UsageError
from hs_notebook.pricing import comparison, others
from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import ARTICLE, KINDS, RELAY, Price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.comparison import Offers

_OWN = (
    "Give a price of your own with %config HolySheepMagics.prices, or in a file that HOLYSHEEP_PRICES names."
)
_CENTS = 2  # decimals that an amount has at least


def price_table(
    book: PriceBook, models: Sequence[str], at: date, *, sellers: Sequence[str] | None = None
) -> Table:
    """Return what sellers ask on a day for models, or for all of the book, in USD per million tokens.

    A model that the book lacks is looked up in `genai-prices`, where that is installed. Raises `UsageError`
    for one that nobody knows, with the nearest names, and for sellers who have none of them.
    """
    known = [_found(book, model, at) for model in models or comparison.models(book)]
    found = list({offers.model: offers for offers in known if offers.rows}.values())
    if sellers:
        found = _at_sellers(found, sellers)
    sources = list(dict.fromkeys(row.source for offers in found for row in offers.rows))
    return Table(
        title=f"Prices on {at}, in USD per million tokens",
        columns=_columns(sources),
        rows=tuple(_row(offers, row, at) for offers in found for row in offers.rows),
        notes=(*_notes(found, at), *(f"[{number}] {source}" for number, source in enumerate(sources, 1))),
        grouped=True,
    )


def _found(book: PriceBook, model: str, at: date) -> Offers:
    offers = comparison.offers(book, model, at)
    if offers.rows:
        return offers
    rows = others.other_prices(model, at)
    if not rows:
        raise UsageError(f"No price of {model} is known.", hint=_way_out(book, model))
    return comparison.Offers(model, tuple(rows))


def _way_out(book: PriceBook, model: str) -> str:
    names = {name: row.model for row in book for name in row.names}
    near = dict.fromkeys(names[name] for name in difflib.get_close_matches(plain_name(model), names))
    parts = [f"Did you mean {' or '.join(near)}?"] * bool(near)
    parts += ["The extra [prices] knows other models."] * (not others.installed())
    return " ".join([*parts, _OWN])


def _at_sellers(found: list[Offers], sellers: Sequence[str]) -> list[Offers]:
    names = {name.lower(): name for name in comparison.sellers_of(found)}
    for seller in sellers:
        if seller.strip().lower() not in names:
            raise UsageError(
                f"{seller} sells none of these.", hint=f"There are: {', '.join(names.values())}."
            )
    wanted = {seller.strip().lower() for seller in sellers}
    some = (comparison.at_sellers(offers, wanted) for offers in found)
    return [offers for offers in some if offers.rows]


def _columns(sources: list[str]) -> tuple[Column, ...]:
    return (
        Column("model"),
        Column("seller"),
        Column("input", "right", show=_usd),
        Column("cached", "right", show=_usd),
        Column("output", "right", show=_usd),
        Column("vs. list", "right"),
        Column("kind"),
        Column("source", quiet=True, show=lambda source: f"[{sources.index(source) + 1}]"),
        Column("checked on", quiet=True),
        Column("retires on", quiet=True),
    )


def _row(offers: Offers, row: Price, at: date) -> tuple[Any, ...]:
    seller = f"{row.seller}, >{row.context_over:,} in" if row.context_over else row.seller
    return (
        offers.model,
        seller,
        row.input,
        row.cache_read,
        row.output,
        "" if row.kind == "official" else _against(offers.ratio(row)),
        KINDS[row.kind],
        row.source,
        row.checked_on,
        _end(row, at),
    )


def _end(row: Price, at: date) -> str:
    if row.effective_to and row.effective_to <= at:
        return f"ended {row.effective_to}"
    return str(row.retires_on) if row.retires_on else "–"


def _usd(amount: Decimal | None) -> str:
    if amount is None:
        return shown(None)
    whole, _, decimals = format(amount, "f").partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(_CENTS, '0')}"


def _against(ratio: Decimal | None) -> str | None:
    """Return what a price is beside the list's in words; None is unknown."""
    if ratio is None:
        return None
    if ratio >= 2:
        return f"{_digits(ratio)} × list"
    share = abs(1 - ratio) * 100
    if not share:
        return "0 %"
    percent = "<0.1" if share < Decimal("0.1") else _digits(share)
    return f"{percent} % {'dearer' if ratio > 1 else 'cheaper'}"


def _digits(number: Decimal) -> str:
    """Return a number with three digits, half to even, without needless zeros."""
    if not number:
        return "0"
    rounded = number.quantize(Decimal(1).scaleb(max(number.adjusted() - 2, -2)))
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _notes(found: list[Offers], at: date) -> Iterator[str]:
    """Say what an honest reader must know, all of it worked out from the rows."""
    rows = [row for offers in found for row in offers.rows]
    yield "Cached is input that is read from the model's cache. What is unknown is not 0."
    if any(row.seller == RELAY and row.input is None for row in rows):
        yield f"{RELAY} publishes output prices alone."
    yield from _relay_note(found)
    yield from _article_note(found)
    for offers in found:
        if (listed := offers.listed) and listed.effective_to and not listed.holds(at):
            yield (
                f"{listed.seller}'s list of {listed.model} ended on {listed.effective_to}; "
                "it is compared with as the last one known."
            )
    if any(row.kind == "third_party" for row in rows):
        yield f"A third party's price is the seller's, as others wrote it down, and none of {RELAY}'s."
    warnings = dict.fromkeys(filter(None, (row.warning(at) for row in rows if row.seller != ARTICLE)))
    if warnings:
        yield " ".join(warnings)


def _ratios(found: list[Offers], seller: str) -> dict[str, Decimal]:
    pairs = ((offers.model, offers.row(seller), offers) for offers in found)
    ratios = ((model, offers.ratio(row)) for model, row, offers in pairs if row)
    return {model: ratio for model, ratio in ratios if ratio is not None}


def _relay_note(found: list[Offers]) -> Iterator[str]:
    ratios = _ratios(found, RELAY)
    if not ratios:
        return
    if set(ratios.values()) == {Decimal(1)}:
        yield f"{RELAY}'s output prices equal the makers' own lists: at list prices the same model saves 0 %."
        return
    each = ", ".join(f"{model} {_against(ratio)}" for model, ratio in ratios.items())
    yield f"{RELAY}'s output prices against the makers' own lists: {each}."


def _article_note(found: list[Offers]) -> Iterator[str]:
    ratios = {model: ratio for model, ratio in _ratios(found, ARTICLE).items() if ratio != 1}
    if ratios:
        each = [f"{_digits(ratio)} ({model})" for model, ratio in ratios.items()]
        listed = " and ".join(filter(None, (", ".join(each[:-1]), each[-1])))
        yield (
            f"The vendor's article compares with prices that are {listed} times the makers' own lists; "
            "what it saves against those is no saving against the lists."
        )
