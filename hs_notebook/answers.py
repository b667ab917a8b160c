"""An answer and its receipt."""

from __future__ import annotations

import json
import math
from datetime import date  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec

from hs_notebook.errors import UsageError
from hs_notebook.fences import code_blocks, json_in
from hs_notebook.types import Shown, State, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


class Cost(Shown, frozen=True, kw_only=True):
    """What a call cost in USD; None is unknown, never 0.

    The price is `seller`'s, of the `kind` that the price book gives it, last checked on `checked_on`.
    `low` and `high` enclose `known` where the tokens are an estimate.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    seller: str = ""
    kind: str = ""
    source: str = ""
    checked_on: date | None = None

    @classmethod
    def nothing(cls) -> Self:
        """Return the cost of what was never sent."""
        return cls(input=Decimal(0), output=Decimal(0))

    @property
    def total(self) -> Decimal | None:
        """All of it, where all is known."""
        return None if self.input is None or self.output is None else self.input + self.output

    @property
    def known(self) -> Decimal | None:
        """The part of it that is known."""
        parts = [part for part in (self.input, self.output) if part is not None]
        return sum(parts, Decimal(0)) if parts else None


class Receipt(Shown, frozen=True, kw_only=True):
    """What one call came to.

    `ttft` (to the first token) and `duration` are seconds since the last attempt began to connect,
    `tokens_per_second` counts output tokens after the first over the time they took; NaN is unknown, as it is
    where that is under 10 ms: what came in one piece was not written so fast.
    `cost` is all of `costs`, in USD; None is unknown, never 0. One that is `replayed` was not asked now: it
    came from a file and costs nothing. `note` says in words what else the reader should know.
    """

    request_model: str
    response_model: str = ""
    state: State = "complete"
    usage: Usage = Usage()
    ttft: float = math.nan
    duration: float = math.nan
    tokens_per_second: float = math.nan
    costs: Cost = Cost()
    finish_reason: str | None = None
    simulated: bool = False
    replayed: bool = False
    note: str = ""
    response_id: str = ""

    @property
    def model(self) -> str:
        """The model that answered, or the one asked for where the relay did not say."""
        return self.response_model or self.request_model

    @property
    def cost(self) -> Decimal | None:
        """The whole cost in USD; None is unknown, or known in part: see `costs`."""
        return self.costs.total

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, as it stands in an output's metadata: unknown is null."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        fields["cost"] = None if self.cost is None else format(self.cost, "f")
        return {name: None if value != value else value for name, value in fields.items()}  # noqa: PLR0124 - NaN


class Answer(str):
    """An answer: it is its text, and knows how it came to be.

    `alternatives` holds the texts of all `n` alternatives, the first of them the answer's own. `parsed` is
    what the text was read into where a schema or JSON was asked for, else None. `shown` is the Markdown of
    its picture where that is not its text, and `picture` the same with the marks of what is ours in it.
    """

    __slots__ = (
        "alternatives",
        "messages",
        "parsed",
        "picture",
        "reasoning",
        "receipt",
        "shown",
        "tool_calls",
    )

    receipt: Receipt
    messages: tuple[dict[str, Any], ...]
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    alternatives: tuple[str, ...]
    parsed: Any
    shown: str
    picture: str

    def __new__(
        cls,
        text: str,
        receipt: Receipt,
        *,
        messages: Sequence[dict[str, Any]] = (),
        reasoning: str = "",
        tool_calls: Sequence[ToolCall] = (),
        alternatives: Sequence[str] = (),
        parsed: Any = None,
        shown: str = "",
        picture: str = "",
    ) -> Self:
        """Bind a text to its receipt; `messages` is what was sent."""
        self = super().__new__(cls, text)
        self.receipt = receipt
        self.messages = (*messages, {"role": "assistant", "content": str(text)})
        self.reasoning = reasoning
        self.tool_calls = tuple(tool_calls)
        self.alternatives = tuple(alternatives) or (str(text),)
        self.parsed = parsed
        self.shown = shown
        self.picture = picture
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the values it was made of."""
        kept = partial(
            type(self),
            messages=self.messages[:-1],
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
            alternatives=self.alternatives,
            parsed=self.parsed,
            shown=self.shown,
            picture=self.picture,
        )
        return kept, (self.text, self.receipt)

    @property
    def text(self) -> str:
        """The answer as a plain `str`."""
        return str.__str__(self)

    @property
    def state(self) -> State:
        """How it ended."""
        return self.receipt.state

    @property
    def usage(self) -> Usage:
        """Its tokens."""
        return self.receipt.usage

    @property
    def cost(self) -> Decimal | None:
        """What it cost in USD; None is unknown. `receipt.costs` holds its parts."""
        return self.receipt.cost

    @property
    def model(self) -> str:
        """The model that answered, or the one asked for where the relay did not say."""
        return self.receipt.model

    @property
    def ttft(self) -> float:
        """Seconds to the first token."""
        return self.receipt.ttft

    def end(self, state: State) -> None:
        """Let it have ended otherwise."""
        self.receipt = msgspec.structs.replace(self.receipt, state=state)

    def add_note(self, note: str) -> None:
        """Let the receipt say something more."""
        notes = "; ".join(filter(None, (self.receipt.note, note)))
        self.receipt = msgspec.structs.replace(self.receipt, note=notes)

    def saying(self, text: str) -> Answer:
        """Return the same answer with another text."""
        return Answer(
            text,
            self.receipt,
            messages=self.messages[:-1],
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
            alternatives=self.alternatives if len(self.alternatives) > 1 else (),
            parsed=self.parsed,
        )

    @property
    def code(self) -> str:
        """All code in the answer's Markdown fences, one block below the other; the whole text without any.

        Where blocks say that they are Python it is those alone: others show what it prints, or how to run it.
        """
        found = [fence.code for fence in code_blocks(self.text)]
        return "\n".join(found) if found else self.text

    def json(self) -> Any:
        """Return the text parsed as JSON, taken out of a Markdown fence, also beside words.

        Raises `UsageError` where it is no JSON.
        """
        try:
            return json.loads(json_in(self.text))
        except ValueError as error:
            raise UsageError(f"The answer is not JSON: {error}.") from None


