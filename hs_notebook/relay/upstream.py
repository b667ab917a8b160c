"""The one server that requests are handed on to: the only file of the relay that imports httpx."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import msgspec
from starlette.responses import Response

from hs_notebook.connections import http_client, send, undisturbed
from hs_notebook.relay.replies import STREAM, Refused, compact, error_object, last_frame, note_refusal
from hs_notebook.relay.without_key import BytesWithoutKey
from hs_notebook.secret import Secret
from hs_notebook.watchdog import within
from hs_notebook.wire.failures import may_be_billed, sentence, visible_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx
    from starlette.types import Receive, Scope, Send

    from hs_notebook.relay.replies import Headers
    from hs_notebook.relay.settings import RelaySettings
# What of a reply's headers reaches the client. The upstream's own limits are the relay's affair.
_PASSED_ON = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "openai-processing-ms",
)
_LONGEST_PAGE = 64 * 1024  # bytes read of an error


class UpstreamReply:
    """A reply of 2xx as it arrives: `headers` are fit for the client, `chunks` are bytes untouched.

    The upstream's `key` alone is taken out of them. `failures` are the errors of a connection that breaks
    off, `body` is what was posted.
    """

    def __init__(
        self,
        response: httpx.Response,
        failures: tuple[type[Exception], ...],
        key: Secret,
        body: _Body | None,
    ) -> None:
        self._posted = body
        self.failures = failures
        self.key = key
        self._response = response
        self.status = response.status_code
        self.kind = _kind(response)
        self.headers = _passed_on(response)
        # What `aiter_raw` iterates, with a layer less for each chunk.
        raw = aiter(cast("httpx.AsyncByteStream", response.stream))
        self.chunks: AsyncIterator[bytes] = BytesWithoutKey(raw, key)

    async def whole(self, largest: int, patience: float) -> bytes:
        """Return the body; raises `Refused` where it is larger, takes longer (seconds) or breaks off."""
        body = bytearray()
        try:
            async with within(patience):
                async for data in self.chunks:
                    body += data
                    if len(body) > largest:
                        raise _bad_gateway(
                            "The upstream's reply is too large.", "upstream_too_large", self._posted
                        )
        except TimeoutError:
            raise _late(self._posted) from None
        except self.failures:
            raise _bad_gateway(
                "The upstream's reply broke off.", "upstream_broke_off", self._posted
            ) from None
        finally:
            await self.close()
        return bytes(body)

    async def close(self) -> None:
        """Close the connection where the reply is not over; the upstream stops."""
        with suppress(Exception):  # it is gone one way or the other
            await undisturbed(self._response.aclose())


class Upstream:
    """Connections to a base URL with its key, which no client sees."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._key = Secret(settings.key)

    async def open(self) -> None:
        """Make the HTTP client, on the loop that will use it."""
        # Nothing is ever sent twice: who asked may try again. Time is looked after for a whole reply.
        url, connect = self._settings.upstream, self._settings.connect
        self._http = await http_client(url, connect=connect, kept=100)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def chat(self, body: bytes, *, stream: bool, sent: Callable[[], None]) -> UpstreamReply:
        """Post a chat completion; raises `Refused` for every reply that is not 2xx.

        `sent` is called when there is a connection and the call goes out. An answer in one piece begins when
        all of it is there, so that it may take as long as any answer.
        """
        patience = self._settings.idle if stream else self._settings.total
        return await self._send("POST", "/chat/completions", patience, _Body(body, sent))

    async def models(self) -> UpstreamReply:
        """Ask which models there are; raises `Refused` likewise."""
        return await self._send("GET", "/models", self._settings.idle)

    async def _send(
        self, method: str, path: str, patience: float, body: _Body | None = None
    ) -> UpstreamReply:
        import httpx

        headers = {"authorization": f"Bearer {self._settings.key}", "accept-encoding": "identity"}
        if body is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(body.data))}
        request = self._http.build_request(
            method, self._settings.upstream + path, content=body, headers=headers
        )
        try:
            async with within(patience):
                response = await send(self._http, request)
                response.headers = self._without_key(response.headers)
        except (TimeoutError, httpx.TimeoutException):
            raise _late(body) from None
        except httpx.HTTPError as error:
            said = f"The upstream cannot be reached: {type(error).__name__}."
            raise _bad_gateway(said, "upstream_unreachable", body) from None
        if not response.is_success:
            raise await self._refusal(response)
        return await self._judged(response, body)

    async def _judged(self, response: httpx.Response, body: _Body | None) -> UpstreamReply:
        import httpx

        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await undisturbed(response.aclose())
            said = "The upstream's reply has an encoding that was not asked for."
            raise _bad_gateway(said, "upstream_encoding", body)
        reply = UpstreamReply(response, (httpx.HTTPError, httpx.StreamError), self._key, body)
        if reply.kind not in {STREAM, "application/json"}:
            await reply.close()
            said = f"The upstream answered with {reply.kind or 'no content type'}."
            raise _bad_gateway(said, "upstream_kind", body)
        return reply

    async def _refusal(self, response: httpx.Response) -> Refused:
        is_json = _kind(response).endswith("json")
        page = self._key.scrub_bytes(await self._page(response))
        status = response.status_code
        if status in {401, 403}:
            # It is the relay's own key that was refused: no client can mend that.
            said = "The upstream refuses the relay's own key: tell who runs the relay."
            return Lasting(503, said, kind="server_error", code="upstream_auth")
        if status < 400:
            said = "The upstream redirects, which is never followed."
            return Lasting(503, said, kind="server_error", code="upstream_redirect")
        if status > 599:
            said = f"The upstream answered {status}, which is no status."
            return Lasting(502, said, kind="server_error", code="upstream_status")
        headers = _passed_on(response)
        if not is_json:
            # A proxy's page is not to be one of this origin, and no client of OpenAI's expects one.
            page = compact(_error_of(status, page)).encode()
            headers = [header for header in headers if header[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
        return RefusedUpstream(status, page, headers)

    def _without_key(self, headers: httpx.Headers) -> httpx.Headers:
        """Return headers that may be passed on, or quoted."""
        return type(headers)([(name, self._key.scrub_bytes(value)) for name, value in headers.raw])

    async def _page(self, response: httpx.Response) -> bytes:
        page = bytearray()
        with suppress(Exception):  # part of a page is better than none
            async with within(self._settings.idle):
                async for data in response.aiter_raw():
                    page += data
                    if len(page) > _LONGEST_PAGE:
                        break
        await undisturbed(response.aclose())
        return bytes(page)


class Unanswered(Refused):
    """A call that was sent, and brought nothing that can be handed on: it may be billed all the same."""

    final = True


class Lasting(Refused):
    """A request that the upstream will not serve: no other attempt comes to anything else."""

    final = True


class _Body:
    """What is posted; `sent` from when a connection has asked for it."""

    def __init__(self, data: bytes, tell: Callable[[], None]) -> None:
        self.data = data
        self.sent = False
        self._tell = tell

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent = True
        self._tell()
        yield self.data


class RefusedUpstream(Refused):
    """An error of the upstream's, whose body and headers go to the client."""

    def __init__(self, status: int, page: bytes, headers: Headers) -> None:
        super().__init__(status, f"The upstream answered {status}.")
        self.page = page
        self.headers = headers

    @property
    def code(self) -> str:
        return f"upstream_{self.status}"

    def reply(self) -> Response:
        return _Page(self)

    def frame(self) -> bytes:
        return last_frame({"error": self._said()})

    def _said(self) -> object:
        """Return the error as the upstream told it, or the first words of a page of another shape."""
        with suppress(ValueError, RecursionError):
            page = msgspec.json.decode(self.page)
            if isinstance(page, dict) and isinstance(page.get("error"), dict):
                return page["error"]
        return _error_of(self.status, self.page)["error"]


class _Page(Response):
    """The page of an upstream's error."""

    def __init__(self, refused: RefusedUpstream) -> None:
        super().__init__(refused.page, refused.status)
        self.raw_headers = [*self.raw_headers, *refused.headers]
        if may_be_billed(refused.status):
            self.headers["x-should-retry"] = "false"
        self._code = refused.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_refusal(scope, self._code)
        await super().__call__(scope, receive, send)


def _passed_on(response: httpx.Response) -> Headers:
    found = ((name, response.headers.get(name)) for name in _PASSED_ON)
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in found if value is not None]


def _kind(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _error_of(status: int, page: bytes) -> dict[str, object]:
    """Return the first words of a page as an error in OpenAI's shape."""
    said = f"The upstream answered {status}: {visible_text(page) or 'no reason given'}"
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return error_object(sentence(said), kind=kind, code=f"upstream_{status}")


def _late(body: _Body | None = None) -> Refused:
    return _failure(504, "The upstream did not answer in time.", "upstream_timeout", body)


def _bad_gateway(message: str, code: str, body: _Body | None = None) -> Refused:
    return _failure(502, message, code, body)


def _failure(status: int, message: str, code: str, body: _Body | None) -> Refused:
    """Return why there is no reply; who asked tells by its status whether that may be billed."""
    if body is None:
        return Refused(status, message, kind="server_error", code=code)
    if not body.sent:
        return Refused(503, message, kind="server_error", code=code)
    return Unanswered(status, message, kind="server_error", code=code)
