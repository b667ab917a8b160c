# ruff: noqa: E501 - a row of a table is a line
"""Every fault of the way to a relay and back, on real sockets, and the one outcome that each must have."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import formatdate
from functools import cache
from typing import TYPE_CHECKING, Any

from loopback import END, SSE, Loopback, page

from hs_notebook.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    EmptyAnswerError,
    EventTooLargeError,
    HolySheepError,
    InsufficientBalanceError,
    InternalServerError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.net.transport import Timeouts
from hs_notebook.prices import load_book
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loopback import Connection

IMPATIENT = Timeouts(connect=0.3, idle=0.25, total=0.9)
POLICY = RetryPolicy(base=0.01, cap=0.02)
TWICE = RetryPolicy(attempts=2, base=0.01, cap=0.02)
PRICES = load_book([{"model": "gpt-4.1", "input": 2, "output": 8}])
MIB = 1024 * 1024
IDLE_AND_CLOSED = "idle connection that was closed"
CLOSED_IN_USE = "idle connection that is closed as it is used"


# --- what a server can say -----------------------------------------------------------------------


def said(text: str | None, **more: Any) -> str:
    """The JSON of a frame that says `text`."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": None}
    return json.dumps({"id": "chat-1", "model": "gpt-4.1", "choices": [choice | more]})


