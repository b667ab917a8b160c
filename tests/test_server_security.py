"""The relay's rows of the table of threats, but for the keys' (test_server_keys) and the page's (browser)."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from chaos import refusing
from edge import UPSTREAM_KEY, Edge, edge, read_all, replies, request, within
from loopback import END, FINISH, SSE, Loopback, frame, hello_page, page

from hs_notebook.errors import UsageError
from hs_notebook.relay.guard import Guard, host_name, web_origin
from hs_notebook.relay.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loopback import Connection
    from starlette.types import Message, Receive, Scope, Send

    from hs_notebook.relay import EmbeddedRelay

ENDPOINTS = ("/v1/chat/completions", "/api/chat/stream")
PAGE = "https://app.example"


@pytest.fixture(scope="module")
def server(upstream: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("relay")
    listed: dict[str, Any] = {
        "hosts": ("relay.example", "[fd00::8]"),
        "origins": (PAGE, "http://localhost:3000/"),
    }
    with edge(folder, upstream.base_url, **listed) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(upstream: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A server whose bounds are so small that a test may wait for them."""
    folder = tmp_path_factory.mktemp("impatient")
    bounds: dict[str, Any] = {"headers": 0.4, "body": 0.4, "stall": 0.4, "connections": 3}
    with edge(folder, upstream.base_url, **bounds) as running:
        yield running


def test_the_upstream_is_asked_through_the_proxy_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: Connection, proxy: Loopback) -> None:
        if proxy.ask(connection):
            connection.send(b"HTTP/1.1 403 No way\r\ncontent-length: 0\r\n\r\n")

    with Loopback(serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with edge(tmp_path, "https://far.example/v1") as relay:
            (reply,) = replies(relay.exchange(relay.chat("Hello", "Connection: close")))
    assert (reply.status, reply.code) == (503, "upstream_unreachable")
    assert {request.line for request in proxy.requests} == {"CONNECT far.example:443 HTTP/1.1"}
    assert not any(UPSTREAM_KEY in value for request in proxy.requests for _, value in request.headers)


# Browser origins: the Host, against DNS rebinding.


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8787", 200),
        ("localhost.", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8787", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("relay.example", 200),
        ("RELAY.example.:443", 200),
        ("[fd00:0::8]", 200),
        ("evil.example", 421),
        ("relay.example.evil.example", 421),
        ("evilrelay.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("0.0.0.0", 421),
        ("[fd00::9]", 421),
        ("2130706433", 421),
        ("0x7f000001", 421),
        ("", 400),
        (" ", 400),
        ("user@localhost", 400),
        ("localhost:80:80", 400),
        ("localhost:", 400),
        ("localhost:port", 400),
        ("localhost..", 400),
        (".localhost", 400),
        ("localhost/evil.example", 400),
        ("localhost, evil.example", 400),
        ("localhost evil.example", 400),
        ("::1", 400),
        ("[::1", 400),
        ("[localhost]", 400),
        ("lócalhost", 400),
        ("localhost#@evil.example", 400),
    ],
)
def test_a_host_is_one_of_the_relay_s_names(server: Edge, host: str, status: int) -> None:
    asked = request("GET", "/v1/models", f"Host: {host}\r\nX-API-Key: {server.key}\r\nConnection: close")
    (reply,) = replies(server.exchange(asked))
    assert reply.status == status
    if status != 200:
        assert reply.code == {421: "unknown_host", 400: "bad_host"}[status]


@pytest.mark.parametrize(
    ("host", "own", "passes"),
    [
        ("10.0.0.5:8787", "10.0.0.5", True),
        ("[2001:db8::5]", "2001:db8::5", True),
        ("[2001:DB8:0:0::5]", "2001:db8::5", True),
        ("10.0.0.6", "10.0.0.5", False),
        ("evil.example", "10.0.0.5", False),
        ("127.0.0.1", "10.0.0.5", True),
        ("10.0.0.5", "::ffff:10.0.0.5", True),  # a socket for both families
        ("[::ffff:10.0.0.5]", "10.0.0.5", True),
        ("[::ffff:7f00:1]", "10.0.0.5", True),
        ("[::ffff:10.0.0.6]", "::ffff:10.0.0.5", False),
    ],
)
def test_the_address_that_was_called_is_a_name(host: str, own: str, passes: bool) -> None:
    """No page of another name can be of one origin with it."""
    said: list[Any] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope: Scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "http_version": "1.1",
        "server": (own, 8787), "headers": [(b"host", host.encode())],
    }  # fmt: skip
    guard = Guard(app, RelaySettings(upstream="http://x/v1", key="", keys=Path("none")))
    asyncio.run(guard(scope, receive, send))
    assert said[0]["status"] == (200 if passes else 421)


