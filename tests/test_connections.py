"""Who is stopped at whatever moment leaves no connection behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from loopback import END, HELLO, SSE, hello_page

from hs_notebook import AsyncHolySheep
from hs_notebook.connections import undisturbed
from hs_notebook.errors import HolySheepError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
