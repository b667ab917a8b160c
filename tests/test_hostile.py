"""Hostile answers where there is no page: on the terminal, and in the kernel that makes the final picture."""

from __future__ import annotations

import asyncio
import codecs
import os
import pty
import re
import threading
import time
import tty
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest
from hostile.large import LARGE, Large
from hostile.small import ESCAPES, FORGED, HOSTILE

from hs_notebook.answers import Answer, Receipt
from hs_notebook.display.notes import foreign, unmarked
from hs_notebook.display.page import answer_bundle
from hs_notebook.display.terminal import TerminalDisplay
from hs_notebook.display.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shell import Shell

SIZE = 300_000
LARGEST = 10_000_000
#: Seconds of the kernel's processor for one picture, on a machine that does other things too.
BOUND = 30.0
#: What may reach a terminal: printable characters, newline and tab, but for our own dim and plain.
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u206f\U000e0000-\U000e007f]"
)
OURS = re.compile(r"\x1b\[[02]m")


def on_a_terminal(pieces: Sequence[str]) -> str:
    """What a pseudo-terminal in raw mode gets when an answer comes in these pieces."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    got: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(master, 65_536):
                got.append(data)
        except OSError:  # the other end is closed
            pass

    async def show() -> None:
        display = TerminalDisplay()
        for piece in pieces:
            display.text(piece)
            display._gather.flush()  # as if time had passed
        display.done()
        display.notice("The end.")

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8", newline="") as screen, redirect_stdout(screen):
        asyncio.run(show())
    reader.join(60)
    os.close(master)
    return codecs.decode(b"".join(got), "utf-8")


def answer_on(shown: str) -> str:
    """The answer's own part of what a terminal got; it holds nothing that a terminal would act on."""
    text, dim, end = shown.rpartition("\x1b[2m")
    assert (dim, end) == ("\x1b[2m", "The end.\x1b[0m\n")
    assert FORBIDDEN.findall(text) == []
    return text


@pytest.mark.parametrize("name", list(ESCAPES))
def test_an_escape_cut_anywhere_is_text(name: str) -> None:
    text = f"before {ESCAPES[name]} after"
    whole = answer_on(on_a_terminal([text]))
    assert whole == visible(text) + "\n"
    for at in range(1, len(text)):
        assert answer_on(on_a_terminal([text[:at], text[at:]])) == whole, at
    assert answer_on(on_a_terminal(list(text))) == whole


def test_the_terminal_shows_the_corpus_as_text(publish: Callable[..., None]) -> None:
    start = time.process_time()
    texts = [HOSTILE, *ESCAPES.values(), *(large.text(SIZE) for large in LARGE.values())]
    for text in texts:
        pieces = [text[at : at + 30_011] for at in range(0, len(text), 30_011)]
        ended = "" if visible(text).endswith("\n") else "\n"
        assert answer_on(on_a_terminal(pieces)) == visible(text) + ended
    publish(
        "hostile",
        where="terminal",
        family="all of the corpus",
        answers=len(texts),
        found="no byte but text, newline, tab and our own dim",
        kernel_CPU=f"{time.process_time() - start:.1f} s",
    )


ADD = "def add(x: int) -> int:\n    return x + 1"
ASKING = "%%holysheep gpt-4.1 -o reply --raw {}\n[simulate {} speed=inf]\n{}"


@pytest.mark.parametrize("forged", FORGED)
def test_no_answer_can_pass_for_a_note_of_ours(forged: str, shell: Shell) -> None:
    ran = shell.run(ASKING.format("", "text", forged))
    reply = shell.names["reply"]
    assert reply.text == forged.strip("\n")
    html = answer_bundle(reply)["text/html"].split("</style>")[1]
    assert "hs-note" not in html.replace("&lt;div class=&quot;hs-note", "")
    assert 'class="hs-as-is"' not in html
    assert html.count('<div class="hs-receipt">') == 1
    assert unmarked(html) == html
    assert ran.out.startswith(visible(foreign(forged.strip("\n"))))


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_ours_stands_out_after_any_answer(forged: str, shell: Shell) -> None:
    """A call of a function and its result stand in notes of ours, whatever the model has said before."""
    shell.run(ADD)
    shell.run(ASKING.format("--tools add --allow-tools", 'text tool=add arguments={"x":2}', "It is 3."))
    picture = foreign(forged) + shell.names["reply"].picture
    html = answer_bundle(Answer("", Receipt(request_model="m"), picture=picture))["text/html"]
    ours = re.findall(r'^<div class="hs-note">\n<div class="hs-code" data-lang="(\w+)">', html, re.MULTILINE)
    assert ours == ["call", "result"]
    assert html.endswith("<p>It is 3.</p>\n</div>\n" + html[html.index('<div class="hs-receipt">') :])


def test_our_marks_are_in_nothing_that_a_user_gets_as_text(shell: Shell) -> None:
    shell.run(ADD)
    shell.run(
        ASKING.format("-f text --tools add --allow-tools", 'text tool=add arguments={"x":2}', "It is 3.")
    )
    reply = shell.names["reply"]
    said = "```call\nadd(x=2)\n```\n\n```result\n3\n```\n\n```text\nIt is 3.\n```\n"
    assert reply.shown == said
    assert answer_bundle(reply)["text/plain"] == said


@pytest.mark.parametrize("family", sorted({large.family for large in LARGE.values()}))
def test_the_kernel_draws_a_great_answer_in_bounded_time(family: str, publish: Callable[..., None]) -> None:
    taken = {
        name: max(drawing(large, SIZE), drawing(large, LARGEST))
        for name, large in LARGE.items()
        if large.family == family
    }
    slowest = max(taken, key=taken.__getitem__)
    assert taken[slowest] < BOUND, slowest
    publish(
        "hostile",
        where="kernel",
        family=family,
        answers=2 * len(taken),
        found=f"slowest: {slowest}",
        kernel_CPU=f"{taken[slowest]:.1f} s",
    )


def drawing(large: Large, size: int) -> float:
    """Seconds of the processor for the final picture of an answer."""
    text = large.text(size)
    start = time.process_time()
    html = answer_bundle(Answer(text, Receipt(request_model="m")))["text/html"]
    taken = time.process_time() - start
    assert FORBIDDEN.findall(html) == []
    assert len(html) < 20_000_000
    return taken
