"""The client over real servers: the simulated relay, and raw sockets for what that cannot do."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from loopback import END, FINISH, HELLO, SSE, Loopback, frame, hello_page, page, replies, say_hello

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.client import Screen, prompt_messages
from hs_notebook.errors import BadRequestError, SchemaError, StreamTruncatedError, UsageError
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.replay import Replay
from hs_notebook.types import ChatCompletion, ChatCompletionChunk, ChatRequest, Message
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loopback import Connection

    from hs_notebook.streams import AsyncStream, Stream

KEY = "cr_test_0123456789abcdef"
MODEL = "gpt-4.1"
SOON = 0.3  # seconds within which a connection must be closed
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedRelay]:
    """A simulated relay that does not wait between tokens."""
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


def settings(base_url: str, **more: Any) -> dict[str, Any]:
    return {"base_url": base_url, "requests_per_minute": 6000, "retry": RetryPolicy(attempts=1), **more}


def blocking(base_url: str, **more: Any) -> HolySheep:
    return HolySheep(KEY, **settings(base_url, **more))


def asynchronous(base_url: str, **more: Any) -> AsyncHolySheep:
    return AsyncHolySheep(KEY, **settings(base_url, **more))


def slow(tokens: int = 2000, tps: int = 100) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"[simulate tokens={tokens} ttft=1 tps={tps}]"}]


def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


# --- the surface ---------------------------------------------------------------------------------


def test_one_answer_in_every_way(shared: EmbeddedRelay) -> None:
    messages = [{"role": "user", "content": "[simulate tokens=300] the same prompt"}]
    prompt = messages[0]["content"]

    async def in_every_way() -> list[str]:
        async with asynchronous(shared.base_url) as client:
            create = client.chat.completions.create
            whole = await create(model=MODEL, messages=messages)
            streamed = [chunk async for chunk in await create(model=MODEL, messages=messages, stream=True)]
            asked = await client.ask(prompt, model=MODEL)
            unstreamed = await client.ask(prompt, model=MODEL, stream=False)
        return [whole.choices[0].message.content or "", text(streamed), asked, unstreamed]

    with blocking(shared.base_url) as client:
        create = client.chat.completions.create
        whole = create(model=MODEL, messages=[Message("user", prompt)])
        assert isinstance(whole, ChatCompletion)
        streamed = list(create(model=MODEL, messages=messages, stream=True))
        texts = [whole.choices[0].message.content, text(streamed), client.ask(prompt, model=MODEL)]
        texts.append(client.ask(prompt, model=MODEL, stream=False))
    assert len(texts[0] or "") > 300
    assert [*texts, *asyncio.run(in_every_way())] == [texts[0]] * 8


def test_the_last_frame_holds_the_usage(shared: EmbeddedRelay) -> None:
    with blocking(shared.base_url) as client:
        messages = [{"role": "user", "content": "[simulate tokens=42]"}]
        *others, last = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    assert last.usage is not None
    assert last.usage.completion_tokens == 42
    assert all(chunk.usage is None for chunk in others)


def test_an_answer_has_its_receipt(shared: EmbeddedRelay) -> None:
    with blocking(shared.base_url) as client:
        answer = client.ask("[simulate tokens=50 ttft=40 tps=1000 speed=1]", model=MODEL, system="Be brief.")
    assert (answer.state, answer.model, answer.receipt.simulated) == ("complete", MODEL, True)
    assert (answer.usage.completion_tokens, answer.usage.estimated, answer.cost) == (50, False, None)
    assert 0.035 < answer.ttft < answer.receipt.duration
    assert answer.receipt.tokens_per_second < 2000
    assert [turn["role"] for turn in answer.messages] == ["system", "user", "assistant"]


def test_models(shared: EmbeddedRelay) -> None:
    with blocking(shared.base_url) as client:
        assert MODEL in {model.id for model in client.models.list()}


@pytest.mark.parametrize("prompt", ["", " \n", None, 5])
def test_an_empty_prompt(prompt: Any) -> None:
    with pytest.raises(UsageError, match="prompt is empty"):
        prompt_messages(prompt)


def tool(**function: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f", **function}}]


@pytest.mark.parametrize(
    ("model", "messages", "params", "said"),
    [
        ("", HI, {}, "No model"),
        (MODEL, "hi", {}, "messages is a list"),
        (MODEL, {"role": "user", "content": "hi"}, {}, "messages is a list"),
        (MODEL, ["hi"], {}, "messages is a list"),
        (MODEL, [], {}, "messages is empty"),
        (MODEL, HI, {"temperature": math.nan}, "NaN"),
        (MODEL, HI, {"temperature": math.inf}, "NaN or infinite"),
        (MODEL, HI, {"stop": object()}, "cannot be sent as JSON"),
        (MODEL, [{"role": "user", "content": "half \ud83d"}], {}, "surrogate"),
        (MODEL, [{"role": "user", "content": [{"type": "text", "text": "half \udc4d"}]}], {}, "surrogate"),
        (MODEL, [{"role": "user", "content": "hi", "weight": math.nan}], {}, "NaN"),
        (f"{MODEL}\ud83d", HI, {}, "surrogate"),
        (MODEL, HI, {"stop": ["a", "\ud83d"]}, "surrogate"),
        (MODEL, HI, {"user": "\udc4d"}, "surrogate"),
        (MODEL, HI, {"metadata": {"half \ud83d": "x"}}, "surrogate"),
        (MODEL, HI, {"logit_bias": {"50256": -math.inf}}, "NaN or infinite"),
        (MODEL, HI, {"tools": tool(description="half \ud83d")}, "surrogate"),
        (MODEL, HI, {"tools": tool(parameters={"properties": {"x": {"default": math.nan}}})}, "NaN"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_cannot_be_sent_is_not_sent(
    model: str, messages: Any, params: dict[str, Any], said: str, stream: bool
) -> None:
    with Loopback(say_hello) as server, blocking(server.base_url) as client:
        with pytest.raises(UsageError, match=said):
            client.chat.completions.create(model=model, messages=messages, stream=stream, **params)
        assert server.accepted == 0


# --- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "name", "value"), [("bearer", "authorization", f"Bearer {KEY}"), ("x-api-key", "x-api-key", KEY)]
)
def test_the_key_goes_into_one_header(auth: Any, name: str, value: str) -> None:
    with Loopback(say_hello) as server, blocking(server.base_url, auth=auth) as client:
        client.ask("hi", model=MODEL)
    (request,) = server.requests
    assert [known for known, sent in request.headers if KEY in sent] == [name]
    assert request.header(name) == value
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert (request.header("accept-encoding"), request.header("content-type")) == (
        "identity",
        "application/json",
    )
    assert KEY.encode() not in request.body


def test_an_unknown_auth() -> None:
    with pytest.raises(UsageError, match="auth is 'bearer' or 'x-api-key', not 'basic'"):
        HolySheep(KEY, auth="basic")


def test_only_what_was_given_is_sent() -> None:
    with Loopback(say_hello) as server, blocking(server.base_url) as client:
        client.ask("hi", model=MODEL)
        client.ask("hi", model=MODEL, temperature=0.2, max_tokens=None, extra={"a": [1]})
    first, second = (request.json for request in server.requests)
    always = {"model": MODEL, "messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    assert first == always
    assert second == {**always, "temperature": 0.2, "extra": {"a": [1]}}


def test_only_what_was_given_is_sent_without_a_stream() -> None:
    whole = {"choices": [{"message": {"content": "hi"}}]}
    with (
        Loopback(replies(page("200 OK", json.dumps(whole).encode()))) as server,
        blocking(server.base_url) as client,
    ):
        client.chat.completions.create(model=MODEL, messages=HI)
    assert server.requests[0].json == {"model": MODEL, "messages": HI, "stream": False}


REFUSED = {"error": {"message": "Unknown field.", "param": "stream_options"}}


@pytest.mark.parametrize("said", [REFUSED, {"detail": "stream_options: extra fields not permitted"}])
def test_stream_options_refused(said: dict[str, Any]) -> None:
    refusal = page("400 Bad Request", json.dumps(said).encode())
    with Loopback(replies(refusal, hello_page())) as server, blocking(server.base_url) as client:
        answer = client.ask("hi", model=MODEL)
        assert (answer.text, answer.state, answer.usage.estimated) == ("Hello", "complete", True)
        assert client.ask("hi", model=MODEL) == "Hello"
        assert client.ask("hi", model="another") == "Hello"
    asked = [("stream_options" in request.json, request.json["model"]) for request in server.requests]
    assert asked == [(True, MODEL), (False, MODEL), (False, MODEL), (True, "another")]


def test_a_refused_stream_option_is_not_in_the_time_to_the_first_token() -> None:
    refusal = page("400 Bad Request", json.dumps(REFUSED).encode())

    def serve(connection: Connection, server: Loopback) -> None:
        while request := server.ask(connection):
            if "stream_options" in request.json:
                time.sleep(0.5)
                connection.send(refusal)
            else:
                connection.send(hello_page())

    with Loopback(serve) as server, blocking(server.base_url) as client:
        assert client.ask("hi", model=MODEL).receipt.duration < 0.4


def test_stream_options_refused_without_end() -> None:
    refusal = page("400 Bad Request", json.dumps(REFUSED).encode())
    with Loopback(replies(refusal)) as server, blocking(server.base_url) as client:
        with pytest.raises(BadRequestError, match="Unknown field"):
            client.ask("hi", model=MODEL)
        assert len(server.requests) == 2
        with pytest.raises(BadRequestError):  # the user's own: there is nothing to leave out
            client.ask("hi", model=MODEL, stream_options={"include_usage": False})
    assert [request.json["stream_options"]["include_usage"] for request in server.requests[::2]] == [
        True,
        False,
    ]


def test_a_stream_option_asked_again_counts_as_a_request() -> None:
    refusal = page("400 Bad Request", json.dumps(REFUSED).encode())
    with (
        Loopback(replies(refusal, hello_page())) as server,
        blocking(server.base_url, requests_per_minute=2) as client,
    ):
        client.ask("hi", model=MODEL)
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(client.asynchronous.ask("hi", model=MODEL), 0.2))
        assert len(server.requests) == 2


# --- connections ---------------------------------------------------------------------------------


def test_a_connection_is_used_again() -> None:
    with Loopback(say_hello) as server, blocking(server.base_url) as client:
        for _ in range(3):
            assert client.ask("hi", model=MODEL) == "Hello"
            assert (
                text(list(client.chat.completions.create(model=MODEL, messages=HI, stream=True))) == "Hello"
            )
    assert [request.connection for request in server.requests] == [1] * 6


def test_a_server_that_goes_on_after_done() -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        connection.send(SSE)
        connection.events(*HELLO)
        while True:
            connection.events(frame("more"))

    with Loopback(serve) as server, blocking(server.base_url) as client:
        started = time.monotonic()
        assert client.ask("hi", model=MODEL) == "Hello"
        assert client.ask("hi", model=MODEL) == "Hello"
        assert time.monotonic() - started < 2
    assert server.accepted == 2


def test_a_server_that_does_not_end_after_done() -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        server.ask(connection)
        connection.send(SSE)
        connection.events(*HELLO)
        server.wait_gone(connection)

    with Loopback(serve) as server, blocking(server.base_url) as client:
        started = time.monotonic()
        assert client.ask("hi", model=MODEL) == "Hello"
        assert server.gone.wait(1)
        assert server.gone_at - started < 0.5


def test_one_client_on_several_loops(shared: EmbeddedRelay) -> None:
    client = asynchronous(shared.base_url)
    answers = {asyncio.run(client.ask("[simulate tokens=20]", model=MODEL)) for _ in range(3)}
    assert len(answers) == 1


def test_streams_of_a_loop_that_is_gone_hold_no_place(shared: EmbeddedRelay) -> None:
    client = asynchronous(shared.base_url, concurrent_streams=2)

    async def begin_two() -> list[AsyncStream]:
        create = client.chat.completions.create
        return [await create(model=MODEL, messages=slow(), stream=True) for _ in range(2)]

    kept = asyncio.run(begin_two())
    assert len(kept) == 2
    asyncio.run(asyncio.wait_for(client.ask("[simulate tokens=20]", model=MODEL), 5))


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return result.stdout


FORK = """
import os, sys
from hs_notebook import HolySheep
client = HolySheep("cr_test_0123456789", base_url=sys.argv[1], concurrent_streams=1)
client.ask("before", model="m")
held = [{"role": "user", "content": "held"}]
stream = client.chat.completions.create(model="m", messages=held, stream=True)
child = os.fork()
if child == 0:
    os._exit(0 if client.ask("in the child", model="m") == "Hello" else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(list(stream)) == 3
client.ask("after", model="m")
"""


def test_a_forked_child_has_its_own_connections() -> None:
    child_done = threading.Event()

    def serve(connection: Connection, server: Loopback) -> None:
        while request := server.ask(connection):
            connection.send(SSE)
            connection.events(HELLO[0])
            if b"held" in request.body:
                child_done.wait(5)
            connection.events(*HELLO[1:])
            connection.send(END)
            if b"child" in request.body:
                child_done.set()

    with Loopback(serve) as server:
        run(FORK, server.base_url)
    connections = {request.json["messages"][0]["content"]: request.connection for request in server.requests}
    assert connections == {"before": 1, "held": 1, "in the child": 2, "after": 1}


LAZY = """
import gc, ssl, sys
from hs_notebook import HolySheep, HolySheepError
client = HolySheep("cr_test_0123456789", base_url=sys.argv[1])
assert "httpx" not in sys.modules, "httpx before the first call"
client.ask("hi", model="m")
assert "httpx" in sys.modules
client.ask("hi", model="m")
contexts = [thing for thing in gc.get_objects() if isinstance(thing, ssl.SSLContext)]
assert not contexts, contexts
try:
    HolySheep("cr_test_0123456789", base_url=sys.argv[2]).ask("hi", model="m")
except HolySheepError as error:
    print(error)
assert any(isinstance(thing, ssl.SSLContext) for thing in gc.get_objects()), "this test sees none at all"
"""


def speak_no_tls(connection: Connection, _server: Loopback) -> None:
    connection.socket.recv(1000)
    connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_plain_http_makes_no_tls_context_and_httpx_comes_with_the_first_call() -> None:
    with Loopback(say_hello) as server, Loopback(speak_no_tls) as other:
        said = run(LAZY, server.base_url, other.base_url.replace("http:", "https:"))
    assert said.startswith(
        f"127.0.0.1:{other.port} does not speak TLS with this machine: WRONG_VERSION_NUMBER."
    )
    assert other.accepted == 1  # a second try would be no better


# --- limits --------------------------------------------------------------------------------------


def test_five_at_a_time() -> None:
    with EmbeddedRelay() as relay:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, relay.stats.active_streams)
                await asyncio.sleep(0.002)

        async def ask_many() -> list[str]:
            client = asynchronous(relay.base_url)
            watching = asyncio.create_task(watch())
            prompt = "[simulate tokens=20 ttft=1 tps=200]"
            answers = await asyncio.gather(*(client.ask(prompt, model=MODEL) for _ in range(13)))
            watching.cancel()
            await client.close()
            return answers

        assert len(asyncio.run(ask_many())) == 13
    assert most == 5


class Notes(Screen):
    """A screen that writes down what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_so_many_a_minute(shared: EmbeddedRelay) -> None:
    notes = Notes()
    before = shared.stats.requests

    async def ask_four_times() -> None:
        client = asynchronous(shared.base_url, requests_per_minute=3)
        for _ in range(3):
            await client.ask("[simulate tokens=2]", model=MODEL)
        request = ChatRequest.of(MODEL, HI)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.exchange(request).read(notes), 0.2)

    asyncio.run(ask_four_times())
    assert shared.stats.requests - before == 3
    assert notes.notices == ["the limit of requests a minute is reached; sending in 60 s"]


