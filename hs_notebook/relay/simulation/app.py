"""The ASGI application of the simulated relay: OpenAI's routes, and one with the relay's own statistics.

`POST /v1/chat/completions`, `GET /v1/models`, `GET /v1/simulation/stats` (counters only, no key needed).
What a prompt can ask of the simulation stands in `hs_notebook.relay.simulation.requests`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hs_notebook.relay.replies import CompactJSONResponse, error
from hs_notebook.relay.simulation import models
from hs_notebook.relay.simulation.answering import Answer, Simulation, Simulator
from hs_notebook.relay.simulation.faults import FAULTS, NO_FAULT, Fault, Script
from hs_notebook.relay.simulation.frames import FINGERPRINT, Frames, ResponsesFrames, Writer
from hs_notebook.relay.simulation.requests import (
    BadRequestError,
    ChatBody,
    Directives,
    parse_body,
    parse_directives,
)
from hs_notebook.relay.simulation.stats import SeenRequest, Stats
from hs_notebook.relay.simulation.stream import Performances, ScriptReply

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from hs_notebook.relay.simulation.models import Model

BODY_LIMIT = 2 * 1024 * 1024  # bytes
_READ_LIMIT = 8 * BODY_LIMIT  # so far a body that is refused is still read: who is cut off early sees no 413
_LISTED_SINCE = 1_735_689_600  # models have a date in OpenAI's list; this one says nothing about them
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie"})


def create_app(simulation: Simulation | None = None) -> Starlette:
    """Return the application; its `state.stats` and `state.performances` are for whoever runs it."""
    stats = Stats()
    performances = Performances(stats=stats)
    simulator = Simulator(settings=simulation or Simulation())
    chat = _Chat(simulator=simulator, stats=stats, performances=performances)
    routes = [
        Route("/v1/chat/completions", chat.reply, methods=["POST"]),
        Route("/v1/models", _models),
        Route("/v1/simulation/stats", lambda _request: CompactJSONResponse(stats.summary())),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    app.state.stats = stats
    app.state.performances = performances
    return app


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chat:
    """The endpoint of chat completions."""

    simulator: Simulator
    stats: Stats
    performances: Performances

    async def reply(self, request: Request) -> Response | ASGIApp:
        self.stats.requests += 1
        start = asyncio.get_running_loop().time()
        if not _has_key(request):
            return _missing_key()
        try:
            raw = await _read(request)
            return self._answer(request, raw, start)
        except BadRequestError as problem:
            return error(400, str(problem), code="bad_request")
        except _TooLargeError:
            return error(413, f"The body is larger than {BODY_LIMIT:,} bytes.", code="request_too_large")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    def _answer(self, request: Request, raw: bytes, start: float) -> Response | ASGIApp:
        body = parse_body(raw)
        directives = parse_directives(body.prompt)
        model = models.find(body.model)
        if model is None:
            return _unknown_model(body.model)
        self._note(request, raw, model, stream=bool(body.stream))
        fault = self._fault(body, directives)
        if self.simulator.fails(model):
            fault = FAULTS["503"]
        if fault.reply is not None:
            return fault.reply()
        answer = self.simulator.answer(body, model, directives)
        script = _script(body, model, answer, fault)
        if fault.bend is not None:
            script = fault.bend(script, directives.after)
        return ScriptReply(script=script, pace=answer.pace, start=start, performances=self.performances)

    def _fault(self, body: ChatBody, directives: Directives) -> Fault:
        if directives.fault is None:
            return NO_FAULT
        name = directives.fault.removesuffix("-once")
        if name not in FAULTS:
            raise BadRequestError(f"Unknown fault {name!r}; there are {', '.join(FAULTS)}.")
        if name != directives.fault and not self.simulator.strikes(body):
            return NO_FAULT
        return FAULTS[name]

    def _note(self, request: Request, raw: bytes, model: Model, *, stream: bool) -> None:
        headers = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
        self.stats.seen.append(SeenRequest(model=model.id, stream=stream, body=raw, headers=headers))


def _script(body: ChatBody, model: Model, answer: Answer, fault: Fault) -> Script:
    stream = bool(body.stream) if fault.stream is None else fault.stream
    usage = answer.usage if fault.usage and (body.wants_usage or not stream) else None
    frames = Frames(model.id, usage=usage is not None)
    if not stream:
        whole = frames.whole(answer.text, answer.finish, usage, answer.calls)
        last = max(len(answer.tokens) - 1, 0)
        return Script(whole=True, closing=(whole,), closing_due=answer.pace.due(last))
    writer: Writer = ResponsesFrames(model.id) if fault.responses and not answer.calls else frames
    return Script(
        opening=writer.opening(),
        tokens=frames.calls(answer.calls) if answer.calls else map(writer.token, answer.tokens),
        closing=writer.closing(answer.finish, usage),
    )


class _TooLargeError(Exception):
    """The body is over the limit."""


async def _read(request: Request) -> bytes:
    body = bytearray()
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= BODY_LIMIT:
            body += piece
        elif size > _READ_LIMIT:
            break
    if size > BODY_LIMIT:
        raise _TooLargeError
    return bytes(body)


def _has_key(request: Request) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = scheme.lower() == "bearer" and token.strip()
    return bool(bearer or request.headers.get("x-api-key", "").strip())


def _missing_key() -> Response:
    message = "No key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`. The simulated relay takes any."
    return error(401, message, kind="authentication_error", code="MISSING_AUTH")


def _unknown_model(name: str) -> Response:
    shown = name if len(name) <= 80 else name[:80] + "…"
    near = ", ".join(models.nearest(name))
    message = f"The model {shown!r} does not exist. Did you mean one of: {near}?"
    return error(404, message, code="model_not_found", param="model")


def _models(request: Request) -> Response:
    if not _has_key(request):
        return _missing_key()
    data = [
        {
            "id": model.id,
            "object": "model",
            "created": _LISTED_SINCE,
            "owned_by": model.owner,
            "system_fingerprint": FINGERPRINT,
        }
        for model in models.MODELS
    ]
    return CompactJSONResponse({"object": "list", "data": data})


def _http_error(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    headers = problem.headers if isinstance(problem, HTTPException) else None
    message = f"{request.method} {request.url.path} is not served here."
    return error(status, message, code=code, headers=headers)
