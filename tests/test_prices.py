"""The price book: the right row for every spelling and every day, and nothing unknown as a number."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hs_notebook.errors import ConfigurationError
from hs_notebook.prices import load_book
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.files import builtin, own_rows, read_book, user_hosts, user_rows
from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import AMOUNTS, ARTICLE, RELAY, Price

if TYPE_CHECKING:
    from pathlib import Path

DAY = date(2026, 11, 24)
ARTICLE_DAY = date(2026, 11, 23)


def row(model: str = "m", **fields: object) -> Price:
    usual: dict[str, object] = {
        "seller": "S",
        "kind": "third_party",
        "source": "a test",
        "effective_from": date(2026, 1, 1),
        "checked_on": DAY,
        "output": Decimal(1),
    }
    return Price(model=model, **(usual | fields))  # type: ignore[arg-type]


def find(model: str, seller: str = "OpenAI", at: date = DAY) -> str | None:
    price = builtin().find(model, seller, at)
    return price.model if price else None


# Names


@pytest.mark.parametrize(
    "spelling",
    [
        "gpt-4.1",
        "gpt-4-1",
        "GPT-4.1",
        " gpt-4.1 ",
        "openai/gpt-4.1",
        "relay/openai/gpt-4.1",
        "gpt-4.1-2025-04-14",
        "gpt-4.1-20250414",
        "gpt-4.1-latest",
    ],
)
def test_spellings_of_one_model(spelling: str) -> None:
    assert find(spelling) == "gpt-4.1"


@pytest.mark.parametrize(
    ("model", "seller", "found"),
    [
        ("claude-sonnet-4-5-20250929", "Anthropic", "claude-sonnet-4.5"),
        ("anthropic/claude-sonnet-4.5", RELAY, "claude-sonnet-4.5"),
        ("deepseek-chat", RELAY, "deepseek-v3.2"),
        ("deepseek/deepseek-chat", RELAY, "deepseek-v3.2"),
        ("deepseek-v3-2", RELAY, "deepseek-v3.2"),
        ("gpt-4.1-mini", "OpenAI", None),
        ("gpt-4", "OpenAI", None),
        ("gpt-4.11", "OpenAI", None),
        ("gpt-4.1-2025", "OpenAI", None),
        ("claude-sonnet-4", "Anthropic", None),
        ("deepseek-v3", RELAY, None),
        ("", "OpenAI", None),
        ("gpt-4.1", "Anthropic", None),
        ("gpt-4.1", "", None),
        ("gpt-4.1", "openai", None),
    ],
)
def test_other_models_and_sellers_are_others(model: str, seller: str, found: str | None) -> None:
    assert find(model, seller) == found


# Days

FIRST = row(effective_to=date(2026, 6, 1), output=Decimal(1))
SECOND = row(effective_from=date(2026, 6, 1), effective_to=date(2026, 9, 1), output=Decimal(2))
DATED = PriceBook([FIRST, SECOND])
ENDED = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("at", "output", "last"),
    [
        (date(2025, 12, 31), None, None),
        (date(2026, 1, 1), 1, 1),
        (date(2026, 5, 31), 1, 1),
        (date(2026, 6, 1), 2, 2),
        (date(2026, 8, 31), 2, 2),
        (date(2026, 9, 1), None, 2),
        (date.max, None, 2),
    ],
)
def test_a_price_begins_on_its_day_and_ends_the_day_before(
    at: date, output: int | None, last: int | None
) -> None:
    found, known = DATED.find("m", "S", at), DATED.last_known("m", "S", at)
    assert (found and found.output) == output
    assert (known and known.output) == last


@pytest.mark.parametrize(("sent", "output"), [(0, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_long_calls_have_their_own_rows(sent: int, output: int) -> None:
    book = PriceBook([row(context_over=over, output=Decimal(n)) for n, over in ((3, 200), (1, 0), (2, 100))])
    price = book.find("m", "S", DAY, input_tokens=sent)
    assert price is not None
    assert price.output == output


def test_the_official_price_is_the_last_known() -> None:
    book = builtin()
    ended = book.official("deepseek-v3.2", DAY)
    assert ended is not None
    assert (ended.seller, ended.output, ended.holds(DAY)) == ("DeepSeek", Decimal("0.42"), False)
    assert book.official("deepseek-v3.2", date(2025, 9, 28)) is None
    assert book.official("no-such-model", DAY) is None


def test_the_official_price_of_a_long_call() -> None:
    rows = [
        row(kind="official", effective_to=ENDED, output=Decimal(1)),
        row(kind="official", effective_to=ENDED, context_over=100, output=Decimal(2)),
        row(seller="T", kind="third_party", context_over=100, output=Decimal(9)),
    ]
    book = PriceBook(rows)
    for at in (date(2026, 2, 1), DAY):  # while it holds, and when it has ended
        for sent, output in ((0, 1), (100, 1), (101, 2)):
            listed, last = (
                book.official("m", at, input_tokens=sent),
                book.last_known("m", "S", at, input_tokens=sent),
            )
            assert (listed and listed.output, last and last.output) == (output, output)


def test_a_longer_call_s_row_holds_beside_a_newer_one() -> None:
    book = PriceBook([row(context_over=100, output=Decimal(3)), SECOND])
    price = book.find("m", "S", date(2026, 7, 1), input_tokens=101)
    assert price is not None
    assert price.output == 3


def test_a_user_s_price_at_the_maker_is_not_the_official_list() -> None:
    own = own_rows([{"model": "gpt-4.1", "seller": "OpenAI", "input": 1, "output": 5}], "mine.toml", DAY)
    book = builtin().with_rows(own)
    paid, listed = book.find("gpt-4.1", "OpenAI", DAY), book.official("gpt-4.1", DAY)
    assert paid is not None
    assert (paid.kind, paid.output) == ("user", 5)
    assert listed == builtin().official("gpt-4.1", DAY)


# A user's rows


def test_a_user_s_row_wins_and_what_it_leaves_out_stands() -> None:
    own = own_rows([{"model": "GPT-4-1", "seller": "OpenAI", "output": 5}], "mine.toml", DAY)
    price = builtin().with_rows(own).find("gpt-4.1", "OpenAI", DAY)
    assert price is not None
    assert (price.kind, price.output, price.input, price.cache_read) == ("user", 5, 2, Decimal("0.5"))
    assert (price.largest_output, price.retires_on) == (32_768, date(2027, 1, 14))
    assert price.source.startswith("mine.toml; input, cache_read: official list")


def test_a_user_s_row_wins_over_a_newer_one_of_ours_and_over_tiers() -> None:
    rows = [row(kind="user", output=Decimal(9)), SECOND, row(context_over=100, output=Decimal(3))]
    price = PriceBook(rows).find("m", "S", date(2026, 7, 1), input_tokens=500)
    assert price is not None
    assert price.output == 9


def test_a_user_s_row_holds_on_its_days_alone() -> None:
    book = PriceBook([FIRST, row(kind="user", effective_from=date(2026, 3, 1), output=Decimal(7))])
    prices = [book.find("m", "S", at) for at in (date(2026, 2, 28), date(2026, 3, 1))]
    assert [price and price.output for price in prices] == [1, 7]


def test_the_first_of_a_user_s_rows_wins_and_the_next_complete_it() -> None:
    """Rows of `%config` stand before those of the file."""
    given = own_rows([{"model": "gpt-4.1", "seller": "OpenAI", "input": 2}], "%config", DAY)
    dated = {"model": "gpt-4.1", "seller": "OpenAI", "effective_from": date(2026, 1, 1)}
    kept = own_rows([dated | {"input": 9, "output": 7}], "mine.toml", DAY)
    price = builtin().with_rows([*given, *kept]).find("gpt-4.1", "OpenAI", DAY)
    assert price is not None
    assert (price.input, price.output, price.cache_read) == (2, 7, Decimal("0.5"))
    assert price.source.startswith("%config; output: mine.toml; cache_read: official list")


def test_a_user_s_row_for_long_calls_is_for_long_calls() -> None:
    rows = [{"model": "m", "output": 1}, {"model": "m", "output": 2, "context_over": 100}]
    for ordered in (rows, rows[::-1]):
        book = PriceBook(own_rows(ordered, "mine.toml", DAY))
        found = [book.find("m", RELAY, DAY, input_tokens=sent) for sent in (100, 101)]
        assert [price and price.output for price in found] == [1, 2]


def test_a_user_s_row_of_an_unknown_model_stands_alone() -> None:
    own = own_rows([{"model": "house-llm", "input": 0, "output": "0.25"}], "mine.toml", DAY)
    price = builtin().with_rows(own).find("house-llm", RELAY, DAY)
    assert price is not None
    assert (price.input, price.output, price.cache_read) == (0, Decimal("0.25"), None)


def test_a_book_is_not_changed_by_another_s_rows() -> None:
    before = tuple(builtin())
    builtin().with_rows([row("gpt-4.1", seller="OpenAI", kind="user")])
    assert tuple(builtin()) == before


def test_an_amount_keeps_its_digits() -> None:
    price = user_rows('[[price]]\nmodel = "m"\ninput = 0.10000000000000000001', "p", DAY)[0]
    assert str(price.input) == "0.10000000000000000001"


# prices.toml

# As the shared table has it, of each seller: input, cache read, cache write, output.
SHARED = {
    (RELAY, "gpt-4.1"): (None, None, None, "8.00"),
    (RELAY, "claude-sonnet-4.5"): (None, None, None, "15.00"),
    (RELAY, "gemini-2.5-flash"): (None, None, None, "2.50"),
    (RELAY, "deepseek-v3.2"): (None, None, None, "0.42"),
    (ARTICLE, "gpt-4.1"): (None, None, None, "60.00"),
    (ARTICLE, "claude-sonnet-4.5"): (None, None, None, "45.00"),
    (ARTICLE, "gemini-2.5-flash"): (None, None, None, "10.00"),
    (ARTICLE, "deepseek-v3.2"): (None, None, None, "2.00"),
    ("OpenAI", "gpt-4.1"): ("2.00", "0.50", None, "8.00"),
    ("Anthropic", "claude-sonnet-4.5"): ("3.00", "0.30", "3.75", "15.00"),
    ("Google", "gemini-2.5-flash"): ("0.30", "0.03", None, "2.50"),
    ("DeepSeek", "deepseek-v3.2"): ("0.28", "0.028", None, "0.42"),
}
LARGEST = {
    "gpt-4.1": 32_768,
    "claude-sonnet-4.5": 64_000,
    "gemini-2.5-flash": 65_536,
    "deepseek-v3.2": 8_192,
}


def test_our_rows_are_those_of_the_table() -> None:
    ours = {
        (price.seller, price.model): tuple(
            None if (amount := getattr(price, name)) is None else str(amount) for name in AMOUNTS
        )
        for price in builtin()
        if not price.context_over
    }
    assert ours == SHARED
    kinds = {price.seller: price.kind for price in builtin()}
    assert {seller for seller, kind in kinds.items() if kind == "vendor_claim"} == {RELAY, ARTICLE}
    assert set(kinds.values()) == {"vendor_claim", "official"}


def test_every_row_says_where_it_comes_from() -> None:
    for price in builtin():
        assert price.source.strip()
        assert date(2025, 1, 1) < price.effective_from <= price.checked_on <= DAY
        assert price.seller == ARTICLE or price.largest_output == LARGEST[price.model]
        assert price.seller == ARTICLE or price.retires_on


def test_the_ended_row_has_its_days() -> None:
    ended = [price for price in builtin() if price.effective_to]
    assert [(price.seller, price.model, price.effective_from, price.effective_to) for price in ended] == [
        ("DeepSeek", "deepseek-v3.2", date(2025, 9, 29), date(2026, 7, 24))
    ]


def test_no_two_rows_hold_at_once() -> None:
    assert [pair for pair in combinations(builtin(), 2) if overlap(*pair)] == []
    assert overlap(FIRST, row())
    assert not overlap(FIRST, SECOND)


def overlap(one: Price, other: Price) -> bool:
    return (
        (one.seller, one.context_over) == (other.seller, other.context_over)
        and bool(one.names & other.names)
        and one.effective_from < (other.effective_to or date.max)
        and other.effective_from < (one.effective_to or date.max)
    )


def test_a_seller_is_known_by_its_host() -> None:
    hosts = ["api.openai.com", "API.HolySheep.ai", "localhost", "127.0.0.1", "example.org", ""]
    assert [builtin().seller_of(host) for host in hosts] == ["OpenAI", RELAY, RELAY, RELAY, "", ""]


def test_speeds_are_the_article_s() -> None:
    speeds = {model: builtin().speed(model) for model in LARGEST}
    assert {m: s and (str(s.ttft), str(s.tokens_per_second), s.kind) for m, s in speeds.items()} == {
        "gpt-4.1": ("0.420", "68", "vendor_claim"),
        "claude-sonnet-4.5": ("0.380", "72", "vendor_claim"),
        "gemini-2.5-flash": ("0.180", "145", "vendor_claim"),
        "deepseek-v3.2": ("0.095", "198", "vendor_claim"),
    }
    assert builtin().speed("no-such-model") is None


def test_unknown_is_none_and_never_0() -> None:
    relay = [price for price in builtin() if price.seller in {RELAY, ARTICLE}]
    assert Counter(price.input for price in relay) == {None: 8}
    assert all(getattr(price, name) != 0 for price in builtin() for name in AMOUNTS)


# Warnings


@pytest.mark.parametrize(
    ("price", "at", "warning"),
    [
        (row(), DAY, ""),
        (row(), DAY + timedelta(60), ""),
        (row(), DAY + timedelta(61), "The price of m at S was last checked 61 days ago."),
        (row(retires_on=date(2026, 12, 25)), DAY, ""),
        (row(retires_on=date(2026, 12, 24)), DAY, "m retires on 2026-12-24, in 30 days."),
        (row(retires_on=date(2026, 11, 26)), DAY, "m retires on 2026-11-26, in 2 days."),
        (
            row(retires_on=DAY),
            DAY,
            "m was to retire on 2026-11-24: who answers now may cost something else.",
        ),
        (row(retires_on=date(2027, 2, 1)), date(2027, 1, 30), "m retires on 2027-02-01, in 2 days."),
    ],
)
def test_warnings(price: Price, at: date, warning: str) -> None:
    assert price.warning(at) == warning


def test_what_warns_today() -> None:
    warned = {(price.seller, price.model) for price in builtin() if price.warning(DAY)}
    near = {"claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"}
    assert warned == {key for key in SHARED if key[1] in near and key[0] != ARTICLE}


# Files that are wrong

GOOD = '[[price]]\nmodel = "m"\noutput = 1\n'
WRONG = {
    "no TOML": ("model gpt-4.1", "mine.toml is no TOML"),
    "no month": (GOOD + "effective_from = 2026-13-01", "mine.toml is no TOML"),
    "given twice": (GOOD + "output = 2", "mine.toml is no TOML"),
    "half a string": ('[[price]]\nmodel = "m', "mine.toml is no TOML"),
    "one table": ('[price]\nmodel = "m"\noutput = 1', "mine.toml: the prices are not a list of rows."),
    "a number": ("price = 8", "mine.toml: the prices are not a list of rows."),
    "numbers": ("price = [8]", "mine.toml: price 1 is no table of names and values."),
    "another list": (GOOD.replace("price", "prices"), "mine.toml: nothing is called 'prices' here."),
    "another name": (GOOD + "ouput = 2", "mine.toml: price 1: nothing is called 'ouput'."),
    "no model": ("[[price]]\noutput = 1", "mine.toml: price 1: Object missing required field `model`."),
    "empty model": (GOOD.replace('"m"', '" "'), "mine.toml: price 1: model or seller is empty."),
    "empty seller": (GOOD + 'seller = ""', "mine.toml: price 1: model or seller is empty."),
    "model no text": (GOOD.replace('"m"', "4.1"), "mine.toml: price 1: Expected `str`"),
    "no amount": ('[[price]]\nmodel = "m"', "mine.toml: price 1 (m) names no amount."),
    "finer than anything": (
        GOOD + "input = 1e-5000000",
        "mine.toml: price 1 (m): input = 1E-5000000 is no price",
    ),
    "nothing, finely": (
        GOOD + "input = 0e-5000000",
        "mine.toml: price 1 (m): input = 0E-5000000 is no price",
    ),
    "not checked yet": (
        GOOD + "checked_on = 2999-01-01",
        "mine.toml: price 1: checked_on = 2999-01-01 is yet to come.",
    ),
    "a long number": (
        GOOD + f"input = '{'9' * 5000}'",
        f"mine.toml: price 1 (m): input = {'9' * 57}... is no price",
    ),
    "a long name": (GOOD + f"{'x' * 5000} = 1", f"mine.toml: price 1: nothing is called '{'x' * 56}...."),
    "a long model": (
        GOOD.replace('"m"', f'"{"m" * 5000}"') + "input = -1",
        f"mine.toml: price 1 ({'m' * 60}): input",
    ),
    "below 0": (GOOD + "input = -0.01", "mine.toml: price 1 (m): input = -0.01 is no price"),
    "absurd": (GOOD + "input = 1000001", "mine.toml: price 1 (m): input = 1000001 is no price"),
    "infinite": (GOOD + "input = inf", "mine.toml: price 1 (m): input = Infinity is no price"),
    "not a number": (GOOD + "cache_read = nan", "mine.toml: price 1 (m): cache_read = NaN is no price"),
    "in words": (GOOD + 'input = "cheap"', "mine.toml: price 1: Invalid decimal string"),
    "true": (GOOD + "input = true", "mine.toml: price 1: Expected `decimal | null`, got `bool`"),
    "no date": (GOOD + 'effective_from = "soon"', "mine.toml: price 1: Invalid RFC3339 encoded date"),
    "an hour": (GOOD + "checked_on = 2026-01-01T00:00:00", "mine.toml: price 1: Expected `date`"),
    "ends at once": (
        GOOD + "effective_from = 2026-01-01\neffective_to = 2026-01-01",
        "mine.toml: price 1 (m): effective_to is not after effective_from.",
    ),
    "one alias": (GOOD + 'aliases = "n"', "mine.toml: price 1: Expected `array`"),
    "half a token": (GOOD + "largest_output = 1.5", "mine.toml: price 1: Expected `int | null`"),
    "fewer than none": (GOOD + "context_over = -1", "mine.toml: price 1 (m): context_over is below 0."),
    "digits": (GOOD + "input = " + "9" * 5000, "mine.toml holds a number out of all bounds."),
    "an exponent": (GOOD + "input = 1e99999999999999999999", "mine.toml holds a number out of all bounds."),
    "depth": ("price = " + "[" * 5000, "mine.toml is nested too deeply."),
    "two lines": (GOOD.replace('"m"', '"a\\nb"') + "input = 1", "mine.toml: price 1: a name or the source"),
    "the second": (GOOD + "[[price]]\nmodel = 'n'", "mine.toml: price 2 (n) names no amount."),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_in_one_line(name: str) -> None:
    text, message = WRONG[name]
    with pytest.raises(ConfigurationError) as caught:
        user_rows(text, "mine.toml", DAY)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_may_name_who_sells_at_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a relay of one's own under a name of its own."""
    file = tmp_path / "mine.toml"
    file.write_text('[seller]\nHolySheep = ["Relay.example.org"]\n', encoding="utf-8")
    monkeypatch.setenv("HOLYSHEEP_PRICES", str(file))
    book = load_book()
    hosts = ("relay.example.org", "127.0.0.1", "example.org")
    assert [book.seller_of(host) for host in hosts] == ["HolySheep", "HolySheep", ""]
    assert book.find("gpt-4.1", RELAY, DAY) == builtin().find("gpt-4.1", RELAY, DAY)


