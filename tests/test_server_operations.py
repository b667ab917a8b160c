"""What who runs a relay sees of it: the access log, figures for Prometheus, its health, and its models."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from edge import UPSTREAM_KEY, Edge, edge, within
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hs_notebook.ledger import Ledger
from hs_notebook.ledger.unsettled import is_alive
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.access import log_to
from hs_notebook.relay.fresh import FAILURE_LASTS, Fresh
from hs_notebook.relay.health import Health
from hs_notebook.relay.keys import KeyFile
from hs_notebook.relay.metering import Meter
from hs_notebook.relay.metrics import Metrics, shared_by_workers
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.server import build
from hs_notebook.relay.serving import Embedded
from hs_notebook.relay.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    Asking = Callable[..., tuple[list[httpx.Response], int]]

PATIENCE = 20.0
FIELDS = {
    "time", "level", "event", "method", "route", "status", "outcome", "code", "client", "model", "bytes",
    "ttft_ms", "duration_ms", "request_id", "remote",
}  # fmt: skip


@dataclass
class Log:
    """What was logged while a test runs."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Return the lines once there are so many: each comes after its reply."""
        assert within(PATIENCE, lambda: self.text.count("\n") >= count), self.text
        return self.lines


@pytest.fixture
def log() -> Iterator[Log]:
    root, ours = logging.getLogger(), logging.getLogger("hs_notebook.relay")
    before, level = root.handlers[:], ours.level
    found = Log()
    log_to(found.stream, key=UPSTREAM_KEY)
    yield found
    for handler in root.handlers[:]:
        if (
            handler not in before
            and isinstance(handler, logging.StreamHandler)
            and handler.stream is found.stream
        ):
            root.removeHandler(handler)
    ours.setLevel(level)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with (
        EmbeddedRelay(Simulation(speed=math.inf)) as upstream,
        edge(tmp_path_factory.mktemp("operations"), upstream.base_url) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def http(server: Edge) -> Iterator[httpx.Client]:
    url, headers = f"http://127.0.0.1:{server.port}", {"x-api-key": server.key}
    with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False) as running:
        yield running


def question(prompt: str = "[simulate tokens=3]", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], **fields}


# --- the access log ------------------------------------------------------------------------------

CHAT = "/v1/chat/completions"
SHORT = "/api/chat/stream"


@pytest.mark.parametrize(
    ("path", "prompt", "expected"),
    [
        (CHAT, "[simulate tokens=3]", (200, "complete", "", "laptop", "gpt-4.1")),
        (CHAT, "[simulate tokens=9 fault=badjson]", (200, "error", "", "laptop", "gpt-4.1")),
        (CHAT, "[simulate fault=503]", (503, "error", "upstream_503", "laptop", "gpt-4.1")),
        (CHAT, "[simulate fault=400]", (400, "refused", "upstream_400", "laptop", "gpt-4.1")),
        (CHAT, "[simulate fault=401]", (503, "error", "upstream_auth", "laptop", "gpt-4.1")),
        (SHORT, "[simulate tokens=3]", (200, "complete", "", "laptop", "gpt-4.1")),
        (SHORT, "[simulate tokens=9 fault=cut]", (200, "truncated", "", "laptop", "gpt-4.1")),
        (SHORT, "[simulate fault=503]", (200, "refused", "upstream_503", "laptop", "gpt-4.1")),
    ],
)
def test_a_question_has_one_line(
    http: httpx.Client, log: Log, path: str, prompt: str, expected: tuple[int, str, str, str, str]
) -> None:
    for count, headers in enumerate(({}, {"x-stream-resume": "1"}), 1):
        reply = http.post(f"{path}?q=secret", json=question(prompt, stream=True), headers=headers)
        check_line(log.wait(count)[-1], reply, path, expected)
    assert "simulate" not in log.text
    assert "secret" not in log.text


