"""One ask after another, without a notebook: a display that only writes down what it is told."""

from __future__ import annotations

import json
import signal
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest
from shell import KEY, Reply, Server, said, settings, until_closed

from hs_notebook.asking import Asking
from hs_notebook.call import Interrupted, suggestion
from hs_notebook.client import AsyncHolySheep
from hs_notebook.errors import (
    AuthenticationError,
    BadRequestError,
    MissingKeyError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.exchange import Screen
from hs_notebook.ledger import Ledger
from hs_notebook.portal import wait
from hs_notebook.prices import load_book
from hs_notebook.pricing.limit import limit_for
from hs_notebook.session import Session
from hs_notebook.types import ChatRequest, Model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hs_notebook.answers import Answer
    from hs_notebook.display import Stop
    from hs_notebook.relay import EmbeddedRelay

PRICED = {"model": "m", "input": 2.0, "output": 8.0}


class Notes:
    """A display that remembers; `on_text` is called in the reading thread at each text."""

    def __init__(self, on_text: Callable[[], None] = lambda: None) -> None:
        self.calls: list[str] = []
        self.texts: list[str] = []
        self.notices: list[str] = []
        self.stop: Stop = lambda: None
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.began = threading.Event()
        self._on_text = on_text

    def begin(self, stop: Stop) -> None:
        self.calls.append("begin")
        self.stop = stop

    def press(self) -> None:
        """Press Stop; the display learns what that does only when it begins."""
        self.stop()

    def sending(self) -> None:
        self.calls.append("sending")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def text(self, new: str) -> None:
        self.texts.append(new)
        if "text" not in self.calls:
            self.calls.append("text")
        self.began.set()
        self._on_text()

    def done(self) -> None:
        self.calls.append("done")

    def finish(self, answer: Answer) -> None:
        self.calls.append("finish")
        self.answer = answer

    def fail(self, error: BaseException) -> None:
        self.calls.append("fail")
        self.error = error


@pytest.fixture
def session(relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.chdir(tmp_path)
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    return Session()


def ask(session: Session, prompt: str, display: Notes, **settings: Any) -> Answer:
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": prompt}])
    return Asking(session, session.client(**settings), request, display).run()


def test_the_display_hears_everything_in_order(session: Session) -> None:
    notes = Notes()
    answer = ask(session, "[simulate tokens=50 speed=inf]", notes)
    assert notes.calls == ["begin", "sending", "text", "done", "finish"]
    assert "".join(notes.texts) == answer.text
    assert notes.answer is answer
    assert list(session.answers) == [answer]


def test_a_wait_is_noticed_and_the_notice_goes(session: Session) -> None:
    notes = Notes()
    ask(session, "[simulate tokens=5 speed=inf fault=503-once]", notes)
    assert notes.calls == ["begin", "sending", "sending", "text", "done", "finish"]
    first, last = notes.notices
    assert "trying again in" in first
    assert last == ""


@pytest.mark.parametrize("fault", ["401", "400", "html", "empty"])
def test_no_answer(fault: str, session: Session) -> None:
    notes = Notes()
    with pytest.raises(Exception) as caught:
        ask(session, f"[simulate fault={fault} speed=inf]", notes)
    assert notes.error is caught.value
    assert notes.calls == ["begin", "sending", "done", "fail"]
    assert list(session.answers) == []


def test_a_display_that_fails_costs_no_answer(session: Session, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("a display's own")

    client, ledger = session.client(), Ledger(tmp_path / "ledger.db")
    client.use(client.quotes.book, ledger)
    with pytest.raises(ValueError, match="a display's own"):
        ask(session, "[simulate tokens=30 speed=inf]", notes := Notes(on_text=fail))
    assert notes.calls[-2:] == ["done", "finish"]
    assert notes.answer is session.answers[-1]
    assert session.answers[-1].usage.completion_tokens == 30
    assert [row["state"] for row in ledger.rows()] == ["complete"]


def test_an_answer_that_cannot_be_stopped_in_time_counts_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hs_notebook.call._STOP_SECONDS", 0.05)
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(Screen):
        def text(self, new: str) -> None:  # noqa: ARG002
            began.set()

        def done(self) -> None:
            go_on.wait(30)

    def interrupted(_: object) -> Answer:
        assert began.wait(30)
        raise KeyboardInterrupt

    session = Session()
    with Server([said("Hello. " * 100)]) as server:
        client = AsyncHolySheep(KEY, base_url=server.base_url, prices=load_book([PRICED]))
        request = ChatRequest.of("m", [{"role": "user", "content": "Hello"}])
        call = session.start(
            client, request, Slow(), limit=(limit := limit_for(request, client.quotes, Decimal(1)))
        )
        with pytest.raises(StreamTruncatedError, match="could not be stopped in time"):
            session.result(client, call, interrupted)
        assert session.charged == limit.worst == 1
        go_on.set()
        call.when_ended(ended.set)
        assert ended.wait(30)
    assert 0 < session.charged == call.charge < Decimal("0.01")


def test_an_answer_that_nobody_reads_is_stopped(session: Session, relay: EmbeddedRelay) -> None:
    def fail() -> None:
        raise BrokenPipeError

    answer = ask(session, "[simulate tokens=3000 tps=100 ttft=1]", Notes(on_text=fail))
    assert (answer.state, session.answers[-1]) == ("stopped", answer)
    until_closed(relay)


def test_a_broken_stream_is_an_answer(session: Session) -> None:
    notes = Notes()
    answer = ask(session, "[simulate tokens=30 speed=inf fault=cut]", notes)
    assert (answer.state, notes.calls[-1]) == ("truncated", "finish")
    assert answer.text


def test_an_error_in_mid_answer_is_raised_with_what_came(session: Session) -> None:
    notes = Notes()
    with pytest.raises(UpstreamError) as caught:
        ask(session, "[simulate tokens=30 speed=inf fault=errorframe]", notes)
    assert caught.value.answer is notes.answer is session.answers[-1]
    assert session.answers[-1].state == "error"
    assert "".join(notes.texts) == session.answers[-1].text != ""


def test_stop_closes_the_connection_and_keeps_the_text(session: Session, relay: EmbeddedRelay) -> None:
    stopped_at: list[float] = []

    def stop() -> None:
        if len(notes.texts) == 3:
            stopped_at.append(time.monotonic())
            notes.stop()

    notes = Notes(stop)
    answer = ask(session, "[simulate tokens=5000 tps=50 ttft=0]", notes)
    assert answer.state == "stopped"
    assert answer.text == "".join(notes.texts) != ""
    assert answer.usage.estimated
    assert until_closed(relay) - stopped_at[0] < 0.3
    assert session.answers[-1] is answer


def test_stop_before_the_first_word(session: Session, relay: EmbeddedRelay) -> None:
    notes = Notes()
    timer = threading.Timer(0.1, notes.press)
    timer.start()
    answer = ask(session, "[simulate tokens=50 ttft=60000]", notes)
    assert (answer.state, answer.text, notes.calls[-1]) == ("stopped", "", "finish")
    until_closed(relay)


def test_stop_while_another_attempt_is_awaited(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([Reply(status=429, body="{}", headers={"retry-after": "50"})]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        notes = Notes()
        threading.Timer(0.2, notes.press).start()
        began = time.monotonic()
        answer = ask(session, "Hello", notes)
        assert time.monotonic() - began < 5
    assert (answer.state, answer.text) == ("stopped", "")
    assert "trying again in 50 s" in notes.notices[0]


def test_stop_twice_and_after_the_end_does_nothing(session: Session) -> None:
    def stop() -> None:
        notes.stop()
        notes.stop()

    notes = Notes(stop)
    assert ask(session, "[simulate tokens=500 tps=50 ttft=0]", notes).state == "stopped"
    notes.stop()
    again = Notes()
    assert ask(session, "[simulate tokens=5 speed=inf]", again).state == "complete"
    again.stop()


def test_an_interrupt_keeps_what_came(session: Session, relay: EmbeddedRelay) -> None:
    notes = Notes()
    sent: list[float] = []

    def interrupt() -> None:
        notes.began.wait(5)
        sent.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted) as caught:
        ask(session, "[simulate tokens=5000 tps=50 ttft=0]", notes)
    returned = time.monotonic()
    thread.join()
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.answer is notes.answer is session.answers[-1]
    assert caught.value.answer.state == "stopped"
    assert caught.value.answer.text == "".join(notes.texts) != ""
    assert until_closed(relay) - sent[0] < 0.3
    assert returned - sent[0] < 0.3
    assert ask(session, "[simulate tokens=5 speed=inf]", Notes()).state == "complete"


def test_fifty_answers_are_kept(session: Session) -> None:
    client = session.client(requests_per_minute=1000)
    for number in range(52):
        request = ChatRequest.of(
            "gpt-4.1", [{"role": "user", "content": f"[simulate text speed=inf ttft=0]\n{number}"}]
        )
        Asking(session, client, request, Notes()).run()
    assert [str(answer) for answer in session.answers] == [str(number) for number in range(2, 52)]


# --- clients and keys ------------------------------------------------------------------------------


def test_one_client_as_long_as_key_and_settings_last(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = session.client(concurrent_streams=2)
    assert session.client(concurrent_streams=2) is first
    assert session.client(concurrent_streams=3) is not first
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "another-key-of-eight")
    assert session.client(concurrent_streams=3).credentials.key.reveal() == "another-key-of-eight"


def connections(relay: EmbeddedRelay) -> int:
    port = urlsplit(relay.base_url).port
    opened = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status == "ESTABLISHED" for one in opened)


def test_another_client_cuts_no_answer_of_the_one_before(session: Session, relay: EmbeddedRelay) -> None:
    first = session.client(concurrent_streams=2)
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": "[simulate tokens=60 tps=60 ttft=0]"}])
    call = session.start(first, request, Screen())
    while not relay.stats.active_streams:
        time.sleep(0.01)
    assert session.client(concurrent_streams=3) is not first
    assert connections(relay)
    answer, _ = session.result(first, call)
    assert answer.state == "complete"
    closed = time.monotonic() + 2
    while connections(relay) and time.monotonic() < closed:
        time.sleep(0.01)
    assert not connections(relay)


@pytest.mark.usefixtures("session")
def test_a_typed_key_is_asked_for_once_and_forgotten_when_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return f"{KEY}-{len(asked)}"

    refusal = Reply(status=401, body='{"error": {"message": "No."}}')
    with Server([said("One."), said("Two."), refusal, said("Three."), refusal, said("Four.")]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        typing = Session(prompt=prompt)
        assert [ask(typing, "Hello", Notes()) for _ in range(2)] == ["One.", "Two."]
        assert asked == [f"Key for {server.base_url} (it stays hidden): "]
        with pytest.raises(AuthenticationError, match="The key came from the prompt"):
            ask(typing, "Hello", Notes())
        assert ask(typing, "Hello", Notes()) == "Three."
        with pytest.raises(AuthenticationError):
            typing.models(typing.client())
        assert ask(typing, "Hello", Notes()) == "Four."
        keys = [request.headers["authorization"] for request in server.asked]
    assert keys == [f"Bearer {KEY}-{number}" for number in (1, 1, 1, 2, 2, 3)]


@pytest.mark.usefixtures("session")
def test_a_typed_key_serves_its_own_relay_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    asked: list[str] = []
    typing = Session(prompt=lambda text: asked.append(text) or KEY)  # type: ignore[func-returns-value]
    typing.client("http://127.0.0.1:1/v1")
    assert typing.credentials("http://127.0.0.1:1/other", ask=False).key.reveal() == KEY
    with pytest.raises(MissingKeyError):
        typing.credentials("http://127.0.0.1:10/v1", ask=False)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("gpt4.1", "Did you mean gpt-4.1?"),
        ("GPT-4-1", "Did you mean gpt-4.1"),
        ("claude-sonet-4-5", "Did you mean claude-sonnet-4.5"),
        ("zzz", "%holysheep models lists what the relay offers."),
    ],
)
def test_the_nearest_models_are_suggested(model: str, hint: str) -> None:
    offered = [Model(name) for name in ("gpt-4.1", "claude-sonnet-4.5", "deepseek-v3.2")]
    assert suggestion(model, offered).startswith(hint)


def test_a_key_that_the_relay_gives_back_is_not_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": f"Your key is {KEY}."}}]})
    body = f"data: {event}\n\ndata: [DONE]\n\n"
    with Server([Reply(kind="text/event-stream", body=body)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        answer = ask(session, "Hello", Notes())
    assert (answer.text, answer.messages[-1]["content"]) == ("Your key is [key].", "Your key is [key].")
    assert KEY not in repr(answer) + repr(answer.alternatives)


def test_an_answer_without_a_word_is_not_the_last_one(session: Session) -> None:
    ask(session, "[simulate tokens=5 speed=inf]", Notes())
    notes = Notes()
    threading.Timer(0.1, notes.press).start()
    ask(session, "[simulate tokens=50 ttft=60000]", notes)
    assert len(session.answers) == 1


# --- several rounds ------------------------------------------------------------------------------


def rounds(session: Session, notes: Notes, follow: Any) -> Asking:
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": "[simulate text speed=inf]\nOne."}])
    return Asking(session, session.client(), request, notes, follow=follow)


def next_round(text: str) -> Callable[[ChatRequest, Answer], ChatRequest | None]:
    """Ask once more, with another directive."""
    later = ChatRequest.of("gpt-4.1", [{"role": "user", "content": text}])
    return lambda request, _answer: later if request is not later else None


def test_an_error_in_the_second_round_keeps_the_first_and_says_so(session: Session) -> None:
    notes = Notes()
    asking = rounds(session, notes, next_round("[simulate fault=400 speed=inf]"))
    with pytest.raises(BadRequestError) as caught:
        asking.run()
    answer = caught.value.answer
    assert answer is notes.answer is asking.answer is session.answers[-1]
    assert (answer.text, answer.state) == ("One.", "error")
    assert answer.receipt.note.startswith("BadRequestError: 400: ")


def test_a_mistake_between_two_rounds_keeps_what_was_paid_for(session: Session) -> None:
    def follow(_request: ChatRequest, _answer: Answer) -> None:
        raise ZeroDivisionError("division by zero")

    notes = Notes()
    asking = rounds(session, notes, follow)
    with pytest.raises(ZeroDivisionError):
        asking.run()
    assert asking.answer is notes.answer is session.answers[-1]
    assert (notes.answer.text, notes.answer.state) == ("One.", "error")
    assert session.running == []


def test_all_rounds_are_in_one_receipt(session: Session) -> None:
    notes = Notes()
    answer = rounds(session, notes, next_round("[simulate text speed=inf]\nTwo.")).run()
    assert answer.text == "Two."
    assert session.answers[-1].shown == "One.Two."
    assert answer.receipt.note == "2 rounds"
    assert answer.usage.completion_tokens == 4
    assert answer.receipt.costs.output == 4 * Decimal("8e-6")


@pytest.mark.parametrize(("tool", "state", "read"), [("", "complete", 1), (" tool=f", "stopped", 0)])
def test_a_stop_after_the_last_byte(session: Session, tool: str, state: str, read: int) -> None:
    """What is whole is read as any other; a function that it asks for is not run, so it is not complete."""
    seen: list[Answer] = []

    def stopping(outcome: Any) -> Any:
        result = wait(outcome)
        asking.stop()
        return result

    text = f"[simulate text speed=inf{tool}]\nOne."
    offered = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    request = ChatRequest.of("gpt-4.1", [{"role": "user", "content": text}], offered)
    asking = Asking(
        session, session.client(), request, Notes(), follow=lambda _request, answer: seen.append(answer)
    )
    assert asking.run(stopping).state == state
    assert len(seen) == read
