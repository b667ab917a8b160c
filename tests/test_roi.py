"""The calculator's arithmetic: every number of the vectors, and what must hold for all scenarios."""

from __future__ import annotations

import decimal
import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_notebook.calculator import PRESETS, roi, roi_of
from hs_notebook.display.calculator import figures
from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.pricing import formulas
from hs_notebook.pricing.catalog import catalog, read_catalog
from hs_notebook.pricing.files import builtin, own_rows
from hs_notebook.pricing.formulas import Amounts
from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.price import ARTICLE, RELAY
from hs_notebook.pricing.report import Report, numbers
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import LIMITS, Scenario, problems, scenario_of

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.pricing.book import PriceBook

AT = date(2026, 11, 24)
GPT, SONNET, FLASH, DEEPSEEK = "gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"
D = Decimal


def report(**inputs: Any) -> Report:
    return evaluate(scenario_of(builtin(), **inputs), builtin(), AT)


def digits(number: Decimal | None, expected: str) -> bool:
    """Tell whether a number begins with these digits and goes on."""
    return number is not None and f"{number:f}".startswith(expected) and len(f"{number:f}") > len(expected)


# The vectors of roi-formulas.md


@pytest.mark.parametrize(
    ("cached", "written", "call", "month"),
    [(".75", "0", "0.0237", "1185"), ("0", "0", "0.048", "2400"), (".75", ".25", "0.02595", "1297.5")],
)
def test_v1_cache(cached: str, written: str, call: str, month: str) -> None:
    shares = {"cached_share": D(cached), "cache_write_share": D(written)}
    found = report(calls=50_000, input_tokens=12_000, output_tokens=800, now={SONNET: 1}, **shares)
    assert found.call_now == D(call)
    assert found.month_now == D(month)


def test_v2_two_models_at_official_prices() -> None:
    found = report(seller="official")
    assert (found.month_now, found.month_then, found.saving) == (600, 49, 551)
    assert digits(found.saving_share, "0.918333333333333333")
    assert found.year_saving == 6612
    assert report(seller="official", then={GPT: 0.2, DEEPSEEK: 0.8}).month_then == D("159.20")
    assert digits(report(growth=0.05).year_now, "9550.2759122655")


@pytest.mark.parametrize(
    ("now", "reference", "year_saving"),
    [(DEEPSEEK, "article", 1_896_000), (DEEPSEEK, "official", 0), (GPT, "official", 9_096_000)],
)
def test_v3_the_articles_example(now: str, reference: str, year_saving: int) -> None:
    found = report(input_tokens=0, output_tokens=1_000_000, now={now: 1}, reference=reference)
    assert found.month_then == 42_000
    assert found.year_saving == year_saving


def test_v3_says_what_the_article_leaves_out() -> None:
    found = roi("article")
    assert (found.saving, found.year_saving) == (158_000, 1_896_000)
    assert (found.reference_effect, found.model_effect, found.relay_effect) == (158_000, 0, 0)
    assert found.limits.feasible is False
    assert found.limits.problems[0] == "193 streams needed, 5 allowed"
    assert found.limits.problems[1:] == (
        "deepseek-v3.2 answers with 8,192 tokens at most, 1,000,000 asked",
        "deepseek-v3.2 takes 5,051 s for an answer, the limit is 1,800 s",
    )
    assert found.capped_month == D("344.064")  # 100,000 answers of 8,192 tokens
    assert found.limits.possible_calls == 100_000


def test_v4_retries() -> None:
    made = formulas.attempts(D("0.05"), D(3))
    assert (made.success, made.tries) == (D(".99999375"), D("1.052625"))
    assert made.failed == made.tries - made.success
    found = report(error_rate=0.05, retries=3)
    assert found.call_now == D(".0062104875")
    assert found.month_now == D("621.04875")


def test_v5_payback() -> None:
    assert formulas.payback(D(5000), D(551) - 51, D(0)) == 10
    assert digits(formulas.payback(D(5000), D(500), D("0.05")), "8.31038622")
    found = report(seller="official", running_cost=51, switching_cost=5000)
    assert (found.net, found.payback_months, found.roi_12_months) == (500, 10, D("0.2"))
    grown = report(seller="official", running_cost=51, switching_cost=5000, growth=0.05)
    assert digits(grown.payback_months, "8.31038622")
    assert report(seller="official", running_cost=199).break_even_calls == 36_117


