"""The calculator's picture as a fragment of HTML: tables that hold the numbers, and bars beside them.

It stays readable where a sanitiser takes styles and drawings away. It has no script, no link and no id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.display.style import stylesheet
from hs_notebook.display.visible import escape, visible
from hs_notebook.pricing.chance import INPUTS
from hs_notebook.pricing.price import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.display.calculator.figures import Figures
    from hs_notebook.pricing.catalog import Catalog, Offer

_RIGHT = ">"  # begins the heading of a column of numbers
_HEIGHT = 8  # of a bar, in the units of its drawing


def fragment(found: Catalog, figures: Figures, calculator_id: str = "") -> str:
    """Return the picture with its stylesheet. `calculator_id` is for who looks for it in a page."""
    fill = Filler(figures)
    parts = (
        _head(fill),
        _bills(fill),
        _costs(fill, found),
        _split(fill),
        _claims(fill, found),
        _limits(fill, found),
        _swings(fill),
        _chances(fill),
        _sources(found),
    )
    body = "\n".join(parts)
    return (
        f"<style>{stylesheet('calculator.css')}</style>\n"
        f'<div class="hs-roi mathjax_ignore tex2jax_ignore" data-roi="{text(calculator_id)}">\n{body}\n</div>'
    )


def text(raw: str) -> str:
    """Return text for HTML, with its hidden characters visible."""
    return escape(visible(raw))


class Filler:
    """The places of the picture, each with its figure in it."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def slot(self, name: str, tag: str = "span", cls: str = "") -> str:
        style = f' class="{cls}"' if cls else ""
        return f'<{tag}{style} data-slot="{name}">{text(self._figures.text[name])}</{tag}>'

    def number(self, name: str) -> str:
        return self.slot(name, "td", "hs-roi-number")

    def quiet(self, name: str) -> str:
        return self.slot(name, "small", "hs-roi-quiet")

    def flag(self, name: str) -> str:
        return f'data-show="{name}"{"" if self._figures.show[name] else " hidden"}'

    def bars(self, *names: str) -> str:
        """Return a cell with bars; they say nothing that the numbers do not say."""
        rects = "".join(map(self._rect, names))
        return (
            f'<td class="hs-roi-bars"><svg viewBox="0 0 100 {_HEIGHT}" preserveAspectRatio="none" '
            f'aria-hidden="true" focusable="false">{rects}</svg></td>'
        )

    def _rect(self, name: str) -> str:
        x, width = self._figures.bar[name]
        kind = name.rpartition("-")[2]
        style = f' class="hs-roi-{kind}"' if not kind.isdigit() else ""
        return f'<rect{style} data-bar="{name}" x="{x:g}" y="0" width="{width:g}" height="{_HEIGHT}"></rect>'


def _table(caption: str, heads: Iterable[str], rows: Iterable[str], cls: str = "") -> str:
    top = "".join(map(_head_cell, heads))
    return (
        f"<table{f' class={cls}' if cls else ''}>\n<caption>{caption}</caption>\n"
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>"
    )


def _head_cell(head: str) -> str:
    number = head.startswith(_RIGHT)
    style = ' class="hs-roi-number"' if number else ""
    return f'<th scope="col"{style}>{head.removeprefix(_RIGHT)}</th>'


def _row(head: str, *cells: str, flag: str = "") -> str:
    return f'<tr{" " + flag if flag else ""}><th scope="row">{head}</th>{"".join(cells)}</tr>'


def _head(fill: Filler) -> str:
    notes = "\n".join(
        f"<p {fill.flag(name)}>{fill.slot(name)}</p>" for name in ("summary", "capped", "top-up", "basis")
    )
    return f"{fill.slot('headline', 'p', 'hs-roi-headline')}\n{notes}"


def _bills(fill: Filler) -> str:
    def both(head: str, name: str) -> str:
        return _row(head, fill.number(f"now-{name}"), fill.number(f"then-{name}"))

    def side(name: str) -> str:
        at = (
            f"{fill.slot(f'{name}-mix')}<br>at {fill.slot(f'{name}-seller')}<br>{fill.quiet(f'{name}-price')}"
        )
        return f"<td>{at}</td>"

    def saved(head: str, name: str, cell: str = "") -> str:
        return _row(head, "<td></td>", f'<td class="hs-roi-number">{fill.slot(name)}{cell}</td>')

    rows = (
        _row("charged at", side("now"), side("then")),
        both("1,000 calls cost", "1000"),
        both("a month", "month"),
        both("a year", "year"),
        saved("saved a month", "saving", f" ({fill.slot('saving-share')})"),
        saved("saved a year", "year-saving"),
        saved("after running cost, a month", "net"),
        saved("switching cost paid back", "payback"),
        saved("return on it in 12 months", "roi"),
        saved("running cost earned by", "break-even"),
    )
    return _table("Now and then", ("", "now", "then"), rows, "hs-roi-sides")