@pytest.mark.parametrize("text", ["seller = 1", "[seller]\nHolySheep = 'relay'", "[seller]\nHolySheep = [1]"])
def test_a_seller_that_cannot_be_meant_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^mine\.toml: seller: Expected .*It looks like \[seller\]"):
        user_hosts(text, "mine.toml")


def test_a_price_may_be_checked_where_the_day_has_begun() -> None:
    (price,) = own_rows([{"model": "m", "output": 1, "checked_on": DAY + timedelta(1)}], "p", DAY)
    assert price.checked_on > DAY
    with pytest.raises(ConfigurationError, match="is yet to come"):
        own_rows([{"model": "m", "output": 1, "checked_on": DAY + timedelta(2)}], "p", DAY)


KEYS = st.sampled_from([*Price.__struct_fields__, "price", "x"])
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(),
        st.dates(),
        st.datetimes(),
        st.binary(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner), st.tuples(inner)),
)


def only_configuration_errors(rows: object) -> None:
    try:
        for price in own_rows(rows, "mine", DAY):
            assert price.kind == "user"
            assert any(getattr(price, name) is not None for name in AMOUNTS)
    except ConfigurationError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right


@given(rows=st.one_of(VALUES, st.lists(st.dictionaries(KEYS | st.text(), VALUES))))
def test_whatever_stands_in_rows(rows: object) -> None:
    only_configuration_errors(rows)


