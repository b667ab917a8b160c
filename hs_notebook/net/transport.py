"""Requests over HTTP: connections, attempts, and every failure as an error of our own.

The only file on the notebook's side that imports httpx, and only at the first call.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

import msgspec

from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    BadRequestError,
    ConfigurationError,
    ProtocolError,
)
from hs_notebook.net.gate import Gate
from hs_notebook.net.reader import LONGEST_ANSWER, Reader
from hs_notebook.net.watchdog import Watchdog
from hs_notebook.settings import Credentials, is_loopback
from hs_notebook.types import ChatRequest
from hs_notebook.wire.assembler import as_chunk
from hs_notebook.wire.chunks import decode_completion
from hs_notebook.wire.failures import kind_failure, status_failure
from hs_notebook.wire.limiter import RateLimiter
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Auth = Literal["bearer", "x-api-key"]

_LONGEST_PAGE = 64 * 1024  # bytes read of an error page
_NOTICED_WAIT = 1.0  # seconds; a shorter wait is not worth a line


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to connect, without a word from the model, and for the whole answer."""

    connect: float = 10.0
    idle: float = 60.0
    total: float = 1800.0


class Progress(Protocol):
    """Who wants to know how a call gets on."""

    def sending(self) -> None:
        """An attempt is being sent now."""

    def notice(self, text: str) -> None:
        """One line for the user, about a wait; empty when it is over."""