def test_v6_feasibility() -> None:
    found = report(input_tokens=0, output_tokens=1_000_000).limits
    assert found.models[0].seconds is not None
    assert found.models[0].seconds.quantize(D("0.001")) == D("5050.600")
    assert (found.streams, found.feasible) == (193, False)
    found = report(then={GPT: 1}).limits
    assert found.models[0].seconds is not None
    assert found.calls_a_minute is not None
    assert found.models[0].seconds.quantize(D("0.001")) == D("7.773")
    assert found.calls_a_minute.quantize(D("0.001")) == D("38.595")
    assert found.feasible is True


def test_v7_top_up() -> None:
    factor = formulas.relay_factor(D(0), D(0), D(1), D("7.3"))
    assert digits(factor, "0.136986301")
    assert digits(8 * factor, "1.09589041")
    found = report(input_tokens=0, then={GPT: 1}, top_up=True)
    assert found.relay_share is not None
    assert digits(100 * found.relay_share, "86.3013698")
    assert found.relay_effect == found.top_up_effect == found.saving


def test_the_articles_savings_column_is_true_of_its_own_reference_alone() -> None:
    claims = report().claims
    assert {one.model: round(100 * (one.claimed or 0)) for one in claims} == {
        GPT: 87, SONNET: 67, FLASH: 75, DEEPSEEK: 79,
    }  # fmt: skip
    assert [one.official for one in claims] == [0, 0, 0, 0]


# What is unknown


def test_an_unknown_input_price_is_no_zero() -> None:
    found = report()
    assert found.month_then is None
    assert found.saving is None
    assert found.payback_months is None
    assert found.output_then == 21
    assert found.output_saving == 379
    assert found.basis == "output"
    assert found.model_effect == 379


def test_the_official_input_price_can_stand_in_and_is_marked() -> None:
    found = report(assume_official_input=True)
    assert (found.month_then, found.assumed, found.basis) == (49, True, "all")
    assert report(assume_official_input=True, input_tokens=0).assumed is False
    assert report(assume_official_input=True, seller="official").assumed is False


def test_a_users_own_input_price_needs_no_assumption() -> None:
    own = builtin().with_rows(own_rows([{"model": DEEPSEEK, "input": D("0.14")}], "prices.toml", AT))
    found = roi_of({"assume_official_input": True}, own, AT)
    assert found.month_then == 14 + 21
    assert found.assumed is False


def test_models_that_only_the_user_knows() -> None:
    rows = [
        {"model": "house-model", "output": D(1), "input": D(0)},
        {"model": "elsewhere", "seller": "Some <seller>", "output": D(2)},
    ]
    book = builtin().with_rows(own_rows(rows, "prices.toml", AT))
    found = roi_of({"then": {"house-model": 1}}, book, AT)
    assert found.month_then == 50
    assert found.official_then is None
    assert found.relay_effect is None
    assert found.limits.feasible is None  # nobody measured its speed
    assert roi_of({"then": {"elsewhere": 1}}, book, AT).output_then is None
    listed = catalog(book, AT)
    assert listed["models"][:2] == ["house-model", "elsewhere"]
    assert [row["model"] for row in listed["rows"]][:2] == ["house-model", GPT]


def own(*rows: dict[str, Any]) -> PriceBook:
    return builtin().with_rows(own_rows(list(rows), "prices.toml", AT))


def test_a_user_s_price_is_no_official_list() -> None:
    found = roi_of({}, own({"model": GPT, "seller": "OpenAI", "input": 1, "output": 1}), AT)
    assert (found.month_now, found.output_now) == (600, 400)
    assert figures(found.report).text["now-price"] == figures(report()).text["now-price"]


@pytest.mark.parametrize("aliases", [[GPT], [GPT, SONNET], [SONNET, "openai/gpt-4-1"]])
def test_a_name_of_one_s_own_takes_no_price_away(aliases: list[str]) -> None:
    book = own({"model": "my-gpt", "aliases": aliases, "input": 1})
    found = read_catalog(book, AT)
    assert set(found.models) == {GPT, SONNET, FLASH, DEEPSEEK}
    for model in found.models:
        before = read_catalog(builtin(), AT).offer(model, "official")
        assert found.offer(model, "official") == before
    assert [
        offer.price.input
        for name in (GPT, "my-gpt")
        if (offer := found.offer(found.names[plain_name(name)], "relay"))
    ] == [1, 1]
    assert roi_of({"now": {"my-gpt": 1}}, book, AT).output_now == report(now={aliases[0]: 1}).output_now
    assert (
        roi_of({"now": {GPT: 0.5, SONNET: 0.5}}, book, AT).month_now
        == report(now={GPT: 0.5, SONNET: 0.5}).month_now
    )