def test_waiting_for_a_place_is_told(shared: EmbeddedRelay) -> None:
    notes = Notes()

    async def ask_beside_a_stream() -> None:
        client = asynchronous(shared.base_url, concurrent_streams=1)
        stream = await client.chat.completions.create(model=MODEL, messages=slow(), stream=True)
        request = ChatRequest.of(MODEL, HI)
        waiting = asyncio.create_task(client.exchange(request).read(notes))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await stream.close()
        assert await waiting is None

    asyncio.run(ask_beside_a_stream())
    assert notes.notices == [
        "waiting for another answer to end: the limit of concurrent streams is reached",
        "",
    ]


def places_taken(client: AsyncHolySheep) -> int:
    return client._calls._limiter.active


async def all_free(client: AsyncHolySheep, seconds: float = SOON) -> None:
    async with asyncio.timeout(seconds):
        while places_taken(client):  # noqa: ASYNC110 - it is seen from outside
            await asyncio.sleep(0.002)


async def read_all(stream: AsyncStream) -> None:
    async for _ in stream:
        pass


async def by_break(stream: AsyncStream) -> None:
    async for _ in stream:
        break


async def by_cancel(stream: AsyncStream) -> None:
    reading = asyncio.create_task(read_all(stream))
    await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.wait([reading])