HEL, LO = said("Hel"), said("lo")
STOP = said(None, finish_reason="stop")
FIGURES = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
FILTERED = json.dumps({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
USAGE = json.dumps({"id": "chat-1", "model": "gpt-4.1", "choices": [], "usage": FIGURES})
DONE = "[DONE]"
PINGS = (
    '{"type": "ping"}', '{"choices": []}', said(None, delta={"role": "assistant", "content": ""}),
    '{"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}',
)  # fmt: skip


def event(*data: str) -> bytes:
    """Events, one after the other."""
    return "".join(f"data: {one}\n\n" for one in data).encode()


def chunked(data: bytes) -> bytes:
    """One chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def frames(*data: str) -> bytes:
    """Events, each in a chunk of its own."""
    return b"".join(chunked(event(one)) for one in data)


def reset(connection: Connection) -> None:
    """Break the connection as a crashed server does, when the client has had the time to read."""
    time.sleep(0.05)
    connection.reset()


def close(connection: Connection) -> None:
    connection.socket.shutdown(socket.SHUT_RDWR)
    connection.socket.close()


def silence(connection: Connection) -> None:
    """Say nothing, and keep the connection."""
    connection.gone()


def forever(data: bytes, every: float = 0.0) -> Callable[[Connection], None]:
    """Send the same again and again, until the client goes away."""

    def send(connection: Connection) -> None:
        while True:
            connection.send(data)
            time.sleep(every)

    return send


def byte_by_byte(data: bytes) -> Callable[[Connection], None]:
    def send(connection: Connection) -> None:
        for byte in data:
            connection.send(bytes([byte]))

    return send


def pause(seconds: float) -> Callable[[Connection], None]:
    return lambda _: time.sleep(seconds)


@dataclass(frozen=True)
class Script:
    """What is answered to one request; with `kept` the connection can be used again."""

    steps: tuple[Any, ...]
    kept: bool = False

    def play(self, connection: Connection) -> None:
        for step in self.steps:
            if isinstance(step, bytes):
                connection.send(step)
            else:
                step(connection)


def script(*steps: Any, kept: bool = False) -> Script:
    return Script(steps, kept)


def stream(*data: str) -> Script:
    """A stream that ends as it should."""
    return script(SSE, frames(*data), END, kept=True)


def whole(status: str, body: bytes, kind: str = "application/json", *headers: str) -> Script:
    """A whole reply."""
    return script(page(status, body, kind, *headers), kept=True)


def events(body: bytes, *headers: str) -> Script:
    """A stream that comes as a whole reply."""
    return whole("200 OK", body, "text/event-stream", *headers)


HELLO = stream(HEL, LO, STOP, USAGE, DONE)
HELLO_BODY = event(HEL, LO, STOP, USAGE, DONE)


def refusal(status: int, message: str = "No.", *headers: str) -> Script:
    body = json.dumps({"error": {"message": message}}).encode()
    return whole(f"{status} Said", body, "application/json", *headers)


# --- servers -------------------------------------------------------------------------------------


class Chaos(Loopback):
    """Plays its scripts in turn, the last again and again; `scripts` may be changed at any time."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(self._play)
        self.left = 0  # connections that are over
        self.times: list[float] = []  # of the requests, `time.monotonic()`
        self.scripts = scripts

    def show(self, *scripts: Script) -> None:
        """Play others from now on, and count anew."""
        self.requests.clear()
        self.times.clear()
        self.scripts = scripts

    @property
    def open(self) -> int:
        """How many connections there are."""
        return self.accepted - self.left

    @property
    def tries(self) -> int:
        """How many attempts there were."""
        return len(self.requests)

    @property
    def waits(self) -> list[float]:
        """Seconds from each request to the next."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def _play(self, connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            self.times.append(time.monotonic())
            playing = self.scripts[min(len(self.times), len(self.scripts)) - 1]
            playing.play(connection)
            if not playing.kept:
                return

    def _run(self, connection: Connection) -> None:
        try:
            super()._run(connection)
        finally:
            self.left += 1


class OverTls(Chaos):
    """A server with a certificate that nobody has signed but itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(HELLO)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate(folder))
        self.base_url = self.base_url.replace("http:", "https:")

    @property
    def tries(self) -> int:
        """How many handshakes were begun: no request comes so far."""
        return self.accepted

    def _play(self, connection: Connection, server: Loopback) -> None:
        self.times.append(time.monotonic())
        with suppress(OSError):  # the client breaks the handshake off
            connection.socket = self._context.wrap_socket(connection.socket, server_side=True)
            super()._play(connection, server)


def certificate(folder: Path) -> Path:
    """Make one for `far.example`, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far.example")])
    names = x509.SubjectAlternativeName([x509.DNSName("far.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


class Nobody:
    """Stands for a server that is not there: an address, and how to count who looked for it."""

    def __init__(self, base_url: str, count: Callable[[], int]) -> None:
        self.base_url = base_url
        self.open, self.waits = 0, list[float]()
        self._count = count
        self._before = count()

    @property
    def tries(self) -> int:
        """How many attempts there were."""
        return self._count() - self._before


@cache
def connects() -> Counter[Any]:
    """How often this process has connected to an address, as the interpreter sees it, from now on."""
    seen: Counter[Any] = Counter()

    def hear(event: str, told: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            seen[told[1]] += 1

    sys.addaudithook(hear)
    return seen


def nobody_at(address: tuple[str, int]) -> Nobody:
    return Nobody(f"http://{address[0]}:{address[1]}/v1", lambda: connects()[address])


@contextmanager
def refusing() -> Iterator[Nobody]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    yield nobody_at(address)


@contextmanager
def queue_full() -> Iterator[Nobody]:
    """A listener that accepts nobody, and whose queue is full: it lets a client's packets drop."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
        time.sleep(0.05)
        yield nobody_at(listener.getsockname())
        for one in waiting:
            one.close()


def unresolved(error: int) -> Callable[[], Any]:
    """A name that the system's resolver answers with `error`: it alone is stood in for, as no network is."""

    @contextmanager
    def running() -> Iterator[Nobody]:
        asked: list[Any] = []
        real = socket.getaddrinfo

        def resolve(host: Any, *rest: Any, **named: Any) -> Any:
            if host not in {"relay.invalid", b"relay.invalid"}:
                return real(host, *rest, **named)
            asked.append(host)
            raise socket.gaierror(error, "as the system says")

        socket.getaddrinfo = resolve  # type: ignore[assignment]
        try:
            yield Nobody("https://relay.invalid/v1", lambda: len(asked))
        finally:
            socket.getaddrinfo = real

    return running


# --- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault and what must come of it.

    `state` is that of the answer, or "error". `error` is the class that is raised; `says` stands in its
    words, or in the receipt's note, which else is empty. `requests` are the attempts. `estimated` is said of
    the usage of an answer that is kept; `cost` in USD is what was told of one that is not. `waits` are the
    least and the most seconds from each request to the next, `least` and `seconds` those for all of it,
    `peak` is the most memory in MiB; what a busy machine adds is not in them. `params` are asked for with
    the question. `server` replaces the scripts where the fault is in the connection itself. `relayed` is what
    a user of our own relay sees where that differs: the error's class, and why.
    """

    name: str
    scripts: tuple[Script, ...] = ()
    state: str = "complete"
    text: str = "Hello"
    error: type[HolySheepError] | None = None
    says: str = ""
    requests: int = 1
    waits: tuple[tuple[float, float], ...] | None = None
    estimated: bool | None = None
    cost: Decimal | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = POLICY
    least: float = 0.0
    seconds: float = 4.0
    peak: int = 0
    params: dict[str, int] = field(default_factory=dict)
    server: Callable[[], Any] | None = None
    relayed: tuple[type[HolySheepError] | None, str] | None = None

    def running(self, folder: Path) -> Any:
        """Start the server."""
        if self.server is OverTls:
            return OverTls(folder)
        return self.server() if self.server else Chaos(*self.scripts)

    @property
    def kept(self) -> bool:
        """Whether the last reply leaves a connection that can be used again."""
        return bool(self.scripts) and self.scripts[-1].kept


def complete(name: str, *scripts: Script, estimated: bool = False, **more: Any) -> Fault:
    return Fault(name=name, scripts=scripts, estimated=estimated, **more)


def truncated(name: str, *steps: Any, says: str, estimated: bool = True, **more: Any) -> Fault:
    return Fault(
        name=name, scripts=(script(*steps),), state="truncated", says=says, estimated=estimated, **more
    )


def failed(name: str, error: type[HolySheepError], *scripts: Script, says: str, **more: Any) -> Fault:
    return Fault(name=name, scripts=scripts, error=error, says=says, **{"state": "error", "text": "", **more})


def broken(name: str, error: type[HolySheepError], *steps: Any, says: str, **more: Any) -> Fault:
    """It is wrong in mid-stream: the text that came is kept on the error's answer."""
    return failed(name, error, script(*steps), says=says, **{"text": "Hello", "estimated": True, **more})


BEGUN = (SSE, frames(HEL, LO))
# What `IMPATIENT` allows, and the last look at what lies in the socket; twice with a wait between.
SILENT: dict[str, Any] = {"least": 0.25, "seconds": 0.35}
SILENT_TWICE: dict[str, Any] = {"least": 0.5, "seconds": 0.7, "waits": ((0.25, 0.35),)}
TWO: dict[str, Any] = {"params": {"n": 2}}
ONE_OF_TWO = "the stream had no [DONE]; 1 of 2 alternatives came"
RELAY_REPLIES = "the relay answers 502 in its place"
AS_502 = (InternalServerError, RELAY_REPLIES)
AS_EMPTY = (EmptyAnswerError, "the relay's own headers are sent by then")
AS_504 = (InternalServerError, "the relay answers 504 in its place")

CONNECTIONS = (
    failed(
        "connection refused", APIConnectionError, says="cannot be reached: connection refused. Tried 5 times",
        requests=5, server=refusing, relayed=AS_502,
    ),
    failed(
        "no room in the listener's queue", APITimeoutError, says="did not answer in time. Tried 2 times",
        requests=2, server=queue_full, timeouts=Timeouts(connect=0.2, idle=5, total=5), retry=TWICE, relayed=AS_504,
        least=0.4, seconds=0.5,
    ),
    failed(
        "name cannot be looked up now", APIConnectionError, requests=5, server=unresolved(socket.EAI_AGAIN),
        says="The name relay.invalid cannot be looked up now. Tried 5 times", relayed=AS_502,
    ),
    failed(
        "unknown host", APIConnectionError, server=unresolved(socket.EAI_NONAME),
        says="relay.invalid is not known here. Check the base URL", relayed=AS_502,
    ),
    failed(
        "certificate signed by itself", APIConnectionError, server=OverTls, relayed=AS_502,
        says="has no certificate that this machine trusts: self",
    ),
    failed(
        "reset before the headers", APIConnectionError, script(reset), requests=5, relayed=AS_502,
        says="broke the connection. Tried 5 times",
    ),
    failed(
        "FIN before the headers", APIConnectionError, script(close), requests=5, relayed=AS_502,
        says="broke the connection. Tried 5 times",
    ),
    failed(
        "FIN in the headers", APIConnectionError, script(SSE[:40]), requests=5, relayed=AS_502,
        says="broke the connection. Tried 5 times",
    ),
    failed(
        "FIN after the headers", APIConnectionError, script(SSE), requests=5, relayed=AS_EMPTY,
        says="broke the connection. Tried 5 times",
    ),
    complete(
        "reset before the headers, twice", script(reset), script(reset), HELLO, requests=3, relayed=AS_502,
        says="2 attempts before it brought no answer and may be billed too",
    ),
    failed(
        "silence", APITimeoutError, script(silence), requests=2, timeouts=IMPATIENT, retry=TWICE,
        says="was silent for 0.25 s. Tried 2 times", relayed=AS_504, **SILENT_TWICE,
    ),
    failed(
        "silence after the headers", APITimeoutError, script(SSE, silence), requests=2, timeouts=IMPATIENT,
        retry=TWICE, says="was silent for 0.25 s. Tried 2 times", relayed=AS_EMPTY, **SILENT_TWICE,
    ),
    failed(
        "headers that come by the byte", APITimeoutError, script(b"HTTP/1.1 200 OK\r\nx: ", forever(b"x", 0.02)),
        requests=2, timeouts=IMPATIENT, retry=TWICE, says="was silent for 0.25 s. Tried 2 times",
        relayed=AS_504, **SILENT_TWICE,
    ),
    failed(
        "only keep-alives", APITimeoutError, script(SSE, forever(chunked(b": keep-alive\n\n"), 0.02)),
        requests=2, timeouts=IMPATIENT, retry=TWICE, says="was silent for 0.25 s. Tried 2 times",
        relayed=AS_EMPTY, **SILENT_TWICE,
    ),
    failed(
        "only keep-alives in the shape of frames", APITimeoutError, script(SSE, forever(frames(*PINGS), 0.02)),
        requests=2, timeouts=IMPATIENT, retry=TWICE, says="was silent for 0.25 s. Tried 2 times",
        relayed=AS_EMPTY, **SILENT_TWICE,
    ),
)  # fmt: skip

HTTP = (
    failed(
        "bad status line", APIConnectionError, script(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), requests=5,
        says="sent what is no HTTP", relayed=AS_502,
    ),
    failed(
        "bad header line", APIConnectionError, script(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), requests=5,
        says="sent what is no HTTP", relayed=AS_502,
    ),
    failed(
        "two lengths that differ", APIConnectionError,
        script(page("200 OK", HELLO_BODY, "text/event-stream", "content-length: 7")), requests=5,
        says="sent what is no HTTP", relayed=AS_502,
    ),
    failed(
        "200 KB of headers", APIConnectionError,
        script(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n"), requests=5,
        says="sent what is no HTTP", relayed=AS_502,
    ),
    failed(
        "headers without an end", APIConnectionError, script(b"HTTP/1.1 200 OK\r\n", forever(b"x: y\r\n" * 999)),
        requests=5, says="sent what is no HTTP", peak=4, relayed=AS_502,
    ),
    complete(
        "100 and 103 before the reply",
        script(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", *HELLO.steps, kept=True),
    ),
    failed(
        "101 in place of a reply", APIConnectionError,
        script(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", silence),
        says="sent what is no HTTP", requests=5, relayed=AS_502,
    ),
    complete("trailers", script(SSE, frames(HEL, LO, STOP, USAGE, DONE), b"0\r\nx-sum: 1\r\n\r\n", kept=True)),
    complete(
        "HTTP/1.0, ended by FIN", script(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", HELLO_BODY),
    ),
    truncated(
        "HTTP/1.0, FIN in mid-stream", b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        event(HEL, LO), says="broke off before its end", estimated=True,
    ),
    complete("a length and no chunks", events(HELLO_BODY)),
    complete("byte by byte", script(SSE, byte_by_byte(frames(HEL, LO, STOP, USAGE, DONE)), END, kept=True)),
    complete(IDLE_AND_CLOSED, script(*HELLO.steps, close), HELLO, requests=2),
    complete(
        CLOSED_IN_USE, HELLO, script(close), HELLO, requests=3,
        says="an attempt before it brought no answer and may be billed too",
    ),
)  # fmt: skip

SEEN_IN_MID_STREAM = (
    truncated("reset in mid-stream", *BEGUN, reset, says="broke the connection", estimated=True),
    truncated("FIN in mid-stream", *BEGUN, close, says="broke the connection", estimated=True),
    truncated(
        "FIN in mid-chunk", *BEGUN, b"99\r\ndata: {", close, says="broke the connection", estimated=True
    ),
    truncated(
        "shorter than its length", page("200 OK", event(HEL, LO), "text/event-stream").replace(b"length: ", b"length: 9"),
        close, says="broke the connection", estimated=True,
    ),
    truncated("bad size of a chunk", *BEGUN, b"no size\r\n", says="sent what is no HTTP", estimated=True),
    truncated("neither finish reason nor [DONE]", *BEGUN, END, says="broke off before its end", estimated=True),
    truncated("an empty finish reason in every frame, reset", SSE, frames(said("Hel", finish_reason=""), said("lo", finish_reason="")),
              reset, says="broke the connection", estimated=True),
    truncated("an empty finish reason in every frame, silence", SSE, frames(said("Hel", finish_reason=""), said("lo", finish_reason="")),
              silence, says="was silent for 0.25 s", estimated=True, timeouts=IMPATIENT, **SILENT),
    truncated(
        "JSON cut at the end", *BEGUN, chunked(b'data: {"choices": [{"del'), END,
        says="broke off before its end", estimated=True,
    ),
    truncated(
        "silence in mid-stream", *BEGUN, silence, says="was silent for 0.25 s", estimated=True,
        timeouts=IMPATIENT, **SILENT,
    ),
    truncated(
        "only keep-alives in mid-stream", *BEGUN, forever(chunked(b": keep-alive\n\n"), 0.02),
        says="was silent for 0.25 s", estimated=True, timeouts=IMPATIENT, **SILENT,
    ),
    truncated(
        "keep-alives in the shape of frames in mid-stream", *BEGUN, forever(frames(*PINGS), 0.02),
        says="was silent for 0.25 s", estimated=True, timeouts=IMPATIENT, **SILENT,
    ),
    truncated(
        "dribble past the total time", SSE, forever(frames(said("x")), 0.1), says="was not done after 0.9 s",
        estimated=True, timeouts=Timeouts(idle=0.7, total=0.9), text="x*", least=0.9, seconds=1.0,
    ),
    complete("an empty finish reason in every frame", stream(said("Hel", finish_reason=""), said("lo", finish_reason=""), STOP, USAGE, DONE),
             estimated=False),
    complete("a frame that says all is well", stream('{"code": 0, "message": "success"}', HEL, LO, STOP, USAGE, DONE), estimated=False),
    complete("frames that say nothing", script(SSE, frames(FILTERED, HEL, '{"type": "ping"}', "{}", '{"choices": null}'),
             chunked(b'event: ping\ndata: {"time": 7}\n\n'), frames(LO, STOP, USAGE, DONE), END, kept=True)),
    complete(
        "finish reason without [DONE]", stream(HEL, LO, STOP, USAGE), says="the stream had no [DONE]",
        estimated=False,
    ),
    complete("reset after the finish reason", script(*BEGUN, frames(STOP), reset), estimated=True,
             says="the stream had no [DONE]"),
    complete(
        "silence after the finish reason", script(*BEGUN, frames(STOP), silence), estimated=True,
        says="the stream had no [DONE]", least=3.0, seconds=3.1,
    ),
    complete("one of two alternatives, and no [DONE]", script(*BEGUN, frames(STOP, USAGE), END, kept=True), estimated=False,
             says=ONE_OF_TWO, **TWO),
    complete("silence after one of two alternatives", script(*BEGUN, frames(STOP, USAGE), silence), estimated=False,
             says=ONE_OF_TWO, least=5.0, seconds=5.1, **TWO),
    truncated("reset after one of two alternatives", *BEGUN, frames(STOP, USAGE), reset, says="broke the connection",
              estimated=False, relayed=(None, "the relay ends the body as it should, and the note tells the rest"), **TWO),
    truncated("silence in one of two alternatives", *BEGUN, frames(said("Two", index=1), STOP), silence, says="was silent for 0.25 s",
              estimated=True, timeouts=IMPATIENT, **SILENT, **TWO),
    complete("[DONE] after one of two alternatives", stream(HEL, LO, STOP, USAGE, DONE), says="1 of 2 alternatives came", **TWO),
    complete("a pause between two alternatives", script(*BEGUN, frames(STOP), pause(3.3), frames(said("Two", index=1), said(None, index=1, finish_reason="stop"), USAGE, DONE), END, kept=True),
             least=3.3, seconds=4.1, **TWO),
    complete("endless after [DONE]", script(*BEGUN, frames(STOP, USAGE, DONE), forever(frames("x"))), peak=4),
    Fault(
        name="finish reason length", scripts=(stream(HEL, LO, said(None, finish_reason="length"), USAGE, DONE),),
        state="truncated", says="cut at the largest number of tokens", estimated=False,
    ),
    Fault(
        name="finish reason content_filter", state="truncated", says="cut by the content filter",
        scripts=(stream(HEL, LO, said(None, finish_reason="content_filter"), USAGE, DONE),), estimated=False,
    ),
)  # fmt: skip


def text_of(*pieces: bytes) -> Script:
    """A stream of these pieces, each in a chunk of its own."""
    return script(SSE, *(part for piece in pieces for part in (chunked(piece), pause(0.02))), END, kept=True)


CUT_UTF8 = event(said("π").replace("\\u03c0", "π"))
BAD_UTF8 = event(said("X")).replace(b"X", b"a\xff\xc3b")
CUT_AT = CUT_UTF8.index("π".encode()) + 1

RESPONSES = [
    {"type": "response.created", "response": {"id": "r", "model": "gpt-4.1"}},
    {"type": "response.output_text.delta", "delta": "Hel"},
    {"type": "response.output_text.delta", "delta": "lo"},
    {"type": "response.completed", "response": {"id": "r", "model": "gpt-4.1", "usage": {"input_tokens": 9, "output_tokens": 2}}},
]  # fmt: skip
RESPONSE_FILTERED = {
    "type": "response.incomplete",
    "response": {"incomplete_details": {"reason": "content_filter"}},
}
COMPLETION = {
    "id": "c", "model": "gpt-4.1", "usage": FIGURES,
    "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
}  # fmt: skip
TOOL = {"index": 0, "id": "t", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
TOOL_REST = {"index": 0, "function": {"arguments": ": 1}"}}


def with_usage(frame: str, usage: object) -> str:
    return json.dumps(json.loads(frame) | {"usage": usage})


MORE_USAGE = json.dumps({"model": "gpt-4.1", "choices": [], "usage": FIGURES | {"completion_tokens": 7}})

# What a relay may not hand on, since it was not asked for: nobody asks for a compressed stream.
NOT_ASKED = (InternalServerError, "the relay hands on no encoding that was not asked for")


DIALECTS = (
    complete("an answer as it should be", HELLO, estimated=False),
    complete("usage missing", stream(HEL, LO, STOP, DONE), estimated=True),
    complete("usage twice", stream(HEL, LO, STOP, USAGE, MORE_USAGE, DONE), estimated=False),
    complete(
        "usage null in every frame",
        stream(*(with_usage(one, None) for one in (HEL, LO, STOP)), USAGE, DONE), estimated=False,
    ),
    complete(
        "usage that is nonsense", stream(HEL, LO, STOP, with_usage(USAGE, {"prompt_tokens": -1, "completion_tokens": "x"}), DONE),
        estimated=True,
    ),
    complete("the same frame twice", stream(HEL, HEL, LO, STOP, USAGE, DONE), text="HelHello"),
    complete("two alternatives", stream(HEL, said("Two", index=1), LO, said(None, index=1, finish_reason="stop"), STOP, USAGE, DONE)),
    complete("tool calls in pieces", stream(said(None, delta={"tool_calls": [TOOL]}), said(None, delta={"tool_calls": [TOOL_REST]}), said(None, finish_reason="tool_calls"), USAGE, DONE), text=""),
    complete("frames of the Responses API", stream(*map(json.dumps, RESPONSES), DONE), estimated=False),
    complete("a refusal of the Responses API", stream(json.dumps({"type": "response.refusal.delta", "delta": "Hello"}), *map(json.dumps, RESPONSES[-1:]), DONE)),
    Fault(name="an end of the Responses API by the content filter", state="truncated", says="cut by the content filter", estimated=True,
          scripts=(stream(*map(json.dumps, RESPONSES[:-1]), json.dumps(RESPONSE_FILTERED), DONE),)),
    complete("whole JSON completion", whole("200 OK", json.dumps(COMPLETION).encode()), estimated=False),
    complete("invalid UTF-8 in a whole JSON completion", whole("200 OK", json.dumps(COMPLETION).encode().replace(b"Hello", b"a\xff\xc3b")), text="a��b"),
    complete("character cut in two", text_of(CUT_UTF8[:CUT_AT], CUT_UTF8[CUT_AT:], event(STOP, USAGE, DONE)), text="π"),
    complete("an emoji in two halves", stream(said("a\ud83d"), said("\ude00b"), STOP, USAGE, DONE), text="a😀b"),
    complete("half an emoji", stream(said("Hello\ud83d"), STOP, USAGE, DONE)),
    complete("the other half of an emoji", stream(said("\\\ude00"), STOP, USAGE, DONE), text="\\�"),
    complete("half an emoji in a whole JSON completion", whole("200 OK", json.dumps(COMPLETION).encode().replace(b"Hello", b"Hello\\ud83d"))),
    complete("invalid UTF-8", text_of(BAD_UTF8, event(STOP, USAGE, DONE)), text="a��b"),
    complete("gzip", events(gzip.compress(HELLO_BODY), "content-encoding: gzip"), relayed=NOT_ASKED),
    complete("gzip in two members", events(gzip.compress(event(HEL)) + gzip.compress(event(LO, STOP, USAGE, DONE)), "content-encoding: gzip"), relayed=NOT_ASKED),
)  # fmt: skip

GZIPPED = SSE.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")


def gzip_pieces(*data: bytes) -> list[bytes]:
    """Chunks of one gzip stream, flushed at each."""
    import zlib

    packing = zlib.compressobj(wbits=31)
    pieces = [packing.compress(one) + packing.flush(zlib.Z_SYNC_FLUSH) for one in data]
    return [chunked(one) for one in (*pieces, packing.flush())]


def bomb(size: int) -> bytes:
    """One event of `size` MiB, packed."""
    return gzip.compress(b"data: " + b"x" * (size * MIB), 9)


UNKNOWN = (
    '{"errors":[{"message":"It fell over"}]}', '{"error_code":500,"error_msg":"It fell over"}',
    '{"base_resp":{"status_code":1004,"status_msg":"It fell over"}}', '{"success":false,"msg":"It fell over"}',
    '{"status":"error","reason":"It fell over"}', '{"detail":[{"msg":"It fell over"}]}', '{"choices":"none"}',
)  # fmt: skip


WRONG = (
    failed("empty 200", EmptyAnswerError, events(b""), says="empty"),
    failed("[DONE] alone", EmptyAnswerError, stream(DONE), says="The answer is empty."),
    failed("finish reason alone", EmptyAnswerError, stream(STOP, USAGE, DONE), says="The answer is empty.", cost=Decimal("0.000034")),
    failed("empty JSON", EmptyAnswerError, whole("200 OK", b""), says="empty"),
    failed("200 with HTML", ProtocolError, whole("200 OK", b"<title>x</title><h1>Sign in</h1>", "text/html"),
           says="answered with text/html where an answer belongs: Sign in. Check the base URL.", relayed=AS_502),
    failed("200 with another content type", ProtocolError, whole("200 OK", b"Sign in", "text/plain"),
           says="answered with text/plain", relayed=AS_502),
    failed("200 without a content type", ProtocolError, script(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", kept=True),
           says="answered with no content type", relayed=AS_502),
    failed("204", ProtocolError, script(b"HTTP/1.1 204 No Content\r\n\r\n", kept=True), says="no content type", relayed=AS_502),
    failed("200 with a JSON error", UpstreamError, whole("200 OK", b'{"error": {"message": "Out of order"}}'),
           says="The relay reports: Out of order"),
    failed("200 with JSON of another kind", ProtocolError, whole("200 OK", b'{"ok": true}'), says="holds no choices"),
    failed("200 with half a JSON", ProtocolError, whole("200 OK", b'{"choices": [{"mess'), says="no JSON"),
    failed("whole JSON that breaks off", StreamTruncatedError,
           script(page("200 OK", b'{"choices": [').replace(b"length: ", b"length: 9"), close), says="The reply broke off",
           relayed=AS_502),
    broken("bad JSON in a frame", ProtocolError, *BEGUN, frames('{"choices": [{"delta"', said("more"), STOP, DONE), END,
           says="no JSON"),
    broken("a frame that is a list", ProtocolError, *BEGUN, frames("[1]", said("more"), STOP, DONE), END,
           says="a list where an object belongs"),
    broken("a frame that is a number", ProtocolError, *BEGUN, frames("7", said("more"), STOP, DONE), END,
           says="a int where an object belongs"),
    *(broken(f"a frame of no known shape: {frame}", ProtocolError, *BEGUN, frames(frame, said("more"), STOP, DONE), END,
             says=f"no part of an answer: {frame}") for frame in UNKNOWN),
    failed("bad JSON in the first frame", ProtocolError, stream("{", HEL, STOP, DONE), says="no JSON"),
    failed("broken gzip", ProtocolError, events(b"\x1f\x8b" + HELLO_BODY, "content-encoding: gzip"),
           says="is compressed and broken", relayed=NOT_ASKED),
    broken("gzip that breaks in mid-stream", ProtocolError, GZIPPED, *gzip_pieces(event(HEL, LO))[:1], chunked(b"\xff" * 99), END,
           says="is compressed and broken", relayed=NOT_ASKED),
    failed("unknown encoding", ProtocolError, events(b"\x0b\x02\x80", "content-encoding: br"),
           says="has the encoding br, which was not asked for", relayed=NOT_ASKED),
)  # fmt: skip


def error_frame(name: str, *data: str, text: str = "The model fell over", raw: bytes = b"") -> Fault:
    says = f"The relay reports: {text}" if text else "ended the answer with an error"
    return broken(
        f"error frame {name}", UpstreamError, *BEGUN, raw and chunked(raw), frames(*data), END, says=says
    )


ERROR_FRAMES = (
    error_frame('{"error": text}', '{"error": "The model fell over"}'),
    error_frame('{"error": {…}}', '{"error": {"message": "The model fell over", "code": 500}}'),
    error_frame('{"message", "code"}', '{"message": "The model fell over", "code": 500}'),
    error_frame('{"object": "error"}', '{"object": "error", "message": "The model fell over", "code": 500}'),
    error_frame('{"type": "error", "error": {…}}',
                '{"type": "error", "error": {"type": "overloaded_error", "message": "The model fell over"}}'),
    error_frame('{"error": true, "message"}', '{"error": true, "message": "The model fell over"}'),
    error_frame('{"code", "msg"}', '{"code": 500, "msg": "The model fell over"}'),
    error_frame('{"detail"}', '{"detail": "The model fell over"}'),
    error_frame("beside choices", '{"error": {"message": "The model fell over"}, "choices": []}'),
    error_frame("beside empty choices", '{"choices": [], "code": 500, "message": "The model fell over"}'),
    error_frame("beside choices null", '{"choices": null, "message": "The model fell over", "code": 500}'),
    error_frame("in a choice", said("", error={"message": "The model fell over", "code": 502})),
    error_frame("in the last choice", said(None, finish_reason="error", error={"message": "The model fell over"})),
    error_frame("of the Responses API", '{"type": "response.failed", "response": {"error": {"message": "The model fell over"}}}'),
    error_frame("event: error", raw=b'event: error\ndata: {"error": {"message": "The model fell over"}}\n\n'),
    error_frame("event: error, plain text", raw=b"event: error\ndata: The model fell over\n\n"),
    error_frame("of the Responses API, cancelled", '{"type": "response.cancelled", "response": {"id": "r"}}', text="the answer was cancelled"),
    error_frame("finish reason error", said(None, finish_reason="error"), text=""),
    error_frame("finish reason ERROR", said(None, finish_reason="ERROR"), text=""),
    failed("error frame first", UpstreamError, stream('{"error": {"message": "The model fell over"}}'),
           says="The relay reports: The model fell over"),
)  # fmt: skip

BLOCK = "x" * 100_000
ENDLESS = (
    truncated("endless stream", SSE, forever(frames(said(BLOCK))), says="longer than 64 MiB", text="x*",
              estimated=True, peak=640, seconds=60),
    broken("100 MB line", EventTooLargeError, *BEGUN, b"5f5e100\r\ndata: ", forever(b"x" * 65536),
           says="larger than 1,048,576 bytes", peak=8),
    broken("event of endless lines", EventTooLargeError, *BEGUN, forever(chunked(b"data: xxxxxxxx\n" * 4000)),
           says="larger than 1,048,576 bytes", peak=12),
    failed("gzip bomb", EventTooLargeError, events(bomb(200), "content-encoding: gzip"),
           says="larger than 1,048,576 bytes", peak=8, relayed=NOT_ASKED),
    broken("gzip bomb in mid-stream", EventTooLargeError, GZIPPED, gzip_pieces(event(HEL, LO))[0],
           *gzip_pieces(event(HEL, LO), b"data: " + b"x" * (200 * MIB))[1:], END, says="larger than 1,048,576 bytes", peak=8,
           relayed=NOT_ASKED),
    failed("error page without an end", InternalServerError,
           script(SSE.replace(b"200 OK", b"500 Oops"), forever(chunked(b"x" * 65536))), says="500: xxx", requests=5, peak=4),
    failed("error page that is a gzip bomb", InternalServerError,
           whole("500 Oops", bomb(200), "text/html", "content-encoding: gzip"), says="500: ", requests=5, peak=8),
    failed("whole JSON without an end", ProtocolError,
           script(SSE.replace(b"text/event-stream", b"application/json"), forever(chunked(b" " * MIB))),
           says="longer than 67,108,864 bytes", peak=330, seconds=30),
)  # fmt: skip

FINAL = {
    400: BadRequestError, 401: AuthenticationError, 402: InsufficientBalanceError, 403: AuthenticationError,
    404: NotFoundError, 413: BadRequestError, 422: BadRequestError, 451: APIStatusError,
    505: InternalServerError,
}  # fmt: skip
TEMPORARY = (408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 529)
OWN_KEY = (InternalServerError, "it is the relay's own key that was refused")


def final(status: int) -> Fault:
    hints = {401: "The key came from", 403: "The key came from", 402: "Check the balance"}
    relayed = OWN_KEY if status in {401, 403} else None
    return failed(
        f"status {status}", FINAL[status], refusal(status, "Not so."), relayed=relayed,
        says=f"{status}: Not so. {hints.get(status, '')}".rstrip(),
    )  # fmt: skip


def temporary(status: int) -> Fault:
    kinds = {429: RateLimitError}
    error = kinds.get(status, InternalServerError if status >= 500 else APIStatusError)
    return failed(
        f"status {status}", error, refusal(status, "Not now."), requests=5,
        says=f"{status}: Not now. Tried 5 times.",
    )  # fmt: skip


def said_by_code(status: int, code: object, message: str) -> Script:
    return whole(f"{status} No", json.dumps({"error": {"message": message, "code": code}}).encode())


UNPAID: tuple[tuple[int, object, str], ...] = (
    (429, "insufficient_quota", "Used up."),
    (429, "insufficient_user_quota", "No."),
    (429, "1113", "Insufficient balance or no resource package. Please recharge."),
    (429, None, "You exceeded your current quota, please check your plan and billing details."),
    (400, "invalid_request_error", "Your credit balance is too low to access the API."),
)
LIMITED: tuple[tuple[object, str], ...] = (
    ("rate_limit_exceeded", "Limit reached. You can add a payment method to exceed it, see billing."),
    (None, "Quota exceeded for requests per minute."),
    (
        None,
        "You exceeded your current quota, please check your plan and billing details. Please retry in 37 s.",
    ),
)
SLOW = RetryPolicy(base=0.2, cap=0.4)
STATUSES = (
    *map(final, FINAL),
    *map(temporary, TEMPORARY),
    *(failed(f"quota exhausted: {status}, {code}", InsufficientBalanceError, said_by_code(status, code, message),
             says=f"{status}: {message} Check the balance") for status, code, message in UNPAID),
    *(failed(f"limit reached: 429, {code}", RateLimitError, said_by_code(429, code, message), requests=5,
             says=f"429: {message} Tried 5 times.") for code, message in LIMITED),
    failed("redirect", APIStatusError, whole("302 Found", b"", "text/html", "location: http://127.0.0.1:1/v1"),
           says="302: Found. Redirects are never followed; check the base URL http://127.0.0.1", relayed=AS_502),
    failed("HTML error page", InternalServerError,
           whole("502 Bad", b"<style>p{}</style><p>Bad &amp; <b>worse</b>" + b"x" * 500, "text/html"),
           says="502: Bad & worse xxx", requests=5),
    failed(
        "503 with x-should-retry: false", InternalServerError, refusal(503, "Not now.", "x-should-retry: false"),
        says="503: Not now.",
    ),
    complete("503, then an answer", refusal(503), HELLO, requests=2, retry=SLOW, waits=((0, 0.2),)),
    complete("503 four times, then an answer", *[refusal(503)] * 4, HELLO, requests=5, retry=RetryPolicy(base=0.1, cap=0.2),
             waits=((0, 0.1), (0, 0.2), (0, 0.2), (0, 0.2))),
)  # fmt: skip


def waits(name: str, header: str, least: float, most: float, *, message: str = "No.") -> Fault:
    return complete(
        f"429, {name}", refusal(429, message, header), HELLO, requests=2, waits=((least, most),), seconds=6
    )


def asks_in_body(value: object) -> Script:
    body = json.dumps({"error": {"message": "No.", "retry_after": value}}).encode()
    return whole("429 No", body)


def refuses_a_long_wait(name: str, header: str) -> Fault:
    return failed(
        f"429, {name}", RateLimitError, refusal(429, "No.", header), says="It asks to wait ", seconds=2
    )


RETRY_AFTER = (
    waits("Retry-After: 1", "retry-after: 1", 1, 1),
    waits("retry-after-ms: 300", "retry-after-ms: 300", 0.3, 0.3),
    complete("429, retry_after in the error", asks_in_body(0.3), HELLO, requests=2, waits=((0.3, 0.3),)),
    waits("Retry-After: -5", "retry-after: -5", 0, 0.02),
    waits("Retry-After: nan", "retry-after: nan", 0, 0.02),
    waits("Retry-After: 1e30", "retry-after: 1e30", 0, 0.02),
    waits("Retry-After: soon", "retry-after: soon", 0, 0.02),
    waits("Retry-After: a date that is past", "retry-after: Mon, 23 Nov 2020 12:00:00 GMT", 0, 0.02),
    failed("429, Retry-After: 2 twice, past what is left of 3 s", RateLimitError, refusal(429, "No.", "retry-after: 2"), requests=2,
           retry=RetryPolicy(total=3), waits=((2, 2),), says="Tried 2 times. It asks to wait 2 s, and 1 s of 3 are left.", seconds=3),
    refuses_a_long_wait("Retry-After: 61", "retry-after: 61"),
    refuses_a_long_wait("Retry-After: a date in hours", f"retry-after: {formatdate(time.time() + 9000, usegmt=True)}"),
)  # fmt: skip

FAULTS: Sequence[Fault] = (
    *CONNECTIONS,
    *HTTP,
    *STATUSES,
    *RETRY_AFTER,
    *SEEN_IN_MID_STREAM,
    *DIALECTS,
    *WRONG,
    *ERROR_FRAMES,
    *ENDLESS,
)