def test_a_price_under_any_name_of_a_model_is_its_price() -> None:
    book = own(
        {"model": "mine", "aliases": ["yours"], "seller": "elsewhere", "output": 9},
        {"model": "yours", "output": 1},
    )
    assert roi_of({"then": {"mine": 1}}, book, AT).output_then == 50


def test_a_price_that_has_ended_says_so() -> None:
    found = report(seller="official")
    assert [offer and offer.ended for offer in found.then_offers] == [date(2026, 7, 24)]
    assert found.then_offers[0] is not None
    assert found.then_offers[0].label == "official list · checked 2026-11-23, ended 2026-07-24"


def test_long_input_has_its_own_price() -> None:
    found = report(calls=1, input_tokens=200_001, output_tokens=0, now={SONNET: 1})
    assert found.month_now == D("1.200006")
    assert report(calls=1, input_tokens=200_000, output_tokens=0, now={SONNET: 1}).month_now == D("0.6")


def test_a_batch_is_cheaper_only_where_it_is_said_to_be() -> None:
    found = report(batch_share=1, assume_official_input=True)
    assert (found.month_now, found.month_then) == (300, 49)
    assert {row["seller"]: row["batch_discount"] for row in catalog(builtin(), AT)["rows"]} == {
        "OpenAI": "0.5", "Anthropic": "0.5", "Google": "0.5", "DeepSeek": "0", RELAY: "0", ARTICLE: "0",
    }  # fmt: skip


def test_an_unknown_price_of_the_cache_is_the_one_of_the_input() -> None:
    price = Amounts(input=D(2), output=D(8))
    assert formulas.input_cost(D(1000), D(".5"), D(".25"), price) == D("0.002")
    assert formulas.input_cost(D(1000), D(1), D(0), Amounts(cache_read=D(1))) == D("0.001")
    assert formulas.input_cost(D(1000), D(".5"), D(0), Amounts(cache_read=D(1))) is None
    assert formulas.input_cost(D(0), D(0), D(0), Amounts()) == 0


# Feasibility


def test_limits_that_are_not_the_streams() -> None:
    many = report(calls=4_000_000, then={FLASH: 1}, seller="official").limits
    assert many.problems == ("6 streams needed, 5 allowed", "92 calls a minute needed, 60 allowed")
    assert many.possible_calls == 60 * 60 * D("730.5")
    slow = report(output_tokens=6000, timeout=60, then={GPT: 1}).limits
    assert slow.problems == ("gpt-4.1 takes 88.66 s for an answer, the limit is 60 s",)
    assert slow.models[0].allowed_output == 4051
    mixed = report(then={GPT: 0.5, FLASH: 0.5}, calls=1_000_000).limits
    assert mixed.streams == 3
    assert [one.streams for one in mixed.models] == [2, 1]


def test_retries_need_streams_too() -> None:
    assert report(then={GPT: 1}, calls=1_000_000).limits.streams == 3
    assert report(then={GPT: 1}, calls=1_000_000, error_rate=0.5, retries=20).limits.streams == 6


# Sensitivity and chance


def test_the_widest_swing_comes_first() -> None:
    found = report(assume_official_input=True, error_rate=0.05, retries=3, growth=0.05, top_up=True).swings
    assert {swing.input for swing in found} == {
        "calls", "input_tokens", "output_tokens", "error_rate", "growth", "local_per_usd",
    }  # fmt: skip
    assert [swing.width for swing in found] == sorted((swing.width for swing in found), reverse=True)
    calls = found[0]
    assert calls.input == "calls"
    assert calls.base == found[1].base
    assert calls.low == pytest.approx(calls.base * D("0.8"), rel=D("1e-20"))
    assert calls.high == pytest.approx(calls.base * D("1.2"), rel=D("1e-20"))


def test_what_cannot_matter_has_no_swing() -> None:
    assert [s.input for s in report(cached_share=0.5).swings] == ["calls", "output_tokens"]  # output alone
    moved = report(cached_share=0.5, seller="official").swings
    assert {s.input for s in moved} == {"calls", "input_tokens", "output_tokens", "cached_share"}


def test_moved_inputs_stay_what_they_may_be() -> None:
    found = report(cached_share=0.9, cache_write_share=0.1, error_rate=0.99, retries=20, seller="official")
    assert all(swing.low is not None for swing in found.swings)
    cached = next(swing for swing in found.swings if swing.input == "cached_share")
    assert cached.high == cached.base  # there is no more to read from the cache


def test_chance_leaves_a_range_around_the_answer() -> None:
    found = report(seller="official")
    chances = found.chances
    assert chances.then_p5 < chances.then_p50 < chances.then_p95  # type: ignore[operator]
    assert chances.saving_p5 < D(551) < chances.saving_p95  # type: ignore[operator]
    sure = report(seller="official", uncertainty=0).chances
    assert sure.then_p5 == sure.then_p95 == 49