async def by_close(stream: AsyncStream) -> None:
    await asyncio.gather(stream.close(), stream.close())
    await stream.close()


async def by_error(stream: AsyncStream) -> None:
    with suppress(ZeroDivisionError):
        async for _ in stream:
            1 / 0  # noqa: B018


async def by_dropping(_stream: AsyncStream) -> None:
    """Leave it to the garbage collector."""


@pytest.mark.parametrize("leave", [by_break, by_cancel, by_close, by_error, by_dropping])
@pytest.mark.parametrize("messages", [slow(), [{"role": "user", "content": "[simulate tokens=2]"}]])
def test_a_place_is_given_back(
    shared: EmbeddedRelay, leave: Callable[[AsyncStream], Any], messages: Any
) -> None:
    async def main() -> None:
        client = asynchronous(shared.base_url, concurrent_streams=1)
        for _ in range(3):
            await leave(await client.chat.completions.create(model=MODEL, messages=messages, stream=True))
            gc.collect()
            await all_free(client)
        await client.close()

    asyncio.run(main())


def test_a_call_cancelled_at_any_step_gives_its_place_back(relay: EmbeddedRelay) -> None:
    """Cancelled after ever more steps of the loop: while connecting, before and after the headers."""

    async def main() -> None:
        client = asynchronous(relay.base_url, concurrent_streams=1)
        for steps in [*range(40), *range(40, 400, 20)]:
            messages = [{"role": "user", "content": "[simulate tokens=3 ttft=3 tps=2000]"}]
            creating = asyncio.create_task(
                client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            creating.cancel()
            await asyncio.wait([creating])
            if not creating.cancelled():
                await creating.result().close()
            del creating
            await all_free(client, 1)
        assert await client.ask("[simulate tokens=3 ttft=1]", model=MODEL)
        await client.close()

    asyncio.run(main())
    until(lambda: relay.stats.active_streams == 0)


def test_a_call_cancelled_in_a_retry_s_wait_gives_its_place_back(shared: EmbeddedRelay) -> None:
    async def main() -> None:
        client = asynchronous(shared.base_url, retry=RetryPolicy(base=60, cap=60))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask("[simulate fault=429]", model=MODEL), 0.2)
        assert places_taken(client) == 0

    asyncio.run(main())


