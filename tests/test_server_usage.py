"""The usage of a stream at the relay, which it always asks for: counted, and handed on to who wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from edge import UPSTREAM_KEY, within
from hypothesis import given
from hypothesis import strategies as st
from loopback import END, SSE, Connection, Loopback, page

from hs_notebook.ledger import Ledger
from hs_notebook.prices import load_book
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings
from hs_notebook.relay.usage import WithoutUsage
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.relay.replies import Headers, Refused

PATIENCE = 20.0
FIGURES = '"usage":{"prompt_tokens":5,"completion_tokens":7}'
USAGE = f'data: {{"choices":[],{FIGURES}}}\n\n'.encode()
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}],"usage":null}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Reply:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    async def head(self, status: int, headers: Headers) -> None:
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        self.writes.append(data)

    async def end(self, *, whole: bool) -> None:
        assert whole

    async def refuse(self, refused: Refused) -> None:
        raise NotImplementedError


def passed(*pieces: bytes) -> list[bytes]:
    """What comes out where these bytes come in."""
    reply = Reply()

    async def write() -> None:
        sink = WithoutUsage(reply)
        for piece in pieces:
            await sink.write(piece)
        await sink.end(whole=True)

    asyncio.run(write())
    return reply.writes


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        DONE,
        LAST,
        b": a comment\n\n",
        b"no end",
        b'data: {"choices":[{"index":0,"delta":{"content":"\\"usage\\":{"}}],"usage":{}}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        f'data: {{"type":"response.completed","response":{{{FIGURES}}}}}\n\n'.encode(),
        f'data: {{"choices":[]\ndata: {FIGURES}}}\n\n'.encode(),  # no JSON: a comma is missing
        f'data: [{{"choices":[],{FIGURES}}}]\n\n'.encode(),
        f': {{"choices":[],{FIGURES}}}\n\n'.encode(),
    ],
)
@pytest.mark.parametrize(
    "usage",
    [
        USAGE,
        USAGE.replace(b'"usage":', b'"usage" : '),
        USAGE.replace(b"\n\n", b"\r\n\r\n"),
        USAGE.replace(b"\n", b"\r"),
        b"id: 7\nevent: message\n" + USAGE,
        USAGE.replace(b",", b",\ndata: "),
    ],
)
def test_only_the_usage_is_taken_out(usage: bytes, kept: bytes) -> None:
    whole = WORD + usage + kept
    assert b"".join(passed(whole)) == WORD + kept
    # Of a CRLF that is cut behind its CR the LF may stay: that is a blank line more, and no event.
    cut = b"".join(passed(*(bytes([byte]) for byte in whole)))
    assert cut.replace(b"\n\n\n", b"\n\n") == WORD + kept


def test_one_that_is_not_ended_is_taken_out_too() -> None:
    assert passed(WORD, USAGE[:-1]) == [WORD]


def test_words_go_on_as_they_come_and_no_event_is_held_beyond_all_measure() -> None:
    assert passed(WORD, WORD + LAST, DONE) == [WORD, WORD + LAST, DONE]
    assert passed(WORD[:9], WORD[9:] + WORD[:5], WORD[5:]) == [WORD, WORD]
    endless = [b"x" * 800_000] * 3
    assert passed(*endless, b"x") == [b"".join(endless), b"x"]


def test_half_an_event_is_left_out_where_a_stream_is_cut() -> None:
    reply = Reply()

    async def write() -> None:
        sink = WithoutUsage(reply)
        await sink.write(WORD + WORD[:30])
        await sink.cut(b"data: why\n\n")
        await sink.end(whole=True)

    asyncio.run(write())
    assert reply.writes == [WORD, b"data: why\n\n"]


_EVENTS = st.sampled_from(
    [WORD, LAST, DONE, USAGE, WORD.replace(b"\n", b"\r\n"), b": x\r\r", b"\n", b"\r", b"a"]
)


@given(st.lists(_EVENTS, max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_cuts_change_nothing(events: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(events)
    bounds = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(bounds)]
    assert SSEDecoder().feed(b"".join(passed(*pieces))) == SSEDecoder().feed(b"".join(passed(whole)))


# --- in a relay ----------------------------------------------------------------------------------


class Upstream(Loopback):
    """Counts who asks for it, or knows no such wish ("plain"); waits before it counts ("late")."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.go = threading.Event()

    def _answer(self, connection: Connection, _server: Loopback) -> None:
        while request := self.ask(connection):
            prompt, options = request.json["messages"][0]["content"], request.json.get("stream_options")
            if options and prompt == "plain":
                said = b'{"error":{"message":"Unrecognized request argument: stream_options"}}'
                connection.send(page("400 Bad Request", said))
                continue
            connection.send(SSE)
            connection.chunk(WORD + LAST)
            if prompt == "late":
                assert self.go.wait(PATIENCE)
            connection.chunk((USAGE if options and options["include_usage"] else b"") + DONE)
            connection.send(END)


