"""A key to be looked for in all that was said or written, in whatever way it is written there."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_PIECE = 9  # characters

#: How others may write a key: each character in its way, or only those that are neither letters nor digits.
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "in JSON": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "in JSON, the odd ones": lambda key: re.sub(r"\W|_", lambda odd: f"\\u{ord(odd[0]):04X}", key),
    "in a URL": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "in a URL, the odd ones": lambda key: quote(key, safe="").replace("_", "%5f"),
    "in a URL, twice": lambda key: "".join(f"%25{ord(char):02x}" for char in key),
    "in HTML": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "in HTML, hexadecimal": lambda key: "".join(f"&#x{ord(char):x};" for char in key),
    "in HTML, by names": lambda key: (
        key.replace("_", "&UnderBar;").replace("+", "&plus;").replace("/", "&sol;")
    ),
    "in HTML that is escaped": lambda key: "".join(f"&amp;#{ord(char)};" for char in key),
    "in Markdown": lambda key: re.sub(r"(\W|_)", r"\\\1", key),
}
#: What of an answer grows from frame to frame.
GROWING: dict[str, Callable[[str], dict[str, Any]]] = {
    "said": lambda text: {"index": 0, "delta": {"content": text}},
    "refused": lambda text: {"index": 0, "delta": {"refusal": text}},
    "thought": lambda text: {"index": 0, "delta": {"reasoning_content": text}},
    "called": lambda text: {
        "index": 0,
        "delta": {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "look", "arguments": text}}]},
    },
    "said by another": lambda text: {"index": 1, "delta": {"content": text}},
}
ENDED = {"choices": [{"index": index, "delta": {}, "finish_reason": "stop"} for index in (0, 1)]}
#: What reads each of them: whatever is mixed, one of these shows at least a piece.
_READINGS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text),
    lambda text: unquote(unquote(text)),
    lambda text: unescape(unescape(text)),
    lambda text: text.replace("\\", ""),
)


def in_pieces(part: str, text: str, size: int) -> list[dict[str, Any]]:
    """The frames of an answer that brings a text so many characters at a time."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [{"model": "m", "choices": [GROWING[part](piece)]} for piece in pieces] + [ENDED]


@dataclass(frozen=True)
class Canary:
    """A key; `found_in` says where a text tells any of it."""

    key: str

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The key, and nine characters of each third of it."""
        last = len(self.key) - _PIECE
        return (self.key, *(self.key[start : start + _PIECE] for start in (3, last // 2, last)))

    @cached_property
    def dumped(self) -> tuple[str, ...]:
        """How it would stand in a header or a dump of bytes."""
        shifted = (
            base64.b64encode(before + self.key.encode())[4:-4].decode() for before in (b"", b"a", b"ab")
        )
        return (*shifted, self.key.encode().hex())

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """All that is looked for."""
        return (
            *self.pieces,
            *self.dumped,
            *(write(self.key) for name, write in WRITTEN.items() if name != "as it is"),
        )

    def found_in(self, text: str) -> str:
        """What stands around the first form of the key, or nothing."""
        for reading in self._readings(text):
            small = reading.lower()
            for form in (*self.pieces, *self.dumped):
                if (where := small.find(form.lower())) >= 0:
                    return reading[max(0, where - 300) : where + 100]
        return ""

    @staticmethod
    def _readings(text: str) -> Iterator[str]:
        for read in _READINGS:
            found = read(text)
            if read is str or found != text:
                yield found

    def is_clean(self, text: str) -> int:
        """Assert that no form of the key is in a text, and return how many characters were searched."""
        found = self.found_in(text)
        assert not found, f"the key is there: {found}"
        return len(text)

    def are_clean(self, files: Iterable[Path]) -> int:
        """Assert the same of files, as they lie on the disk, and return how many bytes were searched."""
        size = 0
        for path in files:
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # a journal that was there a moment ago
                continue
            found = self.found_in(data.decode("latin-1"))
            assert not found, f"the key is in {path.name}: {found}"
            size += len(data)
        return size


def everything(cell: object) -> str:
    """All that an object holds, as text."""
    return json.dumps(cell, default=lambda thing: getattr(thing, "__dict__", None) or str(thing))
