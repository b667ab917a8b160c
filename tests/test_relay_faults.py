"""Every fault of the simulated relay, as a client meets it on the wire."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.simulation.faults import FAULTS
from hs_notebook.wire.sse import ServerSentEvent, SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = {"authorization": "Bearer any"}
STATUSES = {"400": 400, "401": 401, "402": 402, "403": 403, "429": 429, "500": 500, "503": 503}


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


@pytest.fixture(scope="module")
def client(relay: EmbeddedRelay) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False, timeout=5) as running:
        yield running


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], **fields}


def post(client: httpx.Client, prompt: str, **fields: Any) -> httpx.Response:
    return client.post("/chat/completions", json=body(prompt, **fields))


def events(client: httpx.Client, prompt: str, **fields: Any) -> list[ServerSentEvent]:
    reply = post(client, prompt, stream=True, **fields)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    return SSEDecoder().feed(reply.content)


def received(client: httpx.Client, prompt: str, **fields: Any) -> tuple[bytes, Exception | None]:
    """The bytes of the body as far as they came, and how their coming ended."""
    got = b""
    try:
        with client.stream("POST", "/chat/completions", json=body(prompt, **fields)) as reply:
            for piece in reply.iter_raw():
                got += piece
    except httpx.TransportError as error:
        return got, error
    return got, None


def texts(frames: list[ServerSentEvent]) -> list[str]:
    chunks = [json.loads(frame.data) for frame in frames if frame.data != "[DONE]"]
    return [
        c["delta"]["content"]
        for chunk in chunks
        for c in chunk.get("choices", ())
        if c["delta"].get("content")
    ]


def finishes(frames: list[ServerSentEvent]) -> list[str]:
    chunks = [json.loads(frame.data) for frame in frames if frame.data != "[DONE]"]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", ())]
    return [reason for reason in reasons if reason]


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
@pytest.mark.parametrize("stream", [True, False])
def test_statuses(client: httpx.Client, name: str, status: int, stream: bool) -> None:
    reply = post(client, f"[simulate fault={name}]", stream=stream)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("name", ["429-once", "500-once", "cut-once"])
def test_once_strikes_each_prompt_the_first_time_only(client: httpx.Client, name: str) -> None:
    for nonce in "ab":
        first = received(client, f"{nonce} [simulate tokens=20 fault={name}]", stream=True)
        assert b"[DONE]" not in first[0]
        for _ in range(2):
            assert events(client, f"{nonce} [simulate tokens=20 fault={name}]")[-1].data == "[DONE]"


@pytest.mark.parametrize(("name", "status"), [("html", 200), ("html502", 502)])
def test_html(client: httpx.Client, name: str, status: int) -> None:
    reply = post(client, f"[simulate fault={name}]", stream=True)
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.text.startswith("<!doctype html>")


def test_redirect(client: httpx.Client) -> None:
    reply = post(client, "[simulate fault=redirect]", stream=True)
    assert (reply.status_code, reply.headers["location"]) == (307, "/elsewhere")


@pytest.mark.parametrize("after", [0, 1, 5])
def test_cut_drops_the_connection_without_an_end(client: httpx.Client, after: int) -> None:
    got, error = received(client, f"[simulate tokens=50 fault=cut after={after}]", stream=True)
    assert isinstance(error, httpx.RemoteProtocolError)
    frames = SSEDecoder().feed(got)
    assert len(texts(frames)) == after
    assert finishes(frames) == []
    assert b"[DONE]" not in got


def test_cut_of_a_whole_reply_leaves_half_of_it(client: httpx.Client) -> None:
    got, error = received(client, "[simulate tokens=50 fault=cut]")
    assert isinstance(error, httpx.RemoteProtocolError)
    assert got.startswith(b'{"id":')
    with pytest.raises(json.JSONDecodeError):
        json.loads(got)


@pytest.mark.parametrize("usage", [True, False])
def test_nodone_ends_in_order_but_for_the_mark(client: httpx.Client, usage: bool) -> None:
    frames = events(client, "[simulate tokens=9 fault=nodone]", stream_options={"include_usage": usage})
    assert len(texts(frames)) == 9
    assert finishes(frames) == ["stop"]
    assert ("usage" in json.loads(frames[-1].data)) == usage
    assert all(frame.data != "[DONE]" for frame in frames)


@pytest.mark.parametrize("stream", [True, False])
def test_stall_falls_silent_and_keeps_the_connection(
    relay: EmbeddedRelay, client: httpx.Client, stream: bool
) -> None:
    before = relay.stats.cancelled
    question = body("[simulate tokens=50 fault=stall after=3]", stream=stream)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/chat/completions", json=question, timeout=0.4)
    deadline = time.monotonic() + 2
    while relay.stats.cancelled == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert relay.stats.cancelled == before + 1
    assert not stream or relay.stats.last_stream.tokens_sent == 3


def test_badjson_breaks_one_frame_in_the_middle(client: httpx.Client) -> None:
    frames = events(client, "[simulate tokens=50 fault=badjson after=4]")
    broken = [
        index for index, frame in enumerate(frames) if frame.data != "[DONE]" and not _is_json(frame.data)
    ]
    assert broken == [1 + 4]
    assert len(texts([f for i, f in enumerate(frames) if i not in broken])) == 50
    assert frames[-1].data == "[DONE]"


def test_badjson_of_a_whole_reply_ends_too_early(client: httpx.Client) -> None:
    got, error = received(client, "[simulate tokens=50 fault=badjson]")
    assert error is None
    assert not _is_json(got.decode())


def test_errorframe_comes_after_some_text(client: httpx.Client) -> None:
    frames = events(client, "[simulate tokens=50 fault=errorframe after=4]")
    assert len(texts(frames)) == 4
    assert json.loads(frames[-1].data)["error"]["message"] == "The simulated model broke off."
    assert finishes(frames) == []


def test_errorframe_of_a_whole_reply_is_an_error_with_status_200(client: httpx.Client) -> None:
    reply = post(client, "[simulate tokens=50 fault=errorframe]")
    assert reply.status_code == 200
    assert reply.json()["error"]["code"] == "upstream_error"


def test_nousage(client: httpx.Client) -> None:
    frames = events(client, "[simulate tokens=9 fault=nousage]", stream_options={"include_usage": True})
    assert all("usage" not in frame.data for frame in frames)
    assert frames[-1].data == "[DONE]"
    assert "usage" not in post(client, "[simulate tokens=9 fault=nousage]").json()


def test_wholejson_answers_a_stream_with_a_completion(client: httpx.Client) -> None:
    reply = post(client, "[simulate tokens=9 fault=wholejson]", stream=True)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["object"] == "chat.completion"


def test_sse_for_nonstream(client: httpx.Client) -> None:
    reply = post(client, "[simulate tokens=9 fault=sse_for_nonstream]", stream=False)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert len(texts(SSEDecoder().feed(reply.content))) == 9


@pytest.mark.parametrize(("limit", "last"), [(None, "response.completed"), (3, "response.incomplete")])
def test_responses_speaks_the_other_dialect(client: httpx.Client, limit: int | None, last: str) -> None:
    plain = events(client, "[simulate text]\nSome text, twice over.", max_tokens=limit)
    frames = events(client, "[simulate text fault=responses]\nSome text, twice over.", max_tokens=limit,
                    stream_options={"include_usage": True})  # fmt: skip
    chunks = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [chunk["type"] for chunk in chunks]
    deltas = [chunk["delta"] for chunk in chunks if chunk["type"] == "response.output_text.delta"]
    assert deltas == texts(plain)
    assert (chunks[0]["type"], chunks[-1]["type"]) == ("response.created", last)
    assert chunks[-1]["response"]["usage"]["output_tokens"] == len(deltas)
    assert chunks[-1]["response"]["system_fingerprint"] == "simulated"


def test_empty_and_doneonly(client: httpx.Client) -> None:
    assert events(client, "[simulate fault=empty]") == []
    assert [frame.data for frame in events(client, "[simulate fault=doneonly]")] == ["[DONE]"]
    assert post(client, "[simulate fault=empty]").content == b""


def test_every_fault_is_tested_here() -> None:
    tested = {
        "html",
        "html502",
        "redirect",
        "cut",
        "nodone",
        "stall",
        "badjson",
        "errorframe",
        "nousage",
        "wholejson",
    }
    assert set(FAULTS) == tested | {"sse_for_nonstream", "responses", "empty", "doneonly"} | set(STATUSES)


def test_errors_of_the_table_are_off_until_asked_for_and_then_repeatable() -> None:
    def failures(simulation: Simulation) -> list[int]:
        with (
            EmbeddedRelay(simulation) as relay,
            httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False) as client,
        ):
            question = body("[simulate tokens=1]") | {"model": "deepseek-v3.2"}  # 0.3 % of them fail
            replies = [client.post("/chat/completions", json=question).status_code for _ in range(300)]
            assert set(replies) <= {200, 503}
            return [index for index, status in enumerate(replies) if status == 503]

    fast = math.inf
    assert failures(Simulation(speed=fast)) == []
    first = failures(Simulation(speed=fast, errors=True))
    assert first == [40, 186, 225]  # what 0.3 % look like from seed 0
    assert failures(Simulation(speed=fast, errors=True, seed=1)) != first


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True
