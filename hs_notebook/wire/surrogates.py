r"""Surrogate pairs that a gateway cut in two: JSON can write one half, ``\ud83d``, which is no text.

Servers that count in UTF-16 end a piece, or an answer, in the middle of an emoji.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"""\\(?:
        u(?P<first>d[89ab][0-9a-f]{2})(?P<rest>\\ud[c-f][0-9a-f]{2})?
        |u(?P<second>d[c-f][0-9a-f]{2})
        |.
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_UNKNOWN = r"\ufffd"


class Surrogates:
    """Joins the pairs that the frames of one stream bring in halves."""

    def __init__(self) -> None:
        self._first = ""  # waits for its second

    def joined(self, data: str) -> str:
        """Return the JSON of a frame without halves: one that ends it waits, others are U+FFFD."""
        return _ESCAPE.sub(self._whole, data)

    def _whole(self, escape: re.Match[str]) -> str:
        if escape["second"]:
            first, self._first = self._first, ""
            return f"{first}{escape[0]}" if first else _UNKNOWN
        if escape["first"] and not escape["rest"]:
            before, self._first = self._first, escape[0]
            return _UNKNOWN if before else ""
        return escape[0]
