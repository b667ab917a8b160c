"""Ten thousand requests that nobody should send: each is answered or closed, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edge import Edge, edge, read_all, replies, request, within

from hs_notebook.relay import EmbeddedRelay, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANGLED, AHEAD, LONG = 3000, 700, 10  # 3000 + 700 × 10 = 10,000
AT_ONCE = 200
CONCURRENT = 40
PATIENCE = 30.0  # seconds for a reply to begin on a busy machine; the server's own bounds are far below
IDLE = 3  # tasks of a server that has nothing to do, the one that counts them among them
QUIET = 0.4  # and for one to go on that need not
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

PATHS = (
    "/v1/chat/completions", "/api/chat/stream", "/v1/models", "/health", "/metrics", "/", "/relay.js",
    "/v1/streams/", "/v1/streams/x", f"/v1/streams/{'a' * 32}", "/v1/streams/a/b", "/v1/streams/../models",
    "/v1", "//", "/[x]://?#", "/v1/streams/%00", "/v1/chat/completions?a=%ff&a", "*",
    "http://[", "/\\", "/" + "a" * 5000,
)  # fmt: skip
METHODS = ("GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "get", "A" * 50, "TRACE")
LINES = (
    "Last-Event-ID: {}", "X-Stream-Resume: 1", "X-Stream-Resume: {}", "Idempotency-Key: {}", "Origin: {}",
    "Accept: {}", "Content-Type: {}", "Authorization: {}", "Authorization: Bearer {}", "X-API-Key: {}",
    "Cookie: {}", "Expect: 100-continue", "Range: bytes=0-", "If-None-Match: {}", "X-Forwarded-For: {}",
    "Access-Control-Request-Method: {}", "X-Forwarded-Proto: {}", "Upgrade: websocket", "TE: trailers",
    "Connection: upgrade", "Connection: keep-alive, x",
)  # fmt: skip
VALUES = (
    "", "0", "-1", "1", "99999999999999999999", "NaN", "a" * 3000, "é", "null", "*", "a,b", "\u0661", "1e9",
    "%00", "http://evil.example", "127.0.0.1", "{}", '"', "'", "<script>", "Bearer", "100-continue", "1 1",
)  # fmt: skip
BROKEN = (
    "Host: {}",
    "X-{}: {}",
    "X: \x7f",
    "X: \0",
    "Connection: {}",
    "Content-Length: {}",
    "Transfer-Encoding: {}",
)
SCALARS: tuple[object, ...] = (
    None, True, False, 0, -1, 1e308, 2**70, "", "x", "\0", "é", "\u2028", "a" * 2000, [], {}, [[]], "gpt-4.1",
)  # fmt: skip


class Maker:
    """Makes requests from a seed."""

    def __init__(self, seed: int, server: Edge) -> None:
        self._random = random.Random(seed)
        self._server = server
        self._pick = self._random.choice

    def ahead(self) -> bytes:
        """Many requests in one go, each well framed: what is in them is not what it should be."""
        return b"".join([*(self._framed() for _ in range(LONG - 1)), self._framed("Connection: close")])

    def mangled(self) -> bytes:
        """One request, broken anywhere."""
        lines = [self._line(BROKEN)] if self._random.random() < 0.2 else []
        data = bytearray(self._framed("Connection: close", *lines))
        for _ in range(self._random.randint(1, 4)):
            self._pick(MANGLERS)(self._random, data)
        return bytes(data)

    def _framed(self, *more: str) -> bytes:
        lines = list(more)
        if self._random.random() < 0.5:
            lines += [self._line(LINES) for _ in range(self._random.randint(1, 3))]
        if self._random.random() < 0.6:
            return request("POST", self._pick(PATHS[:2]), self._server.headers(*lines), self._body())
        body = self._pick((b"", self._body()))
        return request(self._pick(METHODS), self._pick(PATHS), self._server.headers(*lines), body)

    def _line(self, lines: tuple[str, ...]) -> str:
        value = self._pick(VALUES).encode().decode("latin-1")
        return self._pick(lines).replace("{}", value)

    def _body(self) -> bytes:
        if (dice := self._random.random()) < 0.1:
            return self._random.randbytes(self._random.randint(1, 200))
        if dice < 0.15:
            return b"[" * self._random.randint(1, 20_000)
        usual, odd = (
            [{"role": "user", "content": "hello"}],
            [{"role": "user", "content": self._pick(SCALARS)}],
        )
        fields = {
            "model": self._pick(("gpt-4.1", "gpt-4.1", "no-such-model", self._pick(SCALARS))),
            "messages": self._pick((usual, odd, [self._pick(SCALARS)], self._pick(SCALARS))),
            "max_completion_tokens": 2,  # a long answer tells no more
            "stream": self._pick((True, False, self._pick(SCALARS))),
            self._pick(("max_tokens", "temperature", "n", "tools", "x" * 300, "")): self._value(3),
        }
        body = bytearray(json.dumps(fields).encode())
        if dice > 0.6:
            self._pick(MANGLERS)(self._random, body)
        if dice > 0.95:
            body = body.replace(b'"x"', rb'"\ud800"')
        return bytes(body) or b"{"

    def _value(self, depth: int) -> object:
        if not depth or self._random.random() < 0.5:
            return self._pick(SCALARS)
        return self._pick(([self._value(depth - 1)], {self._pick(("a", "", "é")): self._value(depth - 1)}))


def flip(dice: random.Random, data: bytearray) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.randrange(256)


def cut(dice: random.Random, data: bytearray) -> None:
    start = dice.randrange(len(data) + 1)
    del data[start : start + dice.randint(1, 20)]


def insert(dice: random.Random, data: bytearray) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.choice(
        (b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"\xff", b'"', b"{", b"9", b"\r\n\r\n")
    )


def repeat(dice: random.Random, data: bytearray) -> None:
    start = dice.randrange(len(data) + 1)
    data[start:start] = data[start : start + dice.randint(1, 100)]


def end(dice: random.Random, data: bytearray) -> None:
    del data[dice.randrange(len(data) + 1) :]


MANGLERS: tuple[Callable[[random.Random, bytearray], None], ...] = (flip, cut, insert, repeat, end)


async def talk(port: int, data: bytes, *, whole: bool) -> bytes:
    """Send `data` and return what comes back; raises `TimeoutError` where nothing does, not even the end.

    `whole`: the server closes after the last reply. Else it may have understood anything.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said, quiet = b"", PATIENCE if whole else QUIET
    try:
        with suppress(ConnectionError):
            writer.write(data)
            while more := await asyncio.wait_for(reader.read(65536), quiet if said else PATIENCE):
                said += more
    except TimeoutError:
        if whole or not said:
            raise TimeoutError(f"no answer to {data!r}") from None
    finally:
        writer.transport.abort()
    return said


