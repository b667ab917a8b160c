"""The key out of chunks and events, where it comes in pieces; all else as it was, and at once."""

from __future__ import annotations

import asyncio
import json
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from canary import ENDED, GROWING, in_pieces
from hypothesis import example, given
from hypothesis import strategies as st

from hs_notebook.relay.without_key import EventsWithoutKey
from hs_notebook.secret import Secret
from hs_notebook.wire.chunks import decode_chunk
from hs_notebook.wire.scrubbing import ChunkScrubber
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from hs_notebook.relay.replies import Headers, Refused
    from hs_notebook.types import ChatCompletionChunk

KEY = "cr_cr_7f3d5a91"
PARTS = st.tuples(st.sampled_from(sorted(GROWING)), st.text("cr_7f3d5a91 x%&\\", max_size=5) | st.just(KEY))


def texts(chunks: list[ChatCompletionChunk]) -> dict[tuple[int, str], str]:
    """What who reads them puts together."""
    found: dict[tuple[int, str], str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        delta = choice.delta
        called = "".join(call.function.arguments or "" for call in delta.tool_calls or ())
        said = f"{delta.content or ''}{delta.refusal or ''}"
        for kind, new in (("said", said), ("thought", delta.reasoning_content), ("called", called)):
            found[choice.index, kind] = found.get((choice.index, kind), "") + (new or "")
    return {place: text for place, text in found.items() if text}


@given(st.lists(PARTS, max_size=30), st.booleans())
@example([("thought", "\\"), ("called", "x"), ("thought", KEY)], False)
@example([("said", "cr_cr_7f"), ("thought", "cr_"), ("refused", "3d5a91"), ("thought", "x")], True)
def test_each_text_of_a_stream_is_scrubbed_as_if_it_had_come_whole(
    parts: list[tuple[str, str]], ends: bool
) -> None:
    frames = [{"choices": [GROWING[part](text)]} for part, text in parts] + [ENDED] * ends
    chunks = [decode_chunk(json.dumps(frame)) for frame in frames]
    scrubber = ChunkScrubber(Secret(KEY))
    clean = [one for chunk in chunks for one in scrubber.feed([chunk])] + scrubber.rest()
    whole = {place: Secret(KEY).scrub(text) for place, text in texts(chunks).items()}
    assert {place: shown(place, text) for place, text in texts(clean).items()} == {
        place: shown(place, text) for place, text in whole.items()
    }


def shown(place: tuple[int, str], text: str) -> str:
    """A text, if it was thought, without what may stand before the mark: the answer's beginning frees it."""
    return re.sub(rf"[{KEY}%&\\]*\[key\]", "[key]", text) if place[1] == "thought" else text


@pytest.mark.parametrize("part", ["said", "refused", "called"])
def test_no_thought_is_late_when_the_answer_begins(part: str) -> None:
    scrubber = ChunkScrubber(Secret(KEY))

    def feed(name: str, text: str) -> list[ChatCompletionChunk]:
        return scrubber.feed([decode_chunk(json.dumps({"choices": [GROWING[name](text)]}))])

    place = {"refused": "said"}.get(part, part)
    seen = feed("thought", "That is basic") + feed(part, "Yes")
    assert texts(seen) == {(0, "thought"): "That is basic", (0, place): "Yes"}
    seen += feed("thought", KEY[1:]) + feed("thought", ".")
    assert texts(seen)[0, "thought"] == "That is basic[key]."


def test_most_of_a_key_in_a_thought_is_held_also_when_the_answer_begins() -> None:
    frames = [{"choices": [GROWING[part](text)]} for part, text in (("thought", KEY[:-1]), ("said", "Yes"))]
    chunks = [decode_chunk(json.dumps(frame)) for frame in frames]
    scrubber = ChunkScrubber(Secret(KEY))
    assert texts(scrubber.feed(chunks)) == {(0, "said"): "Yes"}
    assert texts(scrubber.rest()) == {(0, "thought"): "[key]"}


@pytest.mark.parametrize("part", GROWING)
def test_a_chunk_without_any_of_it_stays_the_same_object(part: str) -> None:
    chunks = [decode_chunk(json.dumps(frame)) for frame in in_pieces(part, "no key is here, my friend", 4)]
    scrubber = ChunkScrubber(Secret(KEY))
    assert all(one is chunk for chunk in chunks for one in scrubber.feed([chunk]))


# --- events on their way through a relay ---------------------------------------------------------


class Kept:
    """Where a stream ends up."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def head(self, _status: int, _headers: Headers) -> None:
        raise AssertionError

    async def write(self, data: bytes) -> None:
        self.pieces.append(data)

    async def end(self, *, whole: bool) -> None:
        self.pieces.append(b"!" if whole else b"?")

    async def refuse(self, _refused: Refused) -> None:
        raise AssertionError


def passed(pieces: list[bytes]) -> bytes:
    kept = Kept()

    async def pass_on() -> None:
        sink = EventsWithoutKey(kept, Secret(KEY))
        for piece in pieces:
            await sink.write(piece)
        await sink.end(whole=True)

    asyncio.run(pass_on())
    return b"".join(kept.pieces)


def test_what_is_held_back_comes_before_the_last_words() -> None:
    kept = Kept()

    async def pass_on() -> None:
        sink = EventsWithoutKey(kept, Secret(KEY))
        await sink.write(
            b'data: {"choices":[{"index":0,"delta":{"content":"I say %s"}}]}\n\n' % KEY[:7].encode()
        )
        await sink.cut(b'data: {"error":{"message":"That is all."}}\n\n')
        await sink.end(whole=True)

    asyncio.run(pass_on())
    *said, last = SSEDecoder().feed(b"".join(kept.pieces).removesuffix(b"!"))
    assert "".join(texts([decode_chunk(event.data) for event in said]).values()) == f"I say {KEY[:7]}"
    assert "That is all." in last.data


ODD = (
    b": a comment\n\n"
    b'data: {"choices" : [ {"delta":{"content":"It ends in cr_"}, "index":0, "x":[1.0]} ]}\r\n\r\n'
    b'event: delta\nid: 7\ndata: {"choices":[{"delta":{"content":"dc"},"index":0}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"C\\u0072_ 100%"},"index":1}], "x": 1e2}\n\n'
    b"data: no JSON\ndata: in two lines\n\nretry: 5\n\n"
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\ndata: what was cut off"
)


@given(st.lists(st.integers(0, len(ODD)), max_size=6))
@example([])
@example(list(range(len(ODD))))
def test_all_other_events_stay_byte_for_byte(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(ODD)})
    assert passed([ODD[start:end] for start, end in pairwise(places)]) == ODD + b"!"


@pytest.mark.parametrize("part", GROWING)
@pytest.mark.parametrize("size", [1, 4, 9])
def test_only_the_events_that_bring_it_are_changed(part: str, size: int) -> None:
    frames = in_pieces(part, f"It is {KEY} indeed.", size)
    events = [b"data: %s\n\n" % json.dumps(frame).encode() for frame in frames]
    seen = passed([*events, b"data: [DONE]\n\n"]).split(b"\n\n")
    read = texts([decode_chunk(event.removeprefix(b"data: ").decode()) for event in seen[:-2]])
    (text,) = read.values()
    assert text.startswith("It is ")
    assert text.endswith("[key] indeed.")
    assert len(text) <= len("It is [key] indeed.") + 3  # characters of it that may pass
    same = [event for event in events if event.removesuffix(b"\n\n") in seen]
    assert len(events) - len(same) <= len(KEY) // size + 2


MORE = {"service_tier": "default", "x": {"y": [1, None], "z": 1}}


@pytest.mark.parametrize("part", GROWING)
def test_what_is_changed_keeps_what_stands_beside_its_choices(part: str) -> None:
    frames = [MORE | json.loads(encoded(frame)) for frame in in_pieces(part, f"It is {KEY} indeed.", 4)]
    for frame in frames:
        for choice in frame["choices"]:
            choice |= {"logprobs": {"content": [{"token": choice["delta"].get("content")}]}}
            choice["delta"] |= {"thought": choice["delta"].get("reasoning_content")}
    events = [b"event: delta\nid: %d\ndata: %s\n\n" % pair for pair in enumerate(map(encoded, frames))]
    changed = SSEDecoder().feed(passed(events).removesuffix(b"!"))
    assert [event.id for event in changed] == [str(number) for number in range(len(frames))]
    assert {event.event for event in changed} == {"delta"}
    for event in changed:
        assert MORE.items() <= json.loads(event.data).items()
    told = "".join(event.data for event in changed)
    assert KEY not in "".join(re.findall(r'"(?:token|thought)": ?"([^"]*)"', told))
    (text,) = texts([decode_chunk(event.data) for event in changed]).values()
    assert text.endswith("[key] indeed.")


def encoded(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame).encode()


def test_a_number_out_of_range_is_left_out_of_what_is_changed() -> None:
    held = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}],"z":1e999}\n\n' % KEY[:9].encode()
    rest = {"choices": [{"index": 0, "delta": {"content": KEY[9:]}}]}
    read = SSEDecoder().feed(passed([held, b"data: %s\n\n" % encoded(rest)]).removesuffix(b"!"))
    assert "".join(texts([decode_chunk(event.data) for event in read]).values()) == "[key]"


def test_a_dialect_is_written_anew_as_it_is_read() -> None:
    said = [{"type": "response.output_text.delta", "delta": text} for text in ("It is cr_cr_7f", "3d5a91.")]
    said += [{"choices": [{"message": {"content": text}}]} for text in ("Or cr_cr_7f", "3d5a91.")]
    read = SSEDecoder().feed(passed([b"data: %s\n\n" % encoded(one) for one in said]).removesuffix(b"!"))
    chunks = [decode_chunk(event.data) for event in read]
    assert texts(chunks) == {(0, "said"): "It is [key].Or [key]."}


def test_an_id_that_ends_as_the_key_begins_costs_nothing() -> None:
    def cost(end: str) -> float:
        frame = {"id": f"chatcmpl-{end}", "model": "gpt-4.1", "choices": [GROWING["said"](" word")]}
        events = [b"data: %s\n\n" % encoded(frame)] * 3000
        begun = time.process_time()
        assert passed(events) == b"".join(events) + b"!"
        return time.process_time() - begun

    assert min(cost("9c") for _ in range(5)) < 2 * min(cost("9x") for _ in range(5))


@pytest.mark.parametrize("name", ["id", "model", "object"])
def test_a_text_that_quotes_such_a_name_is_none(name: str) -> None:
    """A text may hold what looks like a name that ends in the key's first character."""
    begun = f'{{"{name}":"{KEY[:1]}'
    frames = [{"choices": [GROWING["said"](text)]} for text in (begun, KEY[1:], ".")]
    seen = passed([b"data: %s\n\n" % encoded(frame) for frame in frames])
    chunks = [decode_chunk(event.data) for event in SSEDecoder().feed(seen.removesuffix(b"!"))]
    assert texts(chunks) == {(0, "said"): f"{begun}[key]."}


def test_what_is_held_goes_before_an_event_that_was_torn() -> None:
    begun = {"choices": [GROWING["said"](f"It begins with {KEY[:5]}")]}
    whole = passed([f"data: {json.dumps(begun)}\n\n".encode(), b'data: {"id"'])
    *events, torn = whole.removesuffix(b"!").split(b"\n\n")
    chunks = [decode_chunk(event.decode().removeprefix("data: ")) for event in events]
    assert (texts(chunks), torn) == ({(0, "said"): f"It begins with {KEY[:5]}"}, b'data: {"id"')
