"""Plain replies: errors in OpenAI's shape, and JSON."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from hs_notebook.relay.keys import without_keys
from hs_notebook.wire import sse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send


Headers = list[tuple[bytes, bytes]]

STREAM = "text/event-stream"


class CompactJSONResponse(Response):
    """JSON without spaces, non-ASCII characters as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return compact(content).encode()


class ErrorResponse(CompactJSONResponse):
    """An error, whose code whoever logs the request finds in its scope."""

    def __init__(self, content: Any, status: int, headers: Mapping[str, str], code: str) -> None:
        super().__init__(content, status, headers)
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_refusal(scope, self._code)
        await super().__call__(scope, receive, send)


def note_refusal(scope: Scope, code: str) -> None:
    """Write into the scope of a request that it is refused."""
    scope.setdefault("state", {})["refusal"] = code


def error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error reply; `kind` is what OpenAI calls its `type`."""
    content = error_object(message, kind=kind, code=code, param=param)
    return ErrorResponse(
        content, status, {"x-request-id": request_id(), **(headers or {})}, code or f"status_{status}"
    )


def compact(value: object) -> str:
    """Return `value` as JSON without spaces, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def request_id() -> str:
    """Return a new id for the header `x-request-id`."""
    return f"req_{uuid.uuid4().hex}"


def error_object(
    message: str, *, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Return the JSON object of an error; a client may have put his own key anywhere, and is not told it."""
    return {"error": {"message": without_keys(message), "type": kind, "param": param, "code": code}}


def last_frame(error: Mapping[str, object]) -> bytes:
    """Return an error as the last event of a stream; blank lines end what broke off within one."""
    return b"\n\n" + sse.encode(compact(error)) + sse.encode("[DONE]")


class Refused(Exception):  # noqa: N818 - it is no error of ours
    """A request that is answered with an error; the arguments are those of `error`.

    A class of them is `final` where another attempt may be billed once more, or comes to the same: then the
    reply says so, as OpenAI's do. Of the others the client decides by their status.
    """

    final = False

    def __init__(self, status: int, message: str, **shape: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.shape = shape

    @property
    def code(self) -> str:
        """The code of the error, as logs and figures name it."""
        return str(self.shape.get("code") or f"status_{self.status}")

    def reply(self) -> Response:
        """Return the reply."""
        reply = error(self.status, self.message, **self.shape)
        if self.final:
            reply.headers["x-should-retry"] = "false"
        return reply

    def frame(self) -> bytes:
        """Return the same as the last event of a stream."""
        shape = {name: value for name, value in self.shape.items() if name != "headers"}
        return last_frame(error_object(self.message, **shape))