class Desk:
    """A relay in front of `upstream`, with a client of its."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.upstream, self.ledger, keys = upstream, Ledger(folder / "ledger.db"), folder / "keys"
        headers = {"x-api-key": KeyFile(keys).add("ann", per_minute=1000)}
        settings = RelaySettings(upstream=upstream.base_url, key=UPSTREAM_KEY, keys=keys)
        self.server = RelayServer(settings, ledger=self.ledger, prices=load_book())
        self.http = httpx.Client(trust_env=False, timeout=PATIENCE, headers=headers)

    def post(self, prompt: str, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Request:
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "stream": True, **fields}
        return self.http.build_request("POST", f"http://127.0.0.1:{self.server.port}{path}", json=body)

    def last_row(self) -> tuple[int, bool]:
        """The output tokens of the last call, once nothing is under way, and whether they are estimated."""
        assert within(PATIENCE, lambda: not self.server.gateway.calls)
        row = list(self.ledger.rows())[-1]
        return row["gen_ai_usage_output_tokens"], row["usage_estimated"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Upstream() as upstream:
        made = Desk(tmp_path_factory.mktemp("relay"), upstream)
        with made.server, made.http:
            yield made


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat/stream"])
@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_obfuscation": False}])
def test_the_relay_asks_for_the_usage_that_a_client_does_not_want(
    desk: Desk, path: str, options: dict[str, bool] | None
) -> None:
    said = desk.http.send(desk.post("count", path, stream_options=options)).content
    assert said == WORD + LAST + DONE
    sent = desk.upstream.requests[-1].json["stream_options"]
    assert sent == {**(options or {}), "include_usage": True}
    assert desk.last_row() == (7, False)


def test_who_wants_the_usage_gets_it(desk: Desk) -> None:
    said = desk.http.send(desk.post("count", stream_options={"include_usage": True})).content
    assert said == WORD + LAST + USAGE + DONE


def test_without_the_usage_the_events_are_numbered_without_a_hole(desk: Desk) -> None:
    asked = desk.post("count")
    asked.headers["x-stream-resume"] = "1"
    frames = [WORD, LAST, DONE]
    assert desk.http.send(asked).content == b"".join(b"id: %d\n" % n + f for n, f in enumerate(frames, 1))


def test_an_upstream_that_does_not_know_the_wish_is_asked_without(desk: Desk) -> None:
    before = len(desk.upstream.requests)
    assert desk.http.send(desk.post("plain")).content == WORD + LAST + DONE
    assert ["stream_options" in request.json for request in desk.upstream.requests[before:]] == [True, False]
    assert desk.last_row()[1]
    theirs = desk.http.send(desk.post("plain", stream_options={"include_usage": True}))
    assert (theirs.status_code, len(desk.upstream.requests)) == (400, before + 3)


def test_who_leaves_when_all_was_said_is_charged_what_it_cost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hs_notebook.relay.chat._LAST", PATIENCE)
    reply = desk.http.send(desk.post("late"), stream=True)
    assert next(reply.iter_raw()) == WORD + LAST
    reply.close()
    time.sleep(0.2)  # for the relay to see it
    desk.upstream.go.set()
    assert desk.last_row() == (7, False)
