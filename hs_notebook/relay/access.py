"""The access log: a line of JSON for each request, without what was asked or answered, and without keys."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TextIO

from hs_notebook.relay.addresses import address_of
from hs_notebook.relay.authority import authorise
from hs_notebook.relay.replies import request_id
from hs_notebook.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hs_notebook.relay.keys import Client, KeyFile
    from hs_notebook.relay.metering import Meter
    from hs_notebook.relay.metrics import Metrics

log = logging.getLogger("hs_notebook.relay")

_LONGEST = 200  # characters of what a client or the upstream may choose
_KEY_SHAPED = re.compile(r"\b(?:sk|cr|hs)[-_][\w-]{8,}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metered(Protocol):
    """An answer under way."""

    @property
    def meter(self) -> Meter | None:
        """What counts it, once it has begun."""


@dataclass(kw_only=True, slots=True)
class Seen:
    """What a request turned out to be, written down while it is served; `code` is that of its refusal."""

    client: str = ""
    model: str = ""
    code: str = ""
    call: Metered | None = None
    status: int = 0
    bytes: int = 0
    request_id: str = ""
    whole: bool = False
    failed: bool = False
    began: float = field(default_factory=time.perf_counter)

    @property
    def meter(self) -> Meter | None:
        """What counted its answer, where there was one."""
        return self.call.meter if self.call is not None else None

    @property
    def outcome(self) -> str:
        """How it ended: `complete`, `truncated` or `stopped` as an answer does, or `refused` or `error`."""
        if self.failed or self.status >= 500:
            return "error"
        if self.code or self.status >= 400:
            return "refused"
        if self.meter is not None:
            return self.meter.ending.state
        return "complete" if self.whole else "stopped"


def seen(scope: Scope) -> Seen:
    """Return what is known of a request."""
    known: Seen = scope.setdefault("state", {}).setdefault("seen", Seen())
    return known


def identify(scope: Scope, keys: KeyFile) -> Client:
    """Return who holds the key of a request, as `authorise` does, and write it down."""
    client = authorise(scope["headers"], keys)
    seen(scope).client = client.name
    return client


class Access:
    """ASGI middleware that writes a line and counts, once a request is over; `key` is the upstream's."""

    def __init__(self, app: ASGIApp, key: str, metrics: Metrics) -> None:
        self._app = app
        self._key = Secret(key)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = seen(scope)
        try:
            await self._app(scope, receive, _watching(request, send))
        except Exception:
            request.failed = True
            raise
        finally:
            self._over(scope, request)

    def _over(self, scope: Scope, request: Seen) -> None:
        route = getattr(scope.get("route"), "path", "")
        request.status = request.status or (500 if request.failed else 0)
        request.code = scope["state"].get("refusal", "")
        duration = time.perf_counter() - request.began
        self._metrics.request(route, request.status, duration, request.code)
        if log.isEnabledFor(logging.INFO):
            hide = scrubber(self._key, _presented(scope))
            log.info("request", extra={"fields": _fields(scope, request, route, duration, hide)})


def _fields(
    scope: Scope, request: Seen, route: str, duration: float, hide: Callable[[str], str]
) -> dict[str, object]:
    # Only what others choose is searched for keys: no "key" is to blot out where it came from.
    ttft = request.meter.ttft if request.meter is not None else None
    return {
        "method": scope["method"] if scope["method"] in _METHODS else "other",
        "route": route,  # never the path: a client may have put anything into it
        "status": request.status,
        "outcome": request.outcome,
        "code": request.code,
        "client": request.client,
        "model": hide(request.model)[:_LONGEST],
        "bytes": request.bytes,
        "ttft_ms": None if ttft is None else round(ttft * 1000, 1),
        "duration_ms": round(duration * 1000, 1),
        "request_id": hide(request.request_id)[:_LONGEST],
        "remote": _address(scope),
    }


def _address(scope: Scope) -> str:
    """Where a request came from; a proxy may have said anything."""
    address = address_of(str((scope.get("client") or ("",))[0]))
    return "" if address is None else str(address)


def _watching(request: Seen, send: Send) -> Callable[[Message], Awaitable[None]]:
    # This runs once for every token, so it is no coroutine: it adds none.
    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.body":
            request.bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                request.whole = True
        elif message["type"] == "http.response.start":
            request.status = message["status"]
            request.request_id = _identify(message)
        return send(message)

    return sending


def _identify(message: Message) -> str:
    """Return the id of a reply; one that has none is given one."""
    headers = message.setdefault("headers", [])
    for name, value in headers:
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    new = request_id()
    message["headers"] = [*headers, (b"x-request-id", new.encode())]
    return new


def _presented(scope: Scope) -> list[str]:
    """The keys that a request came with, as they are and after their scheme."""
    given = [
        value.decode("latin-1").strip()
        for name, value in scope["headers"]
        if name in {b"authorization", b"x-api-key"}
    ]
    return [*given, *(value.partition(" ")[2].strip() for value in given)]


def scrubber(key: Secret, others: Iterable[str] = ()) -> Callable[[str], str]:
    """Return a function that takes a key and others out of a text, and whatever else looks like one."""
    known = sorted({other for other in others if len(other) >= 4}, key=len, reverse=True)

    def scrub(text: str) -> str:
        text = key.scrub(text)
        for other in known:
            text = text.replace(other, "[key]")
        return _KEY_SHAPED.sub("[key]", text)

    return scrub


class JSONLines(logging.Formatter):
    """A line of JSON for each record, in ASCII: whatever is in it, it is one line."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._scrub = scrubber(Secret(key))

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            "level": record.levelname.lower(),
            "event": self._scrub(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self._scrub(self.formatException(record.exc_info))
        return json.dumps(line, separators=(",", ":"))


def log_to(stream: TextIO, *, key: str) -> None:
    """Write what this process logs to `stream`, requests too; for a process that does nothing but serve."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONLines(key))
    logging.getLogger().addHandler(handler)
    log.setLevel(logging.INFO)
