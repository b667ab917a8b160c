"""Handing an answer on: from the upstream into a sink, until it is complete or nobody wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hs_notebook.relay.replies import STREAM, Refused, compact, error_object
from hs_notebook.relay.upstream import RefusedUpstream
from hs_notebook.relay.usage import WithoutUsage
from hs_notebook.relay.without_key import EventsWithoutKey
from hs_notebook.watchdog import Watchdog, within
from hs_notebook.wire import sse
from hs_notebook.wire.failures import may_be_billed

if TYPE_CHECKING:
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Admission, Gateway
    from hs_notebook.relay.sinks import Sink
    from hs_notebook.relay.upstream import UpstreamReply

_BUDGET = error_object(
    "The monthly budget of the key is reached: the answer ends here.",
    kind="insufficient_quota",
    code="BUDGET_EXCEEDED",
)


class BrokenOff(Exception):  # noqa: N818 - it is no error of ours
    """A sink can take no more."""


async def hand_on(gateway: Gateway, admission: Admission, asked: Asked, sink: Sink) -> None:
    """Ask the upstream and hand its answer on; the admission is settled however that ends."""
    failure: Refused | None = None
    try:
        reply, counted = await _ask(gateway, asked)
        if reply.kind == STREAM:
            sink = EventsWithoutKey(WithoutUsage(sink) if counted else sink, reply.key)
        try:
            await _hand_on(gateway, admission, reply, sink)
        finally:
            await reply.close()
    except Refused as refused:
        failure = refused
        await sink.refuse(refused)
    finally:
        # Also when the client went away: a task that is cancelled still has to say what it cost.
        await asyncio.shield(_settle(admission, failure))


async def _settle(admission: Admission, failure: Refused | None) -> None:
    if failure is None:
        await admission.settle()
    else:
        await admission.fail(failure.code, billed=may_be_billed(failure.status))


async def _ask(gateway: Gateway, asked: Asked) -> tuple[UpstreamReply, bool]:
    """Ask the upstream, for the usage of a stream too; tell whether it was the relay that wanted it."""
    chat = gateway.upstream.chat
    if asked.counted is not None:
        try:
            return await chat(asked.counted, stream=True), True
        except RefusedUpstream as refused:
            if refused.status not in {400, 422} or b"stream_options" not in refused.page:
                raise
        # It does not know that wish, and has answered nothing so far.
    return await chat(asked.body, stream=asked.stream), False


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
        ending.broken = not ending.paused
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
    admission.meter.unread = True
    try:
        async with within(gateway.settings.total):
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
