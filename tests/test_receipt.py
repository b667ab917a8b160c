"""A receipt in words: nothing unknown is a number, nothing estimated looks exact."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from IPython.lib.pretty import pretty

from hs_notebook.answers import Cost, Receipt
from hs_notebook.display.receipt import line
from hs_notebook.pricing.names import same_model
from hs_notebook.types import ChatCompletionChunk, ChoiceDelta, ChunkChoice, Usage

USAGE = Usage(prompt_tokens=1234, completion_tokens=56, total_tokens=1290)
COUNTED = "gpt-4.1 · 1,234 in, 56 out · first token 420 ms · 68 tokens/s · 12.3 s"
KNOWN = {
    "request_model": "gpt-4.1",
    "response_model": "gpt-4.1",
    "usage": USAGE,
    "ttft": 0.4204,
    "duration": 12.34,
    "tokens_per_second": 68.4,
}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, f"{COUNTED} · cost unknown"),
        (
            {"simulated": True, "costs": Cost(input=Decimal("0.0023"), output=Decimal("0.004"))},
            f"{COUNTED} · $0.006300 · simulated",
        ),
        (
            {"costs": Cost(output=Decimal("0.0123"))},
            f"{COUNTED} · $0.01 (output only, input unknown)",
        ),
        (
            {"costs": Cost(output=Decimal(2), low=Decimal(1), high=Decimal(3))},
            f"{COUNTED} · ≈$2.00 (output only, input unknown)",
        ),
        (
            {
                "usage": Usage(
                    prompt_tokens=9,
                    completion_tokens=5,
                    estimated=True,
                    method="a count",
                    input_low=0.5,
                    input_high=1.2,
                    output_low=0.5,
                    output_high=1.2,
                )
            },
            COUNTED.replace("1,234 in, 56 out", "≈9 in, ≈5 out (estimated −50/+20 %, a count)")
            + " · cost unknown",
        ),
        (
            {"costs": Cost(output=Decimal(0))},
            f"{COUNTED} · cost unknown",
        ),
        (
            {
                "costs": Cost(
                    input=Decimal(0), output=Decimal("1234.5"), low=Decimal("617.25"), high=Decimal("1481.4")
                )
            },
            f"{COUNTED} · ≈$1,234.50",
        ),
        (
            {"ttft": math.nan, "tokens_per_second": math.nan, "duration": 0.0561},
            "gpt-4.1 · 1,234 in, 56 out · 56 ms · cost unknown",
        ),
        (
            {
                "replayed": True,
                "costs": Cost.nothing(),
                "ttft": math.nan,
                "tokens_per_second": math.nan,
                "duration": math.nan,
            },
            "gpt-4.1 · 1,234 in, 56 out · $0 · replayed",
        ),
        (
            {"usage": Usage(prompt_tokens=9, completion_tokens=5, estimated=True), "duration": math.nan},
            "gpt-4.1 · ≈9 in, ≈5 out (estimated) · first token 420 ms · 68 tokens/s · unknown · cost unknown",
        ),
    ],
)
def test_line(changes: dict[str, object], text: str) -> None:
    assert line(Receipt(**(KNOWN | changes))) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "answered", "text"),
    [
        ("gpt-4.1", "gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14 ·"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929 ·"),
        ("GPT-4.1", "gpt-4-1", "gpt-4-1 ·"),
        ("openai/gpt-4.1", "gpt-4.1", "gpt-4.1 ·"),
        ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-mini (asked for gpt-4.1) ·"),
        ("gpt-5.5", "gpt-4.1", "gpt-4.1 (asked for gpt-5.5) ·"),
        ("gpt-4.1", "", "gpt-4.1 (the relay did not say which model answered) ·"),
    ],
)
def test_the_model_that_answered_comes_first(asked: str, answered: str, text: str) -> None:
    receipt = Receipt(**(KNOWN | {"request_model": asked, "response_model": answered}))  # type: ignore[arg-type]
    assert line(receipt).startswith(text)


def test_another_model_is_never_taken_for_the_same() -> None:
    names = [
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4",
        "gpt-5.4",
        "claude-opus-4-6",
        "claude-opus-4",
        "deepseek-v3.2",
    ]
    same = {(one, other) for one in names for other in names if same_model(one, other)}
    assert same == {(name, name) for name in names}


def test_in_metadata_what_is_unknown_is_null() -> None:
    assert Receipt(request_model="m").as_dict() == {
        "request_model": "m",
        "response_model": "",
        "state": "complete",
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
            "estimated": False,
            "method": "",
            "input_low": 1.0,
            "input_high": 1.0,
            "output_low": 1.0,
            "output_high": 1.0,
        },
        "ttft": None,
        "duration": None,
        "tokens_per_second": None,
        "cost": None,
        "costs": {
            "input": None,
            "output": None,
            "low": None,
            "high": None,
            "seller": "",
            "kind": "",
            "source": "",
            "checked_on": None,
        },
        "finish_reason": None,
        "simulated": False,
        "replayed": False,
        "note": "",
        "response_id": "",
    }


def test_ipython_shows_what_is_known_a_field_a_line() -> None:
    receipt = Receipt(
        request_model="gpt-4.1", usage=USAGE, ttft=0.25, note="cut at the largest number of tokens"
    )
    assert pretty(receipt).splitlines() == [
        "Receipt(",
        "    request_model='gpt-4.1',",
        "    usage=Usage(prompt_tokens=1234, completion_tokens=56, total_tokens=1290),",
        "    ttft=0.25,",
        "    note='cut at the largest number of tokens')",
    ]
    assert pretty(Cost()) == "Cost()"
    chunk = ChatCompletionChunk([ChunkChoice(ChoiceDelta("hi"))])
    assert pretty(chunk) == "ChatCompletionChunk(choices=[ChunkChoice(delta=ChoiceDelta(content='hi'))])"
