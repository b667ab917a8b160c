"""Requests over HTTP, and every failure as an error of our own.

With `connections.py` the only file on the notebook's side that imports httpx, and only at the first call.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec

from hs_notebook.connections import http_client, send
from hs_notebook.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ProtocolError,
    StreamTruncatedError,
)
from hs_notebook.net.farewells import Farewells
from hs_notebook.net.flow import LONGEST_ANSWER, Flow
from hs_notebook.net.pace import Pace
from hs_notebook.net.reader import Reader
from hs_notebook.net.replies import DECODED, collect, encoding, kind, one_line, page_of, source
from hs_notebook.net.resumption import Resumption, can_resume
from hs_notebook.net.unreachable import broken, unreachable
from hs_notebook.watchdog import Watchdog, within
from hs_notebook.wire.chunks import decode_completion
from hs_notebook.wire.failures import kind_failure, status_failure
from hs_notebook.wire.whole import as_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from hs_notebook.net.progress import Progress
    from hs_notebook.settings import Credentials
    from hs_notebook.types import ChatCompletion, ChatRequest
    from hs_notebook.wire.retry import RetryPolicy

Auth = Literal["bearer", "x-api-key"]

_JSON, _EVENTS = "application/json", "text/event-stream"
_LONG_BODY = 256 * 1024  # bytes; to look for the key in more would hold the loop up


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to connect, without a word from the model, and for the whole answer."""

    connect: float = 10.0
    idle: float = 60.0
    total: float = 1800.0


