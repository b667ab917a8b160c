"""The calculator's figures and picture: one contract with the page, and no unknown shown as 0."""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hs_notebook.calculator import PRESETS, roi, roi_of
from hs_notebook.display.calculator import figures, picture
from hs_notebook.display.style import stylesheet
from hs_notebook.pricing.files import builtin, own_rows
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import scenario_of
from hs_notebook.pricing.words import about, count, percent

if TYPE_CHECKING:
    from hs_notebook.pricing.report import Report

AT = date(2026, 11, 24)
GPT, DEEPSEEK = "gpt-4.1", "deepseek-v3.2"
VECTORS = Path(__file__).parent / "vectors"
CASES = json.loads((VECTORS / "roi.json").read_text("utf-8"))["cases"]


def report(**inputs: Any) -> Report:
    return evaluate(scenario_of(builtin(), **inputs), builtin(), AT)


def hostile() -> Report:
    """A report with a row whose names would act in a page or on a terminal."""
    nasty = '<img src=x onerror=alert(1)>"\u202e\U000e0041'
    rows = [{"model": nasty, "source": nasty, "input": Decimal(1), "output": Decimal(1)}]
    book = builtin().with_rows(own_rows(rows, "prices.toml", AT))
    return roi_of({"then": {nasty: 1}}, book, AT).report