class Transport:
    """One key, one base URL, one set of limits, on one event loop at a time."""

    def __init__(
        self, credentials: Credentials, *, auth: Auth, timeouts: Timeouts, retry: RetryPolicy, limiter: RateLimiter
    ) -> None:
        self.credentials = credentials
        self._auth = auth
        self._timeouts = timeouts
        self._retry = retry
        self._limiter = limiter
        self._loop: asyncio.AbstractEventLoop | None = None

    async def stream(self, request: ChatRequest, progress: Progress) -> Reader:
        """Send a request for a stream and return its reader when the answer has begun."""

        async def attempt() -> Reader:
            try:
                return await self._open(request, usage=True)
            except BadRequestError as error:
                if "stream_options" not in f"{error.param} {error.message}":
                    raise
            return await self._open(request, usage=False)

        reader = await self._admitted(attempt, progress, keep=True)
        reader.on_close(self._leave)
        return reader

    async def post(self, request: ChatRequest, progress: Progress) -> tuple[str, bytes]:
        """Send a request without a stream and return content type and body of the reply."""
        body = request.body(stream=False, usage=False)
        # Nothing is heard before the whole answer is there: here silence is no sign of trouble.
        patience = self._timeouts.total
        return await self._admitted(lambda: self._fetch("POST", "/chat/completions", body, patience), progress)

    async def get(self, path: str, progress: Progress) -> bytes:
        """Return the body of a reply to GET."""
        _, body = await self._admitted(lambda: self._fetch("GET", path, None, self._timeouts.idle), progress)
        return body

    async def close(self) -> None:
        """Close all connections of this loop."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._http.aclose()

    # --- limits and attempts ---------------------------------------------------------------------

    async def _admitted(
        self, attempt: Callable[[], Awaitable[T]], progress: Progress, *, keep: bool = False
    ) -> T:
        await self._prepare()
        await self._gate.enter(lambda wait: _tell_wait(progress, wait))
        kept = False
        try:
            result = await self._attempts(attempt, progress)
            kept = keep
        finally:
            if not kept:
                self._gate.leave()
        return result

    async def _leave(self) -> None:
        self._gate.leave()

    async def _attempts(self, attempt: Callable[[], Awaitable[T]], progress: Progress) -> T:
        waited, number = 0.0, 1
        while True:
            progress.sending()
            try:
                return await attempt()
            except APIError as error:
                failure = error.with_traceback(None)
            wait = self._retry.wait(failure, attempt=number, waited=waited)
            if wait is None:
                break
            number, waited = number + 1, waited + wait
            cause = failure.message.rstrip(".")
            progress.notice(f"{cause}; trying again in {wait:.0f} s ({number} of {self._retry.attempts})")
            await asyncio.sleep(wait)
            await self._gate.count(lambda wait: _tell_wait(progress, wait))
            progress.notice("")
        if failure.retry_after > self._retry.total:
            failure.hint = f"It asks to wait {failure.retry_after:.0f} s. {failure.hint}".strip()
        elif number > 1:
            failure.hint = f"Tried {number} times. {failure.hint}".strip()
        raise failure

    # --- one request -----------------------------------------------------------------------------

    async def _open(self, request: ChatRequest, *, usage: bool) -> Reader:
        watchdog = Watchdog(self._timeouts.idle, self._timeouts.total)
        try:
            body = request.body(stream=True, usage=usage)
            response = await self._send("POST", "/chat/completions", body, self._timeouts.idle)
            kind = _kind(response)
            if kind == "text/event-stream":
                reader = self._reader(response, watchdog)
            elif kind == "application/json":
                reader = await self._whole(response, watchdog)
            else:
                raise kind_failure(kind, await self._page(response))
        except BaseException:
            watchdog.close()
            raise
        try:
            await reader.begin()
        except BaseException:
            await reader.close()
            raise
        return reader

    def _reader(self, response: httpx.Response, watchdog: Watchdog) -> Reader:
        # `response.stream` is what `aiter_raw` iterates, with a layer less for each chunk.
        encoded = _is_encoded(response)
        source = response.aiter_bytes() if encoded else aiter(cast("httpx.AsyncByteStream", response.stream))
        return Reader(source, close=response.aclose, watchdog=watchdog, translate=self._translate)

    async def _whole(self, response: httpx.Response, watchdog: Watchdog) -> Reader:
        completion = decode_completion(await self._body(response))
        reader = self._reader(response, watchdog)
        reader.early = [as_chunk(completion)]
        reader.ending.see(reader.early[0])
        reader.ending.done = True
        return reader

    async def _fetch(self, method: str, path: str, content: bytes | None, patience: float) -> tuple[str, bytes]:
        response = await self._send(method, path, content, patience)
        kind = _kind(response)
        if kind not in {"application/json", "text/event-stream"}:
            raise kind_failure(kind, await self._page(response))
        return kind, await self._body(response)

    async def _send(self, method: str, path: str, content: bytes | None, patience: float) -> httpx.Response:
        url = self.credentials.base_url + path
        request = self._http.build_request(method, url, content=content, headers=self._headers())
        try:
            async with asyncio.timeout(patience):
                response = await self._http.send(request, stream=True)
        except TimeoutError:
            failure: APIError = APITimeoutError(
                f"{self._host} was silent for {patience:g} s.", hint="Try again, or allow it more time."
            )
        except Exception as error:  # noqa: BLE001 - raised again below, as ours
            failure = self._translate(error)
        else:
            if response.is_success:
                return response
            failure = status_failure(
                response.status_code,
                response.headers,
                await self._page(response),
                key_source=self.credentials.source,
                base_url=self.credentials.base_url,
            )
            failure.message = self.credentials.key.scrub(failure.message)
        raise failure

    def _headers(self) -> dict[str, str]:
        key = self.credentials.key
        name, prefix = ("Authorization", "Bearer ") if self._auth == "bearer" else ("X-API-Key", "")
        return {name: prefix + key.reveal(), "Content-Type": "application/json", "Accept-Encoding": "identity"}

    async def _page(self, response: httpx.Response) -> bytes:
        return await self._body(response, limit=_LONGEST_PAGE, strict=False)

    async def _body(self, response: httpx.Response, *, limit: int = LONGEST_ANSWER, strict: bool = True) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeouts.idle):
                async for data in response.aiter_bytes():
                    body += data
                    if len(body) > limit:
                        break
        except Exception as error:  # noqa: BLE001 - raised again below, as ours
            failure = self._translate(error)
        else:
            if strict and len(body) > limit:
                raise ProtocolError(f"The reply is longer than {limit:,} bytes.")
            return bytes(body[:limit])
        finally:
            await response.aclose()
        if strict:
            raise failure
        return bytes(body)

    # --- the HTTP library ------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return self.credentials.base_url.split("/")[2]

    async def _prepare(self) -> None:
        """Make the HTTP client for the running loop; connections cannot move to another."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        import httpx

        base_url = self.credentials.base_url
        # Plain http needs no TLS context, which takes 30 ms to make; for https it is made off the loop.
        tls = await asyncio.to_thread(httpx.create_ssl_context) if base_url.startswith("https:") else None
        try:
            self._http = httpx.AsyncClient(
                verify=cast("ssl.SSLContext", tls),
                trust_env=not is_loopback(base_url),  # proxies are obeyed, but this machine is direct
                timeout=httpx.Timeout(None, connect=self._timeouts.connect),
                follow_redirects=False,
            )
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"The proxy that the environment names cannot be used: {error}",
                hint="For a SOCKS proxy: pip install socksio.",
            ) from None
        self._gate = Gate(self._limiter)
        self._loop = loop

    def _translate(self, error: Exception) -> APIError:
        """Return a failure of the HTTP library as one of ours, which names the host and holds no request."""
        import httpx

        if isinstance(error, APIError):
            return error
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return APITimeoutError(f"{self._host} did not answer in time.", hint="Try again, or allow it more time.")
        if isinstance(error, httpx.DecodingError):
            return ProtocolError(f"The reply of {self._host} is compressed and broken.")
        if isinstance(error, httpx.ConnectError):
            return self._not_connected(error)
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            return APIConnectionError(f"{self._host} broke the connection.", hint="Try again.")
        cause = self.credentials.key.scrub(str(error)) or type(error).__name__
        return APIConnectionError(f"The connection to {self._host} failed: {cause.rstrip('.')}.")

    def _not_connected(self, error: Exception) -> APIConnectionError:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return APIConnectionError(
                    f"{self._host} has no certificate that this machine trusts: {cause.reason or cause}.",
                    hint="Check the base URL and the proxy.",
                    temporary=False,
                )
            if isinstance(cause, socket.gaierror):
                unknown = cause.errno != socket.EAI_AGAIN
                return APIConnectionError(
                    f"{self._host} is not known here." if unknown else f"The name {self._host} cannot be looked up now.",
                    hint="Check the base URL and the network.",
                    temporary=not unknown,
                )
        return APIConnectionError(
            f"{self._host} cannot be reached: {_last_words(causes)}.", hint="Check the base URL and the network."
        )


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _last_words(causes: list[BaseException]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()  # asyncio puts the address into the error's own text
    return str(causes[0]).rstrip(".") or "no reason given"


def _kind(response: httpx.Response) -> str:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip", "deflate", ""}:
        return f"the unknown content encoding {encoding}"
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _is_encoded(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").lower() not in {"identity", ""}


def _tell_wait(progress: Progress, wait: float) -> None:
    if math.isinf(wait):
        progress.notice("waiting for another answer to end: the limit of concurrent streams is reached")
    elif wait > _NOTICED_WAIT:
        progress.notice(f"the limit of requests a minute is reached; sending in {wait:.0f} s")
