"""Who is stopped at whatever moment leaves no connection behind."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from chaos import certificate
from loopback import END, HELLO, SSE, Connection, Loopback, hello_page

from hs_notebook import AsyncHolySheep
from hs_notebook.connections import http_client, send, undisturbed
from hs_notebook.errors import HolySheepError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROUNDS = 400
FRAMES = b"".join(
    b"%x\r\n%s\r\n" % (len(data), data) for data in (f"data: {one}\n\n".encode() for one in HELLO)
)


class Server:
    """Answers on the test's own loop, and knows which connections are open."""

    def __init__(self) -> None:
        self.made = self.open = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made, self.open = self.made + 1, self.open + 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                    asked = await reader.readexactly(length)
                    if b'"stream":true' in asked.replace(b" ", b""):
                        for part in (SSE, FRAMES[:90], FRAMES[90:], END):
                            writer.write(part)
                            await asyncio.sleep(0)
                    else:
                        writer.write(hello_page())
                    await writer.drain()
        finally:
            self.open -= 1
            writer.close()


async def stopped_everywhere(*, stream: bool) -> tuple[int, int, int]:
    """Stop calls after every number of turns; return how many were, the connections made and those left."""
    server, stopped = Server(), 0
    async with (
        server.running() as url,
        AsyncHolySheep(
            "cr_stopped_1", base_url=url, requests_per_minute=10**6, concurrent_streams=99
        ) as client,
    ):
        for number in range(ROUNDS):
            task = asyncio.ensure_future(client.ask("x", model="m", stream=stream))
            for _ in range(number % 30):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                stopped += 1
            except HolySheepError:
                pass
        for _ in range(200):
            await asyncio.sleep(0.01)
            if server.open <= 1:
                break
        return stopped, server.made, server.open


@pytest.mark.parametrize("stream", [True, False])
def test_a_stop_at_any_moment_leaves_no_connection(stream: bool) -> None:
    stopped, made, left = asyncio.run(stopped_everywhere(stream=stream))
    assert stopped > ROUNDS / 4
    assert made > ROUNDS / 10
    assert left <= 1  # the one that the next call would use


def test_what_must_be_done_is_done_before_the_stop() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append("all of it")

    async def run() -> None:
        task = asyncio.ensure_future(undisturbed(work()))
        for _ in range(3):
            await asyncio.sleep(0.001)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert done == ["all of it"]


def test_what_fails_fails() -> None:
    async def work() -> None:
        raise OSError

    with pytest.raises(OSError):
        asyncio.run(undisturbed(work()))


async def pieces(base_url: str) -> list[bytes]:
    """Return what the HTTP library brings of a body, piece by piece."""
    http = await http_client(base_url, connect=5, kept=1)
    async with http:
        response = await send(http, http.build_request("POST", base_url, content=b"{}"))
        found = [piece async for piece in response.stream]
        await response.aclose()
    return found


def reply_in_one_go(connection: Connection, server: Loopback) -> None:
    if server.ask(connection):
        connection.send(SSE + FRAMES * 100 + END)


def test_the_chunks_of_one_read_are_one_piece() -> None:
    with Loopback(reply_in_one_go) as server:
        found = asyncio.run(pieces(server.base_url))
    assert b"".join(found).count(b"data: ") == 100 * len(HELLO)
    assert len(found) < 10


def test_a_read_arms_no_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from httpcore._backends.anyio import AnyIOStream

    slow, plain = [], AnyIOStream.read

    async def read(stream: AnyIOStream, most: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        slow.append(timeout)
        return await plain(stream, most, timeout)

    def reply_slowly(connection: Connection, server: Loopback) -> None:
        if server.ask(connection):
            connection.send(SSE)
            for _ in range(5):
                time.sleep(0.01)
                connection.chunk(b"data: {}\n\n")
            connection.send(END)

    monkeypatch.setattr(AnyIOStream, "read", read)
    with Loopback(reply_slowly) as server:
        assert len(asyncio.run(pieces(server.base_url))) == 5
    assert not slow


def test_also_through_a_proxy_and_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def tunnel(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        connection.send(b"HTTP/1.1 200 Go on\r\n\r\n")
        connection.socket = context.wrap_socket(connection.socket, server_side=True)
        reply_in_one_go(connection, server)

    with Loopback(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        found = asyncio.run(pieces("https://far.example/v1"))
    assert [request.line.split()[0] for request in proxy.requests] == ["CONNECT", "POST"]
    assert b"".join(found).count(b"data: ") == 100 * len(HELLO)
    assert len(found) < 10
