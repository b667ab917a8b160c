"""A table: safe and readable in a page, styled or not, aligned in any terminal, and data again."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.display.columns import aligned, screen_width
from hs_notebook.display.table import Column, Table

SMALL = Table(
    "Fruit",
    (Column("kind"), Column("price", "right"), Column("remark", quiet=True)),
    (
        ("apple", Decimal("0.450"), "red"),
        ("pear", None, "green and rather long, as remarks are"),
        ("fig", 12000, ""),
    ),
    ("Prices are made up.",),
)
GROUPED = Table(
    "Fruit by colour",
    (Column("colour"), Column("fruit"), Column("count", "right")),
    (("red", "apple", 3), ("red", "cherry", 1200), ("green", "pear", 0)),
    grouped=True,
)

TAGS = {"style", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class Elements(HTMLParser):
    """Every element with its attributes, the text of each, and whether all of them are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data))


def test_the_bundle() -> None:
    bundle = SMALL._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == SMALL.plain()


def test_a_page_can_read_it_aloud() -> None:
    html = Elements(SMALL.html())
    assert html.open == []
    assert ("caption", "Fruit") in html.texts
    scopes = [attributes.get("scope") for tag, attributes in html.found if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 3
    cells = [text for tag, text in html.texts if tag == "td"]
    assert cells == ["0.450", "red", "unknown", "green and rather long, as remarks are", "12,000"]
    assert ("li", "Prices are made up.") in html.texts


def test_groups_are_read_aloud_as_such() -> None:
    html = Elements(GROUPED.html())
    heads = [
        attributes for tag, attributes in html.found if tag == "th" and attributes["scope"] == "rowgroup"
    ]
    assert [head["rowspan"] for head in heads] == ["2", "1"]
    assert [tag for tag, _ in html.found].count("tbody") == 2
    assert "ul" not in {tag for tag, _ in html.found}


def test_it_stays_in_order_where_styles_are_stripped() -> None:
    """Numbers stay on the right, groups at their top; nothing depends on the sheet."""
    numbers = [a.get("align") for tag, a in Elements(SMALL.html()).found if tag in {"td", "th"}]
    assert numbers == ["left", "right", "left"] + ["left", "right", None] * 3


def test_it_is_static_and_loads_nothing() -> None:
    for table in (SMALL, GROUPED):
        tags = Elements(table.html()).found
        assert {tag for tag, _ in tags} <= TAGS
        assert {name for _, attributes in tags for name in attributes} <= {
            "class",
            "scope",
            "align",
            "valign",
            "rowspan",
        }
        style = table.html().partition("</style>")[0]
        assert len(style) < 2_000
        assert not re.search(r"url\(|@import|expression", style)


def test_its_style_is_its_own() -> None:
    style = SMALL.html().partition("</style>")[0].removeprefix("<style>")
    selectors = [one for rule in re.findall(r"([^{}]+)\{", style) for one in re.split(r",(?![^(]*\))", rule)]
    assert len(selectors) > 10
    assert all(".hs-table" in selector for selector in selectors)


NASTY = '<img src=x onerror=alert(1)>"&\u202e\x1b[31m'


@given(text=st.text() | st.just(NASTY))
def test_everything_in_it_is_text(text: str) -> None:
    table = Table(text, (Column(text), Column(text, "right")), ((text, text),), (text,), grouped=False)
    tags = {tag for tag, _ in Elements(table.html()).found}
    assert tags == TAGS
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", table.html() + table.plain())


# Plain text


def test_plain_text() -> None:
    assert SMALL.plain(120).splitlines() == [
        "Fruit",
        "",
        "kind     price  remark",
        "─" * 53,
        "apple    0.450  red",
        "pear   unknown  green and rather long, as remarks are",
        "fig     12,000",
        "",
        "Prices are made up.",
    ]


def test_groups_in_plain_text() -> None:
    assert GROUPED.plain(80).splitlines()[2:] == [
        "colour  fruit  count",
        "────────────────────",
        "red",
        "  apple            3",
        "  cherry       1,200",
        "green",
        "  pear             0",
    ]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (53, "pear   unknown  green and rather long, as remarks are"),
        (52, "pear   unknown  green and rather long, as remarks a…"),
        (32, "pear   unknown  green and rathe…"),
        (31, "pear   unknown"),
        (14, "pear   unknown"),
        (5, "pear   unknown"),  # what matters is never cut
    ],
)
def test_a_narrow_terminal_cuts_what_matters_least(width: int, line: str) -> None:
    lines = SMALL.plain(width).splitlines()
    assert lines[5] == line
    assert ("(no room here for: remark)" in lines) is (width < 32)


