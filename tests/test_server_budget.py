"""A key's monthly budget at the relay: before a call, in mid-stream, side by side and after a restart."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from edge import UPSTREAM_KEY, within
from loopback import END, SSE, Connection, Loopback, page

from hs_notebook.ledger import Ledger, Opening, Outcome
from hs_notebook.prices import load_book
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.server import RelayServer
from hs_notebook.relay.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.pricing.book import PriceBook

# USD per million tokens: an answer costs a cent a token, a prompt nothing.
PRICES = load_book([{"model": "m", "input": 0, "output": 10_000}])
DEAR_PROMPTS = load_book([{"model": "m", "input": 10_000, "output": 10_000}])
CENT = Decimal("0.01")
PATIENCE = 30.0
STREAM: dict[str, Any] = {"stream": True}
RESUMABLE = {"x-stream-resume": "1"}


SILENT = {
    "reset": b"",
    "page": page("200 OK", b"<p>", "text/html"),
    "packed": page("200 OK", b"x", "application/json", "content-encoding: gzip"),
    "cut": page("200 OK", b"{}").replace(b"length: 2", b"length: 9"),
    **{
        status: page(f"{status} No", b'{"error": {"code": "no"}}')
        for status in ("400", "429", "500", "502", "503", "504")
    },
}


class Upstream(Loopback):
    """Says as many words as a prompt asks for, each a token: "on and on", or once `go` is set: "wait"."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.go = threading.Event()

    def _answer(self, connection: Connection, _server: Loopback) -> None:
        while request := self.ask(connection):
            prompt = str(request.json["messages"][0]["content"])
            if "wait" in prompt:
                assert self.go.wait(PATIENCE)
            if prompt in SILENT:
                connection.send(SILENT[prompt])
                return
            words = next((int(word) for word in prompt.split() if word.isdecimal()), 10**6)
            if not request.json.get("stream"):
                connection.send(page("200 OK", json.dumps(chunk("message", "x " * words, words)).encode()))
                continue
            connection.send(SSE)
            if "stumble" in prompt:
                connection.events("{not json")
            if "slow" in prompt:
                connection.events(json.dumps(chunk("delta", "x")), "[DONE]")
                assert self.go.wait(PATIENCE)
            for _ in range(words):
                connection.events(json.dumps(chunk("delta", "x")))
                time.sleep(0.002 * ("on" in prompt))
            connection.events(json.dumps({"choices": [], "usage": usage(words)}), "[DONE]")
            connection.send(END)


def chunk(part: str, text: str, tokens: int | None = None) -> dict[str, Any]:
    reason = "stop" if part == "message" else None
    told = {} if tokens is None else {"usage": usage(tokens)}
    return {"model": "m", "choices": [{"index": 0, part: {"content": text}, "finish_reason": reason}], **told}


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}


class Office:
    """A relay whose keys have budgets, in front of `upstream`; `ledger` is its ledger."""

    def __init__(
        self,
        folder: Path,
        upstream: Upstream,
        ledger: Ledger | None = None,
        *,
        to: str = "",
        prices: PriceBook = PRICES,
        **settings: Any,
    ) -> None:
        self.upstream = upstream
        self.ledger = ledger or Ledger(folder / "ledger.db")
        self.keys = KeyFile(folder / "keys")
        self._settings = RelaySettings(
            upstream=to or upstream.base_url, key=UPSTREAM_KEY, keys=self.keys.path, **settings
        )
        self._prices = prices
        self._server = self._begun()
        self.http = httpx.Client(trust_env=False, timeout=PATIENCE)

    def _begun(self) -> RelayServer:
        return RelayServer(self._settings, ledger=self.ledger, prices=self._prices).start()

    def begin_anew(self) -> None:
        """Stop the relay, and start another on the same files."""
        self._server.stop()
        self._server = self._begun()

    def close(self) -> None:
        self.http.close()
        self._server.stop()

    def key(self, name: str, cents: int | None, **limits: Any) -> str:
        budget = None if cents is None else cents * CENT
        return self.keys.add(name, budget=budget, per_minute=1000, **limits)

    def ask(self, key: str, prompt: str, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
        return self.http.send(self._request(key, prompt, path, fields))

    def ask_until(self, last: tuple[str, ...], key: str, prompt: str, **fields: Any) -> int:
        """Ask, read up to a line that is one of the `last`, or to the end, and go away; return the status."""
        reply = self.http.send(self._request(key, prompt, "/v1/chat/completions", fields), stream=True)
        with closing(reply):
            for line in reply.iter_lines():
                if any(one in line for one in last):
                    break
        return reply.status_code

    def _request(self, key: str, prompt: str, path: str, fields: dict[str, Any]) -> httpx.Request:
        url = f"http://127.0.0.1:{self._server.port}{path}"
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **fields}
        return self.http.build_request("POST", url, json=body, headers={"x-api-key": key})

    def charged(self, user: str) -> Decimal:
        """What is counted against a budget, once nothing is under way."""
        assert within(PATIENCE, lambda: not self._server.gateway.calls)
        return self.ledger.spent(user=user).charged


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path, upstream: Upstream) -> Iterator[Office]:
    running = Office(tmp_path, upstream)
    yield running
    running.close()


