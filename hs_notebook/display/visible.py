"""Characters that would act without being seen, shown as text.

An answer is foreign text. Escape sequences can repaint a terminal, bidirectional controls can make a line
read otherwise than it is, and tag characters can carry orders that no reader sees.
"""

from __future__ import annotations

import re
from functools import cache


@cache
def _hidden() -> re.Pattern[str]:
    # C0 (but tab and newline), DEL and C1, bidirectional marks and line separators, deprecated format
    # characters, byte-order mark, interlinear marks, surrogates that stand alone, tag characters.
    return re.compile(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
        "\ud800-\udfff\U000e0000-\U000e007f]+"
    )


@cache
def _spelt(char: str) -> str:
    return f"⟦U+{ord(char):04X}⟧"


@cache
def _pairs() -> re.Pattern[str]:
    return re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _joined(halves: str) -> str:
    return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def visible(text: str) -> str:
    r"""``text`` with each hidden control character as ``⟦U+202E⟧``; ``\r\n`` and ``\r`` become ``\n``.

    Safe to print on a terminal. Idempotent; text without such characters comes back as it is.
    Two halves of a surrogate pair, as a stream may bring them, are the character that they make.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = _pairs().sub(lambda found: _joined(found[0]), text)
    return _hidden().sub(lambda found: "".join(map(_spelt, found[0])), text)


def escape(text: str) -> str:
    """``text`` for HTML, between tags or in a double-quoted attribute; apostrophes stay."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
