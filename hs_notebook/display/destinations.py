"""Where links lead, as the page's parser reads it: a backslash before a space is the last of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def like_the_page(helpers: Any) -> Any:
    """Return a parser's helpers with a `parseLinkDestination` of our own; the library's stops one sooner."""

    def destination(string: str, pos: int, maximum: int) -> Any:
        result = helpers.parseLinkDestination(string, pos, maximum)
        end = result.pos if result.ok else pos
        if string.startswith("\\ ", end) and end + 1 < maximum and not string.startswith("<", pos):
            result.ok, result.pos = True, end + 1
            result.str += "\\"
        return result

    return SimpleNamespace(
        parseLinkDestination=destination,
        parseLinkLabel=helpers.parseLinkLabel,
        parseLinkTitle=helpers.parseLinkTitle,
    )
