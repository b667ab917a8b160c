"""Estimates: plausible, cheap, and never 0 for something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.pricing.tokens import estimate_prompt_tokens, estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("twelve chars", 3),
        ("x" * 4000, 1000),
        ("你好世界", 4),
        ("你好 ab", 3),
        ("é" * 8, 2),
    ],
)
def test_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(text=st.text(min_size=1))
def test_never_nothing_for_something(text: str) -> None:
    assert 1 <= estimate_tokens(text) <= len(text)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("four" * 5, 9),
        ("", 4),
        (None, 4),
        ([{"type": "text", "text": "four"}, {"type": "image_url", "image_url": {"url": "x" * 999}}], 5),
        ([{"type": "text", "text": "four"}, {"type": "text", "text": "fou"}], 6),
    ],
)
def test_prompt(content: Any, tokens: int) -> None:
    assert estimate_prompt_tokens([{"role": "user", "content": content}]) == tokens


def test_prompt_of_several_messages() -> None:
    messages = [{"role": "system", "content": "four"}, {"role": "user", "content": "four"}, {"role": "tool"}]
    assert estimate_prompt_tokens(messages) == 14
    assert estimate_prompt_tokens([]) == 0
