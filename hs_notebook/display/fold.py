"""How much of an answer is drawn: a page with ten megabytes or a million marks to lay out stands still."""

from __future__ import annotations

import re
from functools import cache

MOST = 500_000
"""Cost of what is drawn: 1 for each UTF-16 code unit, 20 for a mark, of Markdown or combining."""

_MARK = 19  # more than another character costs
_SLICE = 4_096


@cache
def _marks() -> re.Pattern[str]:
    # The page needs seconds to find the place of 100,000 combining marks.
    combining = r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    return re.compile(rf"[\n!#$&()*+<>\[\\\]_`|~\-{combining}]")


def fold(text: str) -> str:
    """Return the beginning of a visible text that is drawn; the whole where it is of any usual length.

    The page's live view ends at the same character.
    """
    left = MOST
    for start in range(0, len(text), _SLICE):
        part = text[start : start + _SLICE]
        cost = _cost(part)
        if cost > left:
            return text[: start + _fitting(part, left)]
        left -= cost
    return text


def fold_line(shown: int, whole: int) -> str:
    """Return the line under an answer that is not drawn to its end; both in characters."""
    return f"Only the first {shown:,} of {whole:,} characters are drawn; the answer's text holds all of them."


def _cost(part: str) -> int:
    units = len(part) if part.isascii() else len(part.encode("utf-16-le", "surrogatepass")) // 2
    return units + _MARK * len(_marks().findall(part))


def _fitting(part: str, left: int) -> int:
    """How many characters of `part` cost no more than `left`."""
    for number, character in enumerate(part):
        left -= _cost(character)
        if left < 0:
            return number
    return len(part)
