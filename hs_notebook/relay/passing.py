"""Handing an answer on: from the upstream into a sink, until it is complete or nobody wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.replies import Refused, compact, error_object
from hs_notebook.relay.upstream import STREAM
from hs_notebook.watchdog import Watchdog
from hs_notebook.wire import sse

if TYPE_CHECKING:
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Admission, Gateway
    from hs_notebook.relay.upstream import Headers, UpstreamReply

_BUDGET = error_object(
    "The monthly budget of the key is reached: the answer ends here.",
    kind="insufficient_quota",
    code="BUDGET_EXCEEDED",
)


class BrokenOff(Exception):  # noqa: N818 - it is no error of ours
    """A sink can take no more."""


class Sink(Protocol):
    """Where an answer goes; `write` may raise `BrokenOff`."""

    async def head(self, status: int, headers: Headers) -> None:
        """Begin the reply."""

    async def write(self, data: bytes) -> None:
        """Hand on some bytes of its body."""

    async def end(self, *, whole: bool) -> None:
        """End it; not `whole` where it broke off."""

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error, where nothing else was sent."""


async def hand_on(gateway: Gateway, admission: Admission, asked: Asked, sink: Sink) -> None:
    """Ask the upstream and hand its answer on; the admission is settled however that ends."""
    failure = ""
    try:
        reply = await gateway.upstream.chat(asked.body)
        try:
            await _hand_on(gateway, admission, reply, sink)
        finally:
            await reply.close()
    except Refused as refused:
        failure = refused.code
        await sink.refuse(refused)
    finally:
        # Also when the client went away: a task that is cancelled still has to say what it cost.
        await asyncio.shield(admission.fail(failure) if failure else admission.settle())


async def _hand_on(gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: Sink) -> None:
    await sink.head(reply.status, reply.headers)
    if reply.kind == STREAM:
        whole = await _pump(gateway, admission, reply, sink)
    else:
        whole = await _carry(gateway, admission, reply, sink)
    admission.meter.ending.broken = admission.meter.ending.broken or not whole
    await sink.end(whole=whole)


async def _pump(gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: Sink) -> bool:
    """Hand on a stream; tell whether its bytes came to their end."""
    # This runs once for every token: what it does is spelled out, not called.
    times, feed, write, read = gateway.settings, admission.meter.feed, sink.write, reply.chunks.__anext__
    watchdog = Watchdog(times.idle, times.total)
    loop, task = watchdog.loop, asyncio.current_task()
    try:
        while True:
            watchdog.waiting = task
            data = await read()
            watchdog.waiting = None
            watchdog.fed_at = loop.time()
            await write(data)
            if feed(data):
                await write(b"\n\n" + sse.encode(compact(_BUDGET)))  # the bytes may end in mid-event
                return True
            if watchdog.expired:
                return False
    except StopAsyncIteration:
        ending = admission.meter.ending
        ending.broken = not ending.whole
        return True
    except asyncio.CancelledError:
        if not watchdog.forgive():
            raise
        return False
    except reply.failures:
        return False
    except BrokenOff:
        return False
    finally:
        watchdog.close()


async def _carry(gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: Sink) -> bool:
    """Hand on a reply that is no stream; tell whether its bytes came to their end."""
    body = bytearray()
    try:
        async with asyncio.timeout(gateway.settings.total):
            async for data in reply.chunks:
                body += data
                await sink.write(data)
    except TimeoutError:
        return False
    except reply.failures:
        return False
    except BrokenOff:
        return False
    admission.meter.take(bytes(body))
    return True