# All scenarios

SHARES = st.decimals(0, 1, places=3)
MIXES = st.sampled_from(
    [{GPT: D(1)}, {DEEPSEEK: D(1)}, {SONNET: D("0.3"), FLASH: D("0.7")}, {GPT: D("0.2"), DEEPSEEK: D("0.8")}]
)
SCENARIOS = st.builds(
    Scenario,
    calls=st.decimals(0, 10_000_000, places=1),
    input_tokens=st.decimals(0, 300_000, places=1),
    output_tokens=st.decimals(0, 20_000, places=1),
    cached_share=st.decimals(0, D("0.5"), places=3),
    cache_write_share=st.decimals(0, D("0.5"), places=3),
    batch_share=SHARES,
    now=MIXES,
    then=MIXES,
    reference=st.sampled_from(["official", "article"]),
    seller=st.sampled_from(["official", "relay"]),
    assume_official_input=st.booleans(),
    growth=SHARES,
    error_rate=st.decimals(0, D("0.99"), places=3),
    retries=st.integers(0, 20).map(D),
    switching_cost=st.decimals(0, 100_000, places=2),
    running_cost=st.decimals(0, 10_000, places=2),
    top_up=st.booleans(),
    local_per_usd=st.decimals(D("0.1"), 100, places=3),
    markup=SHARES,
    top_up_fee=SHARES,
)


@settings(deadline=None, max_examples=60)
@given(scenario=SCENARIOS)
def test_the_parts_of_a_saving_add_up_exactly(scenario: Scenario) -> None:
    found = evaluate(scenario, builtin(), AT)
    with decimal.localcontext(decimal.Context(prec=64, traps=[decimal.Inexact])):
        parts = (found.reference_effect, found.model_effect, found.relay_effect)
        total = found.saving if found.basis == "all" else found.output_saving
        if total is not None:
            assert sum(part for part in parts if part is not None) == total
            assert None not in parts
    assert (found.saving is None) == (found.month_now is None or found.month_then is None)
    if scenario.seller == "official" or not (scenario.top_up or scenario.batch_share):
        assert found.relay_effect in {0, None}  # at list prices the relay saves nothing
    assert json.loads(json.dumps(numbers(found)))["saving"] is None or found.basis == "all"


@settings(deadline=None, max_examples=20)
@given(scenario=SCENARIOS)
def test_the_users_decimal_context_changes_nothing(scenario: Scenario) -> None:
    found = evaluate(scenario, builtin(), AT)
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        assert evaluate(scenario, builtin(), AT) == found


def test_the_largest_scenario_there_may_be() -> None:
    most = {name: limit.high for name, limit in LIMITS.items()}
    most |= {"cache_write_share": D(0), "local_per_usd": LIMITS["local_per_usd"].low, "batch_share": D(0)}
    found = report(**most, now={SONNET: 1}, then={GPT: 1}, top_up=True, assume_official_input=True)
    assert found.saving is not None
    assert found.saving < 0
    assert found.chances.saving_p5 is not None
    assert figures(found).text["saving"].startswith("-$")


# Bad input


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"calls": -1}, {"calls": "must be a number from 0 to 1,000,000,000"}),
        ({"calls": float("nan")}, {"calls": "must be a number"}),
        ({"calls": float("inf")}, {"calls": "must be a number"}),
        ({"calls": D("sNaN")}, {"calls": "must be a number"}),
        ({"calls": "100"}, {"calls": "must be a number"}),
        ({"calls": True}, {"calls": "must be a number"}),
        ({"retries": 1.5}, {"retries": "must be a whole number from 0 to 20"}),
        ({"error_rate": 1}, {"error_rate": "must be a number from 0 to 0.99"}),
        ({"local_per_usd": 0}, {"local_per_usd": "must be a number from 0.0001 to 1,000,000"}),
        ({"timeout": 0}, {"timeout": "must be above 0 and at most 1,000,000"}),
        ({"cached_share": 1.01}, {"cached_share": "must be a number from 0 to 1"}),
        (
            {"cached_share": 0.6, "cache_write_share": 0.5},
            {"cache_write_share": "and cached_share must not sum to more than 1"},
        ),
        ({"now": {GPT: 0.5}}, {"now": "has shares that sum to 0.5, not 1"}),
        ({"now": {"gpt-5": 1}}, {"now": "names gpt-5, of which no price is known"}),
        (
            {"now": {GPT: -1, DEEPSEEK: 2}},
            {"now": "has a share of gpt-4.1 that must be a number from 0 to 1"},
        ),
        ({"now": {}}, {"now": "names no model"}),
        ({"now": GPT}, {"now": "must give each model a share"}),
        ({"now": {1: 1}}, {"now": "must give each model a share"}),
        ({"seller": []}, {"seller": "must be relay or official"}),
        ({"top_up": "no"}, {"top_up": "must be true or false"}),
        ({"then": {GPT: 1 / 3, SONNET: 1 / 3, FLASH: 1 / 3}}, {}),
    ],
)
def test_problems(inputs: dict[str, Any], expected: dict[str, str]) -> None:
    assert problems(inputs, builtin()) == expected
    if expected:
        field, problem = next(iter(expected.items()))
        with pytest.raises(UsageError, match=f"^{field} = ") as raised:
            scenario_of(**inputs)
        assert problem in str(raised.value)
        assert "\n" not in str(raised.value)