def check(data: bytes, said: bytes, *, whole: bool) -> None:
    statuses = [int(status) for status in STATUS.findall(said) if status != b"100"]
    assert [s for s in statuses if s >= 500 and s != 505] == [], f"{data!r}\n{said!r}"
    if whole:
        sniffed = said.count(b"\r\nx-content-type-options: nosniff\r\n")
        assert len(statuses) == sniffed == LONG, f"{data!r}\n{said!r}"


async def talks(server: Edge, seed: int, mangled: int, ahead: int) -> None:
    """Send so many requests, some at once."""
    maker, left = Maker(seed, server), [False] * mangled + [True] * ahead
    random.Random(seed).shuffle(left)

    async def one_by_one() -> None:
        while left:
            whole = left.pop()
            data = maker.ahead() if whole else maker.mangled()
            check(data, await talk(server.port, data, whole=whole), whole=whole)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_by_one())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    bounds = {"headers": PATIENCE / 6, "body": PATIENCE / 6, "idle": 20.0}
    folder = tmp_path_factory.mktemp("fuzz")
    with (
        EmbeddedRelay(Simulation(speed=math.inf)) as upstream,
        edge(folder, upstream.base_url, concurrent=CONCURRENT, **bounds) as running,
    ):
        assert running.is_well()
        yield running


def test_nothing_that_is_sent_breaks_the_server_or_stays(server: Edge) -> None:
    """Each is answered or closed. After all that: no task, no connection, no place, and memory as it was."""

    def left() -> tuple[int, int]:
        loop = server.server._loop
        assert loop is not None
        tasks = asyncio.run_coroutine_threadsafe(count_tasks(), loop).result()
        return tasks, len(server.server._server.server_state.connections)

    asyncio.run(talks(server, 1, MANGLED // 10, AHEAD // 10))  # what is kept once is there now
    assert within(10, lambda: left() == (IDLE, 0))
    files, memory = open_files(), resident()
    asyncio.run(talks(server, 2, MANGLED * 9 // 10, AHEAD * 9 // 10))
    assert within(10, lambda: left() == (IDLE, 0))
    # The connections to the upstream are closed by the next question after a while.
    assert within(20, lambda: server.is_well() and open_files() <= files + 4)
    assert within(10, lambda: left() == (IDLE, 0))  # a place is given back a moment after the answer
    assert resident() - memory < 16 * 1024 * 1024
    held = [
        server.connect(server.chat("[simulate fault=stall after=1]", stream=True)) for _ in range(CONCURRENT)
    ]
    assert [opened.recv(12) for opened in held] == [b"HTTP/1.1 200"] * CONCURRENT
    (reply,) = replies(server.exchange(server.chat("one too many", "Connection: close")))
    assert reply.status == 429
    for opened in held:
        opened.close()
    assert within(10, server.is_well)
    (reply,) = replies(read_all(server.connect(b"\0\r\n\r\n")))
    assert (reply.status, reply.header("x-content-type-options")) == (400, "nosniff")


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident() -> int:
    """Bytes of memory that this process, the server with it, holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