def check_line(
    line: dict[str, Any], reply: httpx.Response, path: str, expected: tuple[int, str, str, str, str]
) -> None:
    assert set(line) == FIELDS
    assert (line["event"], line["method"], line["route"]) == ("request", "POST", path)
    assert tuple(line[name] for name in ("status", "outcome", "code", "client", "model")) == expected
    assert line["bytes"] == len(reply.content)
    assert (line["ttft_ms"] is None) == (expected[2] != "")
    assert line["duration_ms"] >= (line["ttft_ms"] or 0)
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["remote"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("asked", "headers", "expected"),
    [
        ("GET /v1/models", {}, ("/v1/models", 200, "complete", "", "laptop")),
        ("GET /v1/models", {"x-api-key": "wrong"}, ("/v1/models", 401, "refused", "INVALID_KEY", "")),
        ("GET /health", {}, ("/health", 200, "complete", "", "")),
        ("GET /nowhere", {}, ("", 404, "refused", "not_found", "")),
        ("DELETE /v1/chat/completions", {}, (CHAT, 405, "refused", "method_not_allowed", "")),
        ("GET /v1/streams/none", {}, ("/v1/streams/{id}", 404, "refused", "STREAM_NOT_FOUND", "laptop")),
        ("GET /health", {"host": "evil.example"}, ("", 421, "refused", "unknown_host", "")),
        ("POST /v1/chat/completions", {}, (CHAT, 400, "refused", "bad_request", "laptop")),
    ],
)
def test_every_other_request_has_one_too(
    http: httpx.Client,
    log: Log,
    asked: str,
    headers: dict[str, str],
    expected: tuple[str, int, str, str, str],
) -> None:
    reply = http.request(*asked.split(), headers=headers)
    (line,) = log.wait(1)
    assert tuple(line[name] for name in ("route", "status", "outcome", "code", "client")) == expected
    assert line["request_id"] == reply.headers["x-request-id"]


def test_who_goes_away_has_stopped(http: httpx.Client, log: Log) -> None:
    with http.stream("POST", CHAT, json=question("[simulate tokens=9 fault=stall]", stream=True)) as reply:
        next(reply.iter_bytes())
    (line,) = log.wait(1)
    assert (line["outcome"], line["model"]) == ("stopped", "gpt-4.1")