def together(rounds: Sequence[Answer]) -> Answer:
    """Return the last of several answers with a receipt for all of them.

    What a model said before it asked for a function is a part of its answer; what was corrected is not.
    """
    *earlier, last = rounds
    if not earlier:
        return last
    receipts = [answer.receipt for answer in rounds]
    notes = dict.fromkeys(receipt.note for receipt in receipts if receipt.note)
    before = [answer.text for answer in earlier if answer.tool_calls]
    answer = last.saying("\n\n".join(filter(None, (*before, last.text))))
    answer.receipt = msgspec.structs.replace(
        last.receipt,
        usage=_added_usage([receipt.usage for receipt in receipts]),
        costs=_added_costs([receipt.costs for receipt in receipts]),
        ttft=receipts[0].ttft,
        duration=sum(receipt.duration for receipt in receipts),
        tokens_per_second=math.nan,
        replayed=all(receipt.replayed for receipt in receipts),
        note="; ".join([f"{len(rounds)} rounds", *notes]),
    )
    return answer


def _added_usage(usages: Sequence[Usage]) -> Usage:
    guessed = [usage for usage in usages if usage.estimated]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        estimated=bool(guessed),
        method=guessed[-1].method if guessed else "",
        input_low=min(usage.input_low for usage in usages),
        input_high=max(usage.input_high for usage in usages),
        output_low=min(usage.output_low for usage in usages),
        output_high=max(usage.output_high for usage in usages),
    )


def _added_costs(costs: Sequence[Cost]) -> Cost:
    def added(amounts: Sequence[Decimal | None]) -> Decimal | None:
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal(0)) if len(known) == len(amounts) else None

    about = any(cost.low is not None for cost in costs)
    return msgspec.structs.replace(
        costs[-1],
        input=added([cost.input for cost in costs]),
        output=added([cost.output for cost in costs]),
        low=added([cost.known if cost.low is None else cost.low for cost in costs]) if about else None,
        high=added([cost.known if cost.high is None else cost.high for cost in costs]) if about else None,
    )
