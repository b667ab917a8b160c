"""The calculator's figures: every text, bar and flag of its picture, by name.

The page reckons the same figures in doubles and puts them into the same picture. `text` fills the elements
with that `data-slot`; `bar` sets x and width, of 100, of the rects with that `data-bar`; `show` unhides those
with that `data-show`. Rows are numbered by the catalog: i of `rows`, j of `models`; and k is 0 to 6.
A difference that is smaller than a billionth of what it is the difference of counts as 0 in the page.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.display.calculator import sentences
from hs_notebook.pricing.catalog import LABELS
from hs_notebook.pricing.chance import INPUTS
from hs_notebook.pricing.money import money
from hs_notebook.pricing.words import about, count, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.pricing.catalog import Offer
    from hs_notebook.pricing.report import OfferCost, Report
    from hs_notebook.pricing.sensitivity import Swing

_ZERO = Decimal(0)
_TICK = 0.6  # how wide the mark of a median is, of 100


class Figures(msgspec.Struct, frozen=True):
    """What fills the picture."""

    text: dict[str, str]
    bar: dict[str, list[float]]
    show: dict[str, bool]


def figures(report: Report) -> Figures:
    """Return all figures of a report."""
    with localcontext(Context(prec=64)):
        found = Figures({}, {}, {})
        for fill in (_sentences, _bills, _worth, _split, _costs, _claims, _limits, _swings, _chances):
            fill(report, found)
        return found


def _sentences(report: Report, found: Figures) -> None:
    infeasible = report.limits.feasible is False
    found.text.update(
        {
            "headline": sentences.headline(report),
            "summary": sentences.summary(report),
            "capped": sentences.capped(report),
            "basis": sentences.basis(report),
            "top-up": sentences.top_up(report) if _tops_up(report) else "",
        }
    )
    found.show.update(
        {
            "summary": infeasible,
            "capped": infeasible,
            "basis": report.basis == "output",
            "top-up": _tops_up(report),
            "top-up-effect": _tops_up(report),
        }
    )


def _bills(report: Report, found: Figures) -> None:
    scenario = report.scenario
    found.text.update(
        {
            "now-mix": sentences.mix_of(report.now),
            "then-mix": sentences.mix_of(report.then),
            "now-seller": sentences.SELLERS[scenario.reference],
            "then-seller": sentences.SELLERS[scenario.seller],
            "now-price": sentences.kinds_of(report.now_offers),
            "then-price": _then_kinds(report),
            "now-1000": sentences.known(_thousand(report.call_now)),
            "then-1000": sentences.known(_thousand(report.call_then)),
            "now-month": sentences.bill(report.month_now, report.output_now),
            "then-month": sentences.bill(report.month_then, report.output_then),
            "now-year": sentences.known(report.year_now),
            "then-year": sentences.known(report.year_then),
            "saving": sentences.known(report.saving),
            "saving-share": percent(report.saving_share),
            "year-saving": sentences.known(report.year_saving),
        }
    )


def _worth(report: Report, found: Figures) -> None:
    found.text.update(
        {
            "net": sentences.known(report.net),
            "payback": sentences.payback(report),
            "roi": percent(report.roi_12_months),
            "break-even": sentences.break_even(report),
        }
    )


def _split(report: Report, found: Figures) -> None:
    now, then = _officials(report, report.now), _officials(report, report.then)
    kinds = sentences.kinds_of
    found.text.update(
        {
            "reference": sentences.known(report.reference_effect),
            "reference-share": percent(report.reference_share),
            "reference-price": f"{kinds(report.now_offers)} less {kinds(now)}",
            "model": sentences.known(report.model_effect),
            "model-share": percent(report.model_share),
            "model-price": f"{kinds(now)} less {kinds(then)}",
            "relay": sentences.known(report.relay_effect),
            "relay-share": percent(report.relay_share),
            "relay-price": f"{kinds(then)} less {_then_kinds(report)}",
            "top-up-effect": sentences.known(report.top_up_effect),
        }
    )
    asked = (
        None if report.reference_effect is None else (report.official_now or _ZERO) + report.reference_effect
    )
    paid = None if report.relay_effect is None else (report.official_then or _ZERO) - report.relay_effect
    steps = [asked, report.official_now, report.official_then, paid]
    most = max((step for step in steps if step is not None), default=_ZERO)
    for name, one, other in zip(("reference", "model", "relay"), steps, steps[1:], strict=False):
        found.bar[name] = [0, 0] if one is None or other is None else _between(one, other, _ZERO, most)


def _costs(report: Report, found: Figures) -> None:
    rows = [
        ("now", report.month_now, report.output_now, found.text["now-price"]),
        ("then", report.month_then, report.output_then, found.text["then-price"]),
        *(
            (f"{i}", cost.month, cost.output, _cost_kinds(report, cost))
            for i, cost in enumerate(report.costs)
        ),
    ]
    most = max(_drawn(month, output) for _, month, output, _ in rows)
    for name, month, output, kinds in rows:
        in_part = month is None and output is not None
        found.text[f"cost-{name}"] = money(output if in_part else month)
        found.text[f"cost-{name}-price"] = f"{kinds}, {sentences.OUTPUT_ONLY}" if in_part else kinds
        found.bar[f"cost-{name}"] = _between(_ZERO, _drawn(month, output), _ZERO, most)
    for i, cost in enumerate(report.costs):
        found.text[f"cost-{i}-mark"] = ", ".join(["now"] * cost.in_now + ["then"] * cost.in_then)
    for side in ("now", "then"):
        found.text[f"cost-{side}-mix"] = f"{found.text[f'{side}-mix']} at {found.text[f'{side}-seller']}"


def _claims(report: Report, found: Figures) -> None:
    for j, claim in enumerate(report.claims):
        claimed = "n/a" if claim.claimed is None else f"{100 * claim.claimed:.0f} %"
        found.text.update({f"claim-{j}": claimed, f"claim-{j}-official": percent(claim.official)})


def _limits(report: Report, found: Figures) -> None:
    found.text["verdict"] = sentences.verdict(report)
    checks = {one.model: one for one in report.limits.models}
    for j, model in enumerate(report.catalog.models):
        one = checks.get(model)
        found.show[f"check-{j}"] = one is not None
        found.text.update(
            {
                f"check-{j}-seconds": "" if one is None else count(one.seconds),
                f"check-{j}-streams": "" if one is None else count(one.streams),
                f"check-{j}-rate": "" if one is None else count(one.calls_a_minute),
                f"check-{j}": "" if one is None else sentences.check_of(one),
            }
        )


def _swings(report: Report, found: Figures) -> None:
    ends = [end for swing in report.swings for end in (swing.base, swing.low, swing.high)]
    least, most = min(ends, default=_ZERO), max(ends, default=_ZERO)
    for k in range(len(INPUTS)):
        swing = report.swings[k] if k < len(report.swings) else None
        found.show[f"swing-{k}"] = swing is not None
        found.text.update(
            {
                f"swing-{k}": "" if swing is None else _swing_label(report, swing),
                f"swing-{k}-low": "" if swing is None else money(swing.low),
                f"swing-{k}-high": "" if swing is None else money(swing.high),
            }
        )
        for end in ("low", "high"):
            at = None if swing is None else _between(swing.base, getattr(swing, end), least, most)
            found.bar[f"swing-{k}-{end}"] = at or [0, 0]


def _swing_label(report: Report, swing: Swing) -> str:
    mean = ", mean of 12 months" if swing.input == "growth" else ""
    return f"{LABELS[swing.input]} ±{count(100 * report.scenario.uncertainty)} %{mean}"


def _chances(report: Report, found: Figures) -> None:
    drawn = {
        side: [getattr(report.chances, f"{side}_{rank}") for rank in ("p5", "p50", "p95")]
        for side in ("then", "saving")
    }
    ends = [_ZERO, *(value for values in drawn.values() for value in values if value is not None)]
    for side, values in drawn.items():
        for rank, value in zip(("p5", "p50", "p95"), values, strict=True):
            found.text[f"{side}-{rank}"] = "n/a" if value is None else about(value)
        low, middle, high = values
        found.bar[f"{side}-range"] = [0, 0] if low is None else _between(low, high, min(ends), max(ends))
        at = 0.0 if middle is None else _between(middle, middle, min(ends), max(ends))[0]
        found.bar[f"{side}-median"] = [round(max(0.0, at - _TICK / 2), 2), 0 if middle is None else _TICK]


def _between(one: Decimal, other: Decimal, least: Decimal, most: Decimal) -> list[float]:
    """Return where a bar begins and how wide it is, of 100."""
    if most <= least:
        return [0, 0]
    scale = 100 / (most - least)
    return [
        round(float((min(one, other) - least) * scale), 2),
        round(float(abs(one - other) * scale), 2),
    ]


def _drawn(month: Decimal | None, output: Decimal | None) -> Decimal:
    return next((amount for amount in (month, output) if amount is not None), _ZERO)


def _thousand(call: Decimal | None) -> Decimal | None:
    return None if call is None else 1000 * call


def _tops_up(report: Report) -> bool:
    return report.scenario.top_up and report.scenario.seller == "relay"


def _then_kinds(report: Report) -> str:
    return sentences.kinds_of(report.then_offers, assumed=report.assumed, unverified=_tops_up(report))


def _cost_kinds(report: Report, cost: OfferCost) -> str:
    tops_up = report.scenario.top_up and cost.offer.role == "relay"
    return sentences.kinds_of([cost.offer], assumed=cost.assumed, unverified=tops_up)


def _officials(report: Report, models: Iterable[str]) -> list[Offer | None]:
    return [report.catalog.offer(model, "official") for model in models]
