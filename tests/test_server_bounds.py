"""What an upstream sends without end, through a relay in a process of its own, whose memory is measured."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chaos import BEGUN, BLOCK, MIB, SSE, Chaos, chunked, forever, frames, said, script, whole
from edge import replies, request, within
from test_server_command import PATIENCE, Running, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos import Script

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures by /proc")

JSON = SSE.replace(b"text/event-stream", b"application/json")
_MOST = 100 * MIB  # bytes that a client reads
CODE = "upstream_too_large"


class Measured:
    """A relay before an upstream that plays one script after the other."""

    def __init__(self, running: Running, upstream: Chaos) -> None:
        self.running, self.upstream = running, upstream
        self.key = running.keys.add("ann", per_minute=1_000_000, concurrent=50)
        self.port = int(running.base_url.split(":")[2].removesuffix("/v1"))
        self._process = Path(f"/proc/{running.process.pid}")

    def _memory(self, name: str) -> float:
        found = [line for line in (self._process / "status").read_text().splitlines() if name in line]
        return int(found[0].split()[1]) / 1024

    def ask(self, playing: Script, *lines: str, path: str = "/v1/chat/completions", **fields: Any) -> bytes:
        """Return all that comes of a question."""
        self.upstream.show(playing)
        body = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], **fields})
        head = "\r\n".join(
            [f"Host: 127.0.0.1:{self.port}", f"X-API-Key: {self.key}", "Connection: close", *lines]
        )
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as opened:
            opened.sendall(request("POST", path, head, body.encode()))
            heard = bytearray()
            while len(heard) < _MOST and (data := opened.recv(65536)):
                heard += data
        assert len(self.upstream.requests) == 1
        return bytes(heard)

    def grown(self, work: Callable[[], bytes]) -> tuple[bytes, float]:
        """Do some work; return what it does, and the MiB that the relay took at most for it."""
        (self._process / "clear_refs").write_text("5")  # the peak is counted anew
        before = self._memory("VmRSS")
        return work(), self._memory("VmHWM") - before

    def is_closed(self) -> bool:
        """Whether the upstream is left alone soon."""
        return within(PATIENCE, lambda: self.upstream.open == 0)

    def row(self) -> tuple[str, str]:
        """How the last call ended."""
        assert within(PATIENCE, lambda: self._last()["state"] != "pending")
        return self._last()["state"], self._last()["error_type"]

    def _last(self) -> dict[str, Any]:
        return list(self.running.ledger.rows())[-1]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    with (
        Chaos() as upstream,
        started(
            tmp_path_factory.mktemp("measured"),
            HOLYSHEEP_API_KEY="cr_upstream_0123456789abcdef",
            HOLYSHEEP_BASE_URL=upstream.base_url,
        ) as running,
    ):
        yield Measured(running, upstream)


WAYS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "a stream": ((), {"stream": True}),
    "one to be resumed": (("X-Stream-Resume: 1",), {"stream": True}),
    "the article's": ((), {"path": "/api/chat/stream"}),
    "no stream": ((), {}),
}

ENDLESS = {
    "a line": (script(*BEGUN, b"5f5e100\r\ndata: ", forever(b"x" * 65536)), 2, "error", "EventTooLargeError"),
    "an event": (
        script(*BEGUN, forever(chunked(b"data: xxxxxxxx\n" * 4000))), 2, "error", "EventTooLargeError",
    ),
    "a stream": (script(SSE, forever(frames(said(BLOCK)))), 66, "truncated", "StreamTruncatedError"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["a stream", "one to be resumed", "the article's"])
@pytest.mark.parametrize("what", ENDLESS)
def test_a_stream_without_end_is_ended_and_says_why(measured: Measured, what: str, way: str) -> None:
    playing, most, *outcome = ENDLESS[what]
    lines, fields = WAYS[way]
    heard, grown = measured.grown(lambda: measured.ask(playing, *lines, **fields))
    assert grown < 64
    assert len(heard) < most * MIB
    assert heard.endswith(b"\r\n0\r\n\r\n")
    last = heard.rpartition(b"\ndata: {")[2].partition(b"\n")[0]
    assert json.loads(b"{" + last)["error"]["code"] == CODE
    assert measured.is_closed()
    assert measured.row() == tuple(outcome)


@pytest.mark.parametrize("way", WAYS)
def test_a_reply_in_one_piece_without_end_is_an_error(measured: Measured, way: str) -> None:
    lines, fields = WAYS[way]
    playing = script(JSON, forever(chunked(b" " * 65536)))
    heard, grown = measured.grown(lambda: measured.ask(playing, *lines, **fields))
    assert grown < 64
    (reply,) = replies(heard)
    if "path" in fields:
        assert CODE.encode() in reply.body
    else:
        assert (reply.status, reply.code) == (502, CODE)
        assert reply.header("x-should-retry") == "false"  # it may be billed
    assert measured.is_closed()
    assert measured.row() == ("stopped", CODE)


@pytest.mark.parametrize("way", WAYS)
def test_one_that_is_large_comes_whole(measured: Measured, way: str) -> None:
    lines, fields = WAYS[way]
    message = {"role": "assistant", "content": "x" * (15 * MIB)}
    body = json.dumps(
        {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "gpt-4.1"}
    ).encode()
    heard, grown = measured.grown(lambda: measured.ask(whole("200 OK", body), *lines, **fields))
    assert grown < 160
    (reply,) = replies(heard)
    assert (reply.status, reply.body == body) == (200, True)
    assert measured.row() == ("complete", None)