# --- leaving early -------------------------------------------------------------------------------


def cancelled_within(relay: EmbeddedRelay, started: float) -> float:
    until(lambda: relay.stats.cancelled, 2)
    assert relay.stats.last_cancelled_monotonic is not None
    return relay.stats.last_cancelled_monotonic - started


def leave_by_break(stream: Stream) -> float:
    for _ in stream:
        return time.monotonic()
    raise AssertionError("no chunk came")


def leave_by_close(stream: Stream) -> float:
    next(iter(stream))
    started = time.monotonic()
    stream.close()
    return started


def leave_by_with(stream: Stream) -> float:
    with stream:
        time.sleep(0.05)
        return time.monotonic()


def leave_by_error(stream: Stream) -> float:
    try:
        for _ in stream:
            1 / 0  # noqa: B018
    except ZeroDivisionError:
        pass
    return time.monotonic()


def leave_at_once(stream: Stream) -> float:
    stream.close()
    return time.monotonic()


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_by_close, leave_by_with, leave_by_error, leave_at_once]
)
def test_leaving_a_blocking_stream_closes_it(relay: EmbeddedRelay, leave: Callable[[Stream], float]) -> None:
    client = blocking(relay.base_url)
    stream = client.chat.completions.create(model=MODEL, messages=slow(), stream=True)
    left = leave(stream)
    assert cancelled_within(relay, left) < SOON
    assert list(stream) == []
    assert places_taken(client.asynchronous) == 0
    client.close()


