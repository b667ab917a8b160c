"""The page at `/`: asks through the relay in a browser. It is built from `frontend/src/relay`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

_STATIC = Path(__file__).parent.parent / "static"
_FILES = {
    "/": ("relay.html", "text/html"),
    "/relay.js": ("relay.js", "text/javascript"),
    "/relay.css": ("relay.css", "text/css"),
}
_HEADERS = {
    # An answer is shown from escaped text; should anything get through, it may neither run nor load nor send.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # kept, but asked for again: it changes with the relay
}


def page_routes() -> list[Route]:
    """Return the page and what it loads; nothing where it was not built, as in a bare checkout."""
    return [
        Route(path, _served(_STATIC / name, kind))
        for path, (name, kind) in _FILES.items()
        if (_STATIC / name).is_file()
    ]


def _served(path: Path, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()
    headers = _HEADERS | {"etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return serve
