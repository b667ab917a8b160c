"""What came in time is not lost where who reads looks late: he was stopped, or his loop was held up."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from chaos import BEGUN, STOP, Chaos, frames, script, silence
from edge import Edge, edge, read_all, replies
from loopback import Loopback, hello_page, page

from hs_notebook import AsyncHolySheep
from hs_notebook.errors import BadRequestError, HolySheepError
from hs_notebook.net import flow
from hs_notebook.net.transport import Timeouts
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Connection

_LIMIT = 0.8  # seconds of the time-out that is tried
_HELD_UP = 1.2
ANSWER = b'{"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}'
ERROR = b'{"error": {"message": "It is all your fault."}}'


class InTwo:
    """An upstream that sends a page in two halves, the second when it is told to."""

    def __init__(self, whole: bytes) -> None:
        self.first, self.second = threading.Event(), threading.Event()
        self._whole = whole

    def __call__(self, connection: Connection, server: Loopback) -> None:
        if server.ask(connection):
            connection.send(self._whole[:-20])
            self.first.set()
            self.second.wait(10)
            connection.send(self._whole[-20:])


def dribble(connection: Connection, server: Loopback) -> None:
    """Begin a page, and never end it."""
    server.ask(connection)
    connection.send(b"HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n")
    for word in (b"It ", b"is ", b"all ", b"lost."):
        connection.send(word)
        time.sleep(0.1)
    server.wait_gone(connection)


# --- our relay server ----------------------------------------------------------------------------


def hold_up(server: Edge) -> None:
    """Keep the relay's loop from looking at anything."""
    loop = server.server._loop
    assert loop is not None
    loop.call_soon_threadsafe(time.sleep, _HELD_UP)
    time.sleep(0.1)


@pytest.mark.parametrize(
    ("whole", "times"),
    [(page("200 OK", ANSWER), {"total": _LIMIT}), (page("400 No", ERROR), {"idle": _LIMIT})],
)
def test_the_rest_of_a_page_that_lies_in_the_socket_is_read(
    whole: bytes, times: dict[str, Any], tmp_path: Path
) -> None:
    said = InTwo(whole)
    with (
        Loopback(said) as upstream,
        edge(tmp_path, upstream.base_url, **times) as server,
        server.connect(server.chat("x", "Connection: close")) as opened,
    ):
        assert said.first.wait(10)
        time.sleep(0.2)  # for the relay to read that half
        hold_up(server)
        said.second.set()
        (reply,) = replies(read_all(opened))
    assert whole.endswith(reply.body)
    assert len(reply.body) in {len(ANSWER), len(ERROR)}


def test_a_question_that_lies_in_the_socket_is_read(tmp_path: Path) -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(hello_page())

    with Loopback(serve) as upstream, edge(tmp_path, upstream.base_url, body=_LIMIT) as server:
        asked = server.chat("x", "Connection: close", stream=True)
        with server.connect(asked[:-20]) as opened:
            time.sleep(0.3)
            hold_up(server)
            opened.sendall(asked[-20:])
            (reply,) = replies(read_all(opened))
    assert reply.status == 200
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_a_page_that_dribbles_is_told_as_far_as_it_came(tmp_path: Path) -> None:
    with Loopback(dribble) as upstream, edge(tmp_path, upstream.base_url, idle=_LIMIT) as server:
        (reply,) = replies(server.exchange(server.chat("x", "Connection: close")))
        assert upstream.gone.wait(10)
    assert reply.status == 500
    assert b"It is all lost." in reply.body


# --- our client ----------------------------------------------------------------------------------


def client(server: Loopback) -> AsyncHolySheep:
    settings: dict[str, Any] = {"timeouts": Timeouts(idle=_LIMIT), "retry": RetryPolicy(attempts=1)}
    return AsyncHolySheep("cr_0123456789", base_url=server.base_url, **settings)


def test_a_client_reads_the_rest_of_a_page_too() -> None:
    said = InTwo(page("400 No", ERROR))

    async def ask(server: Loopback) -> None:
        asked = asyncio.create_task(client(server).ask("x", model="m"))
        assert await asyncio.to_thread(said.first.wait, 10)
        await asyncio.sleep(0.2)
        said.second.set()
        time.sleep(_HELD_UP)  # noqa: ASYNC251 - the loop is to be held up
        await asked

    with Loopback(said) as server, pytest.raises(BadRequestError, match="400: It is all your fault"):
        asyncio.run(ask(server))


def test_a_client_tells_of_a_page_that_dribbles_what_came() -> None:
    with Loopback(dribble) as server, pytest.raises(HolySheepError, match="500: It is all lost"):
        asyncio.run(client(server).ask("x", model="m"))


# --- our client before our relay server ----------------------------------------------------------


def test_alternatives_that_do_not_come_are_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks once more, for what the answer cost, and has less patience then."""
    monkeypatch.setattr(flow, "_FOR_OTHERS", 2.0)
    monkeypatch.setattr(flow, "_FOR_USAGE", 0.2)

    async def ask(server: Edge) -> float:
        base_url, began = f"http://127.0.0.1:{server.port}/v1", time.monotonic()
        async with AsyncHolySheep(server.key, base_url=base_url) as asking:
            answer = await asking.ask("x", model="gpt-4.1", n=2)
        assert (answer.text, answer.state) == ("Hello", "complete")
        assert "resumed once" in answer.receipt.note
        return time.monotonic() - began

    with (
        Chaos(script(*BEGUN, frames(STOP), silence)) as upstream,
        edge(tmp_path, upstream.base_url) as server,
    ):
        assert 2.2 < asyncio.run(ask(server)) < 3.8
