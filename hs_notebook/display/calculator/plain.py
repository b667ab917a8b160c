"""The calculator's picture as plain text, for terminals: no line is over 100 columns."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from hs_notebook.display.visible import visible
from hs_notebook.pricing.chance import INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hs_notebook.display.calculator.figures import Figures
    from hs_notebook.pricing.catalog import Catalog

_WIDTH = 100
_WIDEST = 40  # of a cell that is not the last


def plain(found: Catalog, figures: Figures) -> str:
    """Return the same tables as text."""
    parts = (
        _head(figures),
        _bills(figures),
        _costs(found, figures),
        _split(figures),
        _claims(found, figures),
        _limits(found, figures),
        _swings(figures),
        _chances(figures),
    )
    return visible("\n\n".join("\n".join(part) for part in parts))


def _head(figures: Figures) -> Iterator[str]:
    yield from wrap(figures.text["headline"], _WIDTH)
    for name in ("summary", "capped", "top-up", "basis"):
        if figures.show[name]:
            yield from wrap(figures.text[name], _WIDTH)


def _bills(figures: Figures) -> Iterator[str]:
    text = figures.text
    for side in ("now", "then"):
        month, year, thousand = (text[f"{side}-{what}"] for what in ("month", "year", "1000"))
        bill = f"{month} a month, {year} a year, {thousand} for 1,000 calls [{text[f'{side}-price']}]"
        at = f"{side:5} {text[f'{side}-mix']} at {text[f'{side}-seller']}: {bill}"
        yield from wrap(at, _WIDTH, subsequent_indent=" " * 6)
    yield (
        f"saved {text['saving']} a month ({text['saving-share']}), {text['year-saving']} a year; "
        f"after running cost {text['net']} a month"
    )
    yield (
        f"      paid back: {text['payback']}; return in 12 months: {text['roi']}; "
        f"break-even: {text['break-even']}"
    )


def _costs(found: Catalog, figures: Figures) -> Iterator[str]:
    text = figures.text
    rows = [
        (
            offer.model,
            offer.price.seller,
            text[f"cost-{i}"],
            text[f"cost-{i}-mark"],
            text[f"cost-{i}-price"],
        )
        for i, offer in enumerate(found.offers)
    ]
    yield "All calls a month, at each model and seller"
    yield from _table(("model", "seller", "USD a month", "used", "price"), rows, right={2})


def _split(figures: Figures) -> Iterator[str]:
    text = figures.text
    rows = [
        (name, text[name], text[f"{name}-share"], text[f"{name}-price"])
        for name in ("reference", "model", "relay")
    ]
    if figures.show["top-up"]:
        rows.append(("of it top-up", text["top-up-effect"], "", "unverified"))
    return _table(("Effect of", "USD a month", "share", "price"), rows, right={1, 2})


def _claims(found: Catalog, figures: Figures) -> Iterator[str]:
    rows = [
        (model, figures.text[f"claim-{j}"], figures.text[f"claim-{j}-official"])
        for j, model in enumerate(found.models)
    ]
    heads = (
        "The relay's list price saves on output",
        "against the article's reference",
        "against the official list",
    )
    return _table(heads, rows)


def _limits(found: Catalog, figures: Figures) -> Iterator[str]:
    text = figures.text
    rows = [
        (model, *(text[f"check-{j}-{what}"] for what in ("seconds", "streams", "rate")), text[f"check-{j}"])
        for j, model in enumerate(found.models)
        if figures.show[f"check-{j}"]
    ]
    yield from _table(
        ("Limits", "s an answer", "streams", "calls a minute", "answers allowed"), rows, right={1, 2, 3}
    )
    yield from wrap(text["verdict"], _WIDTH)


def _swings(figures: Figures) -> Iterator[str]:
    text = figures.text
    rows = [
        (text[f"swing-{k}"], text[f"swing-{k}-low"], text[f"swing-{k}-high"])
        for k in range(len(INPUTS))
        if figures.show[f"swing-{k}"]
    ]
    return _table(("One input moved", "saved, low", "saved, high"), rows, right={1, 2})


def _chances(figures: Figures) -> Iterator[str]:
    rows = [
        (head, *(figures.text[f"{side}-{rank}"] for rank in ("p5", "p50", "p95")))
        for head, side in (("then, a month", "then"), ("saved a month", "saving"))
    ]
    return _table(("1,000 draws, all inputs moved", "P5", "P50", "P95"), rows, right={1, 2, 3})


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] | set[int] = frozenset()
) -> Iterator[str]:
    """Yield aligned lines; the last column is wrapped into what is left of the width."""
    cells = [[_short(cell) for cell in row[:-1]] + [row[-1]] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    left = sum(widths) + 2 * len(widths)
    for row in cells:
        start = "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        last = wrap(row[-1], max(12, _WIDTH - left)) or [""]
        yield f"{start}  {last[0]}".rstrip()
        yield from (" " * left + line for line in last[1:])


def _short(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…"
