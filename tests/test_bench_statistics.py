"""Quantiles, shares and their intervals: known values, and what must hold for all."""

from __future__ import annotations

import math
import statistics
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_notebook.benchmarking.statistics import (
    Interval,
    median,
    newcombe,
    quantile,
    quantile_interval,
    ratio_of_medians,
    wilson,
)

values = st.lists(st.floats(0.001, 1000), min_size=1, max_size=60)
shares = st.floats(0, 1)
counted = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("sample", "share", "found"),
    [
        ([1, 2, 3, 4], 0.5, 2.5),
        ([4, 1, 3], 0.5, 3),
        ([7], 0.95, 7),
        (list(range(1, 101)), 0.95, 95.05),
        (list(range(1, 101)), 0.05, 5.95),
    ],
)
def test_quantiles(sample: list[float], share: float, found: float) -> None:
    assert quantile(sample, share) == pytest.approx(found)


def test_of_nothing_nothing_is_known() -> None:
    assert math.isnan(median([]))
    assert quantile_interval([], 0.5) == Interval(None, None)
    assert wilson(0, 0) == Interval(0, 1)
    assert newcombe(0, 0, 1, 2) == Interval(-1, 1)


@given(values, shares)
def test_a_quantile_lies_among_the_values_and_in_its_interval(sample: list[float], share: float) -> None:
    found = quantile(sample, share)
    assert min(sample) <= found <= max(sample)
    if share == 0.5:
        assert found == pytest.approx(statistics.median(sample))
    low, high = quantile_interval(sample, 0.5)
    assert low is None or low <= median(sample)
    assert high is None or median(sample) <= high


# The ranks are those of the tables of order statistics: of 100, the 40th and the 61st.
@pytest.mark.parametrize(
    ("number", "share", "low", "high"),
    [
        (5, 0.5, None, None),
        (6, 0.5, 1, 6),
        (10, 0.5, 2, 9),
        (20, 0.5, 6, 15),
        (100, 0.5, 40, 61),
        (71, 0.95, 63, None),
        (72, 0.95, 64, 72),
        (72, 0.05, 1, 9),
    ],
)
def test_intervals_of_quantiles(number: int, share: float, low: int | None, high: int | None) -> None:
    assert quantile_interval(list(range(number, 0, -1)), share) == Interval(low, high)


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    random = Random(1)
    held = sum(
        quantile_interval([random.expovariate(1) for _ in range(25)], 0.5).holds(math.log(2))
        for _ in range(1000)
    )
    assert 940 <= held <= 985  # 0.957 by reckoning; an interval of ranks is never below 0.95


@pytest.mark.parametrize(
    ("count", "number", "low", "high"),
    [
        (0, 100, 0, 0.0370),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1),
        (2, 1000, 0.00055, 0.00726),
    ],
)
def test_wilson(count: int, number: int, low: float, high: float) -> None:
    assert wilson(count, number) == pytest.approx((low, high), abs=0.00005)


@given(counted)
def test_a_share_lies_in_its_interval_and_that_in_0_to_1(seen: tuple[int, int]) -> None:
    low, high = wilson(*seen)
    assert low is not None
    assert high is not None
    assert 0 <= low <= seen[0] / seen[1] <= high <= 1
    mirrored = wilson(seen[1] - seen[0], seen[1])
    assert mirrored == pytest.approx((1 - high, 1 - low))


# Newcombe's own examples, 1998, table II, method 10.
@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe(one: tuple[int, int], other: tuple[int, int], low: float, high: float) -> None:
    assert newcombe(*one, *other) == pytest.approx((low, high), abs=0.00006)


@given(counted, counted)
def test_a_difference_lies_in_its_interval_and_turns_with_its_sides(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    low, high = newcombe(*one, *other)
    assert low is not None
    assert high is not None
    assert -1 - 1e-9 <= low <= one[0] / one[1] - other[0] / other[1] <= high <= 1 + 1e-9
    assert newcombe(*other, *one) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("number", "others"), [(100, 100), (31, 40), (11, 7)])
def test_the_ratio_of_medians_is_what_drawing_all_values_gives(number: int, others: int) -> None:
    random = Random(2)
    above = [random.lognormvariate(0, 0.2) for _ in range(number)]
    below = [random.lognormvariate(0.1, 0.3) for _ in range(others)]
    drawn = sorted(
        statistics.median(random.choices(above, k=number))
        / statistics.median(random.choices(below, k=others))
        for _ in range(2000)
    )
    low, high = ratio_of_medians(above, below)
    assert (low, high) == pytest.approx((quantile(drawn, 0.025), quantile(drawn, 0.975)), rel=0.03)


@settings(max_examples=12, deadline=None)
@given(values.filter(lambda sample: len(sample) >= 6), st.floats(0.1, 10))
def test_a_ratio_grows_with_its_values_and_comes_out_the_same_each_time(
    sample: list[float], times: float
) -> None:
    low, high = ratio_of_medians([times * value for value in sample], sample)
    assert low is not None
    assert high is not None
    assert low <= times * (1 + 1e-9)
    assert times <= high * (1 + 1e-9)
    assert ratio_of_medians([times * value for value in sample], sample) == (low, high)


@pytest.mark.parametrize(("number", "others"), [(0, 0), (1, 2), (5, 100), (100, 5)])
def test_a_ratio_of_too_few_is_open(number: int, others: int) -> None:
    assert ratio_of_medians([1.0] * number, [2.0] * others) == Interval(None, None)


@pytest.mark.parametrize("number", [2, 3, 5, 6, 7, 12])
def test_equal_runs_are_seldom_called_different(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In about one of 20: of 300, 27 would be above by four standard deviations."""
    monkeypatch.setattr("hs_notebook.benchmarking.statistics.DRAWS", 400)  # for time
    random = Random(number)

    def run() -> list[float]:
        return [random.lognormvariate(0, 0.3) for _ in range(number)]

    assert sum(not ratio_of_medians(run(), run(), seed=seed).holds(1.0) for seed in range(300)) <= 30
