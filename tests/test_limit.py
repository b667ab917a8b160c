"""A limit on the cost of one call: before it is sent, and while its answer arrives."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.errors import BudgetError
from hs_notebook.pricing.book import PriceBook
from hs_notebook.pricing.limit import Limit, limit_for, longest_answer, most_sent
from hs_notebook.pricing.price import RELAY, Price
from hs_notebook.pricing.quotes import Quotes
from hs_notebook.types import (
    ChatCompletionChunk,
    ChatRequest,
    ChoiceDelta,
    ChunkChoice,
    FunctionCall,
    ToolCall,
)

ROW = Price(
    seller=RELAY,
    model="m",
    kind="vendor_claim",
    source="a test",
    effective_from=date.min,
    checked_on=date(2026, 11, 24),
    input=Decimal(2),
    output=Decimal(8),
    largest_output=1000,
)


def limit(usd: str, *, sent: int = 1000, longest: int | None = None) -> Limit:
    return Limit(Decimal(usd), ROW, sent=sent, longest=longest)


def chunk(text: str = "", **parts: Any) -> ChatCompletionChunk:
    return ChatCompletionChunk([ChunkChoice(ChoiceDelta(text or None, **parts))])


@pytest.mark.parametrize(
    ("usd", "longest", "streaming", "said"),
    [
        ("0.006", 500, True, None),
        ("0.005999", 500, True, r"may cost \$0\.006000, above the limit of \$0\.005999; nothing was sent"),
        ("0.002008", None, True, None),
        ("0.002007", None, True, r"may cost \$0\.002008, above the limit of \$0\.002007"),
        ("0.010", None, False, None),
        ("0.009999", None, False, r"may cost \$0\.01, above the limit of \$0\.009999"),
        ("0", 1, True, r"above the limit of \$0;"),
    ],
)
def test_before_sending(usd: str, longest: int | None, streaming: bool, said: str | None) -> None:
    checked = limit(usd, longest=longest)
    if said is None:
        checked.check(streaming=streaming)
        return
    with pytest.raises(BudgetError, match=said):
        checked.check(streaming=streaming)


@pytest.mark.parametrize(
    ("usd", "longest", "worst"),
    [("1", 100, "0.0028"), ("0.001", 100, "0.001"), ("1", None, "0.010"), ("0.009", None, "0.009")],
)
def test_the_most_that_it_may_cost(usd: str, longest: int | None, worst: str) -> None:
    """Where no length is asked for it is the model's longest answer."""
    assert limit(usd, longest=longest).worst == Decimal(worst)


@pytest.mark.parametrize(
    ("longest", "largest", "usd"), [(100, None, "0.0028"), (None, 1000, "0.010"), (None, None, "0.002")]
)
def test_what_a_call_may_have_cost_that_was_not_answered(
    longest: int | None, largest: int | None, usd: str
) -> None:
    row = msgspec.structs.replace(ROW, largest_output=largest)
    asked = Limit(Decimal(1), row, sent=1000, longest=longest)
    assert asked.unanswered == Decimal(usd)
    assert Limit(Decimal("0.001"), row, sent=1000, longest=longest).unanswered == Decimal("0.001")


def test_what_is_left_of_a_limit() -> None:
    rest = Limit(Decimal("0.0001"), ROW, sent=1000, of=Decimal("0.0101"))
    with pytest.raises(BudgetError, match=r"above the \$0\.0001 left of the limit of \$0\.0101; nothing was"):
        rest.check(streaming=True)


def test_an_answer_in_one_piece_needs_a_length() -> None:
    row = msgspec.structs.replace(ROW, largest_output=None)
    with pytest.raises(BudgetError, match=r"in one piece cannot be held to the limit of .* Give max_tokens"):
        Limit(Decimal(1), row, sent=1).check(streaming=False)


def test_while_the_answer_arrives() -> None:
    arriving = limit("0.0021")  # room for 12 tokens after the input
    assert not arriving.reached([chunk("a")] * 11)
    assert arriving.reached([chunk("a")])


