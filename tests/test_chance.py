"""The draws: numpy's PCG64, always the same, and fit for what is made of them."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

import numpy as np
import pytest

from hs_notebook.pricing.chance import (
    DRAWS,
    INCREMENT,
    INPUTS,
    STATE,
    draws,
    pcg64,
    percentile,
    uniform,
)

STATES = [
    (STATE, INCREMENT),
    (0, 1),
    ((1 << 128) - 1, (1 << 128) - 1),
    (0x0123456789ABCDEF << 64, 0xFEDCBA9876543211),
]


def numpys(state: int, increment: int) -> np.random.Generator:
    bits = np.random.PCG64()
    inner = {"state": state, "inc": increment}
    bits.state = {"bit_generator": "PCG64", "state": inner, "has_uint32": 0, "uinteger": 0}
    return np.random.Generator(bits)


@pytest.mark.parametrize(("state", "increment"), STATES)
def test_it_is_numpys_generator(state: int, increment: int) -> None:
    assert list(islice(pcg64(state, increment), 5000)) == [
        int(number) for number in numpys(state, increment).bit_generator.random_raw(5000)
    ]
    assert list(islice(uniform(state, increment), 5000)) == numpys(state, increment).random(5000).tolist()


def test_draw_i_of_input_j_is_number_seven_i_plus_j() -> None:
    numbers = numpys(STATE, INCREMENT).random(DRAWS * len(INPUTS))
    assert draws() == tuple(map(tuple, (2 * numbers - 1).reshape(DRAWS, len(INPUTS)).tolist()))


def test_draws_are_uniform_enough() -> None:
    columns = np.array(draws())
    assert columns.shape == (1000, 7)
    assert columns.min() >= -1
    assert columns.max() < 1
    assert np.abs(columns.mean(axis=0)).max() < 0.06  # three standard errors
    assert np.abs(np.corrcoef(columns.T) - np.eye(7)).max() < 0.1


@pytest.mark.parametrize(("percent", "expected"), [(5, 50), (50, 500), (95, 950), (0, 1), (100, 1000)])
def test_percentile_of_a_thousand(percent: int, expected: int) -> None:
    assert percentile([Decimal(n) for n in range(1, 1001)], percent) == expected


@pytest.mark.parametrize(("percent", "expected"), [(5, 1), (50, 2), (67, 3), (95, 3)])
def test_percentile_is_the_nearest_rank(percent: int, expected: int) -> None:
    assert percentile([Decimal(1), Decimal(2), Decimal(3)], percent) == expected
