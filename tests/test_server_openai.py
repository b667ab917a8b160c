"""The real `openai` package and our own client on the relay server, with nothing but its base URL and key."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import openai
import pytest
from edge import Edge, edge, within

from hs_notebook import HolySheep
from hs_notebook.relay.keys import KeyFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from hs_notebook.relay import EmbeddedRelay

PATIENCE = 30.0
RESUMABLE = {"X-Stream-Resume": "1"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TEXT = "Streams end; naïve ones 🐑 break."


@pytest.fixture(scope="module")
def server(upstream: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("openai"), upstream.base_url) as running:
        yield running


class Sync:
    """Asks with `openai.OpenAI`."""

    def __init__(self, base_url: str, key: str, **settings: Any) -> None:
        self._settings = {"base_url": base_url, "api_key": key, "timeout": PATIENCE, **settings}

    def run(self, ask: Callable[[Any], Any]) -> Any:
        with openai.OpenAI(**self._settings) as client:
            return ask(client)

    def whole(self, **fields: Any) -> ChatCompletion:
        return self.run(lambda client: client.chat.completions.create(**fields))

    def chunks(self, **fields: Any) -> list[ChatCompletionChunk]:
        return self.run(lambda client: list(client.chat.completions.create(stream=True, **fields)))

    def models(self) -> list[str]:
        return self.run(lambda client: [model.id for model in client.models.list()])


class Async(Sync):
    """Asks with `openai.AsyncOpenAI`."""

    def run(self, ask: Callable[[Any], Any]) -> Any:
        async def asking() -> Any:
            async with openai.AsyncOpenAI(**self._settings) as client:
                return await ask(client)

        return asyncio.run(asking())

    def chunks(self, **fields: Any) -> list[ChatCompletionChunk]:
        async def read(client: openai.AsyncOpenAI) -> list[ChatCompletionChunk]:
            stream = await client.chat.completions.create(stream=True, **fields)
            return [chunk async for chunk in stream]

        return self.run(read)

    def models(self) -> list[str]:
        async def read(client: openai.AsyncOpenAI) -> list[str]:
            return [model.id async for model in client.models.list()]

        return self.run(read)


@pytest.fixture(params=[Sync, Async])
def kind(request: pytest.FixtureRequest) -> type[Sync]:
    return request.param


@pytest.fixture(params=[(Sync, {}), (Async, RESUMABLE)], ids=["plain", "resumable"])
def client(request: pytest.FixtureRequest, server: Edge) -> Sync:
    kind, headers = request.param
    return kind(server.server.base_url, server.key, default_headers=headers)


def question(prompt: str, model: str = "gpt-4.1", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_an_answer_streams(client: Sync) -> None:
    chunks = client.chunks(**question(f"[simulate text]{TEXT}", stream_options={"include_usage": True}))
    assert text_of(chunks) == TEXT
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.completion_tokens > 5


def test_an_answer_comes_whole(client: Sync) -> None:
    answer = client.whole(**question(f"[simulate text]{TEXT}"))
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_tool_is_asked_for(client: Sync) -> None:
    asked = question('[simulate tool=weather arguments={"city":"Łódź"}] How warm is it?', tools=[TOOL])
    (call,) = client.whole(**asked).choices[0].message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Łódź"}')
    deltas = [
        part
        for chunk in client.chunks(**asked)
        for choice in chunk.choices
        for part in choice.delta.tool_calls or []
    ]
    assert "".join(part.function.arguments or "" for part in deltas if part.function) == '{"city":"Łódź"}'
    assert [part.function.name for part in deltas if part.function and part.function.name] == ["weather"]
    answered = [
        {"role": "assistant", "tool_calls": [call.to_dict()]},
        {"role": "tool", "tool_call_id": call.id, "content": "12 °C"},
    ]
    follow = {**asked, "messages": [*asked["messages"], *answered]}
    assert client.whole(**follow).choices[0].finish_reason == "stop"


def test_models_are_listed(client: Sync) -> None:
    assert "deepseek-v3.2" in client.models()


@pytest.mark.parametrize(
    ("prompt", "model", "error", "status", "code"),
    [
        ("[simulate fault=400]", "gpt-4.1", openai.BadRequestError, 400, "bad_request"),
        ("[simulate fault=402]", "gpt-4.1", openai.APIStatusError, 402, "insufficient_balance"),
        ("", "gpt-5000", openai.NotFoundError, 404, "model_not_found"),
        ("", " ", openai.BadRequestError, 400, "bad_request"),
        ("x" * 2_100_000, "gpt-4.1", openai.APIStatusError, 413, "request_too_large"),
        ("[simulate fault=401]", "gpt-4.1", openai.InternalServerError, 503, "upstream_auth"),
    ],
)
def test_errors_are_its_own(  # noqa: PLR0917
    client: Sync, prompt: str, model: str, error: type[openai.APIStatusError], status: int, code: str
) -> None:
    client._settings["max_retries"] = 0
    for ask in (client.whole, client.chunks):
        with pytest.raises(error) as raised:
            ask(**question(prompt, model))
        assert (raised.value.status_code, raised.value.code) == (status, code)


def test_a_wrong_key_is_an_authentication_error(kind: type[Sync], server: Edge) -> None:
    client = kind(server.server.base_url, "sk-hs-unknown")
    for ask in (client.whole, client.chunks):
        with pytest.raises(openai.AuthenticationError) as raised:
            ask(**question("Why?"))
        assert raised.value.code == "INVALID_KEY"


def given(server: Edge, name: str, **limits: Any) -> str:
    """Give out one more key."""
    return KeyFile(server.server.gateway.settings.keys).add(name, **limits)


def test_a_budget_that_is_used_up_is_told(kind: type[Sync], server: Edge) -> None:
    # Nobody knows a price at the upstream of this test, so a budget cannot be kept: nothing is let in.
    client = kind(server.server.base_url, given(server, f"poor{kind.__name__}", budget=Decimal("0.01")))
    with pytest.raises(openai.APIStatusError) as raised:
        client.whole(**question("Why?"))
    assert (raised.value.status_code, raised.value.code) == (402, "BUDGET_EXCEEDED")


def test_a_rate_limit_is_told_with_when_to_come_back(kind: type[Sync], server: Edge) -> None:
    client = kind(server.server.base_url, given(server, f"hasty{kind.__name__}", per_minute=1), max_retries=0)
    client.whole(**question("[simulate tokens=1]"))
    with pytest.raises(openai.RateLimitError) as raised:
        client.whole(**question("[simulate tokens=1]"))
    assert raised.value.code == "rate_limit_exceeded"
    assert 30 < int(raised.value.response.headers["retry-after"]) <= 60


def test_it_comes_back_when_it_was_told_to(server: Edge) -> None:
    key = given(server, "busy", concurrent=1)
    url = f"{server.server.base_url}/chat/completions"
    with httpx.Client(headers={"x-api-key": key}, timeout=PATIENCE, trust_env=False) as http:
        running = http.send(
            http.build_request("POST", url, json=question("[simulate fault=stall]", stream=True)), stream=True
        )

        def leave(reply: httpx.Response) -> None:
            statuses.append(reply.status_code)
            running.close()

        statuses: list[int] = []
        refused = httpx.Client(event_hooks={"response": [leave]}, trust_env=False)
        client = Sync(server.server.base_url, key, max_retries=5, http_client=refused)
        began = time.monotonic()
        answer = client.whole(**question(f"[simulate text]{TEXT}"))
        assert answer.choices[0].message.content == TEXT
        assert time.monotonic() - began >= 0.9  # Retry-After is one second
        assert statuses[0] == 429


def test_an_upstream_that_is_overloaded_is_tried_again(client: Sync) -> None:
    words = uuid4().hex  # each prompt fails only once
    prompt = f"[simulate fault=503-once text] {words}"
    answer = client.run(lambda it: it.chat.completions.with_raw_response.create(**question(prompt)))
    assert answer.retries_taken == 1
    assert answer.parse().choices[0].message.content.strip() == words


def test_a_stream_that_breaks_off_is_not_taken_for_whole(kind: type[Sync], server: Edge) -> None:
    prompt = "[simulate tokens=30 fault=cut after=7]"
    plain = kind(server.server.base_url, server.key)
    with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
        plain.chunks(**question(prompt))
    resumable = kind(server.server.base_url, server.key, default_headers=RESUMABLE)
    chunks = resumable.chunks(**question(prompt))  # the relay has no more: that is no broken connection
    assert text_of(chunks)
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} == {None}


def test_who_stops_reading_cancels_the_upstream(upstream: EmbeddedRelay, server: Edge) -> None:
    before = upstream.stats.cancelled
    with (
        openai.OpenAI(base_url=server.server.base_url, api_key=server.key, timeout=PATIENCE) as client,
        client.chat.completions.create(stream=True, **question("[simulate fault=stall]")) as stream,
    ):
        next(iter(stream))
    assert within(PATIENCE, lambda: upstream.stats.cancelled > before)


def test_our_own_client_is_served_alike(server: Edge) -> None:
    client = HolySheep(server.key, base_url=server.server.base_url)
    answer = client.ask(f"[simulate text]{TEXT}", model="gpt-4.1")
    assert (answer.text, answer.state) == (TEXT, "complete")
    assert answer.receipt.simulated
    whole = client.ask(f"[simulate text]{TEXT}", model="gpt-4.1", stream=False)
    assert (whole.text, whole.state) == (TEXT, "complete")
    assert client.ask("[simulate tokens=9 fault=503-once]", model="gpt-4.1").state == "complete"
    assert "gpt-4.1" in {model.id for model in client.models.list()}