@given(
    text=st.one_of(
        st.text(),
        st.text('[]="price.modlnut0123456789-_#\n \\e+{}'),
        st.lists(st.sampled_from([text for text, _ in WRONG.values()])).map("\n".join),
    )
)
@example(text="[[price]]\nmodel='m'\ninput=1e9999999999999999999999")
def test_whatever_stands_in_a_file(text: str) -> None:
    try:
        user_rows(text, "mine.toml", DAY)
    except ConfigurationError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right


def test_our_own_file_is_held_to_the_same_rules() -> None:
    whole = GOOD + 'seller = "S"\nkind = "official"\nsource = "a test"\n'
    whole += "effective_from = 2026-01-01\nchecked_on = 2026-01-01\n"
    assert [price.output for price in read_book(whole, "ours")] == [1]
    with pytest.raises(ConfigurationError, match=r"^ours: price 2 \(m\): output = -1 is no price"):
        read_book(whole + whole.replace("output = 1", "output = -1"), "ours")
    with pytest.raises(ConfigurationError, match=r"^ours: Object missing required field"):
        read_book(GOOD, "ours")
    with pytest.raises(ConfigurationError, match="unknown field"):
        read_book("[[prices]]\n", "ours")


@given(model=st.text())
def test_a_plain_name_is_plain(model: str) -> None:
    plain = plain_name(model)
    assert "." not in plain
    assert "/" not in plain


# Cost of loading

LOADING = """
import sys, time, types
package = types.ModuleType("hs_notebook")  # without the rest of it
package.__path__ = [sys.argv[1]]
sys.modules["hs_notebook"] = package
import hs_notebook.types, pkgutil, importlib
import hs_notebook.pricing
begun = time.process_time()
for module in pkgutil.iter_modules(hs_notebook.pricing.__path__):
    importlib.import_module("hs_notebook.pricing." + module.name)
hs_notebook.pricing.files.builtin()
print(time.process_time() - begun)
"""


def test_the_layer_loads_in_30_ms() -> None:
    """All its modules and the book, over the value types that the package has anyway."""
    import hs_notebook

    command = [sys.executable, "-c", LOADING, hs_notebook.__path__[0]]
    times = [
        float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
        for _ in range(5)
    ]
    assert min(times) < 0.030