def refusal(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


DEAR = (402, "BUDGET_EXCEEDED")


@pytest.mark.parametrize("fields", [{}, STREAM])
def test_a_call_is_held_at_its_worst_and_settled_to_what_it_came_to(
    office: Office, fields: dict[str, Any]
) -> None:
    key = office.key("ann", 5)
    reply = office.ask(key, "2", max_tokens=6, **fields)
    assert refusal(reply) == DEAR
    assert reply.json()["error"]["type"] == "insufficient_quota"
    assert "above the $0.05 left of the monthly budget of $0.05; nothing was sent." in reply.text
    assert "or ask who runs the relay for more." in reply.text
    assert office.upstream.requests == []

    assert office.ask(key, "2", max_tokens=5, **fields).status_code == 200
    assert office.charged("ann") == 2 * CENT
    assert refusal(office.ask(key, "1", max_tokens=4, **fields)) == DEAR
    assert office.ask(key, "3", max_tokens=3, **fields).status_code == 200
    assert office.charged("ann") == 5 * CENT
    assert refusal(office.ask(key, "1", max_tokens=1, **fields)) == DEAR
    assert len(office.upstream.requests) == 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", RESUMABLE),
        ("/api/chat/stream", {}),
    ],
)
@pytest.mark.parametrize("prompt", ["on and on", "stumble on and on"])
def test_a_stream_ends_at_the_budget(office: Office, path: str, headers: dict[str, str], prompt: str) -> None:
    key = office.key("ann", 5)
    office.http.headers.update(headers)
    # The short endpoint asks for 2,000 tokens where nothing is said, so that nothing is to be said here.
    reply = office.ask(key, prompt, path, stream=True, max_tokens=None)
    assert reply.status_code == 200
    frames = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    # Several words may come at once: what the upstream has said when the relay looks is paid for.
    assert 5 <= sum('"x"' in frame for frame in frames) < 1000
    (error,) = [json.loads(frame)["error"] for frame in frames if '"error"' in frame]
    assert (error["type"], error["code"]) == ("insufficient_quota", "BUDGET_EXCEEDED")
    assert office.charged("ann") >= 5 * CENT
    (row,) = office.ledger.rows()
    assert row["state"] == ("error" if prompt.startswith("stumble") else "stopped")
    assert row["user_name"] == "ann"
    assert refusal(office.ask(key, "1", stream=True)) == DEAR


def test_calls_side_by_side_share_what_is_left(office: Office) -> None:
    key = office.key("ann", 10)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(office.ask, key, "wait 1", max_tokens=5, **STREAM) for _ in range(2)]
        assert within(PATIENCE, lambda: len(office.upstream.requests) == 2)
        assert office.ledger.spent(user="ann").charged == 10 * CENT
        for bound in (1, None):
            reply = office.ask(key, "1", max_tokens=bound, **STREAM)
            assert refusal(reply) == (429, "BUDGET_HELD")
            assert int(reply.headers["retry-after"]) > 0
            assert "is held by calls under way: try again when they have ended" in reply.text
        assert refusal(office.ask(key, "1", max_tokens=11, **STREAM)) == DEAR
        office.upstream.go.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
    assert office.charged("ann") == 2 * CENT
    assert office.ask(key, "8", max_tokens=8).status_code == 200
    assert office.charged("ann") == 10 * CENT


def test_many_at_once_never_spend_more_than_there_is(office: Office) -> None:
    key = office.key("ann", 20, concurrent=30)

    def ask(number: int) -> int:
        bound: dict[str, Any] = {"max_tokens": 1 + number % 5} if number % 3 else {}
        streaming: dict[str, Any] = {"stream": True} if number % 2 or not bound else {}
        asked = f"{1 + number % 5}" if bound else "on and on"
        return office.ask(key, asked, **bound, **streaming).status_code

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(30)))
    assert 200 in found
    assert found <= {200, 402, 429}
    assert office.charged("ann") > 0
    rows = list(office.ledger.rows())
    assert {row["state"] for row in rows} <= {"complete", "stopped"}
    assert sum(row["gen_ai_usage_output_tokens"] for row in rows if row["state"] == "complete") <= 20
    assert refusal(office.ask(key, "1", max_tokens=20)) == DEAR


