"""The key kept out of text, however that is cut into pieces."""

from __future__ import annotations

import re
import time

import pytest
from canary import WRITTEN
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


@pytest.mark.parametrize("prefix", ["sk-", "sk-proj-", "sk-ant-api03-", "sk-or-v1-", "cr_"])
def test_what_many_keys_begin_with_is_no_secret(prefix: str) -> None:
    key = f"{prefix}7Fq0aZ91c2e84b60x3Kw"
    for length in range(len(prefix) + 4):
        assert Secret(key).scrub(f"So: {key[:length]}") == f"So: {key[:length]}"
    assert Secret(key).scrub(f"So: {key[: len(prefix) + 5]}") == "So: [key]"


ODD = "cr_Canary_7f3d+5A91/c2e84b60"


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("key", [ODD, PLAIN])
def test_a_key_that_others_write_in_their_way(key: str, way: str) -> None:
    """At once, and cut at every place."""
    said = WRITTEN[way](key)
    assert Secret(key).scrub(f"So: {said}, or {said}!") == "So: [key], or [key]!"
    for cut in range(len(said)):
        assert "".join(in_pieces(key, [f"a {said[:cut]}", f"{said[cut:]} b"])) == "a [key] b"
    assert "".join(in_pieces(key, list(f"a {said} b"))) == "a [key] b"


def test_what_only_begins_like_a_way_to_write_it_stays() -> None:
    text = r"C:\cr 50% & R&D; a=1&b=2 \u0063 %63 &#99; cr_ \n%2500 &lt;cr&gt; 100%"
    assert Secret(PLAIN).scrub(text) == text
    assert "".join(in_pieces(PLAIN, list(text))) == text


@given(PIECES, st.integers(1, 8))
@example(list(TANGLED), 4)
@example([TANGLED[:3], TANGLED], 4)
def test_only_the_first_characters_may_pass(pieces: list[str], least: int) -> None:
    """Nothing is late before they have come, and what has passed is not taken back."""
    scrubber = Scrubber(Secret(TANGLED), least=least)
    shown = ""
    for piece in pieces:
        shown += scrubber.feed(piece)
    shown += scrubber.rest()
    scrubbed = Secret(TANGLED).scrub("".join(pieces))
    assert without_beginnings(shown) == without_beginnings(scrubbed)
    assert len(shown) <= len(scrubbed) + (least - 1) * scrubbed.count("[key]")


def test_what_may_pass_is_not_late() -> None:
    scrubber = Scrubber(Secret(PLAIN), least=4)
    assert [*map(scrubber.feed, ["a c", "r_", "7", "f", "!"]), scrubber.rest()] == [
        "a c",
        "r_",
        "",
        "",
        "7f!",
        "",
    ]
    assert [*map(scrubber.feed, ["cr_", PLAIN[3:], "c"]), scrubber.rest()] == ["cr_", "[key]", "c", ""]


def without_beginnings(text: str) -> str:
    return re.sub(r"[cr_0]*\[key\]", "[key]", text)


@pytest.mark.parametrize(
    "key", ["team-prod-user1-9f3c", "my-secret-pass-ab1", "abc12-def34-ghi-jkl9", "sk-proj-AbC9dEf7GhI2jKl4"]
)
def test_most_of_a_key_is_never_shown(key: str) -> None:
    assert Secret(key).scrub(f"x {key[:-1]}") == "x [key]"


@pytest.mark.parametrize("key", ["simulated", "lm-studio", "sk-no-key-required", "12345678"])
def test_words_are_no_secret(key: str) -> None:
    assert Secret(key).scrub(f"It is {key} here.") == f"It is {key} here."


def test_but_what_is_longer_is_one() -> None:
    assert Secret("a" * 20).scrub("It is " + "a" * 20) == "It is [key]"


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
