"""How much of an answer is drawn: a page with ten megabytes or a million marks to lay out stands still."""

from __future__ import annotations

import re
from functools import cache

MOST = {
    "size": 300_000,  # UTF-16 code units; of a pair each counts thrice, what has its font sought twenty times
    "line": 8_000,
    "blank": 4_000,  # lines with nothing in them, which part blocks
    "start": 2_500,  # marks at the start of a line that begin a list, a quote, a heading or are a rule
    "fence": 2_100,  # backticks and tildes there
    "bar": 6_000,  # between the cells of tables
    "mark": 20_000,  # other marks of Markdown, of `-----` three; what may begin a tag counts thrice
}
"""Of each kind so much is drawn: each alone takes a page 0.1 s, and a long answer has half of it."""

_TEX = 600  # so many marks of formulas count against all kinds together, and two kinds' worth of these

_SHARES = {kind: 21_000_000 // most for kind, most in MOST.items()} | {"tex": 2 * 21_000_000 // _TEX}
_ALL = 4 * 21_000_000  # of all kinds together: as if four were drawn to their ends
_PAIR, _DEAR, _TAG = 6, 20, 3  # what they count


@cache
def _special() -> re.Pattern[str]:
    # The page needs seconds to find the place of 100,000 combining marks, or a font for as many brackets.
    dear = r"\u27e6\u27e7\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    return re.compile(
        rf"(?P<line>\n)|(?P<bar>\|)|(?P<fence>[`~])|(?P<quote>>)|(?P<row>[#*+\-.)])|(?P<mark>[!$&(\[\\\]_])"
        r"|(?P<tag><)|(?P<gap>(?<=[#*+\-.)])[ \t])"
        rf"|(?P<dear>[{dear}])|(?P<pair>[\U00010000-\U0010ffff])"
    )


@cache
def _start() -> re.Pattern[str]:
    return re.compile(r"[ \t0-9>#*+\-.)`~]*")


def fold(text: str) -> str:
    """Return the beginning of a visible text that is drawn; the whole where it is of any usual length.

    The page's live view ends at the same character.
    """
    left = MOST | {"all": _ALL, "tex": _TEX}
    at = line = 0  # what is paid for, and where the line begins
    in_code = False  # about: between two fences of backticks
    start = _start_end(text, 0)
    for found in _special().finditer(text):
        here = found.start()
        if here - at > _room(left):
            break
        for kind, cost in (("size", here - at), *_costs(found, line=line, start=start)):
            paid = (0 if in_code else min(cost, left["tex"])) if kind == "tex" else cost
            left[kind] -= paid
            left["all"] -= paid * _SHARES[kind]
        if min(left.values()) < 0:
            return text[:here]
        at = found.end()
        in_code ^= here < start and _is_third(text[max(here - 3, line) : at])
        if found.lastgroup == "line":
            line, start = at, _start_end(text, at)
    return text[: at + _room(left)]


def _is_third(run: str) -> bool:
    return run.endswith("```") and run != "````"


def _room(left: dict[str, int]) -> int:
    """How many characters fit that are nothing but size."""
    return min(left["size"], left["all"] // _SHARES["size"])


def _start_end(text: str, line: int) -> int:
    """Where the marks end that a line begins with."""
    found = _start().match(text, line)
    return found.end() if found else line


def _costs(found: re.Match[str], *, line: int, start: int) -> list[tuple[str, int]]:
    """What a character costs, by kind; its line begins at `line`, with marks alone up to `start`."""
    kind, text, here = str(found.lastgroup), found.string, found.start()
    begins = here > line and here - 1 < start and text[here - 1] in "#*+-.)"  # with the gap behind it
    if kind == "gap":
        return [("size", 1), ("start", int(begins))]
    if kind == "line":
        blank = not text[line:here].strip(" \t")
        return [("size", 1), ("line", 1), ("blank", int(blank)), ("start", int(begins))]
    if kind in ("dear", "pair"):
        return [("size", _PAIR if kind == "pair" else _DEAR)]
    if kind == "row":
        is_more = found[0] != "*" and text[max(here - 3, 0) : here + 1] == 4 * found[0]
        return [("size", 1), ("mark", int(not is_more))]
    if kind in ("mark", "tag"):
        return [("size", 1), ("mark", _TAG if kind == "tag" else 1), ("tex", _tex(found))]
    if kind in ("quote", "fence"):
        kind = "mark" if here >= start else "start" if kind == "quote" else kind
    return [("size", 1), (kind, 1)]


def _tex(found: re.Match[str]) -> int:
    opens = found[0] in ("(", "[") and found.string[found.start() - 1 : found.start()] == "\\"
    return 2 if opens else int(found[0] == "$")


def fold_line(shown: int, whole: int) -> str:
    """Return the line under an answer that is not drawn to its end; both in characters."""
    return f"Only the first {shown:,} of {whole:,} characters are drawn; the answer's text holds all of them."
