"""Our relay server as a process, an upstream that says its key everywhere, a client who puts his anywhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from canary import ENDED, GROWING, WRITTEN, Canary, in_pieces
from edge import edge, read_all, replies, request
from loopback import END, SSE, Loopback, page
from test_server_command import PATIENCE, Running, started

from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loopback import Connection
    from redis_server import RedisServer

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")

UPSTREAM = Canary("cr_Finch_9b2e+41D7.aa03c5f8e1")
KEY = UPSTREAM.key

#: Headers that say the key, those that a relay passes on among them.
TELLING = [
    f"{name}: {KEY}"
    for name in (
        "x-request-id",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "openai-processing-ms",
        "server",
    )
] + [f"set-cookie: key={KEY}", f"x-{KEY}: 1", f"x-upstream: Bearer {KEY}"]


def told(status: str, kind: str, body: bytes) -> bytes:
    return page(f"{status} {KEY}", body, kind, *TELLING)


def frames(said: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(frame).encode() for frame in said)


def streamed(data: bytes, *, whole: bool = True) -> bytes:
    head = SSE.replace(b"200 OK", f"200 {KEY}".encode()).replace(b"\r\n\r\n", b"\r\n")
    telling = "".join(f"{line}\r\n" for line in TELLING).encode()
    done = b"data: [DONE]\n\n" if whole else b""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (data[:71], data[71:], done) if piece)
    return head + telling + b"\r\n" + body + (END if whole else b"")


def says_it(part: str, size: int, way: str = "as it is") -> bytes:
    return frames(in_pieces(part, f"It is {WRITTEN[way](KEY)} indeed.", size))


OUTSIDE = (
    f": {KEY}\n\nevent: {KEY}\nid: {KEY}\ndata: {json.dumps({'id': KEY, 'choices': [], 'x': KEY})}\n\n"
    f"data: {KEY}\n\n"
).encode()
NAMED = frames(
    [
        {
            "id": KEY,
            "system_fingerprint": KEY,
            "choices": [
                {"index": 0, "delta": {"role": KEY, "content": "Hi", "x": KEY}, "logprobs": {"content": KEY}}
            ],
        },
        ENDED,
    ]
)
ERROR = '{"error": {"message": "no such key as %s: ask again", "code": "%s", "param": "%s"}}'
STATUSES = ("400 No", "401 No", "404 No", "422 No", "429 Wait", "500 Oh", "503 Oh")


def says() -> dict[str, bytes]:
    """What the upstream may answer, by a name that the question holds."""
    found = {
        f"{part}, {size} at a time": streamed(says_it(part, size)) for part in GROWING for size in (1, 7, 99)
    }
    found |= {f"said {way}": streamed(says_it("said", 5, way)) for way in WRITTEN}
    found |= {
        "beside the answer": streamed(OUTSIDE + says_it("said", 99)),
        "in names": streamed(NAMED),
        "cut in the key": streamed(frames(in_pieces("said", f"It is {KEY[:-4]}", 7)[:-1]), whole=False),
        "an error in the middle": streamed(
            says_it("said", 99) + f"data: {ERROR}\n\n".replace("%s", KEY).encode()
        ),
        "a kind": page("200 OK", b"x", f"text/{KEY}", *TELLING),
        "a kind in capitals": page("200 OK", b"x", f"text/{KEY.upper()}"),
        "a parameter": page("200 OK", b"{}", f"application/json; key={KEY}", *TELLING),
        "an encoding": page("200 OK", b"x", "application/json", f"content-encoding: {KEY}"),
        "a redirect": page("302 Found", b"", "text/html", f"location: http://127.0.0.1:1/{KEY}"),
        "no status": page(f"799 {KEY}", b""),
        "garbage": f"{KEY}\r\n\r\n".encode(),
        "a bad header": f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),
    }
    for number, (way, write) in enumerate(WRITTEN.items()):
        status = STATUSES[number % len(STATUSES)]
        found[f"an error {way}"] = told(status, "application/json", ERROR.replace("%s", write(KEY)).encode())
        found[f"a page {way}"] = told(status, "text/html", f"<p>no such key as {write(KEY)}".encode())
        found[f"a whole answer {way}"] = told(
            "200",
            "application/json",
            json.dumps({"choices": [{"message": {"content": "MARK"}}]}).replace("MARK", write(KEY)).encode(),
        )
    return found


SAYS = says()
MODELS = [
    told("200", "application/json", json.dumps({"data": [{"id": KEY, "owned_by": KEY}]}).encode()),
    page("200 OK", b"x", f"text/{KEY}"),
    told("400 No", "application/json", ERROR.replace("%s", KEY).encode()),
]


def upstream() -> Loopback:
    listed = iter(MODELS * 1000)

    def serve(connection: Connection, server: Loopback) -> None:
        if asked := server.ask(connection):
            assert asked.header("authorization") == f"Bearer {KEY}"
            said = (
                next(listed) if asked.line.startswith("GET") else SAYS[asked.json["messages"][-1]["content"]]
            )
            connection.send(said)

    return Loopback(serve)


# --- the client ----------------------------------------------------------------------------------


class Client:
    """Sends raw requests, and keeps all that comes back."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.heard: list[bytes] = []

    def exchange(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as opened:
            with suppress(OSError):
                opened.sendall(data)
            said = read_all(opened)
        self.heard.append(said)
        return said

    def lines(self, *more: str) -> str:
        return "\r\n".join(
            [f"Host: 127.0.0.1:{self.port}", f"X-API-Key: {self.key}", "Connection: close", *more]
        )

    def ask(self, name: str, *more: str, path: str = "/v1/chat/completions", **fields: Any) -> bytes:
        body = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": name}], **fields})
        return self.exchange(request("POST", path, self.lines(*more), body.encode()))

    def get(self, path: str, *more: str) -> bytes:
        return self.exchange(request("GET", path, self.lines(*more)))


WAYS: dict[str, dict[str, Any]] = {
    "a stream": {"stream": True},
    "a stream with its usage": {"stream": True, "stream_options": {"include_usage": True}},
    "a whole answer": {},
    "the vendor's article's": {"path": "/api/chat/stream"},
}


def grown(body: bytes) -> str:
    """The texts of a stream, as who reads it puts them together."""
    texts: dict[tuple[int, str], str] = {}
    for event in SSEDecoder().feed(body + b"\n\n"):
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            for choice in json.loads(event.data)["choices"]:
                delta = choice["delta"]
                for name in ("content", "refusal", "reasoning_content"):
                    texts[choice["index"], name] = texts.get((choice["index"], name), "") + (
                        delta.get(name) or ""
                    )
                for call in delta.get("tool_calls") or ():
                    place = (choice["index"], "call")
                    texts[place] = texts.get(place, "") + (call["function"].get("arguments") or "")
    return "\n".join(texts.values())


def everything_is_asked(client: Client) -> tuple[int, int]:
    """Ask for all that the upstream has to say, in every way; return how many replies, and what was read."""
    number = read = 0
    for name in SAYS:
        for fields in WAYS.values():
            (reply,) = replies(client.ask(name, **fields))
            read += UPSTREAM.is_clean(f"{reply.headers}") + UPSTREAM.is_clean(reply.body.decode("latin-1"))
            text = grown(reply.body)
            read += UPSTREAM.is_clean(text)
            if "at a time" in name or name.startswith("said "):
                assert "[key] indeed." in text or fields == {}, (name, reply)
            number += 1
    return number, read


def misplaced(client: Client, name: str) -> None:
    """Send the client's own key where it does not belong."""
    key, good = client.key, SAYS[name]
    assert good
    places = ("Idempotency-Key", "Last-Event-ID", "Cookie", "X-Request-Id", "X-Forwarded-For", "User-Agent")
    others = (f"Referer: http://x/{key}", f"Origin: https://{key}", f"Authorization: Bearer {key}")
    for more in (*(f"{place}: {key}" for place in places), *others, f"X-API-Key: {key}x"):
        client.ask(name, more, "X-Stream-Resume: 1", stream=True)
    client.ask(name, path=f"/v1/chat/completions?key={key}")
    client.ask(name, model=key)
    client.ask(name, model=f"x{key}", n=key)
    client.ask(name, user=key, metadata={"key": key}, stop=key)
    client.exchange(request("POST", "/v1/chat/completions", client.lines(), key.encode()))
    client.exchange(
        request("POST", "/v1/chat/completions", client.lines(), f'{{"model": "m", "x": {key}}}'.encode())
    )
    for path in (
        f"/{key}",
        f"/v1/streams/{key}",
        f"/v1/{WRITTEN['in a URL'](key)}",
        f"/v1/models/{key}?{key}#{key}",
    ):
        client.get(path)
    for line in (
        f"{key} / HTTP/1.1",
        f"GET {key} HTTP/1.1",
        f"GET / {key}",
        f"DELETE /v1/streams/{key} HTTP/1.1",
    ):
        client.exchange(f"{line}\r\n{client.lines()}\r\n\r\n".encode())
    hosts = (key, f"{key}.example", f"127.0.0.1\r\n{key}: 1", f"a\r\n{key}")
    wrong = (f"Basic {key}", f"Bearer {key[:-1]}", f"Bearer {key} {key}", key)
    for lines in (*hosts, *(f"127.0.0.1\r\nAuthorization: {said}" for said in wrong)):
        client.exchange(request("GET", "/v1/models", f"Host: {lines}\r\nConnection: close"))


def resumed(client: Client) -> None:
    """Follow a stream that is kept, from its beginning and from its middle."""
    for name in [name for name in SAYS if "at a time" in name] + [
        "beside the answer",
        "in names",
        "a parameter",
    ]:
        (reply,) = replies(client.ask(name, "X-Stream-Resume: 1", stream=True))
        UPSTREAM.is_clean(grown(reply.body))
        if stream := reply.header("x-stream-id"):
            for more in ([], ["Last-Event-ID: 2"]):
                UPSTREAM.is_clean(grown(replies(client.get(f"/v1/streams/{stream}", *more))[0].body))


# --- the processes -------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            below.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(
                int(stat.parent.name)
            )
    return [pid, *(one for child in below.get(pid, ()) for one in family(child))]


