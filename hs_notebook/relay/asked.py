"""What a client asks for, as far as the relay must know it: the rest is the upstream's affair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from hs_notebook.relay.replies import Refused
from hs_notebook.types import ChatRequest

_DEFAULTS = {"temperature": 0.7, "max_tokens": 2000}  # of the vendor's article, for its own endpoint alone

_COUNTS = ("max_tokens", "max_completion_tokens", "n")  # what the worst price of a call hangs on


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A chat completion: `body` is what goes upstream, `request` the same for pricing and the ledger.

    `counted` is the body of a stream with the wish for its usage, where the client has none.
    """

    body: bytes
    request: ChatRequest
    stream: bool
    counted: bytes | None = None


def read_asked(body: bytes) -> Asked:
    """Return what a body asks for. Raises `Refused` with 400.

    What goes upstream is what was read here: of a name that stands twice in an object, others may read the
    one that was not priced.
    """
    return _asked(_fields(body))


def read_asked_in_short(body: bytes) -> Asked:
    """Return what a body asks for that leaves `stream`, `temperature` and `max_tokens` to the relay."""
    given = _fields(body)
    limits = {"max_tokens"} if "max_completion_tokens" in given else set()
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in limits}
    return _asked(defaults | given | {"stream": True})


def _asked(fields: dict[str, Any]) -> Asked:
    request = _request(fields)
    counted = _counted(fields)
    try:
        body = msgspec.json.encode(fields)
        counted_body = None if counted is None else msgspec.json.encode(counted)
    except (UnicodeError, RecursionError, ValueError) as error:
        raise _refused(f"The body cannot be passed on: {type(error).__name__}.") from None
    return Asked(body=body, request=request, stream=fields.get("stream") is True, counted=counted_body)


def _counted(fields: dict[str, Any]) -> dict[str, Any] | None:
    options = {} if fields.get("stream_options") is None else fields["stream_options"]
    if fields.get("stream") is not True or not isinstance(options, dict) or options.get("include_usage"):
        return None
    return {**fields, "stream_options": {**options, "include_usage": True}}


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _refused(f"The body is no JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise _refused("The body is no JSON object.")
    return fields


def _request(fields: dict[str, Any]) -> ChatRequest:
    model, messages = fields.get("model"), fields.get("messages")
    if not isinstance(model, str) or not model.strip():
        raise _refused("The body names no model.", "model")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _refused("The body holds no list of messages.", "messages")
    for name in _COUNTS:
        if (value := fields.get(name)) is not None and (type(value) is not int or value < 1):
            raise _refused(f"{name} is no whole number above 0.", name)
    params = {name: value for name, value in fields.items() if name not in {"model", "messages", "stream"}}
    return ChatRequest(model=model.strip(), messages=tuple(messages), params=params)


def _refused(message: str, param: str | None = None) -> Refused:
    return Refused(400, message, code="bad_request", param=param)