def test_what_was_spent_outlives_the_relay_and_belongs_to_its_month(office: Office) -> None:
    key, other = office.key("ann", 9), office.key("bob", 9)
    now = datetime.now(UTC)
    last_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(milliseconds=1)
    row = office.ledger.begin(Opening(model="m", user="ann", started_at=last_month))
    office.ledger.settle(row, Outcome(state="complete", cost=9 * CENT))
    assert office.ask(key, "4", max_tokens=4).status_code == 200
    assert office.charged("ann") == 13 * CENT
    office.begin_anew()
    assert refusal(office.ask(key, "1", max_tokens=6)) == DEAR
    assert office.ask(key, "1", max_tokens=5).status_code == 200
    assert office.charged("ann") == 14 * CENT
    # Nobody knows what came of a call whose relay was killed: it counts at its worst.
    office.ledger.begin(Opening(model="m", user="ann", charge=3 * CENT))
    office.begin_anew()
    assert refusal(office.ask(key, "1", max_tokens=2)) == DEAR
    assert office.ask(key, "1", max_tokens=1).status_code == 200
    assert "killed" not in office.ask(key, "1", max_tokens=2).text  # this process lives
    dead = office.ledger.begin(Opening(model="m", user="ann", charge=2 * CENT))
    with sqlite3.connect(office.ledger.path) as file:
        file.execute("UPDATE calls SET process_id = 2147483647 WHERE id = ?", (dead,))
    file.close()
    assert (
        "$0.02 of the budget are held for calls whose end is unknown"
        in office.ask(key, "1", max_tokens=2).text
    )
    assert [office.ledger.forgive("bob"), office.ledger.forgive("ann")] == [0, 1]
    assert "held" not in office.ask(key, "1", max_tokens=2).text
    assert office.ledger.spent(user="ann").unknown == 1
    assert office.ask(other, "1", max_tokens=9).status_code == 200


@pytest.mark.parametrize("fields", [{"max_tokens": 1}, STREAM])
def test_a_price_that_is_unknown_cannot_be_held(office: Office, fields: dict[str, Any]) -> None:
    key, free = office.key("ann", 100), office.key("bob", None)
    asked: dict[str, Any] = {**fields, "model": "unheard-of"}
    reply = office.ask(key, "1", **asked)
    assert refusal(reply) == (400, "PRICE_UNKNOWN")
    assert reply.json()["error"]["param"] == "model"
    assert "The price of unheard-of at HolySheep is unknown, so the" in reply.text
    assert "%config" not in reply.text
    assert office.upstream.requests == []
    assert office.ask(free, "1", **asked).status_code == 200


UNPRICED: dict[str, tuple[Any, Any]] = {  # what is refused, and what is not
    "service_tier": ("priority", "flex"),
    "modalities": (["text", "audio"], ["text"]),
    "tools": ([{"type": "web_search"}], [{"type": "function", "function": {"name": "f"}}]),
    "web_search_options": ({}, None),
    "models": (["m", "dear"], []),
    "plugins": ([{"id": "web"}], None),
}


def test_what_makes_a_call_dearer_than_its_price_cannot_be_held(office: Office) -> None:
    key, free = office.key("ann", 100), office.key("bob", None)
    for name, (dear, fine) in UNPRICED.items():
        before = len(office.upstream.requests)
        reply = office.ask(key, "1", max_tokens=1, **{name: dear})
        assert refusal(reply) == (400, "PRICE_UNKNOWN")
        assert reply.json()["error"]["param"] == name
        assert len(office.upstream.requests) == before
        assert office.ask(key, "1", max_tokens=1, **{name: fine}).status_code == 200
        assert office.ask(free, "1", max_tokens=1, **{name: dear}).status_code == 200


SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
UNCOUNTED: dict[str, dict[str, Any]] = {
    "a sound": {"content": [SOUND]},
    "a sound with a text": {"content": [{**SOUND, "text": "1"}]},
    "a sound alone": {"content": SOUND},
    "a file": {"content": [{"type": "text", "text": "1"}, {"type": "file", "file": {"file_id": "f"}}]},
    "of no type": {"content": [{"text": "1"}]},
    "loose": {"content": ["1"]},
    "said before": {"role": "assistant", "content": "1", "audio": {"id": "a"}},
}
WORDY: dict[str, dict[str, Any]] = {
    "thoughts": {"role": "assistant", "content": "1", "reasoning_content": "word " * 999},
    "calls": {"role": "assistant", "content": "1", "function_call": {"arguments": "word " * 999}},
    "a refusal": {"role": "assistant", "content": [{"type": "refusal", "refusal": "word " * 999}]},
    "a name": {"content": "1", "name": "word " * 999},
}