def test_of_several_quiet_columns_the_first_goes_first() -> None:
    columns = [Column("a"), Column("first", quiet=True), Column("second", quiet=True)]
    lines = aligned(columns, [["x", "1" * 10, "2" * 10]], width=14)
    assert lines[0] == "a  second"
    assert lines[-1] == "(no room here for: first)"


def test_the_widest_is_cut_first() -> None:
    columns = [Column("a", quiet=True), Column("b", quiet=True)]
    line = aligned(columns, [["x" * 30, "y" * 60]], width=70)[2]
    assert line == "x" * 30 + "  " + "y" * 37 + "…"


def test_the_terminal_at_hand_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "31")
    assert str(SMALL) == SMALL.plain(31) != SMALL.plain(120)


def test_wide_characters_take_two_places() -> None:
    lines = aligned([Column("a"), Column("n", "right")], [["价格", "1"], ["ab", "22"]], width=40)
    assert lines[2:] == ["价格   1", "ab    22"]
    assert [screen_width(text) for text in ("ab", "价格", "e\u0301", "–")] == [2, 4, 1, 1]


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40)


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6),
    quiet=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    width=st.integers(1, 150),
)
def test_it_fits_or_holds_nothing_but_what_matters(
    rows: list[tuple[str, str, str]], quiet: tuple[bool, ...], width: int
) -> None:
    columns = [Column(name, quiet=soft) for name, soft in zip("abc", quiet, strict=True)]
    lines = aligned(columns, rows, width=width)
    table = [line for line in lines if not line.startswith("(no room")]
    missing = [column for column in columns if column.quiet and column.heading not in lines[0].split()]
    fits = max(map(screen_width, table)) <= width
    assert fits or len(missing) == sum(quiet)
    for row, line in zip(rows, table[2:], strict=True):
        kept = [text for text, column in zip(row, columns, strict=True) if not column.quiet]
        assert all(text in line for text in kept)


def test_a_table_without_rows_has_its_headings() -> None:
    empty = Table("Nothing", (Column("a"), Column("b")), ())
    assert empty.plain(80).splitlines() == ["Nothing", "", "a  b", "────"]
    assert Elements(empty.html()).open == []
    assert empty.to_dataframe().columns.tolist() == ["a", "b"]


# Data


def test_it_is_data_again() -> None:
    assert SMALL.as_dicts()[1] == {
        "kind": "pear",
        "price": None,
        "remark": "green and rather long, as remarks are",
    }
    frame = SMALL.to_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert frame["price"].tolist() == [Decimal("0.450"), None, 12000]


def test_without_pandas_the_way_out_is_named() -> None:
    script = """
import sys
sys.modules["pandas"] = None  # as where it is not installed
from hs_notebook.display.table import Column, Table
from hs_notebook.errors import UsageError
try:
    Table("", (Column("a"),), ()).to_dataframe()
except UsageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "pandas is not installed. Install it, or use as_dicts().\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (Decimal("1E+1"), "10"),
        (Decimal("0.0000001"), "0.0000001"),
        (1234567, "1,234,567"),
        (0, "0"),
        (date(2026, 11, 24), "2026-11-24"),
        ("", ""),
    ],
)
def test_how_a_value_is_shown(value: Any, text: str) -> None:
    assert Column("a").show(value) == text
