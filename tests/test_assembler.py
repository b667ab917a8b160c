"""Chunks into an answer: its state, its parts, its figures, and the same however the bytes were cut."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import re
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.answers import Answer
from hs_notebook.errors import (
    APIConnectionError,
    APITimeoutError,
    EmptyAnswerError,
    HolySheepError,
    ProtocolError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.net.flow import Flow
from hs_notebook.net.pace import Pace
from hs_notebook.net.reader import Reader
from hs_notebook.secret import Secret
from hs_notebook.types import ChatRequest, Usage
from hs_notebook.watchdog import Watchdog
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.chunks import decode_chunk, decode_completion
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.sse import ServerSentEvent, encode
from hs_notebook.wire.whole import as_chunk, as_completion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

REQUEST = ChatRequest.of("gpt-4.1", [{"role": "user", "content": "count to three"}])
DONE = encode("[DONE]")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
Frame = dict[str, Any]


def said(text: str, index: int = 0, **more: Any) -> Frame:
    return {"id": "c1", "model": "m1", "choices": [{"index": index, "delta": {"content": text}}], **more}


def delta(index: int = 0, **parts: Any) -> Frame:
    return {"choices": [{"index": index, "delta": parts}]}


def ended(reason: str = "stop", index: int = 0) -> Frame:
    return {"choices": [{"index": index, "delta": {}, "finish_reason": reason}]}


def wire(*frames: Frame, done: bool = True) -> bytes:
    return b"".join(encode(json.dumps(frame, ensure_ascii=False)) for frame in frames) + (
        DONE if done else b""
    )


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def added(*frames: Frame, done: bool = True, clock: Clock | None = None) -> Assembler:
    assembler = Assembler(REQUEST, clock=clock or Clock())
    for frame in frames:
        assembler.add(decode_chunk(json.dumps(frame)))
    assembler.done = done
    return assembler


async def _read(
    pieces: Iterable[bytes], failure: Exception | None = None, whole: bytes = b""
) -> Answer | HolySheepError:
    """What a client makes of these bytes, and of a `failure` after them: a real reader and assembler.

    `whole` comes in their place, and in one piece.
    """

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if failure is not None:
            raise failure

    async def close() -> None:
        closed.append(True)

    def translate(error: Exception) -> HolySheepError:
        return error if isinstance(error, HolySheepError) else APIConnectionError("the connection is gone")

    closed: list[bool] = []
    watchdog = Watchdog(60, 60)
    pace = Pace()
    flow = Flow(source(), key=Secret(""), watchdog=watchdog, pace=pace, translate=translate)
    if whole:
        flow.take(as_chunk(decode_completion(whole)))
    reader = Reader(flow, close=close, watchdog=watchdog, pace=pace)
    assembler = Assembler(REQUEST, clock=Clock())
    error = None
    try:
        await reader.begin()
        async for batch in reader.batches:
            "".join(map(assembler.add, batch))
        assembler.done = reader.ending.done
    except HolySheepError as failed:
        error = failed
    finally:
        await reader.close()
    assert closed
    try:
        return assembler.finish(error=error)
    except HolySheepError as nothing:
        return nothing


def read(*pieces: bytes, failure: Exception | None = None, whole: bytes = b"") -> Answer | HolySheepError:
    return asyncio.run(_read(pieces, failure, whole))


RESET = OSError("reset")
STREAMS = {
    # name: (bytes, failure, state, text, a word of the note)
    "whole": (wire(said("a"), said("b"), ended()), None, "complete", "ab", ""),
    "no finish reason": (wire(said("a")), None, "complete", "a", ""),
    "no [DONE]": (wire(said("a"), ended(), done=False), None, "complete", "a", r"no \[DONE\]"),
    "reset after the finish reason": (
        wire(said("a"), ended(), done=False),
        RESET,
        "complete",
        "a",
        r"no \[DONE\]",
    ),
    "reset after [DONE]": (wire(said("a"), ended()), RESET, "complete", "a", ""),
    "nonsense after [DONE]": (wire(said("a")) + b"data: " + b"x" * 2_000_000, None, "complete", "a", ""),
    "equal deltas": (wire(said("ha"), said("ha"), ended()), None, "complete", "haha", ""),
    "length": (wire(said("a"), ended("length")), None, "truncated", "a", "largest number"),
    "filter": (wire(said("a"), ended("content_filter")), None, "truncated", "a", "filter"),
    "nothing but length": (wire(ended("length")), None, "truncated", "", "largest number"),
    "broken off": (wire(said("a"), done=False), None, "truncated", "a", "broke off"),
    "broken off in a frame": (
        wire(said("a"), said("b"), done=False)[:-9],
        None,
        "truncated",
        "a",
        "broke off",
    ),
    "reset": (wire(said("a"), done=False), RESET, "truncated", "a", "broke off"),
    "one of two broken off": (
        wire(said("a"), said("x", 1), ended(), done=False),
        None,
        "truncated",
        "a",
        "broke off",
    ),
    "error frame": (wire(said("a"), {"error": "no room"}), None, "error", "a", "no room"),
    "error as a reason": (wire(said("a"), ended("error")), None, "error", "a", "with an error"),
    "error event": (
        wire(said("a"), done=False) + b"event: error\ndata: {}\n\n",
        None,
        "error",
        "a",
        "error event",
    ),
    "bad JSON": (wire(said("a"), done=False) + b"data: {\n\n", None, "error", "a", "no JSON"),
    "too large": (
        wire(said("a"), done=False) + b"data: " + b"x" * 1_048_577 + b"\n\n",
        None,
        "error",
        "a",
        "larger",
    ),
    "tool call": (
        wire(delta(tool_calls=[{"index": 0, "id": "t"}]), ended("tool_calls")),
        None,
        "complete",
        "",
        "",
    ),
    "reasoning alone": (wire(delta(reasoning_content="hm"), ended()), None, "complete", "", ""),
    "refusal": (
        wire(delta(refusal="I would rather not."), ended()),
        None,
        "complete",
        "I would rather not.",
        "",
    ),
}
for _reason, _note in {
    "insufficient_system_resource": "for want of the model's servers",
    "MALFORMED_FUNCTION_CALL": "at a malformed call",
    "SAFETY": "by the content filter",
    "max_tokens": "at the largest number of tokens",
}.items():
    STREAMS[_reason] = (wire(said("so"), ended(_reason)), None, "truncated", "so", _note)
STREAMS["a reason that nobody knows"] = (
    wire(said("so"), ended("tired")), None, "complete", "so", "with the reason tired",
)  # fmt: skip
FAILURES = {
    "no servers at once": (wire(ended("insufficient_system_resource")), EmptyAnswerError, "is empty"),
    "empty": (b"", EmptyAnswerError, "empty stream"),
    "[DONE] alone": (DONE, EmptyAnswerError, "is empty"),
    "a role and [DONE]": (wire(delta(role="assistant", content="")), EmptyAnswerError, "is empty"),
    "an end alone": (wire(ended()), EmptyAnswerError, "is empty"),
    "error at once": (wire({"error": {"message": "no room"}}), UpstreamError, "no room"),
    "bad JSON at once": (b"data: <html>\n\n", ProtocolError, "no JSON"),
    "not a stream of events": (b"Welcome!\n\n", EmptyAnswerError, "empty stream"),
}


LONG = {"too large", "nonsense after [DONE]"}


@pytest.mark.parametrize("name", STREAMS)
def test_states(name: str) -> None:
    data, failure, state, text, note = STREAMS[name]
    answer = read(data, failure=failure)
    assert isinstance(answer, Answer), answer
    assert (answer.state, answer.text) == (state, text)
    if note:
        assert re.search(note, answer.receipt.note)
    assert bool(answer.receipt.note) is bool(note)


@pytest.mark.parametrize("name", FAILURES)
def test_nothing_to_keep(name: str) -> None:
    data, kind, message = FAILURES[name]
    error = read(data)
    assert type(error) is kind
    assert message in str(error)


def same(one: Answer | HolySheepError, other: Answer | HolySheepError) -> bool:
    if isinstance(one, HolySheepError) or isinstance(other, HolySheepError):
        return type(one) is type(other) and str(one) == str(other)
    return one.text == other.text and one.receipt.as_dict() == other.receipt.as_dict() and (
        one.reasoning, one.tool_calls, one.alternatives
    ) == (other.reasoning, other.tool_calls, other.alternatives)  # fmt: skip


def cuts(data: bytes, places: Iterable[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


@pytest.mark.parametrize("name", [name for name in (*STREAMS, *FAILURES) if name not in LONG])
def test_byte_by_byte(name: str) -> None:
    data, failure = (*STREAMS.get(name, ()), *FAILURES.get(name, ()))[0], STREAMS.get(name, (b"", None))[1]
    assert same(
        read(*(data[place : place + 1] for place in range(len(data))), failure=failure),
        read(data, failure=failure),
    )


TINY = b'data:{"choices":[{"delta":{"content":"\xc3\xa9"}}]}\r\n\r\ndata:{"error":"no"}\n\n'


def test_every_two_cuts() -> None:
    async def all_cuts() -> None:
        whole = await _read([TINY])
        assert isinstance(whole, Answer)
        assert (whole.text, whole.state) == ("é", "error")
        for places in combinations(range(len(TINY) + 1), 2):
            assert same(await _read(cuts(TINY, places)), whole), places

    asyncio.run(all_cuts())


FRAMES = st.lists(
    st.sampled_from(
        [
            said("one "), said("zwölf€😀"), said("x", 1), delta(reasoning_content="hm"), ended(),
            ended("length"),
            delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{"}}]), {"usage": USAGE},
            {"choices": None}, {"error": "no room"}, delta(role="assistant"),
        ]
    ),
    max_size=6,
)  # fmt: skip


@given(frames=FRAMES, done=st.booleans(), draw=st.data())
def test_cuts_change_nothing(frames: list[Frame], done: bool, draw: st.DataObject) -> None:
    data = wire(*frames, done=done)
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=10))
    assert same(read(*cuts(data, places)), read(data))


def test_stopped_keeps_what_came() -> None:
    answer = added(said("half an ans"), done=False).finish(stopped=True)
    assert (answer.state, answer.text, answer.usage.estimated) == ("stopped", "half an ans", True)
    assert added(done=False).finish(stopped=True).state == "stopped"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (StreamTruncatedError("cut"), "truncated"),
        (APITimeoutError("late"), "truncated"),
        (UpstreamError("no room"), "error"),
        (ProtocolError("nonsense"), "error"),
    ],
)
def test_state_by_error(error: HolySheepError, state: str) -> None:
    answer = added(said("a"), done=False).finish(error=error)
    assert (answer.state, answer.receipt.note) == (state, error.message)
    with pytest.raises(type(error)):
        added(done=False).finish(error=error)


def test_alternatives_are_never_mixed() -> None:
    assembler = added(
        said("a1 "), said("b1 ", 1), said("b2", 1), said("a2"), said("c", 2), ended("length", 1), ended()
    )
    answer = assembler.finish()
    assert answer.text == "a1 a2"
    assert answer.alternatives == ("a1 a2", "b1 b2", "c")
    assert (answer.state, answer.receipt.finish_reason) == ("complete", "stop")
    completion = as_completion(answer)
    assert [choice.message.content for choice in completion.choices] == ["a1 a2", "b1 b2", "c"]


def test_add_returns_the_text_of_the_first() -> None:
    assembler = Assembler(REQUEST)
    frames = {"a": said("a"), "": said("b", 1)}
    assert [assembler.add(decode_chunk(json.dumps(frame))) for frame in frames.values()] == list(frames)


def test_only_other_alternatives_said_something() -> None:
    answer = added(said("b", 1), done=False).finish(error=StreamTruncatedError("cut"))
    assert (answer.text, answer.alternatives, answer.state) == ("", ("", "b"), "truncated")


def test_tool_calls_are_joined_by_index() -> None:
    def fragment(index: int, arguments: str, **more: Any) -> Frame:
        return delta(tool_calls=[{"index": index, "function": {"arguments": arguments, **more}, **more}])

    answer = added(
        fragment(1, "", id="t1", name="g"),
        fragment(0, '{"a"', id="t0", type="function", name="f"),
        fragment(1, "[1,"),
        fragment(0, ": 1}"),
        fragment(1, "2]"),
        ended("tool_calls"),
    ).finish()
    assert [(c.index, c.id, c.function.name, c.function.arguments) for c in answer.tool_calls] == [
        (0, "t0", "f", '{"a": 1}'),
        (1, "t1", "g", "[1,2]"),
    ]


def called(name: str = "", arguments: str = "", **more: Any) -> Frame:
    return {"function": {"name": name or None, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "deltas",
    {
        "no numbers, each in a delta": [[called("f", "{}", id="a")], [called("g", "[]", id="b")]],
        "no numbers, in one delta": [[called("f", "{}", id="a"), called("g", "[]", id="b")]],
        "no ids either": [[called("f", "{}"), called("g", "[]")]],
        "0 for each": [[called("f", "{", id="a", index=0)], [called("", "}", index=0)],
                       [called("g", "[", id="b", index=0)], [called("", "]", index=0)]],
        "ids of fragments": [[called("f", "{", id="a", index=0)], [called("", "}", id="x", index=0)],
                             [called("g", "[", id="b", index=1)], [called("", "]", id="y", index=1)]],
        "names of fragments": [[called("f", "{", id="a", index=0)], [called("f", "}", id="a", index=0)],
                               [called("g", "[]", id="b", index=1)]],
    }.values(),
)  # fmt: skip
@pytest.mark.parametrize("alternatives", [[0], [1, 0]])
def test_calls_are_told_apart(deltas: list[list[Frame]], alternatives: list[int]) -> None:
    frames = [
        {"choices": [{"index": index, "delta": {"tool_calls": calls}} for index in alternatives]}
        for calls in deltas
    ]
    answer = read(wire(*frames, ended("tool_calls")))
    assert isinstance(answer, Answer)
    found = [(call.index, call.function.name, call.function.arguments) for call in answer.tool_calls]
    assert found == [(0, "f", "{}"), (1, "g", "[]")]


def test_calls_are_told_apart_in_one_piece() -> None:
    calls = [called("f", "{}", id="a", index=0), called("g", "[]", id="b", index=0)]
    body = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    answer = read(whole=json.dumps(body).encode())
    assert isinstance(answer, Answer)
    assert [(call.index, call.function.name) for call in answer.tool_calls] == [(0, "f"), (1, "g")]


def test_reasoning_is_no_text() -> None:
    answer = added(
        delta(reasoning_content="let me "), delta(reasoning_content="see"), said("four"), ended()
    ).finish()
    assert (answer.text, answer.reasoning) == ("four", "let me see")


# --- figures -------------------------------------------------------------------------------------


def test_usage_of_the_relay() -> None:
    answer = added(
        said("a", usage={**USAGE, "completion_tokens": 1}), ended(), {"choices": [], "usage": USAGE}
    ).finish()
    assert answer.usage == Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}])
def test_usage_is_estimated_where_there_is_none(usage: Frame | None) -> None:
    counted = added(said("twelve chars" * 2), {"choices": [], "usage": usage}, ended()).finish().usage
    assert (counted.prompt_tokens, counted.completion_tokens, counted.total_tokens) == (10, 5, 15)
    assert (counted.estimated, counted.method) == (True, "by script")
    assert 0 < counted.low < 1 < counted.high


def test_zeros_do_not_replace_figures() -> None:
    assert added(said("a", usage=USAGE), {"usage": {}}, ended()).finish().usage.completion_tokens == 3


def test_an_estimate_counts_all_that_was_said() -> None:
    frames = [said("abcd" * 3), said("abcd" * 2, 1), delta(reasoning_content="abcd" * 4)]
    assert added(*frames).finish().usage.completion_tokens == 8
    calls = [{"index": 0, "function": {"name": "abcd", "arguments": "abcd" * 2}}]
    assert added(*frames, delta(tool_calls=calls)).finish().usage.completion_tokens == 11


def test_times() -> None:
    clock = Clock()
    assembler = Assembler(REQUEST, clock=clock)
    clock.now += 10
    assembler.restart_clock()
    for text in ("", "a", "b", "c"):
        clock.now += 0.5
        assembler.add(decode_chunk(json.dumps(said(text))))
    assembler.add(decode_chunk(json.dumps({"usage": USAGE})))
    clock.now += 1
    receipt = assembler.finish().receipt
    assert receipt.ttft == pytest.approx(1.0)
    assert receipt.duration == pytest.approx(3.0)
    assert receipt.tokens_per_second == pytest.approx(2.0)


def test_what_came_in_one_piece_has_no_rate() -> None:
    clock = Clock()
    assembler = Assembler(REQUEST, clock=clock)
    for text in ("a", "b", "c"):
        clock.now += 0.004
        assembler.add(decode_chunk(json.dumps(said(text))))
    assembler.add(decode_chunk(json.dumps({"usage": USAGE})))
    assert math.isnan(assembler.finish().receipt.tokens_per_second)


def test_times_that_are_not_known() -> None:
    receipt = added(ended("length")).finish().receipt
    assert math.isnan(receipt.ttft)
    assert math.isnan(receipt.tokens_per_second)
    assert receipt.as_dict()["ttft"] is None
    assert receipt.as_dict()["cost"] is None


def test_who_answered() -> None:
    frames = [{"choices": [], "id": "", "model": ""}, said("a", system_fingerprint="simulated"), ended()]
    answer = added(*frames).finish()
    assert (answer.model, answer.receipt.request_model, answer.receipt.response_id) == ("m1", "gpt-4.1", "c1")
    assert answer.receipt.simulated
    assert added({"choices": [{"delta": {"content": "a"}}]}).finish().model == "gpt-4.1"


def test_model_that_comes_after_the_id() -> None:
    assert added({"id": "c", "choices": []}, {"model": "m", **delta(content="a")}).finish().model == "m"


# --- in one piece --------------------------------------------------------------------------------

COMPLETION = {
    "id": "c",
    "model": "m",
    "usage": USAGE,
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
}


def test_whole() -> None:
    answer = read(whole=json.dumps(COMPLETION).encode())
    assert isinstance(answer, Answer)
    assert (answer.text, answer.state, answer.receipt.note, answer.usage.completion_tokens) == (
        "hi",
        "complete",
        "",
        3,
    )


def completion(**choice: Any) -> bytes:
    return json.dumps({"choices": [choice] if choice else []}).encode()


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (completion(), EmptyAnswerError, ""),
        (completion(message={"content": None}, finish_reason="stop"), EmptyAnswerError, ""),
        (completion(message={"content": ""}), EmptyAnswerError, ""),
        (completion(message={"content": "a"}, finish_reason="error"), UpstreamError, "a"),
    ],
)
def test_no_whole(body: bytes, error: type[HolySheepError], text: str) -> None:
    ended = read(whole=body)
    if text:
        assert isinstance(ended, Answer)
        assert (ended.state, ended.text) == ("error", text)
    else:
        assert type(ended) is error


# --- the answer ----------------------------------------------------------------------------------


def test_an_answer_is_its_text() -> None:
    answer = added(said("# Title"), ended()).finish()
    assert answer == "# Title"
    assert isinstance(answer, str)
    assert f"{answer}!" == "# Title!"
    assert type(answer.text) is str
    assert answer.messages == (
        {"role": "user", "content": "count to three"},
        {"role": "assistant", "content": "# Title"},
    )


def test_an_answer_can_be_pickled() -> None:
    answer = added(said("a"), said("b", 1), delta(reasoning_content="r"), ended()).finish()
    back = pickle.loads(pickle.dumps(answer))
    assert same(back, answer)
    assert back.messages == answer.messages


def test_ending_of_two() -> None:
    ending = Ending()
    for frame in (said("a"), said("b", 1), ended()):
        ending.see(decode_chunk(json.dumps(frame)))
    assert not ending.whole
    ending.see(decode_chunk(json.dumps(ended(index=1))))
    assert ending.whole


def test_one_of_two_that_were_asked_for() -> None:
    ending = Ending(2)
    for frame in (said("a"), ended()):
        ending.see(decode_chunk(json.dumps(frame)))
    assert (ending.whole, ending.paused, ending.state) == (False, True, "complete")
    ending.check()  # at the end of the bytes the other does not come
    ending.broken = True
    assert ending.state == "truncated"  # it may have been on its way
    ending.read([ServerSentEvent("[DONE]")])
    assert (ending.whole, ending.state) == (True, "complete")


def test_what_was_waited_for_long_enough_does_not_come() -> None:
    ending = Ending(3)
    for frame in (said("a"), said("b", 1), ended()):
        ending.see(decode_chunk(json.dumps(frame)))
    ending.wait_no_more()
    assert (ending.whole, ending.paused) == (False, False)  # the second goes on
    ending.see(decode_chunk(json.dumps(ended(index=1))))
    assert (ending.whole, ending.paused) == (False, True)
    ending.wait_no_more()
    assert ending.whole


def seen(*frames: Frame) -> Ending:
    ending = Ending()
    for frame in frames:
        ending.see(decode_chunk(json.dumps(frame)))
    return ending


def test_what_goes_on_was_not_finished() -> None:
    assert seen(said("a"), ended()).whole
    assert not seen(said("a"), ended(), said("b")).whole
    assert seen(said("a"), ended(), said("b"), ended()).whole
    assert not seen(said("a"), ended(), said("b", 1)).whole  # one alternative after the other
    assert seen(said("a"), ended(), said("b", 1), ended(index=1)).whole


def test_an_empty_finish_reason_is_none() -> None:
    assert not seen(said("a"), ended("")).whole
    assert seen(said("a"), ended("")).finish_reason is None
    assert added(said("a"), ended(""), ended("length")).finish().receipt.finish_reason == "length"