WHATEVER: list[dict[str, Any]] = [
    {"calls": 10**5000},
    {"now": {GPT: 10**5000}},
    {"now": {"gpt\n4": 1}},
    {"now": {GPT: 1, "gpt-4.1\n": 2}},
    {"now": {"g" * 5000: 1}},
    {"now": {GPT: D("1e-5000000")}},
    {"top_up": np.array([1, 2])},
    {"seller": np.array(["relay", "relay"])},
    {"calls": np.array([1, 2])},
    {"calls": Fraction(10**500)},
    {"x" * 5000: 1},
]


@pytest.mark.parametrize("inputs", WHATEVER, ids=range(len(WHATEVER)))
def test_whatever_is_given_is_refused_in_one_short_line(inputs: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as raised:
        roi(**inputs)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 600


def test_inputs_are_given_by_name() -> None:
    for wrong in ({"calls": 1}, 5, [GPT]):
        with pytest.raises(UsageError, match=r"^A preset is a name\. Inputs are given by theirs"):
            roi(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number", [np.float64(5), np.int64(5), np.uint8(5), np.float32(5), Fraction(5), D(5)], ids=repr
)
def test_numbers_of_other_kinds_are_numbers(number: Any) -> None:
    """As from the mean of a column."""
    found = roi(calls=number, seller="official")
    assert found.as_json() == roi(calls=5, seller="official").as_json()
    assert roi(calls=np.float64(0.1)).scenario.calls == D("0.1")


def test_all_problems_are_found_in_the_order_of_the_inputs() -> None:
    bad = dict.fromkeys(LIMITS, -1) | {"now": None, "then": None, "reference": 0, "seller": 0, "top_up": 2}
    assert list(problems(bad, builtin())) == [
        name for name in Scenario.__struct_fields__ if name != "assume_official_input"
    ]


def test_a_mistyped_input_is_named() -> None:
    with pytest.raises(UsageError, match=r"no input 'call'\. Did you mean calls\?"):
        roi(call=3)
    with pytest.raises(UsageError, match="There are article, chat,"):
        roi("chatt")


# In Python


def test_the_user_s_own_prices_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[price]]\nmodel = "deepseek-v3.2"\ninput = 0.14\n')
    monkeypatch.setenv("HOLYSHEEP_PRICES", str(file))
    assert roi().month_then == 14 + 21
    rows = [{"model": DEEPSEEK, "input": 0.28}, {"model": "house-model", "input": 0, "output": 1}]
    assert roi(prices=rows).month_then == 28 + 21
    assert roi(then={"house-model": 1}, prices=rows).month_then == 50
    with pytest.raises(ConfigurationError, match="names no amount"):
        roi(prices=[{"model": "house-model"}])


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_as_python_makes_the_same_again(preset: str | None) -> None:
    found = roi(preset)
    again = eval(found.as_python(), {"roi": roi})
    assert again.scenario == found.scenario
    assert again.as_json() == found.as_json()


def test_as_python_says_what_differs_alone() -> None:
    assert roi().as_python() == "roi()"
    assert roi(growth=0.05, calls=D("12.50")).as_python() == "roi(calls=12.5, growth=0.05)"


def test_json_is_exact_and_link_free() -> None:
    text = roi("mix").as_json()
    found = json.loads(text)
    assert found["scenario"]["error_rate"] == 0.05
    assert found["results"]["month_now"] == "621.04875"
    assert "//" not in text
    assert json.loads(roi().as_json())["results"]["saving"] is None


def test_results_are_attributes() -> None:
    found = roi("chat")
    assert found.saving == 551
    assert "saving" in dir(found)
    with pytest.raises(AttributeError):
        _ = found.savings
