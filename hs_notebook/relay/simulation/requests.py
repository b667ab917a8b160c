"""What a client may send: the body of a chat completion, and the directives a prompt may hold.

A directive steers the simulation for one request. It is the first `[simulate …]` in the last user message:

=============== ===================================================================================
`tokens=N`      the answer has exactly N tokens (0 to 1,000,000)
`text`          the answer is exactly what follows the directive and its line end
`speed=X`       X times as fast as the model (`inf`: no waiting)
`ttft=MS`       time to the first token in milliseconds, before `speed`
`tps=X`         tokens per second, before `speed`
`fault=NAME`    go wrong in this way, see `.faults`; `NAME-once`: only the first time
`after=N`       the token (default 5) at which a fault in mid-stream strikes
`tool=NAME`     first asks for this function to be called, where the request offers it and brings no
                result yet; several have commas between them
`arguments=…`   the JSON that it is called with (default `{}`), without spaces and square brackets
=============== ===================================================================================

They combine: `[simulate tokens=500 speed=10 fault=cut after=20]`. A bracket that holds anything but
`text` and `key=value` is plain text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTIVE = re.compile(r"\[simulate((?:\s+(?:text|[\w-]+=[^\s\]]*))+)\s*\](?:[ \t]*(?:\r\n|\n|\r))?")
_WORD = re.compile(r"(text)(?=\s|$)|([\w-]+)=(\S*)")

MAX_TOKENS = 1_000_000


class BadRequestError(ValueError):
    """The request cannot be meant; the text says why in one sentence."""


class Part(Struct, frozen=True, kw_only=True):
    """A piece of a message: text, or an image that the simulation cannot see."""

    type: str
    text: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """One turn of the conversation."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """All text of the message, in order."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class Function(Struct, frozen=True, kw_only=True):
    """A function that the model may ask for, as far as the simulation heeds it."""

    name: str


class Tool(Struct, frozen=True, kw_only=True):
    """What OpenAI wraps around a function."""

    function: Function


class StreamOptions(Struct, frozen=True, kw_only=True):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class JSONSchema(Struct, frozen=True, kw_only=True):
    """A schema with its name, as OpenAI sends one."""

    schema: dict[str, Any]


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """What an answer must be: text, any JSON object, or one that fits a schema."""

    type: str
    json_schema: JSONSchema | None = None

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of the JSON that is asked for; None where text is."""
        if self.type == "json_object":
            return {"properties": {"simulated": {"const": True}, "answer": {"type": "string"}}}
        return self.json_schema.schema if self.json_schema else None


_Limit = Annotated[int, Meta(ge=1)] | None


class ChatBody(Struct, frozen=True, kw_only=True):
    """The fields of a chat completion that the simulation heeds; it ignores all others."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    tools: list[Tool] | None = None
    response_format: ResponseFormat | None = None

    @property
    def offered(self) -> set[str]:
        """The functions that may be asked for now: none once a result has followed the last question."""
        spoken = [message.role for message in self.messages if message.role in {"user", "tool"}]
        tools = () if spoken[-1:] == ["tool"] else self.tools or ()
        return {tool.function.name for tool in tools}

    @property
    def prompt(self) -> str:
        """The text of the last user message, or of the last message where no user speaks."""
        spoken = [message for message in self.messages if message.role == "user"] or self.messages
        return spoken[-1].text

    @property
    def limit(self) -> int | None:
        """The smaller of the two limits on output tokens, or None."""
        return min((n for n in (self.max_tokens, self.max_completion_tokens) if n is not None), default=None)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class Directives(Struct, frozen=True, kw_only=True):
    """What `[simulate …]` asked for; None where it said nothing. `ttft` in seconds."""

    prompt: str
    text: str | None = None
    tokens: int | None = None
    speed: float | None = None
    ttft: float | None = None
    tps: float | None = None
    fault: str | None = None
    after: int = 5
    tool: str = ""
    arguments: str = "{}"


def parse_body(body: bytes) -> ChatBody:
    """Return the request that `body` holds, or raise `BadRequestError`."""
    try:
        return msgspec.json.decode(body, type=ChatBody)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"The request does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"The body is not valid JSON: {error}.") from error


def parse_directives(prompt: str) -> Directives:
    """Return the directives in `prompt` and the prompt without them, or raise `BadRequestError`."""
    match = _DIRECTIVE.search(prompt)
    if match is None:
        return Directives(prompt=prompt)
    values: dict[str, Any] = {}
    for text, key, value in _WORD.findall(match[1]):
        if text:
            values["text"] = prompt[match.end() :]
        elif key in _READERS:
            values[key] = _read(key, value)
        else:
            known = ", ".join(_READERS)
            raise BadRequestError(f"Unknown simulation directive {key!r}; there are text, {known}.")
    around = prompt[: match.start()] if "text" in values else prompt[: match.start()] + prompt[match.end() :]
    return Directives(prompt=around, **values)


def _read(key: str, value: str) -> object:
    try:
        return _READERS[key](value)
    except ValueError as error:
        raise BadRequestError(f"The simulation directive {key}={value!r} has no usable value.") from error


def _positive(value: str) -> float:
    number = float(value)
    if not number > 0:  # NaN too
        raise ValueError(value)
    return number


def _seconds(value: str) -> float:
    milliseconds = float(value)
    if not 0 <= milliseconds < math.inf:
        raise ValueError(value)
    return milliseconds / 1000


def _count(value: str) -> int:
    number = int(value)
    if not 0 <= number <= MAX_TOKENS:
        raise ValueError(value)
    return number


_READERS: dict[str, Callable[[str], object]] = {
    "tokens": _count,
    "speed": _positive,
    "ttft": _seconds,
    "tps": _positive,
    "fault": str,
    "after": _count,
    "tool": str,
    "arguments": str,
}