class Transport:
    """Connections to one base URL with one key, on one event loop at a time."""

    def __init__(self, credentials: Credentials, *, auth: Auth, timeouts: Timeouts) -> None:
        self.credentials = credentials
        self._auth = auth
        self._timeouts = timeouts
        self._loop: asyncio.AbstractEventLoop | None = None
        self.date = ""  # what the server's clock said with its last reply
        self._farewells = Farewells(self._ask)
        self._resumes = False  # the relay has offered it

    async def prepare(self) -> None:
        """Make the HTTP client for the running loop; connections cannot move to another."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        import anyio.lowlevel

        # What the HTTP library imports at its first request belongs to no answer's time to first token.
        await anyio.lowlevel.checkpoint()
        url, connect = self.credentials.base_url, self._timeouts.connect
        http = await http_client(url, connect=connect, kept=20)
        if self._loop is loop:
            return  # another call has been quicker
        self._http = http
        self._pace = Pace()
        self._loop = loop

    async def stream(
        self, request: ChatRequest, *, usage: bool, once: str, policy: RetryPolicy, progress: Progress
    ) -> Reader:
        """Post a request for a stream and return its reader when the answer has begun.

        `usage` asks for the token counts, `once` names the call, over all its attempts. Where the relay
        offers it, the stream is resumed as the policy says.
        """
        offer = {"X-Stream-Resume": "1", "Idempotency-Key": once}
        body = request.body(stream=True, usage=usage)
        response = await self._send(
            "POST", "/chat/completions", body, self._patience, offer, sent=progress.sent
        )
        resumption = None
        if kind(response) == _EVENTS and can_resume(response):
            self._resumes = True
            resumption = Resumption(response, ask=self._ask, policy=policy, notice=progress.notice)
        return await self._begun(response, request.alternatives, resumption)

    async def post(self, request: ChatRequest, progress: Progress) -> Reader:
        """Post a request for a whole answer and return its reader when it has come, or begun as a stream."""
        # Nothing is heard before the whole answer is there: here silence is no sign of trouble.
        body, patience = request.body(stream=False, usage=False), self._timeouts.total
        response = await self._send("POST", "/chat/completions", body, patience, sent=progress.sent)
        return await self._begun(response, request.alternatives)

    async def _begun(
        self, response: httpx.Response, alternatives: int, resumption: Resumption | None = None
    ) -> Reader:
        """Return the reader of a reply when the answer has begun, or is whole."""
        said = kind(response)  # not always of what was asked for: relays were seen to answer either way
        if said == _JSON:
            completion = decode_completion(await self._body(response, self._timeouts.total))
            reader = self._reader(response, completion)
        elif said == _EVENTS:
            reader = self._reader(response, resumption=resumption, alternatives=alternatives)
        else:
            raise await self._wrong_kind(said, response)
        try:
            await reader.begin()
        except BaseException:
            await reader.close()
            raise
        return reader

    def give_up(self, once: str) -> None:
        """Let a relay that keeps streams know that a call will not come back for its own."""
        if self._resumes:
            self._farewells.say("/streams", {"Idempotency-Key": once})

    @property
    def _patience(self) -> float:
        return min(self._timeouts.idle, self._timeouts.total)

    def _reader(
        self,
        response: httpx.Response,
        whole: ChatCompletion | None = None,
        resumption: Resumption | None = None,
        alternatives: int = 1,
    ) -> Reader:
        watchdog = Watchdog(self._timeouts.idle, self._timeouts.total)
        flow = Flow(
            source(response),
            key=self.credentials.key,
            watchdog=watchdog,
            pace=self._pace,
            translate=self._translate,
            resumption=resumption,
            alternatives=alternatives,
        )
        if whole is not None:
            flow.take(as_chunk(whole))
        close = partial(resumption.leave, flow.is_over, self._farewells) if resumption else response.aclose
        return Reader(
            flow, close=close, watchdog=watchdog, pace=self._pace, resumption=resumption, whole=whole
        )

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        return await self._send(method, path, None, self._patience, headers)

    async def get(self, path: str) -> bytes:
        """Return the JSON that is the reply to GET."""
        patience = self._timeouts.idle
        response = await self._send("GET", path, None, patience)
        if (said := kind(response)) != _JSON:
            raise await self._wrong_kind(said, response)
        return await self._body(response, patience)

    async def close(self) -> None:
        """Close all connections of this loop."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._farewells.said()
            await self._http.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        patience: float,
        extra: dict[str, str] | None = None,
        *,
        sent: Callable[[], None] = lambda: None,
    ) -> httpx.Response:
        url = self.credentials.base_url + path
        headers = self._headers() | (extra or {})
        try:
            request = self._http.build_request(method, url, content=content, headers=headers)
            async with within(patience):
                response = await send(self._http, request, sent)
        except TimeoutError:
            failure = self._translate(TimeoutError(f"was silent for {patience:g} s"))
        except Exception as error:  # noqa: BLE001 - raised again below, as ours
            failure = self._translate(error)
        else:
            self.date = response.headers.get("date", "")
            if response.is_success:
                return response
            failure = await self._refusal(response)
        raise failure

    async def _refusal(self, response: httpx.Response) -> APIError:
        page = await page_of(response, self._timeouts.idle, self.credentials.key.scrub_bytes)
        source, base_url = self.credentials.source, self.credentials.base_url
        failure = status_failure(
            response.status_code, response.headers, page, key_source=source, base_url=base_url
        )
        return self._translate(failure)

    async def _wrong_kind(self, said: str, response: httpx.Response) -> APIError:
        page = await page_of(response, self._timeouts.idle, self.credentials.key.scrub_bytes)
        if (used := encoding(response)) not in DECODED:
            failure = ProtocolError(
                f"The reply of {self._host} has the encoding {used}, which was not asked for."
            )
            return self._translate(failure)
        return self._translate(kind_failure(said, page))

    def _headers(self) -> dict[str, str]:
        key = self.credentials.key
        name, prefix = ("Authorization", "Bearer ") if self._auth == "bearer" else ("X-API-Key", "")
        return {
            name: prefix + key.reveal(),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }

    async def _body(self, response: httpx.Response, patience: float) -> bytes:
        body = bytearray()
        try:
            async with within(patience):
                await collect(response, body, LONGEST_ANSWER)
        except Exception as error:  # noqa: BLE001 - raised again below, as ours
            failure = self._translate(error)
        else:
            if len(body) > LONGEST_ANSWER:
                raise ProtocolError(f"The reply is longer than {LONGEST_ANSWER:,} bytes.")
            page, scrub = bytes(body), self.credentials.key.scrub_bytes
            return await asyncio.to_thread(scrub, page) if len(page) > _LONG_BODY else scrub(page)
        if body.strip():  # the answer was made, and asking again would bill it twice
            raise StreamTruncatedError(f"The reply broke off: {failure.message}", hint=failure.hint)
        raise failure

    @property
    def _host(self) -> str:
        return self.credentials.base_url.split("/")[2]

    def _translate(self, error: Exception) -> APIError:
        """Return a failure as one of ours, in one line that shows neither key nor request."""
        failure = error if isinstance(error, APIError) else self._named(error)
        failure.scrub(self.credentials.key.scrub)
        failure.message = one_line(failure.message)
        return failure

    def _named(self, error: Exception) -> APIError:
        import httpx

        again = "Try again, or allow it more time."
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            said = str(error) if isinstance(error, TimeoutError) else ""
            return APITimeoutError(f"{self._host} {said or 'did not answer in time'}.", hint=again)
        if isinstance(error, zlib.error):
            return ProtocolError(f"The reply of {self._host} is compressed and broken.")
        if isinstance(error, httpx.ConnectError):
            return unreachable(self._host, error)
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
            return broken(self._host, str(error) if isinstance(error, httpx.RemoteProtocolError) else "")
        cause = str(error) or type(error).__name__
        return APIConnectionError(f"The connection to {self._host} failed: {cause.rstrip('.')}.")