def test_no_key_and_no_second_line_gets_into_the_log(server: Edge, log: Log) -> None:
    """Wherever a client puts his key or an end of line."""
    key = server.key
    odd = f'{key} {UPSTREAM_KEY} \r\n\u2028{{"event":"forged"}} \u202e'
    sent = [
        server.chat(
            "[simulate tokens=3]", f"User-Agent: {key}", f"Cookie: {key}", f"Referer: /{key}", model=odd
        ),
        server.chat("[simulate tokens=3]", f"X-Forwarded-For: {key}", path=f"{CHAT}?key={key}", stream=True),
        server.chat("[simulate tokens=3]", f"X-Request-Id: {key}", f"Idempotency-Key: {key}"),
        server.chat(key, path=f"/{key}"),
        f"{key.replace('-', '')} /health HTTP/1.1\r\n{server.headers()}\r\n\r\n".encode(),
        f"GET /v1/streams/{key} HTTP/1.1\r\n{server.headers()}\r\n\r\n".encode(),
        f"GET /v1/models HTTP/1.1\r\nHost: {key}\r\nAuthorization: Basic {key}\r\n\r\n".encode(),
        f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}x\r\n\r\n".encode(),
    ]
    for data in sent:
        # On a connection of its own each; the second request ends it.
        server.exchange(data + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    lines = log.wait(2 * len(sent))
    assert len(lines) == 2 * len(sent)
    assert {line["event"] for line in lines} == {"request"}
    assert key.removeprefix("sk-hs-") not in log.text
    assert key.replace("-", "") not in log.text
    assert UPSTREAM_KEY not in log.text
    assert log.text.isascii()


def test_no_key_blots_out_where_it_came_from(http: httpx.Client, log: Log) -> None:
    http.get("/health", headers={"x-api-key": "127.0.0.1"})
    http.get("/health", headers={"x-api-key": "health"})
    for line in log.wait(2):
        assert (line["remote"], line["route"]) == ("127.0.0.1", "/health")


def test_what_fails_is_one_line_without_keys(log: Log) -> None:
    key = "sk-hs-" + "k" * 43

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError(f"It broke:\n{key} {UPSTREAM_KEY}")

    with Embedded(app) as running:
        reply = httpx.get(
            f"http://127.0.0.1:{running.port}/{key}", headers={"x-api-key": key}, trust_env=False
        )
        assert reply.status_code == 500
        (line,) = log.wait(1)
    assert line["level"] == "error"
    assert "RuntimeError: It broke:\n[key] [key]" in line["exception"]
    assert key not in log.text
    assert UPSTREAM_KEY not in log.text


# --- figures -------------------------------------------------------------------------------------


def figures(text: str) -> dict[str, float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    return {
        "/".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def prometheus(server: Edge) -> dict[str, str]:
    """What a key that may read figures is sent as."""
    keys = KeyFile(server.server.gateway.settings.keys)
    return {"x-api-key": keys.add("prometheus", metrics=True)}


def test_figures_are_for_a_key_of_their_own(server: Edge, http: httpx.Client) -> None:
    reply = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "MISSING_AUTH")
    reply = http.get("/metrics")  # they tell what everybody spends
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "METRICS_NOT_ALLOWED")
    assert "keys add --metrics" in reply.json()["error"]["message"]


def test_figures_count_what_was_served(http: httpx.Client, prometheus: dict[str, str]) -> None:
    def now() -> dict[str, float]:
        reply = http.get("/metrics", headers=prometheus)
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        return figures(reply.text)

    asked = question("[simulate tokens=7]", stream=True, stream_options={"include_usage": True})
    before = now()
    sent = len(http.post(CHAT, json=asked).content)
    http.post(CHAT, json=question("[simulate fault=503]"))
    http.post(CHAT, json=question(), headers={"x-api-key": "wrong"})

    expected = {
        f"hs_relay_requests_total/{CHAT}/200": 1,
        f"hs_relay_requests_total/{CHAT}/503": 1,
        f"hs_relay_request_duration_seconds_count/{CHAT}": 3,
        "hs_relay_refusals_total/INVALID_KEY": 1,
        "hs_relay_refusals_total/upstream_503": 1,
        "hs_relay_upstream_failures_total/upstream_503": 1,
        "hs_relay_answers_total/laptop/complete": 1,
        "hs_relay_tokens_total/laptop/output": 7,
        "hs_relay_answer_bytes_total/laptop": sent,
        "hs_relay_time_to_first_token_seconds_count": 1,
        "hs_relay_charged_usd_total/laptop": 0,  # it was simulated
        "hs_relay_active_answers": 0,
    }

    def grown() -> dict[str, float]:
        after = now()
        return {name: after.get(name, 0) - before.get(name, 0) for name in expected}

    # What is counted at its end is counted a moment after the client has all of it.
    assert within(PATIENCE, lambda: grown() == expected), grown()


def test_figures_tell_what_runs(http: httpx.Client, prometheus: dict[str, str]) -> None:
    def active(count: int) -> Callable[[], bool]:
        return lambda: (
            figures(http.get("/metrics", headers=prometheus).text)["hs_relay_active_answers"] == count
        )

    assert within(PATIENCE, active(0))
    with http.stream("POST", CHAT, json=question("[simulate tokens=9 fault=stall]", stream=True)):
        assert within(PATIENCE, active(1))
    assert within(PATIENCE, active(0))


def test_figures_count_money() -> None:
    metrics = Metrics()
    metrics.began()
    metrics.over("ann", Meter(None, None), Decimal("0.25"), "")
    found = figures(asyncio.run(metrics.text()).decode())
    assert found["hs_relay_charged_usd_total/ann"] == 0.25
    assert found["hs_relay_answers_total/ann/stopped"] == 1


def test_the_figures_of_workers_add_up_and_forget_the_dead() -> None:
    script = (
        "import asyncio, sys; from hs_notebook.relay.metrics import Metrics; metrics = Metrics();"
        "metrics.began(); metrics.request('/health', 200, 0.1, '');"
        "sys.stdout.buffer.write(asyncio.run(metrics.text()))"
    )
    with shared_by_workers():
        for count in (1, 2):
            found = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
            )
            samples = figures(found.stdout)
            assert samples["hs_relay_requests_total//health/200"] == count
            assert samples["hs_relay_active_answers"] == 1  # the other worker's ended with it


