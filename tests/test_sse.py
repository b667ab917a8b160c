"""What the standard does not say of the decoder (for that: test_conformance.py): when, how much, how fast."""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest
from fuzzing.targets import MIB, fed, read_slowly
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.errors import EventTooLargeError
from hs_notebook.wire.sse import ServerSentEvent, SSEDecoder, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def event(data: str, kind: str = "message", last_id: str = "", retry: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(data, kind, last_id, retry)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


def test_a_reconnection_time_beyond_all_sense_is_none() -> None:
    assert fed([b"retry: " + b"9" * 5000 + b"\ndata: a\n\n"])[0] == [event("a")]


def test_an_event_comes_with_its_blank_line() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [event("a")]
    assert decoder.feed(b"data: b\r\n\r") == [event("b")]  # the LF that may follow says nothing new
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: c\r\r") == [event("c")]


def test_last_event_id_waits_for_the_blank_line() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\n\nid: 2\ndata: a\n")
    assert decoder.last_event_id == "1"
    decoder.feed(b"\n")
    assert decoder.last_event_id == "2"


# --- sizes ---------------------------------------------------------------------------------------

SIZES = {
    "one line": (b"data: " + b"x" * 20 + b"\n\n", b"data: " + b"x" * 21 + b"\n\n"),
    "one line, no space": (b"data:" + b"x" * 20 + b"\n\n", b"data:" + b"x" * 21 + b"\n\n"),
    "many lines": (b"data: 1234\n" * 4 + b"data\n\n", b"data: 1234\n" * 4 + b"data:1\n\n"),
    "many empty lines": (b"data\n" * 21 + b"\n", b"data\n" * 22 + b"\n"),
    "CRLF": (b"data: " + b"x" * 20 + b"\r\n\r\n", b"data: " + b"x" * 21 + b"\r\n\r\n"),
    "after a BOM": (b"\xef\xbb\xbfdata: " + b"x" * 20 + b"\n\n", b"\xef\xbb\xbfdata: " + b"x" * 21 + b"\n\n"),
    "after others": (b"data: a\n\ndata: " + b"x" * 20 + b"\n\n", b"data: a\n\ndata: " + b"x" * 21 + b"\n\n"),
    "a comment": (b":" + b"x" * 25 + b"\ndata: a\n\n", b":" + b"x" * 26 + b"\ndata: a\n\n"),
    "multi-byte": (
        b"data: " + "é".encode() * 10 + b"\n\n",
        b"data: 1" + "é".encode() * 10 + b"\n\n",
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_size_is_refused_at_every_cut_alike(name: str) -> None:
    fits, too_large = SIZES[name]
    before = [event("a")] if name == "after others" else []
    assert fed([fits], 20) == (read_slowly(fits), "", False)
    assert fed([too_large], 20) == (before, "", True)
    for places in combinations(range(len(fits) + 1), 2):
        assert fed(cut(fits, places), 20)[2] is False, places
    for places in combinations(range(len(too_large) + 1), 2):
        assert fed(cut(too_large, places), 20) == (before, "", True), places


@pytest.mark.parametrize("step", [1 << 30, 65_536, 100_003])
def test_a_mebibyte_and_one_byte_more(step: int) -> None:
    for size, refused in ((MIB, False), (MIB + 1, True)):
        data = b"data: " + b"x" * size + b"\n\ndata: b\n\n"
        events, _, too_large = fed(data[start : start + step] for start in range(0, len(data), step))
        assert too_large is refused
        assert [len(known.data) for known in events] == ([] if refused else [MIB, 1])


def test_refusal_says_the_limit() -> None:
    with pytest.raises(EventTooLargeError, match=r"larger than 1,048,576 bytes"):
        SSEDecoder().feed(b"data: " + b"x" * (MIB + 1) + b"\n")


def test_an_endless_line_is_refused_before_it_is_stored() -> None:
    decoder = SSEDecoder(10_000)
    for _ in range(10):
        decoder.feed(b":" + b"x" * 999)
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"x" * 1000)


def test_endless_comments_are_not_stored() -> None:
    decoder = SSEDecoder(1000)
    for _ in range(2000):
        assert decoder.feed(b": keep-alive\n\n") == []
    assert decoder.feed(b"data: a\n\n") == [event("a")]


# --- time ----------------------------------------------------------------------------------------


def in_bytes(size: int) -> list[bytes]:
    data = b"data: some text\n\n" * (size // 17)
    return [data[place : place + 1] for place in range(len(data))]


def one_line(size: int) -> list[bytes]:
    return [b"data: ", *[b"x" * 40] * (size // 40), b"\n\n"]


def many_lines(size: int) -> list[bytes]:
    return [b"data: x\n" * (size // 8) + b"\n"]


def many_events(size: int) -> list[bytes]:
    return [b"data: some text\n\n" * (size // 17)]


def seconds(pieces: list[bytes]) -> float:
    best = []
    for _ in range(3):
        decoder = SSEDecoder(1 << 40)
        started = time.process_time()
        for piece in pieces:
            decoder.feed(piece)
        best.append(time.process_time() - started)
    return min(best)


@pytest.mark.parametrize("shape", [in_bytes, one_line, many_lines, many_events])
def test_time_is_linear(shape: Callable[[int], list[bytes]]) -> None:
    unit = {in_bytes: 20_000, one_line: 400_000, many_lines: 200_000, many_events: 300_000}[shape]
    small, large = shape(unit), shape(unit * 8)
    # Eight times the input; quadratic work would take 64 times as long.
    assert seconds(large) < 24 * seconds(small)


# --- encode --------------------------------------------------------------------------------------

LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))


@given(data=st.text(st.characters(exclude_categories=["Cs"])), kind=LINE, last_id=LINE)
def test_encode_comes_back(data: str, kind: str, last_id: str) -> None:
    last_id = last_id.replace("\0", "")
    (back,) = SSEDecoder().feed(encode(data, event=kind, id=last_id))
    assert back == event(data.replace("\r\n", "\n").replace("\r", "\n"), kind or "message", last_id)


def test_encode_says_no_more_than_it_must() -> None:
    assert encode("a\nb") == b"data: a\ndata: b\n\n"
    assert encode("", event="e", id="1") == b"id: 1\nevent: e\ndata: \n\n"