@pytest.mark.parametrize("read", [0, 1])
def test_dropping_a_blocking_stream_closes_it(relay: EmbeddedRelay, read: int) -> None:
    client = blocking(relay.base_url)
    stream = client.chat.completions.create(model=MODEL, messages=slow(40_000, 10_000), stream=True)
    chunks = iter(stream)
    for _ in range(read):
        next(chunks)
    time.sleep(0.3)  # the loop is as far ahead as it may be, and waits for room
    left = time.monotonic()
    del stream, chunks
    assert cancelled_within(relay, left) < SOON
    until(lambda: places_taken(client.asynchronous) == 0, SOON)
    client.close()


def test_closing_from_another_thread_wakes_the_reader(relay: EmbeddedRelay) -> None:
    client = blocking(relay.base_url)
    stream = client.chat.completions.create(model=MODEL, messages=slow(2000, 2), stream=True)
    closer = threading.Timer(0.1, stream.close)
    closer.start()
    started = time.monotonic()
    list(stream)
    assert time.monotonic() - started < 1
    closer.join()
    client.close()


def test_an_async_break_and_a_cancel_close(relay: EmbeddedRelay) -> None:
    async def main() -> None:
        client = asynchronous(relay.base_url)
        for number, way in enumerate(("break", "cancel"), 1):
            stream = await client.chat.completions.create(model=MODEL, messages=slow(), stream=True)
            got = asyncio.Event()

            async def read(stream: Any = stream, way: str = way, got: asyncio.Event = got) -> None:
                async for _ in stream:
                    got.set()
                    if way == "break":
                        break

            reading = asyncio.create_task(read())
            await got.wait()
            left = time.monotonic()
            if way == "cancel":
                reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled() is (way == "cancel")
            await asyncio.sleep(0)
            while relay.stats.cancelled < number:
                assert time.monotonic() - left < SOON
                await asyncio.sleep(0.005)
            assert [chunk async for chunk in stream] == []
        await client.close()

    asyncio.run(main())


