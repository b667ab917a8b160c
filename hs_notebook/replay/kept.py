"""One kept answer: a line of the file, and what stands for its question."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Answer, Cost, Receipt
from hs_notebook.pricing.money import money
from hs_notebook.types import FunctionCall, State, ToolCall, Usage
from hs_notebook.wire.ending import CUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.types import ChatRequest


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file: the answer to the question that `key` stands for.

    `when` it was asked is a date and time in UTC; `cost` is what it cost then, in USD, None where unknown.
    """

    key: str
    when: str
    model: str
    text: str
    state: State = "complete"
    finish_reason: str | None = None
    usage: Usage = Usage()
    response_model: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    alternatives: tuple[str, ...] = ()
    simulated: bool = False
    cost: Decimal | None = None

    @classmethod
    def of(cls, key: str, answer: Answer, scrub: Callable[[str], str]) -> KeptAnswer:
        """Return what is kept of an answer; `scrub` takes the API's key out of a text."""

        def clean(text: str) -> str:
            return scrub(text).encode("utf-8", "replace").decode()  # half a surrogate pair is no UTF-8

        receipt = answer.receipt
        return cls(
            key=key,
            when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            model=clean(receipt.request_model),
            text=clean(answer.text),
            state=receipt.state,
            finish_reason=receipt.finish_reason and clean(receipt.finish_reason),
            usage=receipt.usage,
            response_model=clean(receipt.response_model),
            reasoning=clean(answer.reasoning),
            tool_calls=tuple(_cleaned(call, clean) for call in answer.tool_calls),
            alternatives=tuple(map(clean, answer.alternatives)) if len(answer.alternatives) > 1 else (),
            simulated=receipt.simulated,
            cost=receipt.cost,
        )

    def line(self) -> bytes:
        """Return it as a line of the file."""
        return msgspec.json.encode(self) + b"\n"


def _cleaned(call: ToolCall, clean: Callable[[str], str]) -> ToolCall:
    function = FunctionCall(*(text and clean(text) for text in (call.function.name, call.function.arguments)))
    return msgspec.structs.replace(call, id=call.id and clean(call.id), function=function)


def key_of(request: ChatRequest, occurrence: int = 0) -> str:
    """Return what stands for a question: a SHA-256 of its JSON with sorted names, as hexadecimal digits.

    `occurrence` counts the same question among its likes, where each is to have an answer of its own.
    """
    asked = json.loads(request.body(stream=False, usage=False))
    del asked["stream"]
    if occurrence:
        asked["occurrence"] = occurrence
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def replayed(kept: KeptAnswer, request: ChatRequest, note: str = "") -> Answer:
    """Return the answer that was kept to a request, with a receipt that says so."""
    cost = f" for {money(kept.cost)}" if kept.cost is not None and not kept.simulated else ""
    cut = CUT.get(kept.finish_reason or "", "") if kept.state == "truncated" else ""
    receipt = Receipt(
        request_model=request.model,
        response_model=kept.response_model,
        state=kept.state,
        usage=kept.usage,
        costs=Cost.nothing(),
        finish_reason=kept.finish_reason,
        simulated=kept.simulated,
        replayed=True,
        note="; ".join(filter(None, (cut, f"asked on {kept.when[:10]}{cost}", note))),
    )
    return Answer(
        kept.text,
        receipt,
        messages=request.messages,
        reasoning=kept.reasoning,
        tool_calls=kept.tool_calls,
        alternatives=kept.alternatives,
    )