MANY = "word " * 20


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (1, {"content": MANY}),
        (1, {"refusal": MANY}),
        (
            1,
            {
                "tool_calls": [
                    ToolCall(function=FunctionCall("f")),
                    ToolCall(function=FunctionCall(None, MANY)),
                ]
            },
        ),
        (1, {"tool_calls": [ToolCall(function=FunctionCall(MANY))]}),
        (12, {"reasoning_content": "hm"}),
        (12, {"tool_calls": [ToolCall()]}),
    ],
)
def test_all_that_is_billed_counts(number: int, parts: dict[str, Any]) -> None:
    """A delta has one token or more, and each of its parts as many as are in it."""
    assert limit("0.0021").reached([ChatCompletionChunk([ChunkChoice(ChoiceDelta(**parts))])] * number)
    assert not limit("0.0021").reached([ChatCompletionChunk([ChunkChoice(ChoiceDelta(role="x"))])] * number)


@given(st.integers(0, 10**7), st.decimals("0.000001", "10", places=6))
def test_the_room_is_what_fits(sent: int, usd: Decimal) -> None:
    room = Limit(usd, ROW, sent=sent).room
    spent = (sent * 2 + room * 8) / Decimal(1_000_000)
    assert spent <= usd or room == 0
    assert spent + Decimal("0.000008") > usd


@pytest.mark.parametrize(
    ("params", "longest"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": 100, "max_completion_tokens": 1}, 100),
        ({"max_tokens": -5}, None),
        ({"max_tokens": 5, "n": -1}, 5),
        ({"max_tokens": "many"}, None),
    ],
)
def test_the_longest_answer(params: dict[str, Any], longest: int | None) -> None:
    request = ChatRequest.of("m", [{"role": "user", "content": "x"}], params)
    assert longest_answer(request) == longest


def test_no_limit_without_a_price() -> None:
    request = ChatRequest.of("m", [{"role": "user", "content": "x"}])
    with pytest.raises(BudgetError, match=r"price of m at HolySheep is unknown, so the limit of \$1\.00"):
        limit_for(request, Quotes(PriceBook([]), RELAY), Decimal(1))
    with pytest.raises(BudgetError, match=r"price of m at a\.host is unknown.* with seller 'a\.host'"):
        limit_for(request, Quotes(PriceBook([ROW]), "a.host"), Decimal(1))


def test_what_goes_along_counts() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "word " * 1000}}]
    alone = ChatRequest.of("m", [{"role": "user", "content": "x"}])
    laden = ChatRequest.of("m", [{"role": "user", "content": "x"}], {"tools": tools, "temperature": 1})
    assert most_sent(laden) > most_sent(alone) + 1000


def test_an_answer_with_alternatives_in_one_piece() -> None:
    request = ChatRequest.of("m", [{"role": "user", "content": "x"}], {"n": 10})
    with pytest.raises(BudgetError, match=r"may cost \$0\.09, above the limit of \$0\.05"):
        limit_for(request, Quotes(PriceBook([ROW]), RELAY), Decimal("0.05")).check(streaming=False)


def test_an_estimate_cuts_no_answer_short_whose_length_is_bound() -> None:
    bound = limit("0.0061", longest=500)
    assert not bound.reached([chunk("word " * 1000)])
    assert bound.reached([chunk("a")] * 600)


def test_what_came_unseen_is_told() -> None:
    assert limit("1").passed(Decimal(1)) == ""
    assert limit("1").passed(Decimal(2)).startswith("came to $2.00, above the limit of $1.00: what is not")


@pytest.mark.parametrize(
    ("content", "dearer"), [([{"cache_control": {"type": "ephemeral"}}], True), ('cache_control":', False)]
)
def test_what_is_written_to_a_cache_may_be_dearer(content: Any, dearer: bool) -> None:
    row = msgspec.structs.replace(ROW, input=Decimal(2), cache_write=Decimal("2.5"))
    messages = [{"role": "user", "content": "word " * 1000}, {"role": "user", "content": content}]
    request = ChatRequest.of("m", messages, {"max_tokens": 1})
    plain, dear = (
        limit_for(request, Quotes(PriceBook([one]), RELAY), Decimal(1)).worst for one in (ROW, row)
    )
    output = Decimal(8) / 10**6
    assert dear - output == (plain - output) * (Decimal("1.25") if dearer else 1)