@pytest.mark.parametrize("line", ["GET /v1/models HTTP/1.1", "GET /v1/models HTTP/1.0"])
@pytest.mark.parametrize(
    "hosts", ["", "Host: localhost\r\nHost: localhost\r\n", "Host: a\r\nhost: localhost\r\n"]
)
def test_a_request_has_one_host(server: Edge, line: str, hosts: str) -> None:
    said = server.exchange(f"{line}\r\n{hosts}X-API-Key: {server.key}\r\nConnection: close\r\n\r\n".encode())
    assert [reply.status for reply in replies(said)] == [400]


# Browser origins: the pages that may call.


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (PAGE, True),
        ("http://localhost:3000", True),
        ("https://app.example.evil.example", False),
        ("https://evilapp.example", False),
        ("https://evil.example#https://app.example", False),
        ("https://app.example@evil.example", False),
        ("https://app.example:444", False),
        ("https://app.example:443", False),
        ("http://app.example", False),
        ("https://APP.example", False),
        ("https://app.example/", False),
        ("https://app.example.", False),
        ("https://sub.app.example", False),
        (f"{PAGE} https://evil.example", False),
        ("http://localhost:3001", False),
        ("http://localhost", False),
        ("null", False),
        ("*", False),
        ("", False),
        ("file://", False),
    ],
)
def test_a_page_is_listed_letter_for_letter(
    server: Edge, upstream: EmbeddedRelay, origin: str, allowed: bool
) -> None:
    before = upstream.stats.requests
    (reply,) = replies(
        server.exchange(server.chat("[simulate tokens=1]", f"Origin: {origin}", "Connection: close"))
    )
    preflight = request(
        "OPTIONS", "/v1/chat/completions", server.headers(
            f"Origin: {origin}", "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,x-evil", "Connection: close",
        )
    )  # fmt: skip
    (asked_first,) = replies(server.exchange(preflight))
    names = [name for name, _ in (*reply.headers, *asked_first.headers) if name.startswith("access-control")]
    assert "access-control-allow-credentials" not in names
    if allowed:
        assert (reply.status, asked_first.status) == (200, 204)
        assert [r.header("access-control-allow-origin") for r in (reply, asked_first)] == [origin] * 2
        assert [r.header("vary") for r in (reply, asked_first)] == ["Origin"] * 2
        assert "x-evil" not in str(asked_first.header("access-control-allow-headers"))
        assert "x-stream-resume" in str(asked_first.header("access-control-allow-headers"))
        exposed = str(reply.header("access-control-expose-headers"))
        assert "x-stream-id" in exposed
        assert "x-should-retry" in exposed
        assert "x-stream-resume" in exposed
    else:
        # Also with a good key: the page could not read an answer that is paid for.
        assert (reply.status, reply.code, asked_first.status) == (403, "ORIGIN_NOT_ALLOWED", 403)
        assert upstream.stats.requests == before
        assert names == []


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8787", "http://127.0.0.1:8787", 200),
        ("relay.example", "https://relay.example", 200),  # TLS ends at the proxy
        ("relay.example:443", "https://relay.example", 200),
        ("RELAY.example", "https://relay.example", 200),
        ("relay.example", "https://relay.example:8443", 403),
        ("127.0.0.1:8787", "http://localhost:8787", 403),
        ("127.0.0.1:8787", "ftp://127.0.0.1:8787", 403),
    ],
)
def test_the_relay_s_own_page_needs_no_listing(server: Edge, host: str, origin: str, status: int) -> None:
    lines = f"Host: {host}\r\nOrigin: {origin}\r\nX-API-Key: {server.key}\r\nConnection: close"
    (reply,) = replies(server.exchange(request("GET", "/v1/models", lines)))
    assert reply.status == status
    assert reply.header("access-control-allow-origin") is None


