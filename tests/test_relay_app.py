"""The routes of the simulated relay, asked over HTTP: who is let in, what is refused, and in which words."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hs_notebook.relay import EmbeddedRelay, Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = {"authorization": "Bearer any"}
CHAT = "/chat/completions"


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


@pytest.fixture(scope="module")
def client(relay: EmbeddedRelay) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False) as running:
        yield running


def question(text: Any = "Why?", model: str = "gpt-4.1", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def error(reply: httpx.Response) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/json"
    content = reply.json()["error"]
    assert set(content) == {"message", "type", "param", "code"}
    return content


def test_models_are_listed_as_openai_lists_them(client: httpx.Client) -> None:
    reply = client.get("/models").json()
    assert reply["object"] == "list"
    assert {"gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"} <= {
        m["id"] for m in reply["data"]
    }
    for model in reply["data"]:
        assert set(model) == {"id", "object", "created", "owned_by", "system_fingerprint"}
        assert model["object"] == "model"


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer k"}, {"authorization": "bearer k"}, {"x-api-key": "k"}]
)
@pytest.mark.parametrize("path", ["/models", CHAT])
def test_any_key_is_accepted_in_either_header(
    relay: EmbeddedRelay, path: str, headers: dict[str, str]
) -> None:
    body = question("[simulate tokens=1]") if path == CHAT else None
    reply = httpx.request(
        "POST" if body else "GET", relay.base_url + path, json=body, headers=headers, trust_env=False
    )
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer"}, {"authorization": "Basic eDp5"}, {"x-api-key": ""}]
)
@pytest.mark.parametrize("path", ["/models", CHAT])
def test_no_key_is_refused(relay: EmbeddedRelay, path: str, headers: dict[str, str]) -> None:
    body = question() if path == CHAT else None
    reply = httpx.request(
        "POST" if body else "GET", relay.base_url + path, json=body, headers=headers, trust_env=False
    )
    assert reply.status_code == 401
    assert error(reply)["code"] == "MISSING_AUTH"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4.5"),
        ("claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("claude-opus-4.6", "claude-opus-4-6"),
        ("GPT-4.1", "gpt-4.1"),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
    ],
)
def test_dots_dashes_and_capitals_name_the_same_model(
    client: httpx.Client, asked: str, answered: str
) -> None:
    assert client.post(CHAT, json=question(model=asked)).json()["model"] == answered


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("gpt4.1", "gpt-4.1"),
        ("claude-sonet-4.5", "claude-sonnet-4.5"),
        ("deepseek-v3", "deepseek-v3.2"),
        ("qq", "gpt-4.1"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_model_is_answered_with_the_nearest(
    client: httpx.Client, asked: str, hint: str, stream: bool
) -> None:
    reply = client.post(CHAT, json=question(model=asked, stream=stream))
    assert reply.status_code == 404
    problem = error(reply)
    assert (problem["code"], problem["param"]) == ("model_not_found", "model")
    assert problem["type"] == "invalid_request_error"
    assert asked in problem["message"]
    assert hint in problem["message"].split("Did you mean")[1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"model": NaN}', "not valid JSON"),
        (b'{"model": "\\ud800", "messages": []}', "not valid JSON"),
        (b'{"a":' + b"[" * 100_000, "not valid JSON"),
        (b"[]", "Expected `object`"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "`model`"),
        (b'{"model": "", "messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": "gpt-4.1"}', "`messages`"),
        (b'{"model": "gpt-4.1", "messages": []}', "messages"),
        (b'{"model": "gpt-4.1", "messages": ["x"]}', "messages[0]"),
        (b'{"model": "gpt-4.1", "messages": [{"role": "user", "content": 3}]}', "messages[0].content"),
        (b'{"model": "gpt-4.1", "messages": [{"role": "user"}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "gpt-4.1", "messages": [{"role": "user"}], "stream": "yes"}', "stream"),
    ],
)
def test_a_body_that_cannot_be_meant_gets_one_clear_message(
    client: httpx.Client, body: bytes, said: str
) -> None:
    reply = client.post(CHAT, content=body)
    assert reply.status_code == 400
    assert said in error(reply)["message"]
    assert "\n" not in error(reply)["message"]


@pytest.mark.parametrize(
    "prompt",
    [
        "[simulate tokns=5]",
        "[simulate tokens=-1]",
        "[simulate tokens=x]",
        "[simulate tokens=1000001]",
        "[simulate speed=0]",
        "[simulate speed=nan]",
        "[simulate ttft=inf]",
        "[simulate fault=nope]",
        "[simulate text tokens=3]",
    ],
)
def test_a_mistyped_directive_is_no_silent_success(client: httpx.Client, prompt: str) -> None:
    assert client.post(CHAT, json=question(prompt)).status_code == 400


@pytest.mark.parametrize(
    "prompt", ["[simulate a dice roll]", "[simulate]", "[simulated tokens=3]", "[simulate textual]"]
)
def test_other_brackets_are_text(client: httpx.Client, prompt: str) -> None:
    reply = client.post(CHAT, json=question(prompt)).json()
    assert reply["usage"]["completion_tokens"] > 100


def test_a_body_of_two_megabytes_is_the_limit(client: httpx.Client) -> None:
    frame = len(json.dumps(question("")))
    fits = json.dumps(question("x" * (2 * 1024 * 1024 - frame))).encode()
    assert len(fits) == 2 * 1024 * 1024
    assert client.post(CHAT, content=fits).status_code == 200
    reply = client.post(CHAT, content=fits + b" ")
    assert reply.status_code == 413
    assert error(reply)["code"] == "request_too_large"
    pieces = (b"x" * 65_536 for _ in range(64))  # no content-length to judge by
    assert client.post(CHAT, content=pieces).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/models/", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/models", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_path_or_method_is_told_in_json(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    reply = client.request(method, path)
    assert (reply.status_code, error(reply)["code"]) == (status, code)
    assert ("allow" in reply.headers) == (status == 405)


def test_a_web_page_gets_no_leave_to_call(client: httpx.Client) -> None:
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for reply in (client.options(CHAT, headers=asks), client.get("/models", headers=asks)):
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_what_a_client_sent_can_be_seen_but_not_its_key(relay: EmbeddedRelay, client: httpx.Client) -> None:
    client.post(CHAT, json=question("seen", temperature=0.5), headers={"x-api-key": "canary-key"})
    seen = relay.stats.seen[-1]
    assert json.loads(seen.body) == question("seen", temperature=0.5)
    assert (seen.model, seen.stream) == ("gpt-4.1", False)
    assert seen.headers["accept"] == "*/*"
    assert "canary-key" not in repr(seen)
    assert "Bearer" not in repr(seen)


def test_the_statistics_count_and_hold_no_prompt(client: httpx.Client) -> None:
    before = client.get("/simulation/stats").json()
    client.post(CHAT, json=question("canary [simulate tokens=7]", stream=True))
    deadline = time.monotonic() + 1  # the client may see the end before the relay has noted it
    while (after := client.get("/simulation/stats").json())["active"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert after["requests"] == before["requests"] + 1
    assert after["completed"] == before["completed"] + 1
    assert (after["active"], after["tokens_sent"]) == (0, 7)
    assert after["first_token_epoch"] <= after["last_token_epoch"]
    assert "canary" not in str(after)