INTERRUPTED = """
import json, os, signal, sys, threading, time, urllib.request
from hs_notebook import HolySheep
base_url, how = sys.argv[1:]
client = HolySheep("cr_test_0123456789", base_url=base_url)
prompt = "[simulate tokens=2000 ttft=1 tps=50]"
def interrupt():
    while not json.load(urllib.request.urlopen(base_url + "/simulation/stats"))["active"]:
        time.sleep(0.05)
    time.sleep(0.2)
    print(time.monotonic(), flush=True)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    if how == "ask":
        client.ask(prompt, model="gpt-4.1")
    elif how == "whole":
        client.ask(prompt, model="gpt-4.1", stream=False)
    else:
        for chunk in client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": prompt}], stream=True):
            if how == "body":
                time.sleep(0.01)
except KeyboardInterrupt:
    time.sleep(0.5)
    os._exit(0)
"""  # noqa: E501


@pytest.mark.parametrize("how", ["ask", "whole", "stream", "body"])
def test_an_interrupt_closes_the_connection(relay: EmbeddedRelay, how: str) -> None:
    interrupted = float(run(INTERRUPTED, relay.base_url, how))
    assert cancelled_within(relay, interrupted) < SOON
    assert relay.stats.active_streams == 0


# --- a slow reader, a flood ----------------------------------------------------------------------


