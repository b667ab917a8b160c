"""The relay server as an ASGI application."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from hs_notebook.relay.access import Access, identify
from hs_notebook.relay.chat import Chat
from hs_notebook.relay.fresh import Fresh
from hs_notebook.relay.guard import Guard
from hs_notebook.relay.health import Health
from hs_notebook.relay.metrics import CONTENT_TYPE
from hs_notebook.relay.page import page_routes
from hs_notebook.relay.replies import Refused, error
from hs_notebook.relay.resume.streams import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from hs_notebook.relay.gateway import Gateway

    Endpoint = Callable[[Request], Awaitable[Response]]


_LARGEST_LIST = 4 * 1024 * 1024  # bytes
_LIST_LASTS = 5.0  # seconds that the list of models is good for


def create_app(gateway: Gateway) -> Starlette:
    """Return the application; its lifespan opens and closes the gateway."""
    streams = Streams(gateway)
    chat = Chat(gateway=gateway, streams=streams)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.open()
        await streams.open()
        try:
            yield
        finally:
            await streams.close()
            await gateway.close()

    app = Starlette(
        routes=[
            *page_routes(),
            Route("/v1/chat/completions", chat.completions, methods=["POST"]),
            Route("/v1/models", _models(gateway)),
            Route("/health", Health(gateway).reply),
            Route("/metrics", _figures(gateway)),
            *streams.routes(),
            Route("/api/chat/stream", chat.stream, methods=["POST"]),
        ],
        middleware=[
            Middleware(Access, gateway.settings.key, gateway.metrics),
            Middleware(Guard, gateway.settings),
        ],
        lifespan=lifespan,
        exception_handlers={  # coroutines, or each refusal would take a thread
            HTTPException: _not_served,
            Refused: _refuse,
            ClientDisconnect: _nobody,
        },
    )
    app.router.redirect_slashes = False
    return app


def _models(gateway: Gateway) -> Endpoint:
    async def fetch() -> bytes:
        reply = await gateway.upstream.models()
        return await reply.whole(_LARGEST_LIST, gateway.settings.idle)

    found = Fresh(fetch, lambda _list: _LIST_LASTS)

    async def models(request: Request) -> Response:
        identify(request.scope, gateway.keys)
        return Response(await found.get(), media_type="application/json")

    return models


def _figures(gateway: Gateway) -> Endpoint:
    async def figures(request: Request) -> Response:
        client = identify(request.scope, gateway.keys)
        if not client.metrics:
            said = f"The key {client.name} may not read the figures of all: make one with keys add --metrics."
            raise Refused(403, said, kind="permission_error", code="METRICS_NOT_ALLOWED")
        return Response(await gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})

    return figures


async def _refuse(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Refused)  # noqa: S101 - registered for nothing else
    return problem.reply()


async def _nobody(_request: Request, _problem: Exception) -> Response:
    return Response(status_code=400)  # the client is gone: nobody reads it


async def _not_served(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    headers = problem.headers if isinstance(problem, HTTPException) else None
    return error(
        status, f"{request.method} {request.scope['path']} is not served here.", code=code, headers=headers
    )