def test_on_windows_no_process_is_asked_whether_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question would end it there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait(PATIENCE)
    assert not is_alive(dead.pid)
    monkeypatch.setattr("sys.platform", "win32")
    assert is_alive(dead.pid)


# --- health and models ---------------------------------------------------------------------------


@dataclass
class Models:
    """An upstream that knows nothing but its models, and answers as it is told."""

    reply: Callable[[], Response]
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Starlette:
        async def models(_request: object) -> Response:
            self.asked += 1
            await asyncio.to_thread(self.gate.wait, PATIENCE)
            return self.reply()

        return Starlette(routes=[Route("/v1/models", models)])


LIST = b'{"object":"list","data":[]}'


def listing(**headers: str) -> Response:
    return Response(LIST, headers={"content-type": "application/json", **headers})


def too_large() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1024 * 1024

    return StreamingResponse(pieces(), media_type="application/json")


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Models, str]]:
    """Such an upstream, and its URL."""
    upstream = Models(listing)
    with Embedded(upstream.app()) as running:
        yield upstream, running.base_url


@pytest.fixture
def asking(behind: tuple[Models, str], tmp_path: Path) -> Asking:
    """Ask a relay for a path, often at once; return its replies, and how often it asked its upstream."""
    upstream, upstream_url = behind

    def ask(reply: Callable[[], Response], path: str, times: int = 1) -> tuple[list[httpx.Response], int]:
        upstream.reply, upstream.asked = reply, 0
        upstream.gate.clear()
        with edge(tmp_path, upstream_url) as server:
            url, headers = f"http://127.0.0.1:{server.port}{path}", {"x-api-key": server.key}
            with (
                httpx.Client(headers=headers, timeout=PATIENCE, trust_env=False) as http,
                ThreadPoolExecutor(times) as pool,
            ):
                waiting = [pool.submit(http.get, url) for _ in range(times)]
                assert within(PATIENCE, lambda: upstream.asked)
                upstream.gate.set()
                return [future.result() for future in waiting], upstream.asked

    return ask


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_the_upstream_is_asked_once_for_all(asking: Asking, path: str) -> None:
    replies, asked = asking(listing, path, times=10)
    assert asked == 1
    assert {reply.status_code for reply in replies} == {200}
    (body,) = {reply.text for reply in replies}
    found = json.loads(body)
    if path == "/v1/models":
        assert body.encode() == LIST
        return
    assert set(found) == {"status", "latency", "timestamp"}
    assert found["status"] == "ok"
    assert 0 < found["latency"] < PATIENCE * 1000
    assert found["timestamp"].endswith("Z")


@pytest.mark.parametrize(("fails", "lasts"), [(False, 5.0), (True, FAILURE_LASTS)])
def test_what_was_fetched_is_good_for_a_while_and_a_failure_for_less(fails: bool, lasts: float) -> None:
    clock, fetched = [0.0], []

    async def fetch() -> int:
        fetched.append(fails)
        if fails:
            raise Refused(502, "No.")
        return len(fetched)

    async def run() -> None:
        fresh = Fresh(fetch, lambda _: 5.0, clock=lambda: clock[0])
        for part, times in ((0, 1), (0.9, 1), (1.1, 2)):
            clock[0] = part * lasts
            with pytest.raises(Refused) if fails else contextlib.nullcontext():
                assert await fresh.get() == times
            assert len(fetched) == times

    asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda: Response("boom", 500), "The upstream answered 500."),
        (lambda: Response("no", 401), "The upstream refuses the relay's own key"),
        (lambda: Response("<html>"), "The upstream answered with no content type."),
        (lambda: Response("", 302, {"location": "/"}), "The upstream redirects"),
    ],
)
def test_health_says_what_is_wrong_with_the_upstream(
    asking: Asking, reply: Callable[[], Response], reason: str
) -> None:
    (found,), _ = asking(reply, "/health")
    body = found.json()
    assert (found.status_code, body["status"], body["latency"]) == (503, "error", None)
    assert body["reason"].startswith(reason)
    assert UPSTREAM_KEY not in found.text