def test_a_slow_reader_holds_the_server_back() -> None:
    sent = 0

    def serve(connection: Connection, server: Loopback) -> None:
        nonlocal sent
        server.ask(connection)
        connection.send(SSE)
        data = f"data: {frame('x' * 100)}\n\n".encode()
        block = (b"%x\r\n%s\r\n" % (len(data), data)) * 100
        while sent < 400 * len(block):
            connection.send(block)
            sent += len(block)
        connection.events(FINISH, "[DONE]")
        connection.send(END)

    with Loopback(serve) as server, blocking(server.base_url) as client:
        stream = client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        chunks = iter(stream)
        next(chunks)
        before = -1
        while before != sent:
            before = sent
            time.sleep(0.2)
        assert sent < 300 * 100 * 200  # what the sockets hold, and what is read ahead: never all
        assert stream._ahead._unread + len(stream._ahead._gathered) < 4096
        assert sum(1 for _ in chunks) == 400 * 100


def test_a_burst_crosses_the_thread_in_few_batches() -> None:
    frames = "".join(f"data: {frame('x')}\n\n" for _ in range(400)) + f"data: {FINISH}\n\ndata: [DONE]\n\n"
    with (
        Loopback(replies(page("200 OK", frames.encode(), "text/event-stream"))) as server,
        blocking(server.base_url) as client,
    ):
        stream = client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        until(stream._ahead.task.done)
        assert stream._ahead.batches.qsize() < 10
        assert len(list(stream)) == 401


def test_text_before_a_break_is_delivered(shared: EmbeddedRelay) -> None:
    messages = [{"role": "user", "content": "[simulate tokens=40 fault=cut after=20]"}]
    chunks: list[ChatCompletionChunk] = []
    with blocking(shared.base_url) as client:
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        with pytest.raises(StreamTruncatedError):
            chunks.extend(stream)
    assert sum(bool(text([chunk])) for chunk in chunks) == 20


def test_a_schema_s_own_code_may_ask_with_the_same_client(shared: EmbeddedRelay) -> None:
    with blocking(shared.base_url) as client:

        class Doubled(pydantic.RootModel[int]):
            @pydantic.field_validator("root")
            @classmethod
            def asked(cls, number: int) -> int:
                return number * int(client.ask("[simulate text speed=inf]\n2", model="gpt-4.1"))

        said = client.ask("[simulate text speed=inf]\n21", model="gpt-4.1", schema=Doubled)
    assert said.parsed.root == 42


def test_what_does_not_fit_a_schema_is_not_kept(shared: EmbeddedRelay, tmp_path: Path) -> None:
    replay = Replay(tmp_path / "answers.jsonl")
    before = shared.stats.requests
    with blocking(shared.base_url, replay=replay) as client:
        for prompt, fits in (("no JSON", False), ("no JSON", False), ("21", True), ("21", True)):
            expected = nullcontext() if fits else pytest.raises(SchemaError)
            with expected:
                client.ask(f"[simulate text speed=inf]\n{prompt}", model="gpt-4.1", schema=Whole, max_cost=1)
    assert shared.stats.requests - before == 3
    assert len(replay.file) == 1


class Whole(pydantic.RootModel[int]):
    """A whole number."""


@pytest.mark.parametrize("name", ["messages", "stream", "model"])
def test_no_parameter_takes_the_place_of_the_question(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is no parameter"):
        ChatRequest.of("m", [{"role": "user", "content": "hi"}], {name: "x"})


def test_two_calls_at_once_from_two_threads(shared: EmbeddedRelay) -> None:
    client = blocking(shared.base_url)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.ask("[simulate tokens=100]", model=MODEL)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(answers) == 8
    assert len(set(answers)) == 1
    client.close()


def test_a_stream_that_is_collected_while_it_waits_for_its_reader_is_closed(
    relay: EmbeddedRelay, caplog: pytest.LogCaptureFixture
) -> None:
    def drop_one_in_a_circle() -> None:
        asked = [{"role": "user", "content": "[simulate tokens=200000 speed=inf]"}]
        stream = blocking(relay.base_url).chat.completions.create(model=MODEL, messages=asked, stream=True)
        until(lambda: stream._ahead._unread)
        stream.circle = stream  # as a traceback's frames make one: only the collector ends it

    drop_one_in_a_circle()
    # On a busy machine the reading loop may be in the middle of handing over when it is first collected.
    until(lambda: gc.collect() is not None and relay.stats.cancelled == 1)
    assert "destroyed" not in caplog.text
