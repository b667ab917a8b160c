"""What goes wrong beside the table of `chaos`: waits that are told, proxies, servers that repeat the key."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import socket
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from loopback import END, FINISH, HELLO, SSE, Loopback, hello_page, page, replies, say_hello

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.answers import Answer
from hs_notebook.client import Screen
from hs_notebook.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    EmptyAnswerError,
    HolySheepError,
    InsufficientBalanceError,
    InternalServerError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.ledger import Ledger
from hs_notebook.net.transport import Timeouts
from hs_notebook.prices import load_book
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.streams import AsyncStream
from hs_notebook.types import ChatRequest
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loopback import Connection

KEY = "cr_test_0123456789abcdef"
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(base=0.01, cap=0.01)
IMPATIENT = Timeouts(connect=5, idle=0.15, total=0.5)


def outcome(
    base_url: str, prompt: str = "hi", *, stream: bool = True, **settings: Any
) -> Answer | HolySheepError:
    """What a question comes to. Blocking and async go the same way, so either will do."""

    async def ask() -> Answer:
        async with AsyncHolySheep(KEY, base_url=base_url, **{"retry": ONCE, **settings}) as client:
            return await client.ask(prompt, model="gpt-4.1", stream=stream)

    try:
        return asyncio.run(ask())
    except HolySheepError as caught:
        error = caught
    assert len(str(error).splitlines()) == 1, str(error)
    assert KEY not in str(error) + repr(error) + repr(vars(error))
    return error


def failed(result: Answer | HolySheepError, kind: type[HolySheepError], *said: str) -> None:
    assert type(result) is kind, repr(result)
    for words in said:
        assert words in str(result), str(result)


def kept(result: Answer | HolySheepError, state: str, text: str, note: str = "") -> None:
    assert isinstance(result, Answer), repr(result)
    assert (result.state, result.text) == (state, text)
    assert note in result.receipt.note
    assert bool(result.receipt.note) is bool(note)


# --- what the simulated relay can do -------------------------------------------------------------


@pytest.fixture(scope="module")
def quick() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


ENDS = {
    "400": (BadRequestError, "400: The request cannot be meant."),
    "401": (AuthenticationError, "401: Incorrect API key", "The key came from api_key", "balance"),
    "402": (InsufficientBalanceError, "402:", "Check the balance"),
    "403": (AuthenticationError, "403:", "The key came from api_key"),
    "429": (RateLimitError, "429:"),
    "500": (InternalServerError, "500:"),
    "503": (InternalServerError, "503:"),
    "html": (ProtocolError, "answered with text/html", "Welcome", "Check the base URL"),
    "html502": (InternalServerError, "502: Bad gateway This page comes from a simulated proxy"),
    "redirect": (APIStatusError, "307:", "Redirects are never followed; check the base URL http://127.0.0.1"),
    "empty": (EmptyAnswerError, "empty"),
    "doneonly": (EmptyAnswerError, "empty"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ENDS)
def test_nothing_to_keep(quick: EmbeddedRelay, fault: str, *, stream: bool) -> None:
    kind, *said = ENDS[fault]
    failed(outcome(quick.base_url, f"[simulate fault={fault}]", stream=stream), kind, *said)


@pytest.mark.parametrize(
    ("fault", "state", "note", "estimated"),
    [
        ("cut", "truncated", "broke off", True),
        ("nodone", "complete", "no [DONE]", False),
        ("nousage", "complete", "", True),
        ("wholejson", "complete", "", False),
        ("badjson", "error", "no JSON", True),
        ("errorframe", "error", "The simulated model broke off", True),
    ],
)
def test_something_to_keep(
    quick: EmbeddedRelay, fault: str, state: str, note: str, *, estimated: bool
) -> None:
    whole = outcome(quick.base_url, "[simulate tokens=12]")
    assert isinstance(whole, Answer)
    result = outcome(quick.base_url, f"[simulate tokens=12 fault={fault}]")
    if isinstance(result, HolySheepError):
        assert state == "error"
        result = result.answer
    kept(result, state, result if state != "complete" else whole.text, note)
    assert whole.text.startswith(result)
    assert len(result) > 0
    assert result.usage.estimated is estimated


@pytest.mark.parametrize("fault", ["responses", "sse_for_nonstream"])
def test_other_dialects(quick: EmbeddedRelay, fault: str) -> None:
    whole = outcome(quick.base_url, "[simulate tokens=12]")
    result = outcome(quick.base_url, f"[simulate tokens=12 fault={fault}]", stream=fault == "responses")
    assert isinstance(result, Answer)
    assert (result.text, result.state) == (whole, "complete")


def test_a_stall_in_mid_stream(quick: EmbeddedRelay) -> None:
    result = outcome(quick.base_url, "[simulate tokens=12 fault=stall]", timeouts=IMPATIENT)
    assert isinstance(result, Answer)
    assert result.text
    kept(result, "truncated", result.text, "was silent for 0.15 s")


# --- trying again --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "503", "html502"])
def test_tried_again_until_it_works(quick: EmbeddedRelay, fault: str) -> None:
    before = quick.stats.requests
    result = outcome(quick.base_url, f"[simulate tokens=3 fault={fault}-once] {fault}", retry=QUICK)
    assert isinstance(result, Answer)
    assert quick.stats.requests - before == 2


def test_tried_five_times(quick: EmbeddedRelay) -> None:
    before = quick.stats.requests
    failed(outcome(quick.base_url, "[simulate fault=503]", retry=QUICK), InternalServerError, "Tried 5 times")
    assert quick.stats.requests - before == 5


@pytest.mark.parametrize("fault", ["400", "401", "402", "403", "html", "redirect", "empty", "cut", "badjson"])
def test_tried_but_once(quick: EmbeddedRelay, fault: str) -> None:
    before = quick.stats.requests
    outcome(quick.base_url, f"[simulate tokens=9 fault={fault}]", retry=QUICK)
    assert quick.stats.requests - before == 1


class Notes(Screen):
    def __init__(self) -> None:
        self.said: list[str] = []

    def sending(self) -> None:
        self.said.append("sending")

    def notice(self, text: str) -> None:
        self.said.append(text)


def test_the_wait_is_told(quick: EmbeddedRelay) -> None:
    notes = Notes()

    async def ask() -> None:
        async with AsyncHolySheep(KEY, base_url=quick.base_url, retry=QUICK) as client:
            request = ChatRequest.of(
                "gpt-4.1", [{"role": "user", "content": "[simulate tokens=3 fault=503-once] x"}]
            )
            assert await client.exchange(request).read(notes) is None

    asyncio.run(ask())
    first, notice, last, second = notes.said
    assert notice == "503: The model is overloaded. (simulated); trying again in 0 s (2 of 5)"
    assert (first, last, second) == ("sending", "", "sending")


# --- the connection ------------------------------------------------------------------------------


def once(serve: Callable[[Connection], None]) -> Callable[[Connection, Loopback], None]:
    """Read one request, then do this."""

    def run(connection: Connection, server: Loopback) -> None:
        if server.ask(connection):
            serve(connection)

    return run


def after_hello(connection: Connection) -> None:
    connection.send(SSE)
    connection.events(*HELLO[:2])


def silent(connection: Connection) -> None:
    connection.gone()


def stall(connection: Connection) -> None:
    after_hello(connection)
    connection.gone()


def test_a_total_that_is_shorter_than_the_idle_time() -> None:
    with Loopback(once(silent)) as server:
        started = time.monotonic()
        result = outcome(server.base_url, timeouts=Timeouts(idle=30, total=0.2))
        assert time.monotonic() - started < 2
    failed(result, APITimeoutError, "was silent for 0.2 s")


def test_a_reader_may_take_his_time() -> None:
    """The idle time counts what the server is silent, not what the reader thinks."""

    def serve(connection: Connection) -> None:
        after_hello(connection)
        connection.events(*HELLO[2:])
        connection.send(END)

    async def read() -> list[str | None]:
        client = AsyncHolySheep(KEY, base_url=server.base_url, timeouts=Timeouts(idle=0.15))
        messages = [{"role": "user", "content": "hi"}]
        texts = []
        async for chunk in await client.chat.completions.create(model="m", messages=messages, stream=True):
            await asyncio.sleep(0.25)
            texts.append(chunk.choices[0].delta.content)
        await client.close()
        return texts

    with Loopback(once(serve)) as server:
        assert asyncio.run(read()) == ["Hel", "lo", None]


def test_an_idle_time_out_is_not_taken_for_the_user_s_cancel_nor_the_other_way_round() -> None:
    async def read() -> None:
        client = AsyncHolySheep(KEY, base_url=server.base_url, retry=ONCE, timeouts=Timeouts(idle=0.2))
        messages = [{"role": "user", "content": "hi"}]

        async def consume() -> None:
            async for _ in await client.chat.completions.create(model="m", messages=messages, stream=True):
                pass

        with pytest.raises(StreamTruncatedError):
            await consume()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await consume()
        # A cancel that was asked for at the same moment as the time-out wins.
        both = asyncio.create_task(consume())
        asyncio.get_running_loop().call_later(0.19, _busy, 0.05)
        asyncio.get_running_loop().call_later(0.2, both.cancel)
        await asyncio.wait([both])
        assert both.cancelled() or isinstance(both.exception(), StreamTruncatedError)
        # After a cancel that was swallowed, a time-out is still one.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        with pytest.raises(StreamTruncatedError):
            await consume()
        assert task.cancelling() == 1
        task.uncancel()
        await client.close()

    with Loopback(once(stall)) as server:
        asyncio.run(read())


def _busy(seconds: float) -> None:
    time.sleep(seconds)  # the loop is late: both are due when it looks again


# --- other replies -------------------------------------------------------------------------------


def test_a_redirect_is_not_followed_and_the_key_stays_home() -> None:
    with (
        Loopback(replies(hello_page())) as elsewhere,
        Loopback(replies(page("302 Found", b"", "text/html", f"location: {elsewhere.base_url}"))) as server,
    ):
        result = outcome(server.base_url, retry=QUICK)
        assert elsewhere.accepted == 0
        assert len(server.requests) == 1
    failed(result, APIStatusError, "302: Found.", "Redirects are never followed", server.base_url)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "rot13"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_encoding(encoding: str, *, stream: bool) -> None:
    reply = page("200 OK", b"\x0b\x02\x80", "text/event-stream", f"content-encoding: {encoding}")
    with Loopback(replies(reply)) as server:
        result = outcome(server.base_url, stream=stream)
    failed(result, ProtocolError, f"has the encoding {encoding}, which was not asked for")


HTML = (
    b"<!doctype html><title>x</title><style>p{}</style><script>alert(1)</script><!-- y -->"
    b"<p>Bad &amp; <b>worse</b>"
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        ("500 Oops", HTML, InternalServerError, "500: Bad & worse."),
        ("502 Bad", b"x" * 5000, InternalServerError, "502: " + "x" * 200 + "…"),
        ("503 Busy", b"", InternalServerError, "503: Service Unavailable."),
        ("520 ", b"", InternalServerError, "520: no reason given."),
        ("500 Oops", b"a < b,\n c > d", InternalServerError, "500: a < b, c > d."),
        ("500 Oops", b"\xff\xfe", InternalServerError, "500: \ufffd\ufffd."),
        ("404 No", b'{"error": {"message": "No such model."}}', NotFoundError, "404: No such model."),
        ("422 No", b'{"detail": [{"msg": "field required"}]}', BadRequestError, "field required"),
        ("413 No", b'{"message": "Too\\n long"}', BadRequestError, "413: Too long."),
        ("400 No", json.dumps({"error": "y" * 9000}).encode(), BadRequestError, "400: " + "y" * 495 + "…"),
        ("403 No", b'{"error": "Insufficient credit"}', InsufficientBalanceError, "Check the balance"),
        ("403 No", b'{"error": "Insufficient permissions"}', AuthenticationError, "The key came from"),
        ("403 No", b'{"error": "Your quota is used up."}', InsufficientBalanceError, "Check the balance"),
        ("501 No", b'{"error": {"code": "billing_service_unavailable"}}', InternalServerError, "501: "),
        ("403 No", b'{"code": "insufficient_user_quota"}', InsufficientBalanceError, "Check the balance"),
        (
            "429 No",
            b'{"error": {"type": "insufficient_quota"}}',
            InsufficientBalanceError,
            "Check the balance",
        ),
        (
            "429 No",
            b'{"error": "Insufficient balance \xff"}',
            InsufficientBalanceError,
            "429: Insufficient balance \ufffd.",
        ),
        ("429 No", '{"error": "账户余额不足"}'.encode(), InsufficientBalanceError, "Check the balance"),
        ("429 No", b'{"error": "Too many requests; the balance is fine"}', RateLimitError, "429"),
        ("400 No", b'{"error": "No function \'balance\' is known"}', BadRequestError, "400"),
        ("429 No", b'{"code": "load_balancer_busy", "message": "No."}', RateLimitError, "429"),
        ("400 No", b'{"error": "The context length is exceeded"}', BadRequestError, "400"),
        ("405 No", b'{"error": {}}', APIStatusError, "405: unnamed error."),
    ],
)
def test_error_pages(status: str, body: bytes, kind: type[HolySheepError], said: str) -> None:
    with Loopback(replies(page(status, body))) as server:
        failed(outcome(server.base_url), kind, said)


@pytest.mark.parametrize(
    "junk", [b"<", b"<!--", b"<script", b"<script>", b"<a ", b"</script ", b"&amp", b"\n"]
)
def test_an_error_page_of_junk_takes_no_time(junk: bytes) -> None:
    with Loopback(replies(page("500 Oops", junk * (300_000 // len(junk))))) as server:
        started = time.process_time()
        failed(outcome(server.base_url), InternalServerError, "500: ")
        assert time.process_time() - started < 1


def sse(*frames: str) -> bytes:
    return page("200 OK", "".join(f"data: {one}\n\n" for one in frames).encode(), "text/event-stream")


def short(body: bytes) -> bytes:
    return page("200 OK", body).replace(b"content-length: ", b"content-length: 9")


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_reply_that_breaks_off_is_not_asked_for_again(*, stream: bool) -> None:
    def serve(connection: Connection) -> None:
        connection.send(short(b'{"choices": [{"message": {"content": "he'))

    with Loopback(once(serve)) as server:
        result = outcome(server.base_url, stream=stream, retry=QUICK)
        assert len(server.requests) == 1
    failed(result, StreamTruncatedError, "The reply broke off", "broke the connection")


def test_a_whole_reply_may_keep_us_waiting() -> None:
    def serve(connection: Connection) -> None:
        connection.send(page("200 OK", b"").replace(b"content-length: 0", b"transfer-encoding: chunked"))
        for _ in range(10):
            connection.chunk(b" \n")
            time.sleep(0.04)
        connection.chunk(b'{"choices": [{"message": {"content": "Hello"}}]}')
        connection.send(END)

    with Loopback(once(serve)) as server:
        kept(
            outcome(server.base_url, stream=False, timeouts=Timeouts(idle=0.15, total=5)), "complete", "Hello"
        )


# --- billed, and nothing to keep ------------------------------------------------------------------

PRICED = load_book([{"model": "gpt-4.1", "input": 2, "output": 8}])
TOLD = {"prompt_tokens": 9000, "completion_tokens": 5000, "total_tokens": 14000}
NO_TEXT: dict[str, Any] = {
    "model": "gpt-4.1",
    "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
}
LAST = json.dumps({"model": "gpt-4.1", "choices": [], "usage": TOLD})
BILLED = {
    "a stream": (True, sse(FINISH, LAST, "[DONE]"), True),
    "a stream without a usage": (True, sse(FINISH, "[DONE]"), False),
    "one piece": (False, page("200 OK", json.dumps(NO_TEXT | {"usage": TOLD}).encode()), True),
    "one piece for a stream": (True, page("200 OK", json.dumps(NO_TEXT | {"usage": TOLD}).encode()), True),
    "one piece without a usage": (False, page("200 OK", json.dumps(NO_TEXT).encode()), False),
    "one piece that breaks off": (False, short(json.dumps(NO_TEXT).encode()), False),
}  # fmt: skip


@pytest.mark.parametrize("face", ["ask", "create"])
@pytest.mark.parametrize("name", BILLED)
def test_what_was_billed_counts_also_where_no_text_came(name: str, face: str, tmp_path: Path) -> None:
    stream, reply, told = BILLED[name]
    ledger = Ledger(tmp_path / "ledger.db")

    def serve(connection: Connection, server: Loopback) -> None:
        assert server.ask(connection)
        connection.send(reply)

    async def ask(client: AsyncHolySheep) -> None:
        if face == "ask":
            await client.ask("hi", model="gpt-4.1", stream=stream)
            return
        messages = [{"role": "user", "content": "hi"}]
        said = await client.chat.completions.create(model="gpt-4.1", messages=messages, stream=stream)
        if isinstance(said, AsyncStream):
            _ = [chunk async for chunk in said]

    async def failing(base_url: str) -> None:
        async with AsyncHolySheep(KEY, base_url=base_url, ledger=ledger, prices=PRICED, retry=ONCE) as client:
            with pytest.raises((EmptyAnswerError, StreamTruncatedError)):
                await ask(client)

    with Loopback(serve) as server:
        asyncio.run(failing(server.base_url))
    (row,) = ledger.rows()
    spent = ledger.spent()
    assert (row["state"], spent.errors) == ("error", 1)
    assert spent.unknown == (not told)
    assert row["gen_ai_usage_output_tokens"] == (5000 if told else 0)
    assert (row["cost_usd"] is None) is not told
    assert spent.charged == (Decimal("0.058") if told else spent.charged) > 0


# --- the key -------------------------------------------------------------------------------------

ECHOES = {
    "a refusal": page("401 No", f'{{"error": "Invalid key {KEY} given"}}'.encode()),
    "a page": page("500 No", f"<p>{KEY}</p>".encode(), "text/html"),
    "a page that is cut within the key": page("500 No", b"x" * 190 + KEY.encode()),
    "a field": page(
        "400 No", json.dumps({"error": {"message": "no", "param": f"stream_options {KEY}"}}).encode()
    ),
    "another content type": page("200 OK", f"{KEY} is no key".encode(), "text/plain"),
    "an error frame": page("200 OK", f'data: {{"error": "bad key {KEY}"}}\n\n'.encode(), "text/event-stream"),
    "an error in a choice": page(
        "200 OK", f'data: {{"choices": [{{"error": "bad key {KEY}"}}]}}\n\n'.encode(), "text/event-stream"
    ),
    "a frame of no known shape": page(
        "200 OK", f'data: {{"msg": "{KEY}"}}\n\n'.encode(), "text/event-stream"
    ),
    "nonsense in a frame": page("200 OK", f"data: <{KEY}>\n\n".encode(), "text/event-stream"),
    "an error in a whole reply": page("200 OK", f'{{"error": "bad key {KEY}"}}'.encode()),
    "nonsense in a whole reply": page("200 OK", f"[{KEY}".encode()),
    "a header": page("200 OK", b"", "text/html", f"content-encoding: {KEY}"),
    "a kind": page("200 OK", b"", KEY),
}


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_repeats_the_key(name: str, caplog: pytest.LogCaptureFixture, *, stream: bool) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(replies(ECHOES[name])) as server:
        result = outcome(server.base_url, stream=stream)  # looks for the key itself
    assert isinstance(result, HolySheepError)
    assert KEY[:12] not in str(result)
    assert getattr(result, "param", None) is None or KEY not in result.param  # type: ignore[attr-defined]
    assert "httpcore.http11" in {record.name for record in caplog.records}
    assert not any(KEY[:12] in record.getMessage() for record in caplog.records)


LONG_KEY = "sk-hs-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ_KLMNOPQR"


def in_json(key: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in key)


def in_html(key: str) -> str:
    return key.replace("-", "&#45;").replace("_", "&lowbar;").replace("0", "&#x30;")


def said_in(text: str, *, key: str) -> dict[str, bytes]:
    """Replies that say `text` and the key right behind it."""
    written = in_json(key)
    error = f'{{"error": {{"message": "{text}{written}", "code": "{written}", "param": "{written}"}}}}'
    return {
        "no JSON in a frame": sse(f"{text}{key} was refused"),
        "no JSON": page("200 OK", f"{text}{key} was refused".encode()),
        "a page": page("500 No", f"<p>{text}{in_html(key)} was refused".encode(), "text/html"),
        "a page in place of an answer": page("200 OK", f"<p>{text}{in_html(key)}".encode(), "text/html"),
        "names": page("200 OK", f'{{"{text}{written}": 1, "{written}": 2}}'.encode()),
        "names in a frame": sse(f'{{"{text}{written}": 1}}'),
        "an error": page("200 OK", error.encode()),
        "an error frame": sse(error),
        "a refusal": page("400 No", error.encode()),
        "a cut event": sse(f"{text}{key}", "x" * 1_100_000),
    }  # fmt: skip


@pytest.mark.parametrize("name", said_in("", key=""))
def test_a_key_is_seen_however_it_is_written_and_wherever_a_text_is_cut(name: str) -> None:
    async def ask(server: Loopback) -> None:
        settings: dict[str, Any] = {"base_url": server.base_url, "retry": ONCE, "requests_per_minute": 6000}
        async with AsyncHolySheep(LONG_KEY, **settings) as client:
            for length in range(0, 251, 2 if name == "no JSON in a frame" else 9):
                text = ("so " * length)[:length]
                reply[0] = said_in(text, key=LONG_KEY)[name]
                for stream in (True, False):
                    with pytest.raises(HolySheepError) as caught:
                        await client.ask("hi", model="m", stream=stream)
                    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
                    assert not [at for at in range(3, 52) if LONG_KEY[at : at + 8] in shown], (length, shown)

    def serve(connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(reply[0])

    reply = [b""]
    with Loopback(serve) as server:
        asyncio.run(ask(server))


def test_a_list_of_models_does_not_say_the_key() -> None:
    models = f'{{"data": [{{"id": "{in_json(LONG_KEY)}"}}, {{"id": "a\\u0062"}}]}}'
    with (
        Loopback(replies(page("200 OK", models.encode()))) as server,
        HolySheep(LONG_KEY, base_url=server.base_url) as client,
    ):
        assert [model.id for model in client.models.list()] == ["[key]", "ab"]


def test_the_source_of_the_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(replies(page("401 No", b'{"error": "no"}'))) as server:
        monkeypatch.setenv("HOLYSHEEP_API_KEY", KEY)
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        with pytest.raises(
            AuthenticationError, match="from the environment variable HOLYSHEEP_API_KEY;"
        ) as caught:
            HolySheep(retry=ONCE).ask("hi", model="m")
    assert KEY not in str(caught.value)


# --- proxies -------------------------------------------------------------------------------------


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_goes_direct(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no ::1")
    with Loopback(replies(hello_page()), host) as server, Loopback(say_hello) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert host in server.base_url
        kept(outcome(server.base_url), "complete", "Hello")
    assert (len(server.requests), proxy.accepted) == (1, 0)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_no_proxy_gets_a_key_in_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(say_hello) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        result = outcome("http://far.example/v1")
    failed(result, ConfigurationError, "would send the key unprotected")
    assert proxy.accepted == 0


def test_a_proxy_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: Connection, server: Loopback) -> None:
        if server.ask(connection):
            connection.send(b"HTTP/1.1 403 No way\r\ncontent-length: 0\r\n\r\n")

    with Loopback(serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        result = outcome("https://far.example")
    assert type(result) is APIConnectionError
    assert [request.line for request in proxy.requests] == ["CONNECT far.example:443 HTTP/1.1"]
    assert not any(KEY in value for request in proxy.requests for _, value in request.headers)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://[::1"])
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    failed(
        outcome("https://far.example"),
        ConfigurationError,
        "The proxy that the environment names cannot be used",
    )


def test_an_error_in_place_of_the_models() -> None:
    with (
        Loopback(replies(page("200 OK", f'{{"error": "no {KEY}"}}'.encode()))) as server,
        pytest.raises(UpstreamError, match=r"The relay reports: no \[key\]"),
    ):
        HolySheep(KEY, base_url=server.base_url).models.list()