def test_health_tells_of_what_cannot_be_reached(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/v1"
    with edge(tmp_path, nowhere) as server:
        found = httpx.get(f"http://127.0.0.1:{server.port}/health", trust_env=False, timeout=PATIENCE)
    assert found.status_code == 503
    assert found.json()["reason"].startswith("The upstream cannot be reached")
    assert nowhere not in found.text


def test_health_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def run() -> httpx.Response:
        async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(PATIENCE)

        behind = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}/v1"
        settings = RelaySettings(upstream=url, key=UPSTREAM_KEY, keys=tmp_path / "keys")
        gateway = build(settings, ledger=Ledger(tmp_path / "ledger.db"), prices=load_book())
        await gateway.open()
        try:
            app = Starlette(routes=[Route("/health", Health(gateway, patience=0.1).reply)])
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://relay") as http:
                return await http.get("/health")
        finally:
            await gateway.close()
            behind.close()

    found = asyncio.run(run())
    assert (found.status_code, found.json()["reason"]) == (503, "The upstream did not answer within 0.1 s.")


def test_a_relay_without_its_redis_says_so_and_lets_nobody_in(server: Edge, tmp_path: Path) -> None:
    with edge(tmp_path, server.server.gateway.settings.upstream, state="redis://127.0.0.1:1/0") as alone:
        url, headers = f"http://127.0.0.1:{alone.port}", {"x-api-key": alone.key}
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False) as http:
            found = http.get("/health")
            assert (found.status_code, found.json()["status"]) == (503, "error")
            assert found.json()["reason"] == "What the relay's workers share cannot be reached."
            refused = http.post(CHAT, json=question())
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.json()["error"]["code"] == "state_unreachable"


def test_who_has_to_wait_is_refused_before_his_question_is_priced(server: Edge, http: httpx.Client) -> None:
    """Here nobody knows a price, which would be said first."""
    gateway = server.server.gateway
    key = gateway.keys.add("waiting", concurrent=1, budget=Decimal(1))
    client = gateway.keys.holder(key.encode())
    assert client is not None
    asyncio.run(gateway.state.enter(client, "another call", Decimal(0)))
    refused = http.post(CHAT, json=question(), headers={"x-api-key": key})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")


def test_models_come_with_what_may_come_with_them(asking: Asking) -> None:
    secret = {"set-cookie": "a=b", "x-internal": "c", "server": "d", "x-request-id": "req_7"}
    (found,), _ = asking(lambda: listing(**secret), "/v1/models")
    assert (found.status_code, found.content) == (200, LIST)
    assert found.headers["x-request-id"] != "req_7"  # the list is for others too
    assert not {"set-cookie", "x-internal", "server"} & set(found.headers)


@pytest.mark.parametrize(
    ("reply", "code", "again"),
    [
        (too_large, "502 upstream_too_large", None),
        (lambda: Response("no", 403), "503 upstream_auth", "false"),
        (lambda: Response("<html>", media_type="text/html"), "502 upstream_kind", None),
        (lambda: Response("{}", headers={"content-encoding": "br"}), "502 upstream_encoding", None),
    ],
)
def test_models_that_do_not_come_are_one_clear_error(
    asking: Asking, reply: Callable[[], Response], code: str, again: str | None
) -> None:
    """To ask for them again costs nothing: that is of no use only where it comes to the same."""
    (found,), _ = asking(reply, "/v1/models")
    assert f"{found.status_code} {found.json()['error']['code']}" == code
    assert found.headers.get("x-should-retry") == again


def test_a_page_of_the_upstream_is_no_page_of_the_relay(asking: Asking) -> None:
    page = "<html><title>t</title><script>alert(1)</script><h1>502 Bad\nGateway</h1>"
    (found,), _ = asking(lambda: Response(page, 502, {"retry-after": "7"}, "text/html"), "/v1/models")
    assert (found.status_code, found.headers["retry-after"]) == (502, "7")
    assert (found.headers["content-type"], found.headers["x-content-type-options"]) == (
        "application/json",
        "nosniff",
    )
    assert found.json()["error"] == {
        "message": "The upstream answered 502: 502 Bad Gateway.",
        "type": "server_error", "param": None, "code": "upstream_502",
    }  # fmt: skip


def test_models_have_a_head(http: httpx.Client) -> None:
    whole, head = http.get("/v1/models"), http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