def test_what_is_neither_words_nor_images_cannot_be_held(office: Office) -> None:
    key, free = office.key("ann", 100), office.key("bob", None)
    for said in UNCOUNTED.values():
        messages = [{"role": "user", **said}]
        reply = office.ask(key, "1", max_tokens=1, messages=messages)
        assert refusal(reply) == (400, "PRICE_UNKNOWN")
        assert reply.json()["error"]["param"] == "messages"
        assert office.ask(free, "1", max_tokens=1, messages=messages).status_code == 200
    assert len(office.upstream.requests) == len(UNCOUNTED)
    fine = [{"role": "user", "content": [{"type": "text", "text": "1"}, PICTURE]}]
    assert office.ask(key, "1", max_tokens=1, messages=fine).status_code == 200


@pytest.mark.parametrize("said", WORDY.values(), ids=WORDY)
def test_all_words_of_a_message_are_counted(tmp_path: Path, upstream: Upstream, said: dict[str, Any]) -> None:
    office = Office(tmp_path, upstream, prices=DEAR_PROMPTS)
    try:
        key = office.key("ann", 500)
        assert office.ask(key, "1", max_tokens=1).status_code == 200
        reply = office.ask(key, "1", max_tokens=1, messages=[{"role": "user", **said}])
        assert refusal(reply) == DEAR
    finally:
        office.close()


def test_who_leaves_before_an_answer_in_one_piece_may_be_billed_for_it(office: Office) -> None:
    key = office.key("ann", 20)
    office.http.timeout = 0.5
    with pytest.raises(httpx.ReadTimeout):
        office.ask(key, "wait 1", max_tokens=4)
    assert len(office.upstream.requests) == 1
    assert office.charged("ann") == 4 * CENT
    assert office.ledger.spent(user="ann").unknown == 1


