"""Handing an answer on: from the upstream into a sink, until it is complete or nobody wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hs_notebook.errors import BudgetError
from hs_notebook.relay.replies import STREAM, Refused, compact, error_object
from hs_notebook.relay.upstream import RefusedUpstream
from hs_notebook.relay.usage import WithoutUsage
from hs_notebook.relay.without_key import EventsWithoutKey
from hs_notebook.watchdog import Watchdog
from hs_notebook.wire import sse
from hs_notebook.wire.failures import may_be_billed

if TYPE_CHECKING:
    from hs_notebook.errors import HolySheepError
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.gateway import Admission, Gateway
    from hs_notebook.relay.metering import Meter
    from hs_notebook.relay.sinks import Sink
    from hs_notebook.relay.upstream import UpstreamReply

_LARGEST_BODY = 16 * 1024 * 1024  # bytes of a reply that is no stream


class BrokenOff(Exception):  # noqa: N818 - it is no error of ours
    """A sink can take no more."""


async def hand_on(gateway: Gateway, admission: Admission, asked: Asked, sink: Sink) -> None:
    """Ask the upstream and hand its answer on.

    The admission is settled however that ends, and before the client hears of it: he may ask again at once.
    """
    try:
        reply, counted = await _ask(gateway, admission.meter, asked)
        try:
            if reply.kind == STREAM:
                inner = WithoutUsage(sink) if counted else sink
                await _stream(gateway, admission, reply, EventsWithoutKey(inner, reply.key))
            else:
                await _carry(gateway, admission, reply, sink)
        finally:
            await reply.close()
    except Refused as refused:
        await admission.fail(refused.code, billed=may_be_billed(refused.status))
        await sink.refuse(refused)
    finally:
        # Also when the client went away: a task that is cancelled still has to say what it cost.
        await admission.settle()


async def _ask(gateway: Gateway, meter: Meter, asked: Asked) -> tuple[UpstreamReply, bool]:
    """Ask the upstream, for the usage of a stream too; tell whether it was the relay that wanted it."""
    chat = gateway.upstream.chat
    meter.unread = not asked.stream  # nothing tells what it comes to before all of it is there
    if asked.counted is not None:
        try:
            return await chat(asked.counted, stream=True, sent=meter.sent), True
        except RefusedUpstream as refused:
            if refused.status not in {400, 422} or b"stream_options" not in refused.page:
                raise
        # It does not know that wish, and has answered nothing so far.
    return await chat(asked.body, stream=asked.stream, sent=meter.sent), False


async def _stream(
    gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: EventsWithoutKey
) -> None:
    await sink.head(reply.status, reply.headers)
    whole = await _pump(gateway, admission, reply, sink)
    admission.meter.ending.broken = admission.meter.ending.broken or not whole
    await admission.settle()
    await sink.end(whole=whole)


async def _pump(gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: EventsWithoutKey) -> bool:
    """Hand on a stream; tell whether its bytes came to their end, or to one that says why."""
    # This runs once for every token: what it does is spelled out, not called.
    times, feed, write, read = gateway.settings, admission.meter.feed, sink.write, reply.chunks.__anext__
    watchdog, ending = Watchdog(times.idle, times.total), admission.meter.ending
    loop, task = watchdog.loop, asyncio.current_task()
    try:
        while True:
            watchdog.waiting = task
            data = await read()
            watchdog.waiting = None
            watchdog.fed_at = loop.time()
            why = feed(data)
            if why is not None or ending.done:
                await admission.settle()
            await write(data)
            if why is not None:
                await sink.cut(_last_words(why))
                return True
            if watchdog.expired:
                return False
    except StopAsyncIteration:
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


def _last_words(why: HolySheepError) -> bytes:
    if isinstance(why, BudgetError):
        kind, code = "insufficient_quota", "BUDGET_EXCEEDED"
    else:
        kind, code = "server_error", "upstream_too_large"
    return b"\n\n" + sse.encode(compact(error_object(why.message, kind=kind, code=code)))


async def _carry(gateway: Gateway, admission: Admission, reply: UpstreamReply, sink: Sink) -> None:
    """Hand on a reply that is no stream, once it is whole: raises `Refused` for one that will not be."""
    meter = admission.meter
    meter.unread = True
    body = await reply.whole(_LARGEST_BODY, gateway.settings.total - meter.elapsed)
    meter.take(body)
    await admission.settle()
    await sink.head(reply.status, reply.headers)
    await sink.write(body)
    await sink.end(whole=True)
