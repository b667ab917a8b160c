"""From where a relay may be called: by which of its names, and from which pages of a browser.

The Host of a request must be a name of the relay, or a page whose own name was pointed at this machine
(DNS rebinding) would be of one origin with it. Pages of others call it only where their origin is listed,
letter for letter. One that is not is refused even with a key: it could not read an answer that is paid for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from hs_notebook.errors import UsageError
from hs_notebook.relay.addresses import address_of
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.settings import LARGEST_HEAD

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hs_notebook.relay.settings import RelaySettings

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)(?::(\d{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?")
_PORTS = {"http": "80", "https": "443"}

_METHODS = b"GET, POST, DELETE"
_ASKED = b"authorization, x-api-key, content-type, last-event-id, x-stream-resume, idempotency-key"
_SHOWN = b"x-stream-id, x-request-id, retry-after, x-should-retry, x-stream-resume"


def host_name(text: str) -> str:
    """Return a name that a relay is called by, as it is compared. Raises `UsageError`."""
    if (name := _name(text)) is None:
        raise UsageError(f"{text!a} is no host name.", hint="Write it as in relay.example, without https://.")
    return name


def web_origin(text: str) -> str:
    """Return the origin of a page as a browser writes it. Raises `UsageError`."""
    found = _ORIGIN.fullmatch(text.strip().removesuffix("/").lower())
    if found is None:
        raise UsageError(
            f"{text!a} is no origin.", hint="Write it as in https://app.example, without a path."
        )
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in {None, _PORTS.get(scheme)} else f"{scheme}://{host}:{port}"


class Guard:
    """ASGI middleware that lets a request pass, or answers in its application's place."""

    def __init__(self, app: ASGIApp, settings: RelaySettings) -> None:
        self._app = app
        self._hosts = {"localhost", *map(host_name, settings.hosts)}
        self._origins = {web_origin(origin).encode() for origin in settings.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        origins = [value for name, value in headers if name == b"origin"]
        listed = origins[0] if len(origins) == 1 and origins[0] in self._origins else None
        try:
            host = self._host(scope)
            _check_form(scope)
            if origins and listed is None and not (len(origins) == 1 and _same(origins[0], host)):
                raise _forbidden(origins[0])
        except Refused as refused:
            return await refused.reply()(scope, receive, send)
        if listed is None:
            return await self._app(scope, receive, self._varying(send))
        if scope["method"] == "OPTIONS" and any(n == b"access-control-request-method" for n, _ in headers):
            return await _preflight(listed)(scope, receive, send)
        return await self._app(scope, receive, _with(send, _shown_to(listed)))

    def _host(self, scope: Scope) -> str:
        """Return the Host of a request; raises `Refused` for one that is no name of the relay."""
        given = [value for name, value in scope["headers"] if name == b"host"]
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        if (name := _name(text)) is None:
            raise Refused(400, "The request names no host, or more than one.", code="bad_host")
        if name not in self._hosts and not _own_address(name, scope):
            said = f"This relay is not called {name}; who runs it may allow the name with --allow-host."
            raise Refused(421, said, code="unknown_host")
        return text.lower()

    def _varying(self, send: Send) -> Send:
        """Tell caches that a reply depends on the origin, where it may."""
        return _with(send, [(b"vary", b"Origin")]) if self._origins else send


def _name(text: str) -> str | None:
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    host, name, _ = found.groups()
    if (address := address_of(host or name)) is not None:
        return str(address)
    return str(name).lower() if name else None


def _own_address(name: str, scope: Scope) -> bool:
    """Whether it is the address itself that was called: no name stands behind it that could be another's."""
    address, server = address_of(name), scope.get("server")
    if address is None:
        return False
    return address.is_loopback or (server is not None and address == address_of(server[0]))


def _check_form(scope: Scope) -> None:
    """Refuse what a proxy in front may have understood otherwise; no path of ours has an escape."""
    names = [name for name, _ in scope["headers"]]
    path: bytes = scope["raw_path"]
    if scope["http_version"] not in {"1.0", "1.1"}:
        raise Refused(505, "The relay speaks HTTP/1.1.", code="http_version", headers={"connection": "close"})
    if b"content-length" in names and b"transfer-encoding" in names:
        said = "The request announces its length in two ways."
        raise Refused(400, said, code="bad_request", headers={"connection": "close"})
    if sum(len(name) + len(value) for name, value in scope["headers"]) + len(path) > LARGEST_HEAD:
        raise Refused(
            431, "The headers are too large.", code="headers_too_large", headers={"connection": "close"}
        )
    if not path.startswith(b"/"):
        raise Refused(400, "The request names no path.", code="bad_request")
    if b"%" in path:
        raise Refused(404, "Nothing is served here.", code="not_found")


def _same(origin: bytes, host: str) -> bool:
    """Whether a page is the relay's own. A proxy may speak TLS for it, so the scheme is the page's."""
    text = origin.decode("latin-1")
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    scheme = found[1]
    return scheme in _PORTS and text in {
        f"{scheme}://{host}",
        f"{scheme}://{host}".removesuffix(f":{_PORTS[scheme]}"),
    }


def _forbidden(origin: bytes) -> Refused:
    page = origin.decode("latin-1")[:200]
    said = f"Pages of {page} may not call this relay; who runs it may allow them with --allow-origin."
    return Refused(403, said, kind="permission_error", code="ORIGIN_NOT_ALLOWED")


def _preflight(origin: bytes) -> Response:
    reply = Response(status_code=204)
    reply.raw_headers = [
        *_shown_to(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _ASKED),
        (b"access-control-max-age", b"600"),
    ]
    return reply


def _shown_to(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _SHOWN),
        (b"vary", b"Origin"),
    ]


def _with(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return sending
