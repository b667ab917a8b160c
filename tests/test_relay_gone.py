"""A client that goes away, and a relay that stops: both at once."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hs_notebook.relay import EmbeddedRelay, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = {"authorization": "Bearer any"}
ENDLESS = "[simulate tokens=100000 ttft=1 tps=200]"


@pytest.fixture
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay() as running:
        yield running


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], **fields}


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether `condition` comes true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def connect(relay: EmbeddedRelay, prompt: str, **fields: Any) -> socket.socket:
    """Send a question and read nothing."""
    content = json.dumps(body(prompt, **fields)).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\n"
    connection = socket.create_connection(("127.0.0.1", relay.port))
    connection.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def test_closing_in_mid_stream_ends_the_answer_at_once(relay: EmbeddedRelay) -> None:
    with httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False) as client:
        with client.stream("POST", "/chat/completions", json=body(ENDLESS, stream=True)) as reply:
            for index, _ in enumerate(reply.iter_raw()):
                if index == 20:
                    assert (relay.stats.active_streams, relay.stats.cancelled) == (1, 0)
                    break
        closed = time.time()
        assert within(0.3, lambda: relay.stats.cancelled == 1)
        assert relay.stats.last_cancelled_epoch == pytest.approx(closed, abs=0.3)
        assert relay.stats.last_cancelled_monotonic == pytest.approx(time.monotonic(), abs=0.5)
        assert within(0.3, lambda: relay.stats.active_streams == 0)
        sent = relay.stats.last_stream.tokens_sent
        time.sleep(0.1)
        assert relay.stats.last_stream.tokens_sent == sent
        assert client.get("/simulation/stats").json()["cancelled"] == 1
    assert relay.stats.completed == 0


@pytest.mark.parametrize(
    "prompt",
    [
        "[simulate ttft=60000]",
        "[simulate fault=stall after=0 ttft=1]",
        "[simulate fault=stall ttft=1 speed=inf]",
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_closing_while_nothing_comes_ends_the_answer_too(
    relay: EmbeddedRelay, prompt: str, stream: bool
) -> None:
    with connect(relay, prompt, stream=stream):
        assert within(2, lambda: relay.stats.active_streams == 1)
        time.sleep(0.05)
    assert within(0.3, lambda: relay.stats.cancelled == 1)
    assert within(0.3, lambda: relay.stats.active_streams == 0)


def test_a_complete_answer_is_not_counted_as_cancelled(relay: EmbeddedRelay) -> None:
    with httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False) as client:
        for stream in (True, False):
            client.post("/chat/completions", json=body("[simulate tokens=3 speed=inf]", stream=stream))
    # The client may see the end before the relay has noted it.
    assert within(1, lambda: (relay.stats.completed, relay.stats.active_streams) == (2, 0))
    assert relay.stats.cancelled == 0


def test_a_client_that_does_not_read_holds_the_answer_back(relay: EmbeddedRelay) -> None:
    with connect(relay, "[simulate tokens=1000000 speed=inf]", stream=True):
        assert within(5, lambda: relay.stats.last_stream.tokens_sent > 0)

        def has_paused() -> bool:
            sent = relay.stats.last_stream.tokens_sent
            time.sleep(0.25)
            return relay.stats.last_stream.tokens_sent == sent

        assert within(10, has_paused)
        assert relay.stats.last_stream.tokens_sent < 500_000
    assert within(0.3, lambda: relay.stats.cancelled == 1)


def test_stopping_does_not_wait_for_open_streams(capfd: pytest.CaptureFixture[str]) -> None:
    ends: list[Exception] = []

    def read(base_url: str) -> None:
        try:
            httpx.post(
                base_url + "/chat/completions", json=body(ENDLESS, stream=True), headers=KEY, trust_env=False
            )
        except httpx.TransportError as error:
            ends.append(error)

    with EmbeddedRelay() as relay:
        readers = [threading.Thread(target=read, args=(relay.base_url,)) for _ in range(3)]
        for reader in readers:
            reader.start()
        silent = connect(relay, "[simulate fault=stall]", stream=False)
        assert within(5, lambda: relay.stats.active_streams == 4)
        start = time.perf_counter()
    assert time.perf_counter() - start < 1
    for reader in readers:
        reader.join(1)
    assert [type(end) for end in ends] == [httpx.RemoteProtocolError] * 3
    silent.close()
    assert relay.stats.cancelled == 0  # no client went away
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port))
    assert capfd.readouterr() == ("", "")


def test_a_relay_may_be_stopped_twice_or_before_it_began() -> None:
    relay = EmbeddedRelay().start()
    relay.stop()
    relay.stop()
    EmbeddedRelay().stop()


def test_relays_stand_side_by_side_and_share_nothing() -> None:
    with EmbeddedRelay(Simulation(speed=math.inf)) as one, EmbeddedRelay(Simulation(speed=math.inf)) as other:
        httpx.post(one.base_url + "/chat/completions", json=body("x"), headers=KEY, trust_env=False)
        assert (one.stats.requests, other.stats.requests) == (1, 0)
        with pytest.raises(OSError, match="in use"):
            EmbeddedRelay(port=one.port)
