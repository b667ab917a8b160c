"""The HTTP client, and requests that may be stopped at any moment and leave no connection behind.

The HTTP library forgets a connection for good, and keeps it open, where its task is cancelled just when the
connection was made or while it is closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from hs_notebook.chunked import ChunkJoiner
from hs_notebook.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    import httpx

_CONNECTED, _SENDS = "connection.connect_tcp.complete", "http11.send_request_headers.started"
_STREAMS = (".connect_tcp.complete", ".start_tls.complete")
_CONNECTS_SOON = 0.05  # seconds; to cancel just when the connection is made would be one of those moments

_is_ours = ContextVar("_is_ours", default=False)  # others use the library's log, too
_HEARD = re.compile(r"(return_value|exception)=.*", re.DOTALL)


def is_loopback(base_url: str) -> bool:
    """Tell whether a URL points to this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def http_client(base_url: str, *, connect: float, kept: int) -> httpx.AsyncClient:
    """Make a client for the running loop, that obeys the environment's proxies, but goes direct to loopback.

    `connect` is in seconds, `kept` the most connections that wait for another request. Raises
    `ConfigurationError` for a proxy that cannot be used.
    """
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    # Plain http needs no TLS context, which takes 30 ms to make; for https it is made off the loop.
    tls = await asyncio.to_thread(httpx.create_ssl_context) if base_url.startswith("https:") else None
    nobodys = DefaultCookiePolicy(allowed_domains=[])  # no call tells the next one whose it was
    try:
        return httpx.AsyncClient(
            verify=cast("ssl.SSLContext", tls),
            trust_env=not is_loopback(base_url),
            timeout=httpx.Timeout(None, connect=connect),
            limits=httpx.Limits(max_keepalive_connections=kept),
            follow_redirects=False,
            cookies=CookieJar(nobodys),
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The proxy that the environment names cannot be used: {error}",
            hint="For a SOCKS proxy: pip install socksio.",
        ) from None


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Await what must be done to its end; who is stopped meanwhile is stopped then."""
    task, stop = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            stop = error
    if stop is not None:
        raise stop
    task.result()


async def send(
    http: httpx.AsyncClient, request: httpx.Request, sent: Callable[[], None] = lambda: None
) -> httpx.Response:
    """Send a request and return its reply, whose body is still to be read; raises as the library does.

    `sent` is called when there is a connection and the request goes out.
    """
    for name in ("httpx", "httpcore.http11"):
        logging.getLogger(name).addFilter(_without_words)  # once: it is the same each time
    return await _Sending(http, request, sent).reply()


def _without_words(record: logging.LogRecord) -> bool:
    """Leave out of the library's own log what a server says in status line and headers: perhaps the key."""
    if not _is_ours.get():
        return True
    if record.name == "httpx" and isinstance(record.args, tuple) and len(record.args) == 5:
        record.args = (*record.args[:4], "")
    elif isinstance(record.msg, str):
        record.msg = _HEARD.sub(r"\1=…", record.msg)
    return True


class _Sending:
    def __init__(self, http: httpx.AsyncClient, request: httpx.Request, sent: Callable[[], None]) -> None:
        self._tell = sent
        self._fragile = self._sent = self._unwanted = False
        request.extensions = {**request.extensions, "trace": self._trace}
        ours = _is_ours.set(True)
        self._task = asyncio.ensure_future(http.send(request, stream=True))
        _is_ours.reset(ours)

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(_STREAMS):
            _join_chunks(info["return_value"])
        if event == _CONNECTED:
            self._fragile = True
        elif event == _SENDS and info["request"].method != b"CONNECT":  # that is for the proxy
            self._fragile, self._sent = False, True
            if self._unwanted:
                raise asyncio.CancelledError  # the library closes the connection; nothing was sent
            self._tell()

    async def reply(self) -> httpx.Response:
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._unwanted = True
            self._task.add_done_callback(_looked_at)
            await undisturbed(self._give_up())
            raise
        return self._task.result()

    async def _give_up(self) -> None:
        await asyncio.wait([self._task], timeout=0 if self._sent else _CONNECTS_SOON)
        if self._fragile:
            return  # it makes the connection safe, and finds out by itself that nobody wants it
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and self._task.exception() is None:
            await self._task.result().aclose()


def _join_chunks(stream: Any) -> None:
    """Let a connection's reads bring the chunks of a reply joined."""
    joiner, read, write = ChunkJoiner(), _plain_read(stream), stream.write

    async def read_joined(*limits: Any, **named: Any) -> bytes:
        while data := await read(*limits, **named):
            if joined := joiner.feed(data):
                return joined
        return joiner.rest()

    async def write_request(*request: Any, **named: Any) -> None:
        joiner.restart()
        await write(*request, **named)

    stream.read, stream.write = read_joined, write_request


def _plain_read(stream: Any) -> Callable[..., Coroutine[Any, Any, bytes]]:
    """Return how to read without a time-out: at a hundred streams to arm it takes a tenth of a core."""
    read: Callable[..., Coroutine[Any, Any, bytes]] = stream.read
    receive = getattr(getattr(stream, "_stream", None), "receive", None)  # anyio's own stream
    if receive is None:
        return read

    async def read_plainly(most: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's
        if timeout is None:
            with suppress(Exception):  # the library finds the same, and says it in its own words
                data: bytes = await receive(most)
                return data
        return await read(most, timeout)

    return read_plainly


def _looked_at(task: asyncio.Task[httpx.Response]) -> None:
    """An error that nobody wants to hear of is not reported by the loop either."""
    if not task.cancelled():
        task.exception()
