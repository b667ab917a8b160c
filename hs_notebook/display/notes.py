"""What is ours in a text that is else the model's: calls of functions, their results, and remarks.

It stands between two marks that no model can say. They are noncharacters of Unicode, which no text has and no
entity of Markdown makes, and a model's own text is shown without them.
"""

from __future__ import annotations

import re
from functools import cache

MARK = "\ufdd0"  # the note begins, and the note ends
AS_IS = "\ufdd1as-is"  # the language of a fence whose lines wrap and that has no frame


@cache
def _marks() -> re.Pattern[str]:
    return re.compile("[\ufdd0\ufdd1]")


def note(text: str) -> str:
    """Return Markdown of ours as a part of an answer's picture."""
    return f"{MARK}{foreign(text)}{MARK}"  # it may quote what a function gave


def foreign(text: str) -> str:
    """Return a model's text, or a part of it, with nothing in it that would pass for ours."""
    return _marks().sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text)


def unmarked(text: str) -> str:
    """Return a picture's Markdown without the marks."""
    return _marks().sub("", text.replace(AS_IS, "text"))
