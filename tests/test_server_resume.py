"""Streams that outlive their connection: what the relay server promises, seen from its clients."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import math
import random
import socket
import threading
import time
import tracemalloc
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cutting import CuttingProxy
from hypothesis import given
from hypothesis import strategies as st
from loopback import SSE, Connection, Loopback, frame
from openai import OpenAI
from redis_server import RedisServer

from hs_notebook import HolySheep
from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.resume import elsewhere, following
from hs_notebook.relay.resume.log import EventsLost, Log
from hs_notebook.relay.resume.numbering import EventTooLarge, Numbering
from hs_notebook.relay.resume.stream import Head, Stream
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings
from hs_notebook.relay.state.streams import Copy, Piece, SharedStreams
from hs_notebook.wire.retry import RetryPolicy
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from hs_notebook.wire.sse import ServerSentEvent


PATIENCE = 20.0
LONG = "[simulate tokens=100000 speed=1]"  # still under way when the test is over
RESUMABLE = {"x-stream-resume": "1"}
QUICK = RetryPolicy(base=0.001, cap=0.01)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- numbers -------------------------------------------------------------------------------------


def meaning(events: list[ServerSentEvent]) -> list[tuple[str, str]]:
    return [(event.event, event.data) for event in events]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: x\n" * 8192])
def test_an_event_without_end_is_given_up(piece: bytes) -> None:
    numbering = Numbering()
    fed = 0
    with pytest.raises(EventTooLarge):  # noqa: PT012 - nobody knows which piece is one too many
        while fed < 100:
            fed += 1
            numbering.feed(piece)
    assert fed > 16


# --- the log -------------------------------------------------------------------------------------


def event(number: int, size: int) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (number, random.Random(number).randbytes(size).hex().encode())


@given(
    steps=st.lists(st.one_of(st.integers(0, 4000), st.just(-1)), max_size=40),
    limit=st.sampled_from([0, 3000, 50_000]),
    draw=st.data(),
)
def test_the_log_gives_exactly_what_follows(steps: list[int], limit: int, draw: st.DataObject) -> None:
    """A step is the size of an event more, or that somebody reads all there is."""
    log = Log(limit)
    events: list[bytes] = []
    for step in steps:
        if step < 0:
            log.take(log.last)
        else:
            events.append(event(len(events) + 1, step))
            log.append(events[-1])
        assert log.first <= log.taken + 1  # what nobody has read is never dropped
        number = draw.draw(st.integers(0, len(events)))
        if number < log.first - 1:
            with pytest.raises(EventsLost) as lost:
                log.after(number)
            assert (lost.value.first, lost.value.last) == (number + 1, log.first - 1)
        else:
            found, at = b"", number
            while (more := log.after(at))[0]:
                found, at = found + more[0], more[1]
            assert found == b"".join(events[number:])
            assert at == log.last


def test_the_log_of_a_long_stream_stays_small() -> None:
    words = [f" {word}" for word in (__doc__ or "").split()]
    dice = random.Random(1)
    tracemalloc.start()
    try:
        log, sizes = Log(48 * 1024), []
        for number in range(1, 16_001):
            fields = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
            fields |= {
                "model": "gpt-4.1",
                "choices": [{"index": 0, "delta": {"content": dice.choice(words)}}],
            }
            log.append(f"id: {number}\ndata: {json.dumps(fields)}\n\n".encode())
            log.take(number)
            if number > 8000 and number % 50 == 0:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(sizes) < 120_000
    half = len(sizes) // 2
    assert max(sizes[half:]) < 1.1 * max(sizes[:half])
    assert log.last - log.first > 3000  # a minute at 50 tokens a second


# --- one worker ----------------------------------------------------------------------------------


@dataclass
class World:
    """A relay server before a simulated upstream, and a client of it."""

    simulation: EmbeddedRelay
    servers: list[RelayServer]
    keys: KeyFile
    ledger: Ledger
    number: Iterator[int] = field(default_factory=itertools.count)

    def client(self, user: str, **limits: Any) -> User:
        user = f"{user}-{next(self.number)}"  # a test may be tried once more
        key = self.keys.add(user, **({"per_minute": 1000, "concurrent": 50} | limits))
        return User(self, user, key)


class User:
    """Who holds a key, at the first worker or another."""

    def __init__(self, world: World, name: str, key: str) -> None:
        self.world, self.name, self.key = world, name, key
        self.at = [
            httpx.Client(
                base_url=server.base_url, headers={"x-api-key": key}, timeout=PATIENCE, trust_env=False
            )
            for server in world.servers
        ]

    @property
    def owner(self) -> str:
        holder = self.world.keys.holder(self.key.encode())
        assert holder is not None
        return holder.sha256

    def post(self, prompt: str, worker: int = 0, **headers: Any) -> Any:
        """A context manager of the reply, which is a stream that can be resumed."""
        return self.at[worker].stream(
            "POST", "/chat/completions", json=body(prompt), headers=RESUMABLE | headed(headers)
        )

    def get(self, stream: str, after: int | str | None = None, worker: int = 0) -> httpx.Response:
        headers = {} if after is None else {"last-event-id": str(after)}
        return self.at[worker].get(f"/streams/{stream}", headers=headers)

    def rows(self) -> list[str]:
        return [row["state"] for row in self.world.ledger.rows() if row["user_name"] == self.name]

    def begun(self, prompt: str = LONG, **headers: Any) -> str:
        """Begin a stream, read a bit of it and go away."""
        with self.post(prompt, **headers) as reply:
            next(reply.iter_raw())
            return str(reply.headers["x-stream-id"])


def headed(names: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in names.items()}


def body(prompt: str) -> dict[str, Any]:
    return {"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": prompt}]}


def numbers(text: str) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def started(stack: ExitStack, folder: Path, workers: int = 1, **settings: Any) -> World:
    simulation = stack.enter_context(EmbeddedRelay(Simulation(speed=math.inf)))
    ledger = Ledger(folder / "ledger.db")
    told = RelaySettings(
        upstream=simulation.base_url, key="cr_upstream_1234", keys=folder / "keys", **settings
    )
    servers = [
        stack.enter_context(RelayServer(told, ledger=ledger, prices=load_book())) for _ in range(workers)
    ]
    return World(simulation, servers, KeyFile(told.keys), ledger)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("one"))


def test_numbers_come_only_where_they_were_asked_for(world: World) -> None:
    user = world.client("plain")
    for headers in ({}, {"x-stream-resume": "0"}):
        reply = user.at[0].post("/chat/completions", json=body("[simulate tokens=5]"), headers=headers)
        assert "x-stream-id" not in reply.headers
        assert numbers(reply.text) == []
    with user.post("[simulate tokens=5]") as resumable:
        resumable.read()
    assert len(resumable.headers["x-stream-id"]) >= 32
    assert numbers(resumable.text) == list(range(1, 9))
    said = [meaning(SSEDecoder().feed(one.content)) for one in (reply, resumable)]
    assert [json.loads(data)["choices"] for _, data in said[0][:-1]] == [
        json.loads(data)["choices"] for _, data in said[1][:-1]
    ]
    assert said[0][-1] == said[1][-1] == ("message", "[DONE]")


def test_it_goes_on_exactly_where_it_was(world: World) -> None:
    user = world.client("going-on")
    with user.post("[simulate tokens=600]") as reply:
        whole = reply.read()
    stream = reply.headers["x-stream-id"]
    assert user.get(stream).content == whole
    for after in (0, 1, 70, 300, 602, 603):
        rest = user.get(stream, after)
        assert rest.headers["x-stream-id"] == stream
        assert rest.headers["content-type"] == reply.headers["content-type"]
        assert whole.endswith(rest.content)
        assert numbers(rest.text) == list(range(after + 1, 604))
    assert user.rows() == ["complete"]


def test_what_cannot_be_gone_on_with(world: World) -> None:
    user, other = world.client("one"), world.client("other")
    with user.post("[simulate tokens=5]") as reply:
        reply.read()
    stream = reply.headers["x-stream-id"]
    assert code(user.get(stream, 9)) == (416, "EVENT_UNKNOWN")
    for nonsense in ("x", "-1", "1.5", "9" * 30, "0x1", "", "1, 2"):
        assert user.get(stream, nonsense).status_code == 400, nonsense
    strange = (code(other.get(stream, 1)), code(user.get("x" * 32, 1)))
    assert set(strange) == {(404, "STREAM_NOT_FOUND")}
    assert other.at[0].delete(f"/streams/{stream}").status_code == 404
    nobody = httpx.get(f"{world.servers[0].base_url}/streams/{stream}", trust_env=False)
    assert code(nobody) == (401, "MISSING_AUTH")
    assert user.get(stream, 8).text == ""
    assert user.at[0].head(f"/streams/{stream}").status_code == 405


def test_who_wants_no_more_stops_the_upstream_and_frees_the_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: weakref.WeakSet[Stream] = weakref.WeakSet()
    start = Stream.start

    def noted(stream: Stream, *asked: Any) -> Any:
        kept.add(stream)
        return start(stream, *asked)

    monkeypatch.setattr(Stream, "start", noted)
    gc.freeze()  # else it takes long to collect
    user = world.client("leaver", concurrent=1)
    cancelled = world.simulation.stats.cancelled
    stream = user.begun()
    with user.post("[simulate tokens=1]") as reply:
        reply.read()
    assert code(reply) == (429, "concurrency_limit_exceeded")  # the upstream goes on
    assert user.at[0].delete(f"/streams/{stream}").status_code == 204
    assert user.rows() == ["stopped"]
    until(lambda: world.simulation.stats.cancelled == cancelled + 1)
    until(lambda: gc.collect() < 0 or not kept)  # nor is it kept in memory
    gc.unfreeze()
    assert user.get(stream).status_code == 404
    assert user.at[0].delete(f"/streams/{stream}").status_code == 404
    with user.post("[simulate tokens=1]") as reply:
        assert reply.status_code == 200
        reply.read()


def test_who_leaves_before_the_reply_names_his_call(world: World) -> None:
    user, other = world.client("hasty"), world.client("hasty-other")
    cancelled, requests = world.simulation.stats.cancelled, world.simulation.stats.requests
    call = {"idempotency-key": "hasty"}
    with pytest.raises(httpx.ReadTimeout):
        user.at[0].post(
            "/chat/completions",
            json=body("[simulate ttft=600000 speed=1]"),
            headers=RESUMABLE | call,
            timeout=httpx.Timeout(PATIENCE, read=0.5),
        )
    until(lambda: world.simulation.stats.requests == requests + 1)
    assert other.at[-1].delete("/streams", headers=call).status_code == 204  # it has no such call
    assert user.at[-1].delete("/streams").status_code == 400
    assert world.simulation.stats.cancelled == cancelled
    assert user.at[-1].delete("/streams", headers=call).status_code == 204
    until(lambda: world.simulation.stats.cancelled == cancelled + 1)
    until(lambda: user.rows() == ["stopped"])


def test_the_same_request_again_joins_its_stream(world: World) -> None:
    user, other = world.client("again"), world.client("again-other")
    requests = world.simulation.stats.requests
    stream = user.begun("[simulate tokens=100]", idempotency_key="k")
    for _ in range(2):
        with user.post("[simulate tokens=100]", idempotency_key="k") as reply:
            assert numbers(reply.read().decode()) == list(range(1, 104))
        assert reply.headers["x-stream-id"] == stream
    with user.post("[simulate tokens=101]", idempotency_key="k") as reply:
        reply.read()
    assert code(reply) == (422, "IDEMPOTENCY_MISMATCH")
    assert world.simulation.stats.requests == requests + 1
    assert other.begun("[simulate tokens=100]", idempotency_key="k") != stream
    for key in ("", "x" * 256):
        with user.post("?", idempotency_key=key) as reply:
            assert reply.status_code == 400
    until(lambda: user.rows() == ["complete"])


def test_many_at_once_begin_one_stream(world: World) -> None:
    user = world.client("at-once")
    requests = world.simulation.stats.requests
    together = threading.Barrier(4)
    found: list[str] = []

    def ask() -> None:
        together.wait(PATIENCE)
        with user.post("[simulate tokens=50]", idempotency_key="k") as reply:
            reply.read()
        found.append(reply.headers["x-stream-id"] + reply.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert world.simulation.stats.requests == requests + 1


@pytest.mark.parametrize("fault", ["503", "401", "html"])
def test_a_refusal_is_forgotten(world: World, fault: str) -> None:
    user = world.client(f"refused-{fault}")
    prompt = f"[simulate tokens=5 fault={fault}-once] {user.key}"
    with user.post(prompt, idempotency_key="k") as reply:
        reply.read()
    assert reply.status_code >= 500
    assert "x-stream-id" not in reply.headers
    with user.post(prompt, idempotency_key="k") as reply:
        assert "[DONE]" in reply.read().decode()
    until(lambda: user.rows()[1:] == ["complete"])


def test_how_an_upstream_ends_is_told(world: World) -> None:
    user = world.client("endings")
    with user.post("[simulate tokens=50 fault=cut after=10]") as reply:
        text = reply.read().decode()  # the body ends as it should: there is no more
    assert "[DONE]" not in text
    assert numbers(user.get(reply.headers["x-stream-id"], 3).text) == numbers(text)[3:]
    with user.post("[simulate tokens=5 fault=wholejson]", idempotency_key="k") as reply:
        whole = reply.read()
    assert "x-stream-id" not in reply.headers
    with user.post("[simulate tokens=5 fault=wholejson]", idempotency_key="k") as reply:
        assert json.loads(reply.read()) == json.loads(whole)
    until(lambda: user.rows() == ["truncated", "complete"])


@pytest.mark.parametrize("resume", ["0", "1"])
def test_openai_s_own_package_reads_it(world: World, resume: str) -> None:
    key = world.keys.add(f"openai-{resume}")
    client = OpenAI(api_key=key, base_url=world.servers[0].base_url)
    stream = client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": "[simulate text]\nHello, 熊!"}],
        stream=True,
        extra_headers={"X-Stream-Resume": resume},
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello, 熊!"
    assert ("x-stream-id" in stream.response.headers) == (resume == "1")
    client.close()


def test_http_1_0_gets_no_numbers_as_it_cannot_tell_a_break(world: World) -> None:
    asked = json.dumps(body("[simulate tokens=5]"))
    key = world.client("ancient").key
    head = (
        f"POST /v1/chat/completions HTTP/1.0\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\nx-stream-resume: 1\r\n"
    )
    with socket.create_connection(("127.0.0.1", world.servers[0].port), PATIENCE) as connection:
        connection.sendall(f"{head}content-length: {len(asked)}\r\n\r\n{asked}".encode())
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"data: [DONE]" in reply
    assert b"x-stream-id" not in reply
    assert numbers(reply.decode()) == []


def test_followers_are_few(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_OF_STREAM", 2)
    user = world.client("crowd", concurrent=1)
    stream = user.begun("[simulate tokens=50 fault=stall after=2]")
    path = f"/streams/{stream}"
    with ExitStack() as stack:
        oldest, _, latest = [stack.enter_context(user.at[0].stream("GET", path)) for _ in range(3)]
        with pytest.raises(httpx.RemoteProtocolError):
            oldest.read()
        pieces = latest.iter_text()  # which closes the reply when it is dropped
        assert next(pieces).startswith("id: 1\n")
        monkeypatch.setattr(following, "MOST_OF_KEY", 2)
        assert code(user.get(stream)) == (429, "TOO_MANY_FOLLOWERS")
        with user.post("?", idempotency_key="k") as reply:
            reply.read()
        assert code(reply) == (429, "TOO_MANY_FOLLOWERS")
    assert user.at[0].delete(path).status_code == 204


def test_silence_is_filled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "KEEP_ALIVE", 0.05)
    user = world.client("silent")
    with user.post("[simulate tokens=50 fault=stall after=2]") as reply:
        text = ""
        for piece in reply.iter_text():
            text += piece
            if text.endswith(":\n\n:\n\n:\n\n"):
                break
    assert numbers(text) == [1, 2, 3]
    assert len(SSEDecoder().feed(text.encode())) == 3
    user.at[0].delete(f"/streams/{reply.headers['x-stream-id']}")


# --- one worker with other settings --------------------------------------------------------------


def test_the_upstream_waits_for_who_comes_back_and_for_nobody_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = started(stack, tmp_path, linger=0.7, kept=0.5)
        user = world.client("away")
        for late in range(10):
            stream, left_at = user.begun(), time.monotonic()
            with user.at[0].stream("GET", f"/streams/{stream}") as reply:
                back_at = time.monotonic()
                for _ in reply.iter_raw():
                    if time.monotonic() - back_at > 0.8:  # more than `linger`
                        break
                if back_at - left_at < 0.5:  # else the machine was asleep
                    assert world.simulation.stats.cancelled == late
                    break
        until(lambda: world.simulation.stats.cancelled == late + 1)
        until(lambda: set(user.rows()) == {"stopped"})
        until(lambda: user.get(stream).status_code == 404)  # `kept` is over


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = started(stack, tmp_path, buffer=100, buffers=20_000)
        user = world.client("hoarder")
        streams = []
        for _ in range(6):
            with user.post("[simulate tokens=5]") as reply:
                reply.read()
            streams.append(reply.headers["x-stream-id"])
        statuses = [user.get(stream).status_code for stream in streams]
        assert statuses == sorted(statuses, reverse=True)
        assert {statuses[0], statuses[-1]} == {404, 200}

        def asked() -> int:
            """Ask for a reply that is no stream, and larger than `buffer`; return how many were asked for."""
            with user.post("[simulate tokens=100 fault=wholejson]", idempotency_key="k") as reply:
                assert len(json.loads(reply.read())["choices"]) == 1
            return world.simulation.stats.requests

        until(lambda: asked() == 8)  # it is not kept


def test_a_client_that_is_frozen_for_a_while_misses_nothing(world: World) -> None:
    user = world.client("frozen")
    text = "word " * 400
    with (
        CuttingProxy([world.servers[0].port], [3000]) as proxy,
        HolySheep(user.key, base_url=proxy.base_url, retry=QUICK) as client,
    ):
        proxy.passing.clear()
        threading.Timer(0.7, proxy.passing.set).start()  # longer than a poll of the client's
        answer = client.ask(f"[simulate text]\n{text}", model="gpt-4.1")
    assert (answer.text, answer.receipt.state) == (text, "complete")
    assert answer.receipt.note == "resumed once"


def test_what_nobody_reads_is_not_dropped_and_what_is_gone_is_told(tmp_path: Path) -> None:
    sent: list[float] = []

    def endless(connection: Connection, server: Loopback) -> None:
        """An upstream that never has enough."""
        server.ask(connection)
        connection.send(SSE)
        dice = random.Random(1)
        while True:
            connection.events(*(frame(dice.randbytes(200).hex()) for _ in range(20)))
            sent.append(time.monotonic())

    with Loopback(endless) as upstream, ExitStack() as stack:
        folder = tmp_path / "keys"
        told = RelaySettings(upstream=upstream.base_url, key="cr_1234567", keys=folder, buffer=20_000)
        ledger = Ledger(tmp_path / "ledger.db")
        server = stack.enter_context(RelayServer(told, ledger=ledger, prices=load_book()))
        user = World(None, [server], KeyFile(folder), ledger).client("slow")  # type: ignore[arg-type]
        stream = user.begun()
        until(lambda: bool(sent) and time.monotonic() - sent[-1] > 0.2)  # it has filled the buffer, and waits
        with user.at[0].stream("GET", f"/streams/{stream}") as reply:
            text = ""
            for piece in reply.iter_text():
                text += piece
                if len(text) > 2_000_000:
                    break
        found = numbers(text[: text.rindex("\n\n")])
        assert found == list(range(found[0], found[0] + len(found)))
        assert code(user.get(stream, 0)) == (410, "EVENTS_LOST")
        assert user.at[0].delete(f"/streams/{stream}").status_code == 204
        until(lambda: user.rows() == ["stopped"])


def test_the_end_of_the_relay_writes_down_what_was_under_way(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = started(stack, tmp_path)
        user = world.client("shutdown")
        user.begun()
        user.begun(idempotency_key="k")
        assert user.rows() == ["pending", "pending"]
    assert user.rows() == ["stopped", "stopped"]


# --- two workers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[World]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("two")
        yield started(stack, folder, workers=2, state=redis_server.database(), linger=2.0)


def test_a_stream_cut_twenty_times_between_two_workers_arrives_whole(two: World) -> None:
    user = two.client("cut")
    text = "Ein Bär, 熊, un oso 🐻: " * 100
    dice = random.Random(5)
    requests = two.simulation.stats.requests
    cuts = [50, *(dice.randrange(100, 6000) for _ in range(20))]
    ports = [server.port for server in two.servers]
    with (
        CuttingProxy(ports, cuts) as proxy,
        HolySheep(user.key, base_url=proxy.base_url, retry=QUICK) as client,
    ):
        answer = client.ask(f"[simulate text]\n{text}", model="gpt-4.1")
        assert proxy.made == len(cuts)
    assert (answer.text, answer.receipt.state) == (text, "complete")
    assert two.simulation.stats.requests == requests + 1
    until(lambda: user.rows() == ["complete"])


def test_another_worker_follows_what_is_under_way(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_BEHIND", PATIENCE)
    user, other = two.client("elsewhere"), two.client("elsewhere-other")
    cancelled = two.simulation.stats.cancelled
    with user.post("[simulate tokens=100000 speed=5]", idempotency_key="k") as first:
        next(first.iter_raw())
        stream = first.headers["x-stream-id"]
        with user.at[1].stream("GET", f"/streams/{stream}", headers={"last-event-id": "1"}) as reply:
            pieces = reply.iter_text()
            text = next(pieces)
            first.close()  # from now on who follows elsewhere alone keeps it going
            left = time.monotonic()
            while time.monotonic() - left < 2.5:  # more than `linger`
                text += next(pieces)
    assert reply.headers["x-stream-id"] == stream
    found = numbers(text[: text.rindex("\n\n")])
    assert found == list(range(2, 2 + len(found)))
    assert two.simulation.stats.cancelled == cancelled
    with user.post("[simulate tokens=100000 speed=5]", worker=1, idempotency_key="k") as reply:
        assert next(reply.iter_text()).startswith("id: 1\n")
        assert reply.headers["x-stream-id"] == stream
    with user.post("?", worker=1, idempotency_key="k") as reply:
        assert reply.status_code == 422
    monkeypatch.setattr(elsewhere, "_BEHIND", 0.1)
    assert code(user.get(stream, 10**9, worker=1)) == (416, "EVENT_UNKNOWN")
    assert code(other.get(stream, 1, worker=1)) == (404, "STREAM_NOT_FOUND")
    assert other.at[1].delete(f"/streams/{stream}").status_code == 404
    assert user.at[1].delete(f"/streams/{stream}").status_code == 204
    until(lambda: two.simulation.stats.cancelled == cancelled + 1)
    assert [user.get(stream, worker=worker).status_code for worker in (0, 1)] == [404, 404]
    until(lambda: user.rows() == ["stopped"])


def test_who_comes_back_before_others_know_the_stream_waits_for_it(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "_BEHIND", PATIENCE)
    monkeypatch.setattr(elsewhere, "_GATHER", 0.5)
    user = two.client("early")
    streams = [user.begun() for _ in range(2)]  # the second is copied half a second after the first
    with user.at[1].stream("GET", f"/streams/{streams[1]}", headers={"last-event-id": "1"}) as reply:
        assert reply.status_code == 200
        assert next(reply.iter_text()).startswith("id: 2\n")
    assert [user.at[0].delete(f"/streams/{stream}").status_code for stream in streams] == [204, 204]


def test_a_worker_that_ends_lets_streams_end_for_who_follows_elsewhere(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = started(stack, tmp_path, workers=2, state=redis_server.database())
        user = world.client("widow")
        world.servers[0]._server.config.timeout_graceful_shutdown = 2
        short, long = user.begun("[simulate tokens=25 speed=1]"), user.begun(LONG)
        with user.at[1].stream("GET", f"/streams/{long}") as reply:
            pieces = reply.iter_text()
            text = next(pieces)
            world.servers[0].stop()
            text += "".join(pieces)  # the body ends as it should
        assert "[DONE]" not in text
        assert numbers(text) == list(range(1, len(numbers(text)) + 1))
        assert user.get(short, worker=1).text.endswith("data: [DONE]\n\n")
        assert sorted(user.rows()) == ["complete", "stopped"]


@dataclass
class Worker:
    """What a worker shares, for one that falls silent; `redis` is its Redis, as anybody sees it."""

    runner: asyncio.Runner
    shared: SharedStreams
    redis: Any

    def do(self, step: Awaitable[Any]) -> Any:
        async def done() -> Any:
            return await step

        return self.runner.run(done())


@pytest.fixture
def worker(two: World) -> Iterator[Worker]:
    from redis import Redis

    state = two.servers[0].gateway.settings.state
    shared = SharedStreams(state, kept=60)
    with asyncio.Runner() as runner, Redis.from_url(state) as redis:
        runner.run(shared.open())
        yield Worker(runner, shared, redis)
        runner.run(shared.close())


def test_who_follows_a_silent_worker_is_cut_comes_back_and_waits(
    two: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = two.client("silenced")
    stream, owner = "s" * 32, user.owner
    alive, copy = f"hs-notebook:stream:{{{stream}}}:alive", Copy(stream, "")
    head = Head(status=200, headers=[(b"content-type", b"text/event-stream")])
    worker.do(worker.shared.begin(elsewhere.encoded(owner, "", head), copy))
    piece = Piece(first=1, last=2, events=b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
    worker.do(worker.shared.append([(copy, piece)]))
    worker.redis.set(alive, 1, ex=60)
    with user.at[1].stream("GET", f"/streams/{stream}") as reply:
        pieces = reply.iter_text()
        assert numbers(next(pieces)) == [1, 2]
        worker.redis.delete(alive)
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    with user.at[1].stream("GET", f"/streams/{stream}", headers={"last-event-id": "2"}) as reply:
        worker.redis.set(alive, 1, ex=60)  # it comes back
        end = Piece(first=4, last=3, events=b"")
        worker.do(worker.shared.append([(copy, Piece(first=3, last=3, events=b"id: 3\ndata: c\n\n"))]))
        worker.do(worker.shared.append([(copy, end)]))
        assert numbers(reply.read().decode()) == [3]
    worker.redis.xdel(f"hs-notebook:stream:{{{stream}}}:log", "3-1")
    worker.redis.delete(alive)
    monkeypatch.setattr(elsewhere, "LEASE", 0.2)
    assert user.get(stream, 3, worker=1).text == ""  # it does not: the body ends as it should


def test_a_call_whose_worker_died_before_it_began_is_free_again(two: World, worker: Worker) -> None:
    user = two.client("orphan")
    with user.post("[simulate tokens=5]", idempotency_key="k") as reply:
        reply.read()
    [once] = [
        key
        for key in worker.redis.scan_iter("*:once:*")
        if reply.headers["x-stream-id"] in str(worker.redis.get(key))
    ]
    digest = worker.redis.get(once).decode().partition(" ")[2]
    assert user.at[0].delete(f"/streams/{reply.headers['x-stream-id']}").status_code == 204
    assert worker.redis.get(once) is None
    worker.redis.set(once, f"{'d' * 32} {digest}", px=300)
    for status in (503, 200):
        with user.post("[simulate tokens=5]", worker=1, idempotency_key="k") as reply:
            reply.read()
        assert reply.status_code == status


def test_who_leaves_before_others_know_the_stream_stops_it(two: World, worker: Worker) -> None:
    user, other = two.client("overtaker"), two.client("overtaker-other")
    cancelled = two.simulation.stats.cancelled
    before = set(worker.redis.scan_iter("*:once:*"))
    stream = user.begun(idempotency_key="k")
    head = f"hs-notebook:stream:{{{stream}}}:head"
    [once] = set(worker.redis.scan_iter("*:once:*")) - before
    until(lambda: worker.redis.exists(head))
    worker.redis.delete(head)  # as before it was copied
    assert other.at[1].delete(f"/streams/{stream}").status_code == 404
    assert worker.do(worker.shared.look([Copy(stream, "")])) == [(False, other.owner)]
    assert two.simulation.stats.cancelled == cancelled
    assert user.at[1].delete(f"/streams/{stream}").status_code == 404  # nobody knows it, yet
    until(lambda: two.simulation.stats.cancelled == cancelled + 1)
    until(lambda: worker.redis.get(once) is None)


def test_a_call_is_bound_to_one_stream_whoever_claims_it(redis_server: RedisServer) -> None:
    state = redis_server.database()

    async def claimed(shared: SharedStreams, once: str, stream: str) -> str:
        while (found := await shared.claim(stream, once, "digest")) == ("dead", "digest"):
            pass
        return stream if found is None else found[0]

    async def all_of_it() -> None:
        workers = [SharedStreams(state, kept=60) for _ in range(4)]
        for one in workers:
            await one.open()
        first = workers[0]
        for number in range(20):
            once = f"once-{number}"
            await first._redis.set(f"hs-notebook:stream:once:{once}", "dead digest", px=5)
            found = await asyncio.gather(*(claimed(one, once, f"s{at}") for at, one in enumerate(workers)))
            assert len(set(found)) == 1
            for stream in {"s", "s0", "s1", "s2", "s3"} - set(found):
                await first.forget(stream, once)  # which is not theirs
            assert await first.bound(once) == found[0]
            await first._redis.pexpire(f"hs-notebook:stream:once:{once}", 20_000)
            await first.look([Copy(found[0], once)])
            assert await first._redis.pttl(f"hs-notebook:stream:once:{once}") > 20_000
            await first.forget(found[0], once)
            await first.look([Copy(found[0], once)])
            assert await first.bound(once) == ""
        # However many follow, there are connections left for everything else.
        reads = (first.read("x", 0, 0.2) for _ in range(100))
        *read, claim = await asyncio.gather(*reads, first.claim("s", "once", "digest"))
        assert (read, claim) == ([[]] * 100, None)
        assert len(await first._redis.client_list()) < 100
        for one in workers:
            await one.close()

    asyncio.run(all_of_it())


def test_nothing_of_a_stream_stays_in_the_redis_for_ever(two: World) -> None:
    from redis import Redis

    user = two.client("traces")
    with user.post("[simulate tokens=5]", idempotency_key="k") as reply:
        reply.read()
    until(lambda: user.get(reply.headers["x-stream-id"], worker=1).text.endswith("data: [DONE]\n\n"))
    with Redis.from_url(two.servers[0].gateway.settings.state) as redis:
        keys = list(redis.scan_iter("hs-notebook:stream:*"))
        assert keys
        lives = {key: redis.pttl(key) for key in keys}  # milliseconds; -1 is for ever, -2 gone meanwhile
        assert all(left == -2 or 0 <= left <= 5_400_000 for left in lives.values()), lives
        assert not any(user.key.encode() in key for key in keys)


def test_a_refusal_is_forgotten_by_all_workers(two: World) -> None:
    user = two.client("refused")
    prompt = f"[simulate tokens=5 fault=503-once] {user.key}"
    for status, worker in ((503, 0), (200, 1), (200, 0)):
        with user.post(prompt, worker=worker, idempotency_key="k") as reply:
            reply.read()
        assert reply.status_code == status
    until(lambda: user.rows() == ["error", "complete"])


def test_a_stream_goes_on_where_the_redis_is_gone(tmp_path: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        world = started(stack, tmp_path, state=redis.database())
        user = world.client("alone")
        stream = user.begun("[simulate tokens=50 speed=1]")
        redis.stop()
        assert numbers(user.get(stream, 1).text) == list(range(2, 54))
        assert code(user.get("x" * 32)) == (503, "state_unreachable")  # it may be another worker's
        until(lambda: user.rows() == ["complete"])
