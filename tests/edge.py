"""A relay server at its edge: raw bytes in, replies out."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hs_notebook.pricing.book import PriceBook

UPSTREAM_KEY = "cr_upstream_canary_1234567890"
PATIENCE = 20.0


@dataclass(frozen=True)
class Edge:
    """A running server, a key for it, and its ledger."""

    server: RelayServer
    key: str
    ledger: Ledger

    @property
    def port(self) -> int:
        return self.server.port

    def headers(self, *more: str) -> str:
        """The lines that every good request has, and `more`."""
        return "\r\n".join([f"Host: 127.0.0.1:{self.port}", f"X-API-Key: {self.key}", *more])

    def chat(self, prompt: str, *more: str, path: str = "/v1/chat/completions", **fields: Any) -> bytes:
        """The bytes of a good question."""
        body = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], **fields})
        return request("POST", path, self.headers("Content-Type: application/json", *more), body.encode())

    def connect(self, data: bytes = b"", source: str = "") -> socket.socket:
        """Open a connection and send `data`."""
        opened = socket.create_connection(
            ("127.0.0.1", self.port), PATIENCE, source_address=(source, 0) if source else None
        )
        opened.sendall(data)
        return opened

    def exchange(self, data: bytes) -> bytes:
        """Send `data`, and return all that comes until the server closes."""
        with self.connect() as opened:
            with suppress(OSError):
                opened.sendall(data)
            return read_all(opened)

    def is_well(self) -> bool:
        """Whether a good question is answered."""
        said = self.exchange(self.chat("[simulate text] yes", "Connection: close"))
        return [reply.status for reply in replies(said)] == [200] and b"yes" in said


@contextmanager
def edge(
    folder: Path,
    upstream: str,
    *,
    upstream_key: str = UPSTREAM_KEY,
    concurrent: int = 50,
    prices: PriceBook | None = None,
    **settings: Any,
) -> Iterator[Edge]:
    """A relay server in front of `upstream`."""
    keys, ledger = folder / "keys", Ledger(folder / "ledger.db")
    key = KeyFile(keys).add("laptop", per_minute=1_000_000, concurrent=concurrent)
    told = RelaySettings(upstream=upstream, key=upstream_key, keys=keys, **settings)
    with RelayServer(told, ledger=ledger, prices=prices or load_book()) as server:
        yield Edge(server, key, ledger)


def request(method: str, target: str, headers: str, body: bytes = b"") -> bytes:
    """The bytes of a request whose body has its length announced."""
    length = f"\r\nContent-Length: {len(body)}" if body else ""
    return f"{method} {target} HTTP/1.1\r\n{headers}{length}\r\n\r\n".encode("latin-1") + body


@dataclass(frozen=True)
class Reply:
    """One reply; the names of its headers are in small letters."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's shape."""
        said = json.loads(self.body)["error"]
        assert set(said) == {"message", "type", "param", "code"}
        return str(said["code"])


def replies(data: bytes) -> list[Reply]:
    """Return the replies that follow one another on a connection, the last as far as it came."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *rows = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value) for name, value in (row.split(": ", 1) for row in rows)]
        if dict(headers).get("transfer-encoding") == "chunked":
            body, data = _dechunked(data)
        else:
            length = int(dict(headers).get("content-length", len(data)))
            body, data = data[:length], data[length:]
        found.append(Reply(int(line.split()[1]), headers, body))
    return found


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            break
    return body, data


def read_all(opened: socket.socket) -> bytes:
    """Read until the other side closes or resets; raises `TimeoutError` where it does neither."""
    received = bytearray()
    with suppress(ConnectionError):
        while data := opened.recv(65536):
            received += data
    return bytes(received)


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether `condition` comes true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
