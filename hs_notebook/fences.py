"""Markdown's fences: code taken out of an answer, and text put into one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENING = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})[ \t]*([^\s`]*)")
_RUN = re.compile(r"`+")
_PYTHON = frozenset({"python", "python3", "py", "ipython"})


class Fence(msgspec.Struct, frozen=True):
    """What stands between two fences; `language` is the first word after the opening one."""

    code: str
    language: str = ""
    closed: bool = True


def fences(markdown: str) -> list[Fence]:
    """Return the fenced blocks of a text in order; one that is not closed reaches to the end."""
    lines = iter(markdown.splitlines(keepends=True))
    return [_fence(lines, opening) for line in lines if (opening := _OPENING.match(line.rstrip("\r\n")))]


def code_blocks(markdown: str) -> list[Fence]:
    """Return the blocks that say they are Python; where none does, all of them."""
    found = fences(markdown)
    return [fence for fence in found if is_python(fence)] or found


def is_python(fence: Fence) -> bool:
    """Tell whether a block says that it is Python."""
    return fence.language.lower() in _PYTHON


def _fence(lines: Iterator[str], opening: re.Match[str]) -> Fence:
    indent, mark, language = opening.groups()
    # As in CommonMark, a fence that is set in further is text: a docstring may show one.
    closing = re.compile(rf"[ \t]{{0,{len(indent) + 3}}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*[\r\n]*$")
    inside: list[str] = []
    for line in lines:
        if closing.match(line):
            return Fence("".join(inside), language)
        inside.append(line.removeprefix(indent))
    return Fence("".join(inside), language, closed=False)


def unfenced(text: str) -> str:
    """Return what stands in a text that is one fence, and any other as it is."""
    stripped = text.strip()
    if not stripped.startswith("```") or not stripped.endswith("```"):
        return text
    found = fences(stripped)
    return found[0].code if len(found) == 1 else text


def json_in(text: str) -> str:
    """Return the JSON of a text: what stands in its one block of JSON, also beside words, or all of it.

    In JSON itself no line begins with a fence.
    """
    blocks = [block for block in fences(text) if block.closed and block.language.lower() in {"", "json"}]
    whole = unfenced(text)
    return blocks[0].code if whole is text and len(blocks) == 1 else whole


def marks(text: str) -> str:
    """Return a fence that no line of a text can close."""
    return "`" * max(3, 1 + max(map(len, _RUN.findall(text)), default=0))


def fenced(text: str, language: str = "") -> str:
    """Return a text as a fenced block; it begins and ends on lines of its own."""
    mark = marks(text)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{mark}{language}\n{text}{end}{mark}\n"