class Places(HTMLParser):
    """The places of a picture with what stands in them, and all its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.bar: dict[str, list[float]] = {}
        self.show: dict[str, bool] = {}
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes.update(given)
        if name := given.get("data-bar"):
            assert name not in self.bar
            self.bar[name] = [float(given["x"] or 0), float(given["width"] or 0)]
        if name := given.get("data-show"):
            assert name not in self.show
            self.show[name] = "hidden" not in given
        if name := given.get("data-slot"):
            assert name not in self.text
            self.text[name] = ""
        if tag != "br":
            self._open.append(given.get("data-slot"))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - what is open is closed in order
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and (name := self._open[-1]):
            self.text[name] += data


def fragment(found: Report, calculator_id: str = "") -> str:
    return picture(found, calculator_id=calculator_id)["text/html"].split("</style>\n", 1)[1]


# The vectors


def test_the_vectors_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(VECTORS))
    import make_roi

    assert make_roi.text() == make_roi.PATH.read_text("utf-8"), "python tests/vectors/make_roi.py"
    sys.modules.pop("make_roi")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_picture_holds_every_figure_of_the_vectors(case: dict[str, Any]) -> None:
    if case["problems"]:
        assert (case["report"], case["figures"]) == (None, None)
        return
    found = Places(fragment(report(**case["scenario"])))
    assert found.text == case["figures"]["text"]
    assert found.bar == case["figures"]["bar"]
    assert found.show == case["figures"]["show"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_bars_stay_within_their_drawing(case: dict[str, Any]) -> None:
    for x, width in (case["figures"] or {"bar": {}})["bar"].values():
        assert x >= 0
        assert width >= 0
        assert x + width <= 100.61  # a median's mark is as wide at the end


# What it says

NOT_KNOWN = (
    "n/a: the input price of deepseek-v3.2 at HolySheep is unknown; "
    "the output alone saves $379.00 a month (94.75 %): $400.00 now, $21.00 then"
)


@pytest.mark.parametrize(
    ("inputs", "headline"),
    [
        (
            {"seller": "official", "switching_cost": 5000},
            "Saves $551.00 a month (91.83 %): $600.00 now, $49.00 then; paid back in 9.1 months",
        ),
        ({"then": {GPT: 1}, "seller": "official"}, "Saves $0 a month (0 %): $600.00 now, $600.00 then"),
        (
            {"now": {DEEPSEEK: 1}, "then": {GPT: 1}, "seller": "official", "switching_cost": 1},
            "Costs $551.00 more a month (1,124.49 %): $49.00 now, $600.00 then; never paid back",
        ),
        ({}, NOT_KNOWN),
        ({"calls": 0, "seller": "official"}, "Saves $0 a month: $0 now, $0 then"),
        ({"input_tokens": 0, "output_tokens": 1_000_000}, "infeasible: 193 streams needed, 5 allowed"),
    ],
)
def test_headline(inputs: dict[str, Any], headline: str) -> None:
    found = report(**inputs)
    assert figures(found).text["headline"] == headline
    assert picture(found)["text/plain"].replace("\n", " ").startswith(headline)


def test_an_infeasible_plan_shows_what_is_possible_beside_what_was_asked() -> None:
    found = figures(roi("article").report)
    assert found.show["summary"]
    assert found.text["summary"] == (
        "Saves $158,000.00 a month (79.00 %): $200,000.00 now, $42,000.00 then; "
        "against the official list $0 (0 %)"
    )
    assert found.text["year-saving"] == "$1,896,000.00"
    assert found.show["capped"]
    assert found.text["capped"] == (
        "Within the limits: 100,000 calls a month with answers of up to 8,192 tokens, $344.06 a month; "
        "asked: $42,000.00"
    )
    assert not figures(roi("chat").report).show["capped"]


def test_the_articles_claims_stand_beside_the_truth() -> None:
    text = figures(report()).text
    assert [text[f"claim-{j}"] for j in range(4)] == ["87 %", "67 %", "75 %", "79 %"]
    assert [text[f"claim-{j}-official"] for j in range(4)] == ["0 %"] * 4


def test_an_unknown_price_is_never_shown_as_nothing() -> None:
    text = figures(report()).text
    assert text["then-month"] == "$21.00 (output only, input unknown)"
    assert {text[name] for name in ("then-year", "then-1000", "saving", "year-saving", "net", "payback")} == {
        "n/a"
    }
    assert text["basis"].startswith("Split, sensitivity and range are of the output alone")
    relay = next(i for i, cost in enumerate(report().costs) if cost.in_then)
    assert text[f"cost-{relay}"] == "$21.00"
    assert text[f"cost-{relay}-price"] == "vendor claim · checked 2026-11-23, output only, input unknown"


def test_every_assumption_is_marked_at_its_figure() -> None:
    text = figures(report(assume_official_input=True, top_up=True)).text
    for name in ("then-price", "relay-price", "cost-1-price"):
        assert "vendor claim · checked 2026-11-23" in text[name]
        assert "assumes the official input price" in text[name]
        assert "top-up rate, unverified" in text[name]
    assert "unverified" not in text["now-price"]
    assert text["top-up"] == "top-up rate, unverified: the relay's prices times 0.1370"


def test_no_verdict_where_a_speed_is_unknown() -> None:
    found = figures(hostile())
    assert found.text["verdict"] == "no verdict, a speed is unknown: 2.28 of 60 calls a minute"
    assert found.text["check-0"] == "up to 500 tokens, speed unknown"
    assert found.text["check-0-seconds"] == "unknown"


# The picture is safe and stays readable


def test_the_picture_is_made_of_text_tables_and_rects() -> None:
    found = Places(picture(hostile(), calculator_id='"><script>')["text/html"])
    assert found.tags == {
        "style", "div", "p", "span", "small", "br", "svg", "rect",
        "table", "caption", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert (
        not {name for name in found.attributes if name.startswith("on")}
        | {"href", "id", "src"} & found.attributes
    )


def test_hidden_characters_are_visible() -> None:
    for content in picture(hostile()).values():
        assert "\u202e" not in content
        assert "\U000e0041" not in content
        assert "⟦U+202E⟧⟦U+E0041⟧" in content


def test_the_calculators_id_is_where_the_page_looks_for_it() -> None:
    assert fragment(report()).startswith('<div class="hs-roi mathjax_ignore tex2jax_ignore" data-roi="">')
    assert 'data-roi="a1"' in fragment(report(), "a1")


def test_numbers_remain_without_styles_and_drawings() -> None:
    html = fragment(roi("mix").report)
    bare = re.sub(r"<svg.*?</svg>| (?:class|style|data-[a-z]+)=\"[^\"]*\"", "", html)
    assert "svg" not in bare
    assert "data-" not in bare
    cells = re.findall(r"<td[^>]*>(.*?)</td>", bare)
    assert "$621.05" in cells
    assert "$456.02" in cells
    assert html.count("<svg") == html.count('aria-hidden="true"')


def test_the_style_is_small_and_its_own() -> None:
    style = stylesheet("calculator.css")
    assert len(style) < 4_500
    assert not re.search(r"url\(|@import|@font-face|expression|<", style)
    while "(" in (bare := re.sub(r"\([^()]*\)", "", style)):
        style = bare
    selectors = [part for rule in re.findall(r"([^{}]+)\{", bare) for part in rule.split(",")]
    assert all(".hs-roi" in selector for selector in selectors)


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_plain_text_fits_a_terminal(preset: str | None) -> None:
    found = roi(preset)
    text = str(found)
    assert text == repr(found) == picture(found.report)["text/plain"]
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    shown = figures(found.report)
    for name in ("now-1000", "now-year", "relay-share", "saving-p50", "break-even"):
        assert shown.text[name] in text


def test_the_notebook_gets_the_picture() -> None:
    assert roi("chat")._repr_mimebundle_() == picture(roi("chat").report)


# Numbers in words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, "unknown"),
        ("0", "0"),
        ("2.604", "2.6"),
        ("0.125", "0.12"),
        ("999.995", "1,000"),
        ("1234.5", "1,234"),
    ],
)
def test_count(number: str | None, words: str) -> None:
    assert count(None if number is None else Decimal(number)) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "n/a"),
        ("0", "0 %"),
        ("0E-20", "0 %"),
        ("0.9183333", "91.83 %"),
        ("-0.5", "-50.00 %"),
        ("20.4286", "2,042.86 %"),
        ("0.00001", "under 0.01 %"),
    ],
)
def test_percent(share: str | None, words: str) -> None:
    assert percent(None if share is None else Decimal(share)) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "unknown"),
        ("0", "$0"),
        ("551.4", "$551"),
        ("49.04", "$49.0"),
        ("999.6", "$1,000"),
        ("1234567", "$1,230,000"),
        ("0.0012345", "$0.00123"),
        ("-80.25", "-$80.2"),
    ],
)
def test_about(amount: str | None, words: str) -> None:
    assert about(None if amount is None else Decimal(amount)) == words