def test_what_was_never_sent_costs_nothing(tmp_path: Path, upstream: Upstream) -> None:
    """Nobody takes connections from a backlog that is full: the client goes away while the relay tries."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        office = Office(tmp_path, upstream, to=url, prices=DEAR_PROMPTS)
        try:
            key = office.key("ann", 500)
            office.http.timeout = 0.5
            for fields in ({}, STREAM):
                with pytest.raises(httpx.ReadTimeout):
                    office.ask(key, "1", max_tokens=4, **fields)
            assert office.charged("ann") == 0
            assert [row["state"] for row in office.ledger.rows()] == ["stopped"] * 2
            assert office.ledger.spent(user="ann").unknown == 0
        finally:
            office.close()


@pytest.mark.parametrize("headers", [{}, RESUMABLE])
@pytest.mark.parametrize(
    ("prompt", "status", "fields"),
    [
        ("1", 200, STREAM),
        ("slow 1", 200, STREAM),
        ("on and on", 200, STREAM),
        ("1", 200, {"max_tokens": 4}),
        ("400", 400, STREAM),
        ("502", 502, STREAM),
    ],
)
def test_who_has_heard_the_end_may_ask_again_at_once(
    office: Office, headers: dict[str, str], prompt: str, status: int, fields: dict[str, Any]
) -> None:
    office.http.headers.update(headers)
    try:
        for number in range(10):
            key = office.key(f"ann-{number}", 5, concurrent=1)
            assert office.ask_until(("[DONE]", '"error"'), key, prompt, **fields) == status
            assert refusal(office.ask(key, "1", max_tokens=10**6)) == DEAR  # and not 429, for want of a place
    finally:
        office.upstream.go.set()


def test_a_call_that_was_sent_and_not_answered_may_be_billed(office: Office) -> None:
    key, free = office.key("ann", 20), office.key("bob", None)
    codes = {
        "reset": "upstream_unreachable",
        "page": "upstream_kind",
        "packed": "upstream_encoding",
        "cut": "upstream_broke_off",
    }
    for prompt, code in codes.items():
        for one in (key, free):
            assert refusal(office.ask(one, prompt, max_tokens=4)) == (502, code)
    assert office.charged("ann") == 16 * CENT
    assert refusal(office.ask(key, "1", max_tokens=5)) == DEAR
    for row in office.ledger.rows():
        assert (row["state"], row["error_type"] or "", row["cost_usd"]) in {
            ("stopped", code, None) for code in codes.values()
        }
    assert office.ledger.spent(user="bob").unknown == len(codes)


@pytest.mark.parametrize(
    ("status", "cents"), [("400", 0), ("429", 0), ("500", 0), ("503", 0), ("502", 4), ("504", 4)]
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_upstream_that_gave_up_may_bill_and_one_that_refuses_does_not(
    office: Office, status: str, cents: int, stream: bool
) -> None:
    key = office.key("ann", 20)
    assert refusal(office.ask(key, status, max_tokens=4, stream=stream)) == (int(status), "no")
    assert office.charged("ann") == cents * CENT
    assert office.ledger.spent(user="ann").unknown == bool(cents)


def test_an_answer_in_one_piece_may_take_its_time(tmp_path: Path, upstream: Upstream) -> None:
    office = Office(tmp_path, upstream, idle=0.1)
    try:
        key = office.key("ann", 10)
        threading.Timer(0.4, upstream.go.set).start()
        assert office.ask(key, "wait 1", max_tokens=4).status_code == 200
        assert office.charged("ann") == CENT
        upstream.go.clear()
        reply = office.ask(key, "wait 1", max_tokens=4, stream=True)
        assert refusal(reply) == (504, "upstream_timeout")
        assert reply.headers["x-should-retry"] == "false"
        assert office.charged("ann") == 5 * CENT
    finally:
        upstream.go.set()
        office.close()


def test_an_answer_in_one_piece_needs_a_bound(office: Office) -> None:
    key = office.key("ann", 100)
    reply = office.ask(key, "1")
    assert refusal(reply) == DEAR
    assert "Give max_tokens, or let it stream." in reply.text
    assert office.ask(key, "1", max_tokens=1).status_code == 200


def test_a_bound_is_a_number(office: Office) -> None:
    key = office.key("ann", None)
    values: tuple[Any, ...] = (True, 0, -1, 1.0, "1", [1])
    for name in ("max_tokens", "max_completion_tokens", "n"):
        for value in values:
            reply = office.ask(key, "1", **{name: value})
            assert refusal(reply) == (400, "bad_request")
            assert reply.json()["error"]["param"] == name


def test_what_is_priced_is_what_is_sent(office: Office) -> None:
    """A name that stands twice: the relay reads one, and the upstream could read the other."""
    key = office.key("ann", 5)
    messages = '"messages":[{"role":"user","content":"1"}]'
    asked = f'{{"model":"dear","model":"m","max_tokens":9999,{messages},"max_tokens":1}}'
    url = str(office.ask(key, "1", max_tokens=99).url)
    assert office.http.post(url, content=asked, headers={"x-api-key": key}).status_code == 200
    (sent,) = office.upstream.requests
    assert sent.body.count(b'"model"') == sent.body.count(b'"max_tokens"') == 1
    assert (sent.json["model"], sent.json["max_tokens"]) == ("m", 1)


def test_without_a_ledger_no_budget_is_kept_and_all_others_are_served(
    tmp_path: Path, upstream: Upstream
) -> None:
    (tmp_path / "file").touch()
    office = Office(tmp_path, upstream, Ledger(tmp_path / "file" / "ledger.db"))
    try:
        reply = office.ask(office.key("ann", 100), "1", max_tokens=1)
        assert refusal(reply) == (503, "ledger_unavailable")
        assert str(tmp_path) not in reply.text
        assert upstream.requests == []
        assert office.ask(office.key("bob", None), "1", max_tokens=1).status_code == 200
    finally:
        office.close()


def test_keys_in_the_name_of_a_model_are_not_written_down(office: Office) -> None:
    key = office.key("ann", None)
    for model in (key, f"m-{key}", UPSTREAM_KEY):
        assert office.ask(key, "1", model=model).status_code == 200
    office.charged("ann")
    assert [row["gen_ai_request_model"] for row in office.ledger.rows()] == ["[key]", "m-[key]", "[key]"]
    for file in office.ledger.path.parent.iterdir():
        assert key.encode() not in file.read_bytes()


def test_who_spent_what_is_told_by_key(office: Office) -> None:
    ann, bob = office.key("ann", None), office.key("bob", 100)
    for key, words in ((ann, 3), (bob, 1), (bob, 1)):
        assert office.ask(key, f"{words}", max_tokens=9).status_code == 200
    for user in ("ann", "bob"):
        office.charged(user)
    rows = office.ledger.spending("user").rows
    assert [(row.name, row.calls, row.cost) for row in rows] == [("ann", 1, 3 * CENT), ("bob", 2, 2 * CENT)]
    assert {row["notebook"] for row in office.ledger.rows()} == {"(relay)"}
