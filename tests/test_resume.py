"""The client goes on with a stream whose connection broke: nothing is lost, and nothing billed twice."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cutting import CuttingProxy
from loopback import END, FINISH, SSE, Connection, Loopback, frame, page

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError, StreamTruncatedError
from hs_notebook.exchange import Screen
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUICK = RetryPolicy(base=0.001, cap=0.01, total=3)
MODEL = "gpt-4.1"
TEXT = "Ein Bär, 熊, un oso 🐻: " * 100
PROMPT = f"[simulate text]\n{TEXT}"
PATIENCE = 20.0


@dataclass
class World:
    """A relay server before a simulated upstream."""

    simulation: EmbeddedRelay
    server: RelayServer
    keys: KeyFile
    ledger: Ledger

    def rows(self, user: str) -> list[dict[str, Any]]:
        return [row for row in self.ledger.rows() if row["user_name"] == user]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("relay")
    ledger = Ledger(folder / "ledger.db")
    with EmbeddedRelay(Simulation(speed=math.inf)) as simulation:
        settings = RelaySettings(upstream=simulation.base_url, key="cr_upstream_1234", keys=folder / "keys")
        with RelayServer(settings, ledger=ledger, prices=load_book()) as server:
            yield World(simulation, server, KeyFile(settings.keys), ledger)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- cut at random, through the whole way --------------------------------------------------------


def ask(key: str, base_url: str) -> tuple[str, str]:
    with HolySheep(key, base_url=base_url, retry=QUICK) as client:
        answer = client.ask(PROMPT, model=MODEL)
    return answer.text, f"{answer.receipt.state}; {answer.receipt.note}"


def ask_async(key: str, base_url: str) -> tuple[str, str]:
    async def run() -> tuple[str, str]:
        async with AsyncHolySheep(key, base_url=base_url, retry=QUICK) as client:
            answer = await client.ask(PROMPT, model=MODEL)
        return answer.text, f"{answer.receipt.state}; {answer.receipt.note}"

    return asyncio.run(run())


def create(key: str, base_url: str) -> tuple[str, str]:
    messages = [{"role": "user", "content": PROMPT}]
    with HolySheep(key, base_url=base_url, retry=QUICK) as client:
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices), ""


def create_async(key: str, base_url: str) -> tuple[str, str]:
    async def run() -> tuple[str, str]:
        messages = [{"role": "user", "content": PROMPT}]
        async with AsyncHolySheep(key, base_url=base_url, retry=QUICK) as client:
            stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        return "".join(pieces), ""

    return asyncio.run(run())


WAYS = {"ask": ask, "ask, async": ask_async, "create": create, "create, async": create_async}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_cut_twenty_times_arrives_whole_and_once(world: World, way: str) -> None:
    user = way.replace(", ", "-")
    key = world.keys.add(user, per_minute=1000)
    before = world.simulation.stats.requests
    dice = random.Random(way)
    # The first before the headers: the request itself is sent again.
    cuts = [50, *(dice.randrange(100, 6000) for _ in range(20))]
    with CuttingProxy([world.server.port], cuts) as proxy:
        text, note = WAYS[way](key, proxy.base_url)
        assert proxy.made == len(cuts)
    assert text == TEXT
    if note:
        assert note.startswith("complete; resumed ")
    assert world.simulation.stats.requests == before + 1
    until(lambda: [row["state"] for row in world.rows(user)] == ["complete"])


# --- what the protocol allows, by a server of raw sockets ----------------------------------------

HEAD = SSE.replace(b"\r\n\r\n", b"\r\nx-stream-resume: 1\r\nx-stream-id: abc-123\r\n\r\n")
PIECES = ("one ", "two ", "three ", "four ", "five ")
EVENTS = {n: frame(text) for n, text in enumerate(PIECES, 1)} | {6: FINISH, 7: "[DONE]"}
WHOLE = "".join(PIECES)
Serve = "Callable[[Connection, Loopback], None]"


def events(connection: Connection, numbers: range | list[int]) -> None:
    for number in numbers:
        connection.chunk(f"id: {number}\ndata: {EVENTS[number]}\n\n".encode())


def in_turn(*steps: Callable[[Connection], None]) -> Callable[[Connection, Loopback], None]:
    """Answer the first request by the first step and so on, each on a connection of its own."""

    def serve(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        steps[min(len(server.requests), len(steps)) - 1](connection)

    return serve


def sends(numbers: range | list[int], *, ends: bool = False) -> Callable[[Connection], None]:
    def step(connection: Connection) -> None:
        connection.send(HEAD)
        events(connection, numbers)
        if ends:
            connection.send(END)

    return step


def refuses(status: str, code: str, *headers: str) -> Callable[[Connection], None]:
    body = f'{{"error": {{"message": "The events 3 to 5 are not kept.", "code": "{code}"}}}}'
    return lambda connection: connection.send(page(status, body.encode(), "application/json", *headers))


def silent(numbers: range) -> Callable[[Connection], None]:
    def step(connection: Connection) -> None:
        sends(numbers)(connection)
        connection.gone()

    return step


def lines(server: Loopback) -> list[str]:
    return [f"{r.line.split()[0]} {r.header('last-event-id') or ''}".strip() for r in server.requests]


CASES: dict[str, tuple[list[Callable[[Connection], None]], list[str], str, str]] = {
    "cut once": (
        [sends(range(1, 3)), sends(range(3, 8), ends=True)],
        ["POST", "GET 2"],
        WHOLE,
        "complete; resumed once",
    ),
    "cut after each event": (
        [sends([n], ends=n == 7) for n in range(1, 8)],
        ["POST", *(f"GET {n}" for n in range(1, 7))],
        WHOLE,
        "complete; resumed 6 times",
    ),
    "cut before the first event": (
        [sends([]), sends(range(1, 8), ends=True)],
        ["POST", "GET 0"],
        WHOLE,
        "complete; resumed once",
    ),
    "duplicates": (
        [sends([1, 2, 2, 3]), sends([1, 2, 3, 4, 4, 5, 6, 7], ends=True)],
        ["POST", "GET 3"],
        WHOLE,
        "complete; resumed once",
    ),
    "a gap": (
        [sends(range(1, 3)), sends([5, 6, 7], ends=True), sends([])],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        "truncated; The events 3 to 4 of the answer are lost.; resumed once",
    ),
    "events are gone": (
        [sends(range(1, 3)), refuses("410 Gone", "EVENTS_LOST")],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        "truncated; The rest of the answer is lost: 410: The events 3 to 5 are not kept.",
    ),
    "busy for a moment": (
        [sends(range(1, 3)), refuses("503 Busy", "busy"), sends(range(3, 8), ends=True)],
        ["POST", "GET 2", "GET 2"],
        WHOLE,
        "complete; resumed once",
    ),
    "the key is refused meanwhile": (
        [sends(range(1, 3)), refuses("401 No", "INVALID_KEY")],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        (
            "truncated; The stream broke off: 401: The events 3 to 5 are not kept. "
            "The key came from api_key; check it, and the account's balance."
        ),
    ),
    "the upstream broke off": (
        [sends(range(1, 3), ends=True)],
        ["POST"],
        "one two ",
        "truncated; The stream broke off before its end.",
    ),
    "nothing new five times": (
        [sends(range(1, 3)), sends([])],
        ["POST", *["GET 2"] * 5, "DELETE"],
        "one two ",
        "truncated; The stream broke off: 127.0.0.1",
    ),
    "silent once": (
        [silent(range(1, 3)), sends(range(3, 8), ends=True)],
        ["POST", "GET 2"],
        WHOLE,
        "complete; resumed once",
    ),
    "silent twice": (
        [silent(range(1, 3)), silent(range(1, 3)), sends([])],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        "truncated; The stream broke off: 127.0.0.1",
    ),
    "a gap at the beginning": (
        [sends([5, 6, 7], ends=True)],
        ["POST", "DELETE"],
        "",
        "The events 1 to 4 of the answer are lost.",
    ),
    "busy for long": (
        [sends(range(1, 3)), refuses("429 Slow", "busy", "retry-after: 90")],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        "truncated; The stream broke off: 429: The events 3 to 5 are not kept. It asks to wait 90 s.",
    ),
    "busy for what is left": (
        [sends(range(1, 3)), refuses("429 Slow", "busy", "retry-after: 2")],
        ["POST", "GET 2", "GET 2", "DELETE"],
        "one two ",
        (
            "truncated; The stream broke off: 429: The events 3 to 5 are not kept. "
            "It asks to wait 2 s, and 1 s of 3 are left."
        ),
    ),
    "a redirect": (
        [sends(range(1, 3)), refuses("302 Found", "moved")],
        ["POST", "GET 2", "DELETE"],
        "one two ",
        (
            "truncated; The stream broke off: 302: The events 3 to 5 are not kept. "
            "Redirects are never followed; check the base URL http://127.0.0.1"
        ),
    ),
    "a number is missing": (
        [lambda c: c.send(HEAD + b"%x\r\n" % len(b"data: {}\n\n") + b"data: {}\n\n\r\n"), sends([])],
        ["POST", "DELETE"],
        "",
        "The relay numbers its events, but not all of them.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_relay_may_do(name: str) -> None:
    steps, requests, text, note = CASES[name]
    times = Timeouts(idle=1.0 if name.startswith("silent") else PATIENCE)
    with Loopback(in_turn(*steps)) as server:
        with HolySheep("cr_key_of_a_test", base_url=server.base_url, retry=QUICK, timeouts=times) as client:
            try:
                answer = client.ask("?", model="m")
            except HolySheepError as error:
                found, said = "", error.message
            else:
                found, said = answer.text, f"{answer.receipt.state}; {answer.receipt.note}"
        until(lambda: len(server.requests) >= len(requests))
        assert lines(server) == requests
    assert found == text
    assert said == note or (said.startswith(note) and note.endswith("127.0.0.1")), said
    first, *others = server.requests
    assert first.header("x-stream-resume") == "1"
    assert first.header("idempotency-key")
    assert {other.line.split()[1] for other in others} <= {"/v1/streams/abc-123"}


def test_what_broke_before_the_headers_is_asked_again_by_the_same_name() -> None:
    steps = [lambda connection: connection.reset(), sends(range(1, 8), ends=True)] * 2
    with Loopback(in_turn(*steps)) as server:
        with HolySheep("cr_key_of_a_test", base_url=server.base_url, retry=QUICK) as client:
            assert [client.ask("?", model="m").text for _ in range(2)] == [WHOLE] * 2
        assert lines(server) == ["POST"] * 4
    first, again, other, other_again = (request.header("idempotency-key") for request in server.requests)
    assert first == again != other == other_again


def test_who_watches_is_told_and_the_count_begins_anew() -> None:
    class Watching(Screen):
        def __init__(self) -> None:
            self.notices: list[str] = []

        def notice(self, text: str) -> None:
            self.notices.append(text)

    steps = [sends([1]), sends([]), sends([2]), sends(range(3, 8), ends=True)]
    screen = Watching()

    async def run(base_url: str) -> str:
        async with AsyncHolySheep("cr_key_of_a_test", base_url=base_url, retry=QUICK) as client:
            from hs_notebook.types import ChatRequest, prompt_messages

            exchange = client.exchange(ChatRequest.of("m", prompt_messages("?", None), {}))
            error = await exchange.read(screen)
            return (await exchange.finish(error=error)).text

    with Loopback(in_turn(*steps)) as server:
        assert asyncio.run(run(server.base_url)) == WHOLE
    told = "the connection broke; resuming ({} of 5)"
    assert screen.notices == [told.format(1), "", told.format(2), "", told.format(1), ""]


def test_resuming_takes_no_longer_than_the_whole_answer_may() -> None:
    with Loopback(in_turn(sends(range(1, 3)), silent(range(0)))) as server:
        times = Timeouts(idle=PATIENCE, total=1.0)
        with HolySheep("cr_key_of_a_test", base_url=server.base_url, retry=QUICK, timeouts=times) as client:
            began = time.monotonic()
            answer = client.ask("?", model="m")
            assert 0.5 < time.monotonic() - began < PATIENCE / 2
    assert (answer.text, answer.receipt.state) == ("one two ", "truncated")


@pytest.mark.parametrize("header", ["", "x-stream-id: abc-123", "x-stream-resume: 1\r\nx-stream-id: .."])
def test_a_relay_that_does_not_offer_it_is_left_alone(header: str) -> None:
    """Another server may well use such a name for something of its own."""

    def serve(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        connection.send(SSE.replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode()) if header else SSE)
        events(connection, range(1, 3))
        connection.reset()

    with Loopback(serve) as server, HolySheep("cr_key_of_a_test", base_url=server.base_url) as client:
        answer = client.ask("?", model="m")
        assert lines(server) == ["POST"]
    assert (answer.text, answer.receipt.state) == ("one two ", "truncated")


def test_who_leaves_early_closes_first_and_says_so() -> None:
    closed = threading.Event()
    order: list[str] = []

    def serve(connection: Connection, server: Loopback) -> None:
        request = server.ask(connection)
        assert request is not None
        if request.line.startswith("DELETE"):
            assert closed.wait(PATIENCE)
            order.append("DELETE")
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        connection.send(HEAD)
        events(connection, range(1, 3))
        connection.gone()
        order.append("closed")
        closed.set()

    with Loopback(serve) as server:
        with HolySheep("cr_key_of_a_test", base_url=server.base_url, retry=QUICK) as client:
            messages = [{"role": "user", "content": "?"}]
            with client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
                next(iter(stream))
        until(lambda: order == ["closed", "DELETE"])
        assert lines(server) == ["POST", "DELETE"]


def test_leaving_early_stops_the_upstream_at_once(world: World) -> None:
    key = world.keys.add("leaver")
    cancelled = world.simulation.stats.cancelled
    messages = [{"role": "user", "content": "[simulate tokens=100000 speed=10]"}]
    with HolySheep(key, base_url=world.server.base_url) as client:
        with client.chat.completions.create(model=MODEL, messages=messages, stream=True) as stream:
            next(iter(stream))
        until(lambda: world.simulation.stats.cancelled == cancelled + 1)  # and not after `linger` seconds
    until(lambda: [row["state"] for row in world.rows("leaver")] == ["stopped"])


def test_leaving_before_the_first_token_stops_the_upstream_too(world: World) -> None:
    """Once it is known that the relay keeps streams; it would wait for the call to come back."""
    key = world.keys.add("hasty")
    cancelled = world.simulation.stats.cancelled

    async def run() -> None:
        async with AsyncHolySheep(key, base_url=world.server.base_url) as client:
            await client.ask("[simulate tokens=1]", model=MODEL)
            requests = world.simulation.stats.requests
            asking = asyncio.create_task(client.ask("[simulate ttft=600000 speed=1]", model=MODEL))
            await asyncio.to_thread(until, lambda: world.simulation.stats.requests == requests + 1)
            asking.cancel()
            await asyncio.wait([asking])
            await asyncio.to_thread(until, lambda: world.simulation.stats.cancelled == cancelled + 1)

    asyncio.run(run())
    until(lambda: [row["state"] for row in world.rows("hasty")] == ["complete", "stopped"])


def test_usage_that_a_cut_kept_back_is_fetched() -> None:
    """The answer is whole, but not what it cost."""
    finish = b'id: 3\ndata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage = b'id: 4\ndata: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9}}\n\n'

    def serve(connection: Connection, server: Loopback) -> None:
        request = server.ask(connection)
        assert request is not None
        connection.send(HEAD)
        if request.line.startswith("POST"):
            events(connection, range(1, 3))
            connection.chunk(finish)
            connection.reset()
        else:
            connection.chunk(usage + b"id: 5\ndata: [DONE]\n\n")
            connection.send(END)

    with Loopback(serve) as server:
        with HolySheep("cr_key_of_a_test", base_url=server.base_url, retry=QUICK) as client:
            answer = client.ask("?", model="m")
        assert lines(server) == ["POST", "GET 3"]
    assert (answer.state, answer.usage.completion_tokens, answer.usage.estimated) == ("complete", 9, False)


def test_a_relay_that_forgot_the_stream_ends_it_honestly() -> None:
    """The relay was started anew: what it kept is gone."""

    def serve(connection: Connection, server: Loopback) -> None:
        request = server.ask(connection)
        assert request is not None
        if request.line.startswith("POST"):
            sends(range(1, 3))(connection)
        else:
            connection.send(page("404 Not Found", b'{"error": {"message": "There is no such stream."}}'))

    with Loopback(serve) as server, HolySheep("cr_key_of_a_test", base_url=server.base_url) as client:
        messages = [{"role": "user", "content": "?"}]
        stream = client.chat.completions.create(model="m", messages=messages, stream=True)
        with pytest.raises(StreamTruncatedError, match="no such stream"):
            list(stream)
