"""Whether the relay can do its work: its upstream answers, and so does what its workers share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hs_notebook.relay.fresh import FAILURE_LASTS, Fresh
from hs_notebook.relay.replies import CompactJSONResponse, Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from hs_notebook.relay.gateway import Gateway

_LASTS = 5.0  # seconds that a finding is good for: nobody hammers the upstream through it
_PATIENCE = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`problem` is empty where all is well, `latency` the upstream's in ms."""

    problem: str
    latency: float | None
    at: datetime


class Health:
    """`GET /health`, which needs no key and tells nothing that one would be needed for.

    `patience` is how many seconds the upstream has.
    """

    def __init__(self, gateway: Gateway, *, patience: float = _PATIENCE) -> None:
        self._gateway = gateway
        self._patience = patience
        self._found = Fresh(self._look, lambda found: FAILURE_LASTS if found.problem else _LASTS)

    async def reply(self, _request: Request) -> Response:
        """Answer 200 with the latency, or 503 with a reason; whoever asks meanwhile waits for the same."""
        found = await self._found.get()
        body: dict[str, object] = {"status": "error" if found.problem else "ok"}
        if found.problem:
            body["reason"] = found.problem
        body |= {"latency": found.latency, "timestamp": f"{found.at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"}
        return CompactJSONResponse(body, 503 if found.problem else 200, {"cache-control": "no-store"})

    async def _look(self) -> Finding:
        problem, latency = await self._upstream()
        try:
            await self._gateway.state.check()
        except Refused:
            problem = problem or "What the relay's workers share cannot be reached."
        return Finding(problem=problem, latency=latency, at=datetime.now(UTC))

    async def _upstream(self) -> tuple[str, float | None]:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._patience):
                reply = await self._gateway.upstream.models()
                await reply.close()
        except TimeoutError:
            return f"The upstream did not answer within {self._patience:g} s.", None
        except Refused as refused:
            return refused.message, None
        return "", round((time.perf_counter() - began) * 1000, 1)
