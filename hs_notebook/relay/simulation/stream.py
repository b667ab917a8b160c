"""Writing an answer to the client at its pace, until it is complete or the client is gone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hs_notebook.relay.replies import request_id
from hs_notebook.relay.simulation.faults import End, Script

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from hs_notebook.relay.simulation.answering import Pace
    from hs_notebook.relay.simulation.stats import Stats

_ROUNDED = 0.0005  # seconds: on Linux asyncio's timers go up to the next whole millisecond
_BREATH = 64  # frames after which even a hurrying stream lets the others run


@dataclass(kw_only=True, slots=True)
class Performances:
    """The answers under way in one relay, so that they can be broken off when it stops."""

    stats: Stats
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    def close(self) -> None:
        """Drop every answer under way or still to begin. To be called on the relay's event loop."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def perform(self, work: asyncio.Task[None], receive: Receive) -> None:
        """Wait for `work`, and cancel it at once when the client goes away."""
        gone = asyncio.create_task(_disconnected(receive))
        self.stats.active_streams += 1
        self._tasks.add(work)
        if self._closed:
            work.cancel()
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.stats.cancel()
            elif not work.cancelled():
                self.stats.completed += 1
        finally:
            work.cancel()
            gone.cancel()
            self._tasks.discard(work)
            self.stats.active_streams -= 1
            await asyncio.wait((work, gone))
        if not work.cancelled():
            work.result()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptReply:
    """An ASGI response that performs `script`; `start` is the event loop's time of the request's arrival."""

    script: Script
    pace: Pace
    start: float
    performances: Performances

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await self.performances.perform(asyncio.create_task(self._write(send)), receive)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers()})
        if self.script.opening:
            await _body(send, self.script.opening)
        if not self.script.whole:
            await self._write_tokens(send)
        await self._sleep_until(self.script.closing_due)
        for frame in self.script.closing:
            await _body(send, frame)
        if self.script.end is End.STALLED:
            await asyncio.Event().wait()
        if self.script.end is End.CLOSED:  # a reply that is not ended makes uvicorn drop the connection
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_tokens(self, send: Send) -> None:
        record = self.performances.stats.begin()
        now = asyncio.get_running_loop().time
        for index, frame in enumerate(self.script.tokens):
            # Deadlines are absolute: what one token is late the next one is not.
            delay = self.start + self.pace.due(index) - now() - _ROUNDED
            if delay > 0 or index % _BREATH == 0:
                await asyncio.sleep(delay)
            record.sent(time.time())
            await _body(send, frame)

    async def _sleep_until(self, due: float) -> None:
        await asyncio.sleep(self.start + due - asyncio.get_running_loop().time())

    def _headers(self) -> list[tuple[bytes, bytes]]:
        kind = b"application/json" if self.script.whole else b"text/event-stream; charset=utf-8"
        return [
            (b"content-type", kind),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", request_id().encode()),
        ]


async def _body(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
