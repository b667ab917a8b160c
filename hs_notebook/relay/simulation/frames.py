"""The bytes of OpenAI's chat completions: the frames of a stream, and the whole reply."""

from __future__ import annotations

import json
import time
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.replies import compact
from hs_notebook.wire import sse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FINGERPRINT = "simulated"  # how a receipt knows
DONE = sse.encode("[DONE]")

_HOLE = "the-token-goes-here"
_FRAGMENT = 4  # characters of a call's arguments in one frame


class Writer(Protocol):
    """What turns the tokens of an answer into the frames of a stream."""

    def opening(self) -> bytes: ...
    def token(self, text: str) -> bytes: ...
    def closing(self, reason: str, counts: Mapping[str, int] | None) -> tuple[bytes, ...]: ...


class Frames:
    """Writes one completion of `model`. With `usage` every frame has that field, as OpenAI's have."""

    def __init__(self, model: str, *, usage: bool = False) -> None:
        self._common: dict[str, object] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._null_usage: dict[str, object] = {"usage": None} if usage else {}
        # All frames of an answer differ in the token alone, so the rest is encoded once.
        self._head, self._tail = self._chunk({"content": _HOLE}, None).split(quoted(_HOLE))

    def opening(self) -> bytes:
        """Return the frame that names the role."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def token(self, text: str) -> bytes:
        """Return the frame of one token."""
        return self._head + quoted(text) + self._tail

    def closing(self, reason: str, counts: Mapping[str, int] | None) -> tuple[bytes, ...]:
        """Return the frames after the last token; `counts` is the usage, None where none is to be sent."""
        finish = self._chunk({}, reason)
        if counts is None:
            return finish, DONE
        return finish, self._encode("chat.completion.chunk", {"choices": [], "usage": counts}), DONE

    def calls(self, calls: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """Return the frames that ask for functions: of each its name, then its arguments in fragments."""
        for index, (name, arguments) in enumerate(calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(name, "")}]}, None)
            for start in range(0, len(arguments), _FRAGMENT):
                fragment = {"arguments": arguments[start : start + _FRAGMENT]}
                yield self._chunk({"tool_calls": [{"index": index, "function": fragment}]}, None)

    def whole(
        self,
        text: str,
        reason: str,
        counts: Mapping[str, int] | None,
        calls: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Return the JSON of a reply without a stream."""
        message: dict[str, object] = {"role": "assistant", "content": text or None if calls else text}
        if calls:
            message["tool_calls"] = [_call(name, arguments) for name, arguments in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        usage = {} if counts is None else {"usage": counts}
        return compact({**self._common, "object": "chat.completion", "choices": [choice], **usage}).encode()

    def _chunk(self, delta: Mapping[str, object], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._encode("chat.completion.chunk", {"choices": [choice], **self._null_usage})

    def _encode(self, kind: str, fields: Mapping[str, object]) -> bytes:
        return sse.encode(compact({**self._common, "object": kind, **fields}))


class ResponsesFrames:
    """The same stream in the dialect of OpenAI's Responses, which relays let slip for some models."""

    def __init__(self, model: str) -> None:
        self._response = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "model": model}
        self._response["system_fingerprint"] = FINGERPRINT

    def opening(self) -> bytes:
        """Return the frame that says the response exists."""
        return self._encode("response.created", response={**self._response, "status": "in_progress"})

    def token(self, text: str) -> bytes:
        """Return the frame of one token."""
        return self._encode("response.output_text.delta", output_index=0, content_index=0, delta=text)

    def closing(self, reason: str, counts: Mapping[str, int] | None) -> tuple[bytes, ...]:
        """Return the last frame; this dialect has no `[DONE]`, and its usage always comes."""
        name = "completed" if reason == "stop" else "incomplete"
        counts = counts or {}
        usage = {
            "input_tokens": counts.get("prompt_tokens"),
            "output_tokens": counts.get("completion_tokens"),
            "total_tokens": counts.get("total_tokens"),
        }
        response = {**self._response, "status": name, "usage": usage}
        return (self._encode(f"response.{name}", response=response),)

    def _encode(self, event: str, **fields: object) -> bytes:
        return sse.encode(compact({"type": event, **fields}), event=event)


def _call(name: str, arguments: str) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


@lru_cache(maxsize=4096)
def quoted(text: str) -> bytes:
    """Return `text` as a JSON string; the few hundred tokens of the article come from the cache."""
    return json.dumps(text, ensure_ascii=False).encode()
