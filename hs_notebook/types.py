"""The values that pass between the layers: frozen, slotted, named as OpenAI names them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from functools import partial
from typing import Any, Literal, Self, TypeAlias

import msgspec

from hs_notebook.errors import UsageError

State: TypeAlias = Literal["complete", "truncated", "stopped", "error"]
"""How an answer ended: `truncated` keeps its text and more was coming, `error` has nothing to keep."""


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation; `content` is text or OpenAI's list of content parts."""

    role: str
    content: str | list[dict[str, Any]]


Messages: TypeAlias = Iterable[Message | Mapping[str, Any]]


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion that was asked for; `params` holds just what the user gave."""

    model: str
    messages: tuple[dict[str, Any], ...]
    params: dict[str, Any] = {}

    @classmethod
    def of(cls, model: str, messages: Messages, params: Mapping[str, Any] | None = None) -> ChatRequest:
        """Check and freeze a request; raises `UsageError` for a value that cannot be sent."""
        if not isinstance(model, str) or not model.strip():
            raise UsageError("No model was named.", hint="Name one, for example gpt-4.1.")
        single = isinstance(messages, str | bytes | Mapping)
        turns = () if single else tuple(messages)
        if single or not all(isinstance(turn, Message | Mapping) for turn in turns):
            raise UsageError("messages is a list of {'role': …}.", hint="For one prompt use ask().")
        if not turns:
            raise UsageError("messages is empty.", hint="Send at least one.")
        given = {name: value for name, value in (params or {}).items() if value is not None}
        sent = tuple(msgspec.to_builtins(turn) if isinstance(turn, Message) else dict(turn) for turn in turns)
        request = cls(model=model.strip(), messages=sent, params=given)
        request.body(stream=False, usage=False)
        return request

    def body(self, *, stream: bool, usage: bool) -> bytes:
        """Return the JSON that is sent; `usage` asks for a frame with the token counts."""
        fields = {"model": self.model, "messages": self.messages, **self.params, "stream": stream}
        if stream and usage:
            fields.setdefault("stream_options", {"include_usage": True})
        return _json(fields)


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The text holds half of a surrogate pair ({error.object[error.start]!a}), which cannot be sent.",
            hint="Clean it with text.encode('utf-8', 'replace').decode().",
        ) from None
    except ValueError:
        raise UsageError("A parameter is NaN or infinite, which JSON cannot say.") from None
    except TypeError as error:
        raise UsageError(f"A parameter cannot be sent as JSON: {error}.") from None


class PromptTokensDetails(msgspec.Struct, frozen=True, gc=False):
    """Parts of the input: read from the model's cache, and written to it."""

    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None


class CompletionTokensDetails(msgspec.Struct, frozen=True, gc=False):
    """Parts of the output."""

    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of a call.

    `estimated` marks figures that we counted because the relay sent none; `method` then says how, and the
    true ones are expected within `low` and `high` times them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    estimated: bool = False
    method: str = ""
    low: float = 1.0
    high: float = 1.0


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    """A function's name and its arguments as JSON text; in a stream, a fragment of both."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool call; in a stream, a fragment that `index` joins to its others."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: FunctionCall = FunctionCall()


class ChoiceDelta(msgspec.Struct, frozen=True, gc=False):
    """What one frame adds to one alternative."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChunkChoice(msgspec.Struct, frozen=True, gc=False):
    """One alternative in a frame; `index` is its number, never a sequence number."""

    delta: ChoiceDelta
    index: int = 0
    finish_reason: str | None = None


class ChatCompletionChunk(msgspec.Struct, frozen=True, gc=False):
    """One frame of a streamed answer; one with an `error` is raised and never handed on."""

    choices: list[ChunkChoice] = []
    id: str = ""
    created: int = 0
    model: str = ""
    object: str = "chat.completion.chunk"
    system_fingerprint: str | None = None
    usage: Usage | None = None
    error: Any = None


class ChatCompletionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The whole message of one alternative."""

    content: str | None = None
    role: str = "assistant"
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One alternative of a whole answer."""

    message: ChatCompletionMessage
    index: int = 0
    finish_reason: str | None = None


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, not streamed."""

    choices: list[Choice]
    id: str = ""
    created: int = 0
    model: str = ""
    object: str = "chat.completion"
    system_fingerprint: str | None = None
    usage: Usage | None = None


class Model(msgspec.Struct, frozen=True):
    """A model that the relay offers."""

    id: str
    owned_by: str = ""
    created: int = 0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
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

    @property
    def total(self) -> Decimal | None:
        """All of it, where all is known."""
        return None if self.input is None or self.output is None else self.input + self.output

    @property
    def known(self) -> Decimal | None:
        """The part of it that is known."""
        parts = [part for part in (self.input, self.output) if part is not None]
        return sum(parts, Decimal(0)) if parts else None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What one call came to.

    `ttft` (to the first token) and `duration` are seconds since the request that succeeded was sent,
    `tokens_per_second` counts output tokens after the first over the time they took; NaN is unknown.
    `cost` is all of `costs`, in USD; None is unknown, never 0. `note` says in words what else the reader
    should know.
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

    `alternatives` holds the texts of all `n` alternatives, the first of them the answer's own.
    """

    __slots__ = ("alternatives", "messages", "reasoning", "receipt", "tool_calls")

    receipt: Receipt
    messages: tuple[dict[str, Any], ...]
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    alternatives: tuple[str, ...]

    def __new__(
        cls,
        text: str,
        receipt: Receipt,
        *,
        messages: Sequence[dict[str, Any]] = (),
        reasoning: str = "",
        tool_calls: Sequence[ToolCall] = (),
        alternatives: Sequence[str] = (),
    ) -> Self:
        """Bind a text to its receipt; `messages` is what was sent."""
        self = super().__new__(cls, text)
        self.receipt = receipt
        self.messages = (*messages, {"role": "assistant", "content": str(text)})
        self.reasoning = reasoning
        self.tool_calls = tuple(tool_calls)
        self.alternatives = tuple(alternatives) or (str(text),)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the values it was made of."""
        kept = partial(
            type(self),
            messages=self.messages[:-1],
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
            alternatives=self.alternatives,
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

    def json(self) -> Any:
        """Return the text parsed as JSON, taken out of a Markdown fence if it stands in one.

        Raises `UsageError` where it is no JSON.
        """
        text = self.text.strip()
        if text.startswith("```") and text.endswith("```") and "\n" in text:
            text = text[text.index("\n") : -3]
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"The answer is not JSON: {error}.") from None
