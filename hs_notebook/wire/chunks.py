"""Frames of JSON into typed chunks: strictly first, which is fast, then forgivingly, which is rare.

What the relay was seen to send besides OpenAI's own frames: `choices` or `delta` null, `message` in the
place of `delta`, frames of the Responses API, a whole completion, and errors in several forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hs_notebook.errors import APIError, EmptyAnswerError, ProtocolError, UpstreamError
from hs_notebook.types import SIMULATED, ChatCompletion, ChatCompletionChunk, Model
from hs_notebook.wire.surrogates import Surrogates
from hs_notebook.wire.usage import at, clean_usage

_decode_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
_TEXT_EVENTS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_ENDING_EVENTS = {"response.completed": "stop", "response.incomplete": "length"}
_FAILING_EVENTS = {
    "response.failed": "the answer failed",
    "response.cancelled": "the answer was cancelled",
}
# What others call the reasons of OpenAI's: Anthropic, Gemini, Mistral and those that host open models.
_REASONS = {
    **dict.fromkeys(("max_tokens", "model_length"), "length"),
    **dict.fromkeys(("end_turn", "stop_sequence", "eos", "eos_token"), "stop"),
    "tool_use": "tool_calls",
    **dict.fromkeys(
        ("safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal"), "content_filter"
    ),
}

IDLE = ("ping", "keepalive", "keep-alive", "heartbeat")  # types of what is sent lest the connection be cut
_OWN = frozenset(ChatCompletionChunk.__struct_fields__)
# Fields that tell of trouble, or of another protocol; others, such as sources, gateways put beside answers.
_TELLING = re.compile(
    r"^error|(^|_)(errors?|err|fail\w*|msg|message|code|status|success|resp|detail|reason)$|^type$",
    re.IGNORECASE,
)
_SHOWN = 120  # characters of what cannot be read; at the end, where a key that is cut is seen for one
_ALL_IS_WELL = (0, "0", 200, "200")  # codes that some gateways give with a message that says so


def decode_chunk(data: str, surrogates: Surrogates | None = None) -> ChatCompletionChunk:
    """Return the chunk that a frame's data holds; `surrogates` are those of its stream.

    Raises `UpstreamError` for an error frame, and `ProtocolError` for what is no JSON object or no part of an
    answer.
    """
    try:
        chunk = _decode_chunk(data)
    except (msgspec.DecodeError, RecursionError):  # also a ValidationError: JSON of another shape
        chunk = None  # no error is raised in here: it would have this frame's data in its verbose traceback
    # A frame without choices and the last with one may be something in disguise; figures are looked at
    # closely.
    if chunk and chunk.choices and chunk.usage is None:
        first = chunk.choices[0]
        if first.finish_reason is first.error is None:
            return chunk
    if chunk is None and surrogates is not None:
        data = surrogates.joined(data)
    return _forgiving(data)


def reported(data: str) -> APIError:
    """Return the error that an event of the type `error` names, as JSON or in plain words."""
    try:
        decode_chunk(data)
    except UpstreamError as error:
        return error
    except ProtocolError:
        if words := " ".join(data.split()):
            return UpstreamError(f"The relay reports: {words}")
    return ProtocolError("The relay sent an error event that names no error.")


def decode_completion(body: bytes) -> ChatCompletion:
    """Return the whole completion that a reply's body holds; raises like `decode_chunk`."""
    if not body.strip():
        raise EmptyAnswerError("The reply is empty.", hint="Try again, or another model.")
    frame = _object(Surrogates().joined(body.decode("utf-8", "replace")))
    _raise_error(frame)
    if not isinstance(frame.get("choices"), list):
        raise ProtocolError("The reply holds no choices.", hint=f"It says: {_beginning(frame)}")
    return msgspec.convert(_clean(frame, "message"), ChatCompletion)


def decode_models(body: bytes) -> list[Model]:
    """Return the models that a reply to `GET /models` lists."""
    frame = _object(body)
    _raise_error(frame)
    rows = frame.get("data")
    if not isinstance(rows, list):
        raise ProtocolError("The reply lists no models.", hint=f"It says: {_beginning(frame)}")
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return [
        Model(
            row["id"],
            str(row.get("owned_by") or ""),
            _whole(row.get("created")),
            simulated=str(row.get("system_fingerprint") or "").startswith(SIMULATED),
        )
        for row in named
    ]


def error_text(frame: Any) -> str:
    """Return the message of an error reply in any of its forms, or an empty text."""
    if not isinstance(frame, Mapping):
        return ""
    error = frame.get("error")
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("type") or error.get("code") or "unnamed error")
    if error and isinstance(error, str):
        return error
    code = frame.get("code")
    message = frame.get("message") or frame.get("detail") or (code is not None and frame.get("msg"))
    empty = "choices" not in frame or bool(code and not frame["choices"])
    may_be_one = empty and code not in _ALL_IS_WELL
    if isinstance(message, str) and message and (error or may_be_one):
        return message
    return str(error) if error else ""


def _forgiving(data: str) -> ChatCompletionChunk:
    frame = _object(data)
    _raise_error(frame)
    kind = frame.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        return _from_responses(kind, frame)
    if not _is_part(frame):
        raise ProtocolError(f"The relay sent what is no part of an answer: {_beginning(frame)}")
    return msgspec.convert(_clean(frame, "delta"), ChatCompletionChunk)


