"""The values that pass between the layers: frozen, slotted, named as OpenAI names them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from hs_notebook.errors import UsageError

SIMULATED = "simulated"  # begins the system_fingerprint of a simulated relay

State: TypeAlias = Literal["complete", "truncated", "stopped", "error"]
"""How an answer ended: all of them keep the text that came, of which `error` may have none."""


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
        if own := {"model", "messages", "stream"}.intersection(params or {}):
            raise UsageError(f"{min(own)} is no parameter beside the question.", hint="Leave it out.")
        given = {name: value for name, value in (params or {}).items() if value is not None}
        sent = tuple(msgspec.to_builtins(turn) if isinstance(turn, Message) else dict(turn) for turn in turns)
        request = cls(model=model.strip(), messages=sent, params=given)
        request.body(stream=False, usage=False)
        return request

    @property
    def alternatives(self) -> int:
        """How many are asked for."""
        n = self.params.get("n")
        return max(1, n) if isinstance(n, int) else 1

    @property
    def structured_params(self) -> dict[str, Any]:
        """The parameters that a model reads beside the messages, such as tools and schemas."""
        return {name: value for name, value in self.params.items() if isinstance(value, dict | list)}

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


class Shown(msgspec.Struct, frozen=True):
    """What IPython shows by the fields that say something, each in a line where one is not enough."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        said = [
            (field.name, value)
            for field in msgspec.structs.fields(self)
            if (value := getattr(self, field.name)) is not field.default and value != field.default
        ]
        with printer.group(4, f"{type(self).__name__}(", ")"):
            for number, (name, value) in enumerate(said):
                printer.text("," if number else "")
                printer.breakable(" " if number else "")
                printer.text(f"{name}=")
                printer.pretty(value)


class PromptTokensDetails(Shown, frozen=True, gc=False):
    """Parts of the input: read from the model's cache, and written to it."""

    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None


class CompletionTokensDetails(Shown, frozen=True, gc=False):
    """Parts of the output."""

    reasoning_tokens: int | None = None


class Usage(Shown, frozen=True, kw_only=True, gc=False):
    """Tokens of a call.

    `estimated` marks figures that we counted because the relay sent none; `method` then says how, and the
    true ones are expected within `input_low` and `input_high`, or `output_low` and `output_high`, times them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    estimated: bool = False
    method: str = ""
    input_low: float = 1.0
    input_high: float = 1.0
    output_low: float = 1.0
    output_high: float = 1.0

    @property
    def low(self) -> float:
        """The same of all its tokens."""
        return self._of_all(self.input_low, self.output_low)

    @property
    def high(self) -> float:
        """The same of all its tokens."""
        return self._of_all(self.input_high, self.output_high)

    def _of_all(self, sent: float, said: float) -> float:
        tokens = self.prompt_tokens + self.completion_tokens
        return (self.prompt_tokens * sent + self.completion_tokens * said) / tokens if tokens else 1.0

    @property
    def tells(self) -> bool:
        """Whether it holds figures: some servers send zeros on every frame but the last, or on all."""
        return bool(self.prompt_tokens or self.completion_tokens)


class FunctionCall(Shown, frozen=True, gc=False):
    """A function's name and its arguments as JSON text; in a stream, a fragment of both."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Shown, frozen=True, kw_only=True, gc=False):
    """A tool call; in a stream, a fragment that `index` joins to its others."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: FunctionCall = FunctionCall()


class ChoiceDelta(Shown, frozen=True, gc=False):
    """What one frame adds to one alternative."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning: None = None  # as some name it: with one a frame has another shape, so no token pays for a look

    @property
    def billed(self) -> str:
        """All of its text that is billed as output: what is said, thought, refused and called."""
        said = f"{self.content or ''}{self.reasoning_content or ''}{self.refusal or ''}"
        return said + calls_text(self.tool_calls) if self.tool_calls else said


def calls_text(calls: Iterable[ToolCall]) -> str:
    """Return names and arguments of tool calls in one text, to count its tokens."""
    return "".join(f"{call.function.name or ''}{call.function.arguments or ''}" for call in calls)


class ChunkChoice(Shown, frozen=True, gc=False):
    """One alternative in a frame; `index` is its number, never a sequence number."""

    delta: ChoiceDelta
    index: Annotated[int, msgspec.Meta(ge=0)] = 0
    finish_reason: str | None = None
    error: str | None = None  # what the relay says with the finish reason "error"


class ChatCompletionChunk(Shown, frozen=True, gc=False):
    """One frame of a streamed answer; one with an `error` is raised and never handed on."""

    choices: list[ChunkChoice] = []
    id: str = ""
    created: int = 0
    model: str = ""
    object: str = "chat.completion.chunk"
    system_fingerprint: str | None = None
    usage: Usage | None = None
    error: None = None


class ChatCompletionMessage(Shown, frozen=True, kw_only=True):
    """The whole message of one alternative."""

    content: str | None = None
    role: str = "assistant"
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(Shown, frozen=True, kw_only=True):
    """One alternative of a whole answer."""

    message: ChatCompletionMessage
    index: int = 0
    finish_reason: str | None = None
    error: str | None = None


class ChatCompletion(Shown, frozen=True, kw_only=True):
    """A whole answer, not streamed."""

    choices: list[Choice]
    id: str = ""
    created: int = 0
    model: str = ""
    object: str = "chat.completion"
    system_fingerprint: str | None = None
    usage: Usage | None = None


class Model(msgspec.Struct, frozen=True):
    """A model that the relay offers; `simulated` ones answer without one."""

    id: str
    owned_by: str = ""
    created: int = 0
    simulated: bool = False


def prompt_messages(prompt: str, system: str | None = None) -> list[Mapping[str, Any]]:
    """Return one question as messages; raises `UsageError` for an empty one."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise UsageError("The prompt is empty.", hint="Write the question.")
    question: Mapping[str, Any] = {"role": "user", "content": prompt}
    return [question] if system is None else [{"role": "system", "content": system}, question]
