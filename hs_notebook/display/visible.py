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
        "\ud800-\udfff\U000e0000-\U000e007f]"
    )


def visible(text: str) -> str:
    r"""``text`` with each hidden control character as ``⟦U+202E⟧``; ``\r\n`` and ``\r`` become ``\n``.

    Safe to print on a terminal. Idempotent; text without such characters comes back as it is.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _hidden().sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text)


def escape(text: str) -> str:
    """``text`` for HTML, between tags or in a double-quoted attribute; apostrophes stay."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
