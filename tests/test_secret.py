"""The key kept out of text, however that is cut into pieces."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hs_notebook.secret import Scrubber, Secret

# Its beginning comes again within it: what is held back must be looked at anew, and not given up.
TANGLED = "cr_cr_cr_c0"
PLAIN = "cr_7f3d5a91c2e84b60"
PIECES = st.lists(st.one_of(st.text("cr_0 x", max_size=9), st.sampled_from([TANGLED, TANGLED[:7], "[key]"])))


def in_pieces(key: str, pieces: list[str]) -> list[str]:
    scrubber = Scrubber(Secret(key))
    return [*map(scrubber.feed, pieces), scrubber.rest()]


@given(PIECES)
@example([TANGLED[:3], TANGLED])
@example(list(TANGLED + TANGLED[:10]))
def test_a_text_in_pieces_is_scrubbed_as_the_whole(pieces: list[str]) -> None:
    shown = "".join(in_pieces(TANGLED, pieces))
    assert shown == Secret(TANGLED).scrub("".join(pieces))
    replaced = "".join(pieces).replace(TANGLED, "[key]")
    assert shown == replaced or (shown.endswith("[key]") and replaced.startswith(shown[:-5]))


@given(PIECES)
def test_only_what_may_begin_the_key_is_late(pieces: list[str]) -> None:
    scrubber = Scrubber(Secret(TANGLED))
    said = shown = ""
    for piece in pieces:
        said += piece
        shown += scrubber.feed(piece)
        late = len(said.replace(TANGLED, "[key]")) - len(shown)
        assert late < len(TANGLED)
        assert not late or TANGLED.startswith(said[-late:])


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_every_cut(cut: int) -> None:
    assert "".join(in_pieces(PLAIN, ["a " + PLAIN[:cut], PLAIN[cut:] + " b"])) == "a [key] b"


@pytest.mark.parametrize(("length", "shown"), [(3, "cr_"), (7, PLAIN[:7]), (8, "[key]"), (17, "[key]")])
def test_a_key_that_is_cut_off(length: int, shown: str) -> None:
    assert "".join(in_pieces(PLAIN, ["So: ", PLAIN[:length]])) == f"So: {shown}"
    assert Secret(PLAIN).scrub(f"So: {PLAIN[:length]}") == f"So: {shown}"


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    assert in_pieces("short", ["a sh", "ort text", "sho"]) == ["a sh", "ort text", "sho", ""]
    assert in_pieces("", ["a", ""]) == ["a", "", ""]


def test_it_costs_a_token_next_to_nothing() -> None:
    words = [" the", " access", " to", " chunks", ", ", "cr", "_", "and", " so", " on."] * 3_000
    scrubber = Scrubber(Secret(PLAIN))
    begun = time.process_time()
    for word in words:
        scrubber.feed(word)
    assert (time.process_time() - begun) / len(words) < 20e-6  # seconds; it takes less than one millionth