def test_two_origins_are_none(server: Edge) -> None:
    lines = server.headers(f"Origin: {PAGE}", f"Origin: {PAGE}", "Connection: close")
    assert [reply.status for reply in replies(server.exchange(request("GET", "/v1/models", lines)))] == [403]


def test_a_reply_says_that_it_depends_on_the_origin_where_it_may(server: Edge, impatient: Edge) -> None:
    for at, vary in ((server, "Origin"), (impatient, None)):
        asked = request("GET", "/v1/models", at.headers("Connection: close"))
        assert [reply.header("vary") for reply in replies(at.exchange(asked))] == [vary]


@pytest.mark.parametrize(
    "text", ["", "*", "https://relay.example", "a/b", "a b", "user@a", "a:b", "*.example"]
)
def test_what_is_no_host_cannot_be_listed(text: str) -> None:
    with pytest.raises(UsageError, match="is no host name"):
        host_name(text)


@pytest.mark.parametrize(
    "text", ["", "*", "null", "app.example", "https://*.example", "https://a.example/b", "https://"]
)
def test_what_is_no_origin_cannot_be_listed(text: str) -> None:
    with pytest.raises(UsageError, match="is no origin"):
        web_origin(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("HTTPS://App.example:443/", "https://app.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_listed_as_a_browser_writes_it(text: str, origin: str) -> None:
    assert web_origin(text) == origin


# Abuse: bodies, headers, connections.


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_at_most_2_mb_and_its_sender_hears_so(server: Edge, path: str, chunked: bool) -> None:
    piece = b"x" * 100_000
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {30 * len(piece)}"
    head = f"POST {path} HTTP/1.1\r\n{server.headers(framing)}\r\n\r\n".encode()
    good = server.chat("[simulate text] yes", "Connection: close")
    with server.connect(head) as opened:
        for _ in range(30):  # a plain client sends all of it before it reads
            opened.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        opened.sendall((b"0\r\n\r\n" if chunked else b"") + good)
        refused, answered = replies(read_all(opened))
    assert (refused.status, refused.code) == (413, "request_too_large")
    assert answered.status == 200  # what was too much was read and forgotten: the next request is understood


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_of_2_mb_is_taken(server: Edge, path: str) -> None:
    said = server.chat("[simulate tokens=1]" + "x" * 2_000_000, "Connection: close", path=path)
    assert [reply.status for reply in replies(server.exchange(said))] == [200]


@pytest.mark.parametrize(
    ("start", "kept_alive"),
    [
        (b"", False),
        (b"G", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", False),
        (b"", True),
        (b"GET / HTTP/1.1\r\n", True),
    ],
)
def test_headers_come_in_time(impatient: Edge, start: bytes, kept_alive: bool) -> None:
    """Byte by byte helps as little as silence (slowloris); a kept connection that is silent may stay."""
    before = request("GET", "/v1/models", impatient.headers()) if kept_alive else b""
    with impatient.connect(before) as opened:
        if kept_alive:
            while b"data" not in opened.recv(65536):
                pass
            if not start:
                return
        opened.sendall(start)
        opened.settimeout(0.1)
        said = b""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if start:
                    opened.sendall(b"x")
                if not (data := opened.recv(65536)):
                    break
                said += data
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("the connection was kept")
    assert [reply.status for reply in replies(said)] == ([408] if start else [])


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_comes_in_time(impatient: Edge, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\n{impatient.headers('Content-Length: 100000')}\r\n\r\n"
    with impatient.connect(head.encode() + b"{") as opened:
        (reply,) = replies(read_all(opened))
    assert (reply.status, reply.code) == (408, "body_timeout")


def test_the_rest_of_a_refused_body_is_not_awaited_for_long(impatient: Edge) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{impatient.headers('Content-Length: 9000000')}\r\n\r\n"
    with impatient.connect(head.encode()) as opened:
        assert [reply.status for reply in replies(read_all(opened))] == [413]


def test_connections_of_one_address_are_counted(impatient: Edge) -> None:
    """A proxy on this machine is not: it calls for everybody."""
    other = "127.0.0.2"
    good = impatient.chat("[simulate tokens=1000 tps=1 speed=1]", stream=True)
    held = [impatient.connect(good, other) for _ in range(3)]
    for opened in held:
        assert opened.recv(12) == b"HTTP/1.1 200"
    with impatient.connect(b"", other) as refused:
        (reply,) = replies(read_all(refused))
        assert (reply.status, reply.code) == (503, "too_many_connections")
        assert reply.header("retry-after") == "1"
    assert impatient.is_well()
    held.pop().close()

    def there_is_room() -> bool:
        with impatient.connect(impatient.chat("[simulate tokens=1]", "Connection: close"), other) as opened:
            return b"200 OK" in read_all(opened)

    assert within(10, there_is_room)
    for opened in held:
        opened.close()


def test_who_does_not_read_holds_no_place(impatient: Edge, upstream: EmbeddedRelay) -> None:
    cancelled = upstream.stats.cancelled
    with impatient.connect(impatient.chat("[simulate tokens=1000000]", stream=True)):
        assert within(20, lambda: upstream.stats.cancelled > cancelled)


# Headers and paths.

GET = b"GET /v1/models HTTP/1.1\r\n"
QUESTION = b'{"model": "gpt-4.1", "messages": [{"role": "user", "content": "[simulate tokens=1]"}]}'
CHUNK = b"%x\r\n%s\r\n" % (len(QUESTION), QUESTION)


@pytest.mark.parametrize(
    ("line", "more", "body", "status"),
    [
        (b"", b"Content-Length: %d\r\n" % len(QUESTION), QUESTION, 200),
        (b"", b"Transfer-Encoding: chunked\r\n", CHUNK + b"0\r\n\r\n", 200),
        (b"", b"Content-Length: %d\r\nContent-Length: 3\r\n" % len(QUESTION), QUESTION, 400),
        (b"", b"Content-Length: 3, 4\r\n", QUESTION, 400),
        (b"", b"Content-Length: +3\r\n", QUESTION, 400),
        (b"", b"Content-Length: -1\r\n", QUESTION, 400),
        (b"", b"Content-Length: 0x3\r\n", QUESTION, 400),
        (b"", b"Content-Length: %s\r\n" % (b"9" * 30), QUESTION, 400),
        (b"", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", CHUNK + b"0\r\n\r\n", 400),
        (b"", b"Transfer-Encoding: xchunked\r\n", CHUNK, 400),
        (b"", b"Transfer-Encoding: gzip, chunked\r\n", CHUNK, 400),
        (b"", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNK, 400),
        (b"", b"Transfer-Encoding: identity\r\n", QUESTION, 400),
        (b"", b"Transfer-Encoding: chunked\r\n", b"zz\r\n", 400),
        (b"", b"Transfer-Encoding: chunked\r\n", b"-1\r\n", 400),
        (b"", b"Transfer-Encoding: chunked\r\n", b"2\r\nabc\r\n", 400),
        (b"", b"Content-Length : 3\r\n", QUESTION, 400),
        (b"", b"X-A: a\0b\r\n", b"", 400),
        (b"", b"X-A: a\rb\r\n", b"", 400),
        (b"", b"X A: b\r\n", b"", 400),
        (b"", b": b\r\n", b"", 400),
        (b"", b"X-A\r\n", b"", 400),
        (b"", b"Host: evil.example\r\n", b"", 400),
        (GET, b"X-A: 1\r\n  folded\r\n", b"", 200),  # it is one line, as the standard says
        (GET, b"X-A: %s\r\n" % (b"a" * 40_000), b"", 431),
        (GET, b"X-A: %s\r\n" % (b"a" * 400_000), b"", 431),
        (GET, b"X: y\r\n" * 20_000, b"", 431),
        (b"GET /%s HTTP/1.1\r\n" % (b"a" * 40_000), b"", b"", 431),
        (b"GET /v1/models\r\n", b"", b"", 400),
        (b"GET  /v1/models HTTP/1.1\r\n", b"", b"", 400),
        (b"GET /v1/models HTTP/2.0\r\n", b"", b"", 505),
        (b"GET /v1/models HTTP/1.1 \r\n", b"", b"", 400),
        (b"GET http://127.0.0.1/v1/models HTTP/1.1\r\n", b"", b"", 400),
        (b"GET http://evil.example/v1/models HTTP/1.1\r\n", b"", b"", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n", b"", b"", 400),
        (b"OPTIONS * HTTP/1.1\r\n", b"", b"", 400),
        (b"GET [::1 HTTP/1.1\r\n", b"", b"", 400),
        (b"GET /v1/m\xc3\xb6dels HTTP/1.1\r\n", b"", b"", 400),
        (b"GET /v1/%6dodels HTTP/1.1\r\n", b"", b"", 404),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n", b"", b"", 400),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(
    server: Edge, line: bytes, more: bytes, body: bytes, status: int
) -> None:
    head = (line or b"POST /v1/chat/completions HTTP/1.1\r\n") + server.headers("Connection: close").encode()
    (reply,) = replies(server.exchange(head + b"\r\n" + more + b"\r\n" + body))
    assert reply.status == status
    if status != 200:
        assert reply.code


def test_no_header_of_a_client_reaches_the_upstream(server: Edge, upstream: EmbeddedRelay) -> None:
    evil = {
        "X-Evil": "1", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4",
        "Accept-Encoding": "gzip", "User-Agent": "evil", "OpenAI-Organization": "evil", "Via": "evil",
        "X-HTTP-Method-Override": "DELETE", "TE": "trailers", "Referer": "http://evil.example/",
        "Proxy-Authorization": "evil", "Accept": "evil/evil",
    }  # fmt: skip
    lines = [f"{name}: {value}" for name, value in evil.items()]
    server.exchange(server.chat("[simulate tokens=1]", *lines, "Connection: close, x-evil"))
    seen = upstream.stats.seen[-1].headers
    assert set(seen) <= {
        "host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type",
    }  # fmt: skip
    assert not any("evil" in value or "1.2.3.4" in value for value in seen.values())
    assert (seen["accept-encoding"], seen["content-type"]) == ("identity", "application/json")


def test_no_header_of_the_upstream_reaches_the_client_but_those_of_the_list(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    said = [
        b"HTTP/1.1 200 OK", b"content-type: application/json", b"set-cookie: a=b", b"server: secret/1.0",
        b"x-evil: 1", b"access-control-allow-origin: *", b"access-control-allow-credentials: true",
        b"strict-transport-security: max-age=1", b"location: http://evil.example", b"x-ratelimit-limit: 9",
        b"openai-organization: theirs", b"x-request-id: req_upstream", b"content-length: 2", b"", b"{}",
    ]  # fmt: skip

    def serve(connection: Connection, upstream: Loopback) -> None:
        while upstream.ask(connection):
            connection.send(b"\r\n".join(said))

    folder = tmp_path_factory.mktemp("headers")
    with Loopback(serve) as upstream, edge(folder, upstream.base_url) as server:
        (reply,) = replies(server.exchange(server.chat("x", "Connection: close")))
        (seen,) = upstream.requests
    assert {name for name, _ in reply.headers} <= {
        "date", "content-type", "x-request-id", "cache-control", "x-accel-buffering", "transfer-encoding",
        "connection", "x-content-type-options",
    }  # fmt: skip
    assert reply.header("x-request-id") == "req_upstream"
    assert seen.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert server.key not in str(seen)


def told(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


ODD = [
    (told("302 Found", "location: http://127.0.0.1:1/", "content-length: 0"), "upstream_redirect"),
    (told("799 Odd", "content-length: 0"), "upstream_status"),
    (told("204 No Content"), "upstream_kind"),
    (told("200 OK", "content-type: text/html", "content-length: 2") + b"hi", "upstream_kind"),
    (told("200 OK", "content-type: text/event-stream", "content-encoding: br"), "upstream_encoding"),
    (b"garbage\r\n\r\n", "upstream_unreachable"),
    (b"", "upstream_unreachable"),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A server whose upstream answers with the page that it is asked for."""

    def serve(connection: Connection, upstream: Loopback) -> None:
        if asked := upstream.ask(connection):
            connection.send(ODD[int(asked.json["messages"][0]["content"])][0])

    with Loopback(serve) as upstream, edge(tmp_path_factory.mktemp("odd"), upstream.base_url) as running:
        yield running


@pytest.mark.parametrize(("number", "code"), [(number, code) for number, (_, code) in enumerate(ODD)])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_what_an_upstream_may_not_say(odd: Edge, number: int, code: str, path: str) -> None:
    (reply,) = replies(odd.exchange(odd.chat(str(number), "Connection: close", path=path)))
    if path == ENDPOINTS[0]:
        assert (reply.status, reply.code) == (503 if code == "upstream_redirect" else 502, code)
        assert reply.header("x-should-retry") == "false"  # it may be billed once more, or comes to the same
    else:  # the article's client looks for errors in the frames alone
        assert reply.status == 200
        assert code.encode() in reply.body
    assert UPSTREAM_KEY.encode() not in reply.body


@pytest.mark.parametrize(
    ("status", "again"), [(502, "false"), (504, "false"), (500, None), (503, None), (429, None)]
)
def test_an_upstream_s_own_refusal_that_may_be_billed_is_not_to_be_tried_again(
    status: int, again: str | None, tmp_path: Path
) -> None:
    def serve(connection: Connection, upstream: Loopback) -> None:
        if upstream.ask(connection):
            connection.send(told(f"{status} As it is", "content-length: 0"))

    with Loopback(serve) as upstream, edge(tmp_path, upstream.base_url) as running:
        (reply,) = replies(running.exchange(running.chat("hi", "Connection: close")))
    assert (reply.status, reply.header("x-should-retry")) == (status, again)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b'{"error": {"message": "too long", "code": "long", "x": 1}}', {"x": 1}),
        ("application/json", b'{"detail": "too long"}', {"code": "upstream_400"}),
        ("application/json", b'{"error": "too long"}', {"code": "upstream_400"}),
        ("application/json", b'{"error": {"message": "too long \\ud800"}}', {"code": "upstream_400"}),
        ("text/html", b"<h1>too long</h1>", {"code": "upstream_400"}),
    ],
)
def test_why_an_upstream_refused_is_told_in_the_frame(
    kind: str, body: bytes, said: dict[str, Any], tmp_path: Path
) -> None:
    def serve(connection: Connection, upstream: Loopback) -> None:
        if upstream.ask(connection):
            connection.send(page("400 Bad Request", body, kind))

    with Loopback(serve) as upstream, edge(tmp_path, upstream.base_url) as running:
        (reply,) = replies(running.exchange(running.chat("hi", "Connection: close", path=ENDPOINTS[1])))
    frames = [line[6:] for line in reply.body.splitlines() if line.startswith(b"data: ")]
    assert frames[1:] == [b"[DONE]"]
    error = json.loads(frames[0])["error"]
    assert "too long" in error["message"]
    assert error | said == error


def test_an_upstream_sets_no_cookies(tmp_path: Path) -> None:
    """One client's calls would go out with what another's reply had set."""

    def serve(connection: Connection, upstream: Loopback) -> None:
        while upstream.ask(connection):
            body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
            connection.send(page("200 OK", body.encode(), "application/json", "set-cookie: session=1"))

    with Loopback(serve) as upstream, edge(tmp_path, upstream.base_url) as running:
        for _ in range(2):
            (reply,) = replies(running.exchange(running.chat("hi", "Connection: close")))
            assert reply.status == 200
    assert [asked.header("cookie") for asked in upstream.requests] == [None, None]


def test_what_never_reached_the_upstream_may_be_tried_again(tmp_path: Path) -> None:
    with refusing() as nobody, edge(tmp_path, nobody.base_url) as running:
        (reply,) = replies(running.exchange(running.chat("hi", "Connection: close")))
    assert (reply.status, reply.code) == (503, "upstream_unreachable")
    assert reply.header("x-should-retry") is None


SAID = json.dumps({"error": {"message": f"no such key as {UPSTREAM_KEY}: ask again"}})


def streamed(*cuts: int) -> bytes:
    """A stream that says the upstream's key, in HTTP chunks that end at `cuts`."""
    data = (
        f"data: {frame(f'your key is {UPSTREAM_KEY}, friend')}\n\ndata: {FINISH}\n\ndata: [DONE]\n\n".encode()
    )
    return in_chunks(data[a:b] for a, b in zip((0, *cuts), (*cuts, len(data)), strict=True))


def in_events(*texts: str) -> bytes:
    """A stream of these texts, each in an event of its own."""
    return in_chunks(f"data: {one}\n\n".encode() for one in [*map(frame, texts), FINISH, "[DONE]"])


def in_chunks(pieces: Iterable[bytes]) -> bytes:
    return SSE + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + END


@pytest.mark.parametrize(
    "said",
    [
        streamed(),
        in_events("your key is ", UPSTREAM_KEY[:9], f"{UPSTREAM_KEY[9:]}, friend"),
        in_events("your key is ", UPSTREAM_KEY[:9], f"{UPSTREAM_KEY[9:]}\ud83d", "\ude00, friend"),
        *(streamed(80 + 3 * n, 95 + 3 * n) for n in range(8)),
        page("200 OK", SAID.encode()),
        page("400 Bad Request", SAID.encode()),
        page("400 Bad Request", SAID.replace("_", "\\u005f").encode()),
        page("400 Bad Request", SAID.replace("c", "\\u0063").encode()),
        page(
            "500 Oh",
            f"<p>no such key as {UPSTREAM_KEY.replace('_', '&#95;')}: ask again".encode(),
            "text/html",
        ),
        page(
            "500 Oh",
            f"<p>no such key as {UPSTREAM_KEY.replace('c', '&#x63')}: ask again".encode(),
            "text/html",
        ),
        page("500 Oh", f"{'x' * 170} {UPSTREAM_KEY} ask again".encode(), "text/plain"),
    ],
)
def test_an_upstream_that_says_its_own_key(said: bytes, tmp_path: Path) -> None:
    def serve(connection: Connection, upstream: Loopback) -> None:
        while upstream.ask(connection):
            connection.send(said)

    with Loopback(serve) as upstream, edge(tmp_path, upstream.base_url) as server:
        seen = server.exchange(server.chat("x", "Connection: close", stream=said.startswith(SSE)))
    text = seen.decode().replace("\\u005f", "_").replace("\\u0063", "c")
    pieces = [UPSTREAM_KEY[at : at + 12] for at in range(len(UPSTREAM_KEY) - 11)]
    assert not [piece for piece in pieces if piece in text]
    assert "[key]" in text
    assert "friend" in text or "ask again" in text or "x" * 170 in text


def test_a_path_of_a_client_never_reaches_the_upstream(tmp_path_factory: pytest.TempPathFactory) -> None:
    def serve(connection: Connection, upstream: Loopback) -> None:
        while upstream.ask(connection):
            connection.send(hello_page())

    paths = (
        "/v1/files", "/v1/chat/completions/../files", "/v1/chat/completions/%2e%2e/files", "//v1/files",
        "/v1/chat%2fcompletions", "/v1/chat/completions;x", "/v1/chat/completions/", "/v1/chat%00",
        "http://127.0.0.1/v1/chat/completions", "/V1/chat/completions", "/v1\\chat/completions",
    )  # fmt: skip
    with Loopback(serve) as upstream, edge(tmp_path_factory.mktemp("paths"), upstream.base_url) as server:
        for path in paths:
            (reply,) = replies(server.exchange(server.chat("x", "Connection: close", path=path)))
            assert (path, reply.status) in {(path, 404), (path, 400)}
        server.exchange(server.chat("x", "Connection: close", path="/v1/chat/completions?a=../../files"))
        assert [seen.line for seen in upstream.requests] == ["POST /v1/chat/completions HTTP/1.1"]


# Client gone.


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("silent", [True, False])
def test_a_client_that_goes_away_cancels_the_upstream_at_once(
    server: Edge, upstream: EmbeddedRelay, path: str, stream: bool, silent: bool
) -> None:
    """Before the first byte and in mid-stream."""
    prompt = "[simulate ttft=60000 speed=1]" if silent else "[simulate fault=stall after=3]"
    leaves_and_cancels(server, upstream, server.chat(prompt, path=path, stream=stream))


def test_a_client_that_sent_its_next_request_already_cancels_too(
    server: Edge, upstream: EmbeddedRelay
) -> None:
    ahead = request("GET", "/v1/models", server.headers())
    leaves_and_cancels(server, upstream, server.chat("[simulate ttft=60000 speed=1]"), ahead)


def leaves_and_cancels(server: Edge, upstream: EmbeddedRelay, sent: bytes, then: bytes = b"") -> None:
    cancelled = upstream.stats.cancelled
    opened = server.connect(sent)
    assert within(10, lambda: upstream.stats.active_streams == 1)
    if b"stall" in sent and b'"stream": true' in sent:
        assert opened.recv(12) == b"HTTP/1.1 200"
    opened.sendall(then)
    opened.close()
    closed = time.monotonic()
    assert within(10, lambda: upstream.stats.cancelled == cancelled + 1)
    assert (upstream.stats.last_cancelled_monotonic or math.inf) - closed < 5
    assert within(10, lambda: "pending" not in [row["state"] for row in server.ledger.rows()])


def test_a_reset_cancels_the_upstream_too(server: Edge, upstream: EmbeddedRelay) -> None:
    cancelled = upstream.stats.cancelled
    opened = server.connect(server.chat("[simulate ttft=60000 speed=1]", stream=True))
    assert within(10, lambda: upstream.stats.active_streams == 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    opened.close()
    assert within(10, lambda: upstream.stats.cancelled == cancelled + 1)


def test_the_relay_sends_nothing_twice_after_the_first_byte(server: Edge, upstream: EmbeddedRelay) -> None:
    before = upstream.stats.requests
    headers = {"x-api-key": server.key}
    body = json.loads(
        server.chat("[simulate tokens=9 fault=cut after=3]", stream=True).partition(b"\r\n\r\n")[2]
    )
    with pytest.raises(httpx.RemoteProtocolError), httpx.Client(trust_env=False) as client:
        client.post(f"{server.server.base_url}/chat/completions", json=body, headers=headers)
    assert upstream.stats.requests == before + 1