def _costs(fill: Filler, found: Catalog) -> str:
    def mix(name: str) -> str:
        cells = (
            fill.bars(f"cost-{name}"),
            fill.number(f"cost-{name}"),
            f'<td class="hs-roi-mark">{name}</td>',
        )
        return _row(f"{fill.slot(f'cost-{name}-mix')} {fill.quiet(f'cost-{name}-price')}", *cells)

    def row(i: int, offer: Offer) -> str:
        head = f"{text(offer.model)} · {text(offer.price.seller)} {fill.quiet(f'cost-{i}-price')}"
        cells = (
            fill.bars(f"cost-{i}"),
            fill.number(f"cost-{i}"),
            fill.slot(f"cost-{i}-mark", "td", "hs-roi-mark"),
        )
        return _row(head, *cells)

    rows = [mix("now"), mix("then"), *(row(i, offer) for i, offer in enumerate(found.offers))]
    return _table(
        "All calls a month, at each model and seller",
        ("at", "", ">USD a month", "used"),
        rows,
        "hs-roi-costs",
    )


def _split(fill: Filler) -> str:
    def effect(head: str, name: str) -> str:
        cells = (fill.bars(name), fill.number(name), fill.number(f"{name}-share"))
        return _row(f"{head} {fill.quiet(f'{name}-price')}", *cells)

    top_up = "of it the top-up rate, unverified"
    rows = (
        effect("Reference: its price, less the official list", "reference"),
        effect("Model: official list, less that of the other model", "model"),
        effect("Relay: official list, less what is paid", "relay"),
        _row(top_up, "<td></td>", fill.number("top-up-effect"), "<td></td>", flag=fill.flag("top-up-effect")),
    )
    return _table(
        "Where the saving comes from", ("effect of", "", ">USD a month", ">share"), rows, "hs-roi-split"
    )


def _claims(fill: Filler, found: Catalog) -> str:
    rows = (
        _row(text(model), fill.number(f"claim-{j}"), fill.number(f"claim-{j}-official"))
        for j, model in enumerate(found.models)
    )
    heads = ("model", ">against the article's own reference", ">against the official list")
    return _table("What the relay's list price saves on output", heads, rows, "hs-roi-claims")


def _limits(fill: Filler, found: Catalog) -> str:
    def row(j: int, model: str) -> str:
        numbers = (fill.number(f"check-{j}-{what}") for what in ("seconds", "streams", "rate"))
        return _row(text(model), *numbers, fill.slot(f"check-{j}", "td"), flag=fill.flag(f"check-{j}"))

    heads = ("model", ">s an answer", ">streams needed", ">calls a minute possible", "answers allowed")
    table = _table(
        "Do the limits allow it?",
        heads,
        (row(j, model) for j, model in enumerate(found.models)),
        "hs-roi-limits",
    )
    kinds = dict.fromkeys(f"{KINDS[speed.kind]}, {speed.source}" for speed in found.speeds.values())
    source = f'<p class="hs-roi-quiet">Speeds: {text("; ".join(kinds) or "unknown")}.</p>'
    return f"{table}\n{fill.slot('verdict', 'p')}\n{source}"


def _swings(fill: Filler) -> str:
    rows = (
        _row(
            fill.slot(f"swing-{k}"),
            fill.number(f"swing-{k}-low"),
            fill.bars(f"swing-{k}-low", f"swing-{k}-high"),
            fill.slot(f"swing-{k}-high", "td"),
            flag=fill.flag(f"swing-{k}"),
        )
        for k in range(len(INPUTS))
    )
    heads = ("one input moved", ">saved, low", "", "saved, high")
    return _table("What the monthly saving depends on", heads, rows, "hs-roi-swings")


def _chances(fill: Filler) -> str:
    def row(head: str, side: str) -> str:
        ranks = (fill.number(f"{side}-{rank}") for rank in ("p5", "p50", "p95"))
        return _row(head, fill.bars(f"{side}-range", f"{side}-median"), *ranks)

    rows = (row("then, a month", "then"), row("saved a month", "saving"))
    heads = ("1,000 draws, all inputs moved", "", ">P5", ">P50", ">P95")
    return _table("The range that chance leaves", heads, rows, "hs-roi-chances")


def _sources(found: Catalog) -> str:
    def row(offer: Offer) -> str:
        price = offer.price
        note = f"ended {offer.ended}" if offer.ended else price.warning(found.at)
        quiet = f'<small class="hs-roi-quiet">{text(note)}</small>' if note else ""
        seller, kind, source = map(text, (price.seller, KINDS[price.kind], price.source))
        cells = (seller, kind, source + quiet, str(price.checked_on))
        return _row(text(offer.model), *(f"<td>{cell}</td>" for cell in cells))

    heads = ("model", "seller", "kind", "source", "checked on")
    return _table("Prices, and where they are from", heads, map(row, found.offers), "hs-roi-sources")
