"""A server of raw sockets on loopback, for what no well-behaved server can be made to do."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came; names of headers in small letters, in their order, doubles and all."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Connection:
    """One accepted connection; the number tells it from the others."""

    socket: socket.socket
    number: int
    _received: bytes = field(default=b"", init=False)

    def request(self) -> Request | None:
        """Read the next request; None when the client has closed."""
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *rows = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value) for name, value in (row.split(": ", 1) for row in rows)]
        length = int(dict(headers).get("content-length", 0))
        while len(self._received) < length and self._more():
            pass
        body, self._received = self._received[:length], self._received[length:]
        return Request(line=line, headers=headers, body=body, connection=self.number)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except OSError:
            return False
        self._received += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def events(self, *data: str) -> None:
        """Send events, each in an HTTP chunk of its own."""
        for one in data:
            self.chunk(f"data: {one}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self) -> None:
        """Close as a crashed peer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def gone(self) -> float:
        """Wait until the client has closed; return the time, on the clock of `time.monotonic`."""
        while self._more():
            pass
        return time.monotonic()


class Loopback:
    """Answers each connection by `serve`, in a thread of its own; what it raises is raised at the end."""

    def __init__(self, serve: Callable[[Connection, Loopback], None], host: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        self.accepted = 0
        self.gone = threading.Event()
        self.gone_at = 0.0
        self._serve = serve
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._failures: list[Exception] = []

    def ask(self, connection: Connection) -> Request | None:
        """Read and remember the next request of a connection."""
        request = connection.request()
        if request is not None:
            self.requests.append(request)
        return request

    def wait_gone(self, connection: Connection) -> None:
        """Wait for the client to go away, and note when it did."""
        self.gone_at = connection.gone()
        self.gone.set()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.settimeout(_PATIENCE)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(accepted)
            self.accepted += 1
            connection = Connection(accepted, self.accepted)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: Connection) -> None:
        try:
            self._serve(connection, self)
        except OSError:
            pass  # the client went away first
        except Exception as error:  # noqa: BLE001 - raised again in `__exit__`
            self._failures.append(error)
        finally:
            connection.socket.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for opened in self._open:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        self._thread.join(_PATIENCE)
        if self._failures:
            raise self._failures[0]


def frame(text: str, **choice: Any) -> str:
    """The JSON of a frame that says `text`."""
    return json.dumps({"model": "m", "choices": [{"index": 0, "delta": {"content": text}, **choice}]})


FINISH = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
HELLO = (frame("Hel"), frame("lo"), FINISH, "[DONE]")


def say_hello(connection: Connection, server: Loopback) -> None:
    """Answer every request of a connection with a short stream."""
    while server.ask(connection):
        connection.send(SSE)
        connection.events(*HELLO)
        connection.send(END)


def page(status: str, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    """A whole reply."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def replies(*pages: bytes) -> Callable[[Connection, Loopback], None]:
    """Answer the requests by `pages` in turn, the last again and again."""

    def serve(connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(pages[min(len(server.requests), len(pages)) - 1])

    return serve


def hello_page() -> bytes:
    """The short stream as a whole reply."""
    body = "".join(f"data: {data}\n\n" for data in HELLO).encode()
    return page("200 OK", body, "text/event-stream")