def _is_part(frame: dict[str, Any]) -> bool:
    """Tell whether a frame brings choices or figures, or nothing of either and no trouble."""
    if not isinstance(frame.get("choices"), list | None):
        return False
    if "choices" in frame or isinstance(frame.get("usage"), dict):
        return True
    silent = frame.get("type") in IDLE or frame.get("code") in _ALL_IS_WELL
    return silent or not any(map(_TELLING.search, frame.keys() - _OWN))


def _object(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        data = data.decode("utf-8", "replace")
    try:
        frame = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError(f"The relay sent what is no JSON: {repr(data[:_SHOWN])[1:-1]}") from None
    if not isinstance(frame, dict):
        raise ProtocolError(f"The relay sent a {type(frame).__name__} where an object belongs.")
    return frame


def _raise_error(frame: dict[str, Any]) -> None:
    for part in _may_have_failed(frame):
        if message := error_text(part):
            error = part.get("error")
            code = error.get("code") if isinstance(error, Mapping) else part.get("code")
            raise UpstreamError(f"The relay reports: {' '.join(message.split())}", code=str(code or ""))


def _may_have_failed(frame: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield frame
    if told := _FAILING_EVENTS.get(str(frame.get("type"))):
        response = frame.get("response")
        yield response if isinstance(response, dict) and error_text(response) else {"error": told}


def _from_responses(kind: str, frame: dict[str, Any]) -> ChatCompletionChunk:
    response = frame.get("response")
    clean = dict(response) if isinstance(response, dict) else {}
    clean["choices"] = []
    if (field := _TEXT_EVENTS.get(kind)) and isinstance(frame.get("delta"), str):
        clean["choices"] = [{"delta": {field: frame["delta"]}}]
    elif kind in _ENDING_EVENTS:
        filtered = at(clean, ("incomplete_details", "reason")) == "content_filter"
        reason = "content_filter" if filtered else _ENDING_EVENTS[kind]
        clean["choices"] = [{"delta": {}, "finish_reason": reason}]
    usage = clean.get("usage")
    if isinstance(usage, dict):
        names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
        clean["usage"] = {names.get(name, name): value for name, value in usage.items()}
    return msgspec.convert(_clean(clean, "delta"), ChatCompletionChunk)


def _clean(frame: dict[str, Any], part: str) -> dict[str, Any]:
    """Keep of a frame what has the right type; `part` is `delta` or `message`, and takes either's place."""
    choices = frame.get("choices")
    rows = [row for row in choices if isinstance(row, dict)] if isinstance(choices, list) else []
    clean: dict[str, Any] = {"choices": [_clean_choice(row, part) for row in rows]}
    clean |= _texts(frame, "id", "model", "system_fingerprint")
    clean["created"] = _whole(frame.get("created"))
    if isinstance(usage := frame.get("usage"), dict) and (figures := clean_usage(usage)):
        clean["usage"] = figures
    return clean


def _clean_choice(row: dict[str, Any], part: str) -> dict[str, Any]:
    said = row.get("delta") or row.get("message")
    said = said if isinstance(said, dict) else {}
    clean: dict[str, Any] = {**_texts(said, "content", "role", "reasoning_content", "refusal")}
    if isinstance(parts := said.get("content"), list):
        clean |= _from_parts(parts)
    if isinstance(calls := said.get("tool_calls"), list):
        numbered = enumerate(call for call in calls if isinstance(call, dict))
        clean["tool_calls"] = [_clean_call(call, number) for number, call in numbered]
    if "reasoning_content" not in clean and isinstance(thought := said.get("reasoning"), str):
        clean["reasoning_content"] = thought
    return {part: clean, "index": abs(_whole(row.get("index"))), **_end_of(row)}


def _from_parts(parts: list[Any]) -> dict[str, str]:
    """Return what is said and thought where the content comes in parts, as Mistral's and Anthropic's does."""
    clean = {"content": _said_in(parts)}
    if thought := "".join(
        inner if isinstance(inner, str) else _said_in(inner)
        for part in parts
        if isinstance(part, dict) and isinstance(inner := part.get("thinking"), str | list)
    ):
        clean["reasoning_content"] = thought
    return clean


def _said_in(parts: list[Any]) -> str:
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _end_of(row: dict[str, Any]) -> dict[str, str]:
    if told := error_text({"error": row.get("error")}):
        return {"finish_reason": "error", "error": " ".join(told.split())}
    reason = row.get("finish_reason")
    if not (isinstance(reason, str) and reason):
        return {}
    return {"finish_reason": _REASONS.get(reason.lower(), reason.lower())}


def _clean_call(call: dict[str, Any], number: int) -> dict[str, Any]:
    function = call.get("function")
    return {
        "index": _whole(call.get("index"), number),
        "function": _texts(function if isinstance(function, dict) else {}, "name", "arguments"),
        **_texts(call, "id", "type"),
    }


def _texts(source: dict[str, Any], *names: str) -> dict[str, str]:
    return {name: value for name in names if isinstance(value := source.get(name), str)}


def _whole(value: Any, default: int = 0) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 2**53 else default  # so NaN is none


def _beginning(frame: dict[str, Any]) -> str:
    return " ".join(msgspec.json.encode(frame).decode().split())[:_SHOWN]