def told_by_the_system(pid: int, name: str) -> str:
    """What stands in /proc of a process; nothing where it has ended meanwhile."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1").replace("\0", "\n")
    return ""


@pytest.fixture
def talkative(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python logs all it can, also in the workers that a relay starts."""
    folder = tmp_path_factory.mktemp("talkative")
    (folder / "sitecustomize.py").write_text("import logging; logging.getLogger().setLevel(1)")
    return {"PYTHONPATH": os.fspath(folder), "PYTHONASYNCIODEBUG": "1"}


def files_of(running: Running) -> list[Path]:
    return [path for path in running.home.rglob("*") if path.is_file() and path.name != ".env"]


def ends(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    assert "Traceback" not in running.err.read_text()


def test_a_relay_in_a_process_of_its_own(
    tmp_path: Path, talkative: dict[str, str], publish: Callable[..., None]
) -> None:
    with upstream() as server:
        environ = {"HOLYSHEEP_API_KEY": KEY, "HOLYSHEEP_BASE_URL": server.base_url}
        with started(tmp_path, **environ, **talkative) as running:
            own = Canary(running.keys.add("ann", per_minute=1_000_000, concurrent=50, metrics=True))
            client = Client(int(running.base_url.rpartition(":")[2].removesuffix("/v1")), own.key)
            everything_is_asked(client)
            resumed(client)
            misplaced(client, "said, 7 at a time")
            for _ in MODELS:
                client.get("/v1/models")
                client.get("/health")
                time.sleep(1.1)  # seconds that a failure is good for
            assert b"hs_relay_requests_total" in client.get("/metrics")
            heard = sum(
                key.is_clean(data.decode("latin-1")) for key in (UPSTREAM, own) for data in client.heard
            )
            written = sum(
                key.are_clean(files_of(running)) for key in (UPSTREAM, own)
            )  # the ledger's journal, too
            for pid in family(running.process.pid):
                assert UPSTREAM.is_clean(told_by_the_system(pid, "cmdline"))
                assert own.is_clean(told_by_the_system(pid, "environ"))
            ends(running)
        names = {path.name for path in files_of(running)}
        assert {"ledger.db", "relay-keys.jsonl", "out", "err"} <= names
        written += sum(key.are_clean(files_of(running)) for key in (UPSTREAM, own))
    assert "httpcore" in running.err.read_text() or "receive_response_headers" in running.err.read_text()
    publish(
        "the key",
        looked_for=f"the upstream's and a client's, in {len(client.heard):,} replies of our relay server",
        said_in_pieces_of="1, 5, 7 and 99 characters",
        searched=f"{heard:,} bytes for {len(UPSTREAM.forms)} forms of each",
        found=0,
    )
    publish(
        "the key",
        looked_for=f"the same, in its log, all of it, and {len(names) - 2} other files, running and ended",
        said_in_pieces_of="–",
        searched=f"{written:,} bytes for {len(UPSTREAM.forms)} forms of each",
        found=0,
    )


def unpacked(value: object) -> Iterator[str]:
    """The texts in what a Redis holds, those that are compressed too."""
    if isinstance(value, bytes):
        yield value.decode("latin-1")
        with suppress(zlib.error):
            yield zlib.decompress(value).decode("latin-1")
        return
    parts: Iterable[object] = (*value, *value.values()) if isinstance(value, dict) else ()
    for part in value if isinstance(value, list | tuple | set) else parts:
        yield from unpacked(part)


def held(url: str) -> list[str]:
    """All that a database of a Redis holds, names and values."""
    from redis import Redis

    reading: dict[bytes, Callable[[Redis, bytes], object]] = {
        b"string": lambda redis, name: redis.get(name),
        b"hash": lambda redis, name: redis.hgetall(name),
        b"stream": lambda redis, name: redis.xrange(name),
        b"zset": lambda redis, name: redis.zrange(name, 0, -1, withscores=True),
        b"list": lambda redis, name: redis.lrange(name, 0, -1),
        b"set": lambda redis, name: redis.smembers(name),
    }
    with Redis.from_url(url) as redis:
        names = list(redis.scan_iter())
        return [text for name in names for text in unpacked([name, reading[redis.type(name)](redis, name)])]


def test_workers_that_share_a_redis_and_a_key_from_a_file(
    tmp_path: Path, talkative: dict[str, str], redis_server: RedisServer, publish: Callable[..., None]
) -> None:
    """Whoever may list processes sees no key, on their command lines or in their environments."""
    database = redis_server.database()
    with upstream() as server:
        (tmp_path / ".env").write_text(f"HOLYSHEEP_API_KEY={KEY}\nHOLYSHEEP_BASE_URL={server.base_url}\n")
        with started(tmp_path, "--workers", "2", HOLYSHEEP_RELAY_STATE=database, **talkative) as running:
            own = Canary(running.keys.add("ann", per_minute=1_000_000, concurrent=50))
            client = Client(int(running.base_url.rpartition(":")[2].removesuffix("/v1")), own.key)
            resumed(client)
            misplaced(client, "said, 1 at a time")
            texts = held(database)
            searched = sum(key.is_clean(text) for key in (UPSTREAM, own) for text in texts)
            assert any("hs-notebook:stream" in text for text in texts)
            assert any("[key]" in text for text in texts)
            processes = family(running.process.pid)
            assert len(processes) >= 3
            for pid in processes:
                for name in ("cmdline", "environ"):
                    for key in (UPSTREAM, own):
                        searched += key.is_clean(told_by_the_system(pid, name))
            for key in (UPSTREAM, own):
                searched += sum(key.is_clean(data.decode("latin-1")) for data in client.heard)
            ends(running)
        searched += sum(key.are_clean(files_of(running)) for key in (UPSTREAM, own))
    publish(
        "the key",
        looked_for=f"the same, in {len(texts):,} texts of a Redis, and of {len(processes)} processes",
        said_in_pieces_of="1, 7 and 99 characters",
        searched=f"{searched:,} bytes for {len(UPSTREAM.forms)} forms of each",
        found=0,
    )


def test_a_relay_beside_other_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same server in a thread, as tests and notebooks run it, whose ledger keeps texts."""
    with upstream() as server, edge(tmp_path, server.base_url, upstream_key=KEY) as running:
        running.ledger.keep_text = True
        own = Canary(running.key)
        client = Client(running.port, own.key)
        for name in SAYS:
            client.ask(name, stream=True)
        misplaced(client, "said, 7 at a time")
        for data in client.heard:
            for key in (UPSTREAM, own):
                key.is_clean(data.decode("latin-1"))
        UPSTREAM.are_clean(path for path in tmp_path.rglob("*") if path.is_file())
        own.are_clean(path for path in tmp_path.rglob("*") if path.is_file())
        UPSTREAM.is_clean(repr(running.server.gateway))
        own.is_clean(repr(running.server.gateway))
    said = capfd.readouterr()
    for key in (UPSTREAM, own):
        key.is_clean(said.out + said.err)
