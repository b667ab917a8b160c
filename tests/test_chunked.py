"""Joined chunks are the same to who parses them, byte for byte and read for read, and fewer."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.chunked import ChunkJoiner

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAME = b'data: {"choices": []}\n\n'


def chunk(data: bytes, size: bytes = b"%x") -> bytes:
    return size % len(data) + b"\r\n" + data + b"\r\n"


class Client:
    """An HTTP library that has sent its request; `seen` is all that it makes of the bytes."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self.ask()

    def ask(self) -> None:
        self.pieces: list[bytes] = []
        self.seen: list[object] = []
        self._http.send(h11.Request(method="POST", target="/", headers=[("Host", "a")]))
        self._http.send(h11.EndOfMessage())

    def again(self) -> None:
        self._http.start_next_cycle()
        self.ask()

    def feed(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Data):
                    self.pieces.append(bytes(event.data))
                    continue
                self.seen.append((type(event), len(self.body), getattr(event, "headers", None)))
                if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError:
            self.seen.append(("broken", len(self.body)))

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def read(pieces: list[bytes]) -> tuple[Client, Client]:
    """Feed the reads of one reply to two clients, to one of them joined; they must see the same each time."""
    bare, joined, joiner = Client(), Client(), ChunkJoiner()
    for piece in pieces:
        bare.feed(piece)
        if data := joiner.feed(piece):
            joined.feed(data)
        assert (joined.body, joined.seen) == (bare.body, bare.seen)
        if "broken" in str(bare.seen):
            return bare, joined
    bare.feed(b"")
    if data := joiner.rest():
        joined.feed(data)
    joined.feed(b"")
    assert (joined.body, joined.seen) == (bare.body, bare.seen)
    return bare, joined


def test_what_one_read_has_brought_is_one_chunk() -> None:
    bare, joined = read([HEAD + chunk(FRAME) * 2, chunk(FRAME) * 300, chunk(FRAME), b"0\r\n\r\n"])
    assert (len(bare.pieces), len(joined.pieces)) == (303, 3)


def test_what_is_cut_within_a_chunk_is_not_late_and_the_rest_still_joined() -> None:
    stream = chunk(FRAME) * 100
    bare, joined = read([HEAD, stream[:1010], stream[1010:2020], stream[2020:], b"0\r\n\r\n"])
    assert len(bare.pieces) == 102
    assert len(joined.pieces) <= 3 * 3


def test_the_next_reply_of_a_connection_is_joined_too() -> None:
    client, joiner = Client(), ChunkJoiner()
    for reply in (HEAD + chunk(FRAME) * 9 + b"0\r\n\r\n", HEAD + chunk(b"a") * 9 + b"0\r\nSum: 1\r\n\r\n"):
        joiner.restart()
        client.feed(joiner.feed(reply))
        assert len(client.pieces) == 1
        assert len(client.body) in {9 * len(FRAME), 9}
        client.again()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: Transfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_where_there_is_a_doubt_nothing_is_changed(head: bytes) -> None:
    joiner = ChunkJoiner()
    data = head + chunk(b"a") * 2
    assert joiner.feed(data) + joiner.feed(chunk(b"b") * 2) == data + chunk(b"b") * 2


SIZES = st.sampled_from((b"%x", b"%X", b"%04x", b"%012x", b"%x;a=b", b"%x ", b"+%x", b"0x%x", b"%x_0"))
PARTS = st.one_of(
    st.builds(chunk, st.binary(min_size=1, max_size=40)),
    st.builds(chunk, st.binary(min_size=1, max_size=40), SIZES),
    st.sampled_from((b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00\r\n\r\n", b"\r\n", b"3\r\nabcd\r\n", b"g\r\n")),
    st.binary(max_size=8),
)


@given(st.lists(PARTS, max_size=12), st.lists(st.integers(0, 500), max_size=8), st.booleans())
def test_the_same_at_every_cut(parts: list[bytes], places: list[int], ends: bool) -> None:
    data = HEAD + b"".join(parts) + b"0\r\n\r\n" * ends
    read([data[start:end] for start, end in pairwise([0, *sorted(places), len(data)]) if data[start:end]])


def test_the_same_byte_by_byte() -> None:
    data = HEAD + chunk(FRAME) * 3 + b"0\r\nA: b\r\n\r\n"
    read([data[at : at + 1] for at in range(len(data))])
