"""What is tried again, and after how long; with dice that are told how to fall."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    InsufficientBalanceError,
    ProtocolError,
    StreamTruncatedError,
    UpstreamError,
    status_error,
)
from hs_notebook.wire.retry import RetryPolicy, is_temporary, retry_after

POLICY = RetryPolicy()
BUSY = status_error(503)("busy", status_code=503)


def final() -> APIStatusError:
    error = status_error(503)("not again", status_code=503)
    error.final = True
    return error


def asked(seconds: float) -> APIStatusError:
    error = status_error(429)("slow down", status_code=429)
    error.retry_after = seconds
    return error


@pytest.mark.parametrize(
    ("status", "temporary"),
    [(status, True) for status in (408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)]
    + [(status, False) for status in (300, 307, 400, 401, 402, 403, 404, 405, 410, 413, 422, 505, 519, 525)],
)
def test_statuses(status: int, *, temporary: bool) -> None:
    assert is_temporary(status_error(status)("x", status_code=status)) is temporary


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (APIConnectionError("refused"), True),
        (APIConnectionError("unknown host", temporary=False), False),
        (APITimeoutError("late"), True),
        (InsufficientBalanceError("quota", status_code=429), False),
        (final(), False),
        (ProtocolError("html"), False),
        (UpstreamError("frame"), False),
        (StreamTruncatedError("cut"), False),
    ],
)
def test_errors(error: APIError, *, temporary: bool) -> None:
    assert is_temporary(error) is temporary


def test_full_jitter_doubles_up_to_the_cap() -> None:
    policy = RetryPolicy(attempts=9, total=1000)
    longest = [policy.wait(BUSY, attempt=number, waited=0, chance=lambda: 1.0) for number in range(1, 9)]
    assert longest == [1, 2, 4, 8, 16, 30, 30, 30]
    assert [policy.wait(BUSY, attempt=number, waited=0, chance=lambda: 0.0) for number in (1, 8)] == [0, 0]
    assert policy.wait(BUSY, attempt=3, waited=0, chance=lambda: 0.25) == 1


def test_attempts_end() -> None:
    assert POLICY.wait(BUSY, attempt=4, waited=0) is not None
    assert POLICY.wait(BUSY, attempt=5, waited=0) is None
    assert RetryPolicy(attempts=1).wait(BUSY, attempt=1, waited=0) is None


def test_what_is_final_is_not_tried_again() -> None:
    assert POLICY.wait(ProtocolError("html"), attempt=1, waited=0) is None


@pytest.mark.parametrize(
    ("seconds", "waited", "wait"),
    [(0, 0, 0), (7, 0, 7), (60, 0, 60), (61, 0, None), (30, 30, 30), (31, 30, None)],
)
def test_retry_after_is_obeyed_within_the_total(seconds: float, waited: float, wait: float | None) -> None:
    assert POLICY.wait(asked(seconds), attempt=1, waited=waited, chance=lambda: 1.0) == wait


@pytest.mark.parametrize(
    ("seconds", "waited", "said"),
    [
        (math.nan, 59, ""),
        (60, 0, ""),
        (30, 30, ""),
        (31, 30, "It asks to wait 31 s, and 30 s of 60 are left."),
        (61, 0, "It asks to wait 61 s."),
        (61, 30, "It asks to wait 61 s."),
    ],
)
def test_a_wait_that_is_too_long_is_told(seconds: float, waited: float, said: str) -> None:
    assert POLICY.too_long(asked(seconds), waited=waited) == said


@given(
    chances=st.lists(st.floats(0, 1), min_size=10, max_size=10),
    asked_for=st.lists(st.just(math.nan) | st.floats(0, 70), min_size=10, max_size=10),
    attempts=st.integers(1, 9),
)
def test_never_more_than_promised(chances: list[float], asked_for: list[float], attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    waited, number = 0.0, 1
    for chance, seconds in zip(chances, asked_for, strict=True):
        wait = policy.wait(asked(seconds), attempt=number, waited=waited, chance=lambda chance=chance: chance)
        if wait is None:
            break
        assert wait >= 0
        waited, number = waited + wait, number + 1
    assert number <= attempts
    assert waited <= 60


NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, None, 7),
        ({"retry-after": " 1.5 "}, None, 1.5),
        ({"retry-after": "0"}, None, 0),
        ({"retry-after-ms": "250"}, None, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, None, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, None, 9),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, None, 30),
        ({"retry-after": "Mon, 23 Nov 2026 13:00:30 +0100"}, None, 30),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, None, 30),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, None, 0),
        # The server's clock counts, not ours: a day fast, a day slow, and one that tells nothing.
        (
            {"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "Mon, 23 Nov 2026 12:00:20 GMT"},
            None,
            10,
        ),
        (
            {"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT", "date": "Tue, 24 Nov 2026 12:00:20 GMT"},
            None,
            10,
        ),
        (
            {"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": "Sun, 22 Nov 2026 12:00:20 GMT"},
            None,
            10,
        ),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "soon"}, None, 30),
        ({}, {"error": {"retry_after": 4}}, 4),
        ({}, {"error": {"retry_after": "4.5"}}, 4.5),
        ({"retry-after": "3"}, {"error": {"retry_after": 4}}, 3),
        ({"retry-after": "-3"}, {"error": {"retry_after": 4}}, 4),
    ],
)
def test_retry_after(headers: dict[str, str], body: Any, seconds: float) -> None:
    assert retry_after(headers, body, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "1e99", "soon", "9999999999", "Mon, 99 Foo", "1,5", "0x5"]
)
def test_retry_after_nonsense(text: str) -> None:
    assert math.isnan(retry_after({"retry-after": text}))
    assert math.isnan(retry_after({"retry-after-ms": f"{text}000" if text == "9999999999" else text}))
    assert math.isnan(retry_after({}, {"error": {"retry_after": text}}))


@pytest.mark.parametrize("body", [None, [], "x", {"error": "x"}, {"error": {"retry_after": None}}])
def test_retry_after_of_other_bodies(body: Any) -> None:
    assert math.isnan(retry_after({}, body))


@pytest.mark.parametrize("value", [[], {}, [5], {"a": 1}, 10**400])
def test_retry_after_of_other_types(value: Any) -> None:
    assert math.isnan(retry_after({}, {"error": {"retry_after": value}}))


@given(text=st.text(max_size=40) | st.from_regex(r"\A\w{3}, \d{1,3} \w{3} \d{1,5} [\d:]{5,8} [+-]?\w{1,5}\Z"))
def test_retry_after_of_anything(text: str) -> None:
    seconds = retry_after({"retry-after": text})
    assert math.isnan(seconds) or 0 <= seconds <= 31 * 86_400
