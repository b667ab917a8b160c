"""A key that shows itself nowhere, and that is taken out of what others say, also while they say it."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 8
_WORDS = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z]+)*|[0-9]+")  # what relays at home that want no key are given
_LONGEST_WORD = 20  # characters: whose key is "simulated" or "lm-studio" must still read that in answers
_PUBLIC = re.compile(r"(?:[a-z]{1,8}[0-9]{0,2}[-_]){0,3}")  # as many keys begin: sk-proj-, sk-ant-api03-
_GUESSED = 4  # characters after that
_MARK = "[key]"
_BYTES = "latin-1"  # gives each byte a character, and takes it back

# A character of a key as it is, or as JSON, a URL, HTML or Markdown write it; one of them may quote another.
_CHARACTER = re.compile(
    r"(?:&|\\{1,8}u0026)(?:amp;){0,2}(?P<html>#x0{0,6}[2-7][\da-f];?|#0{0,6}\d{2,3};?|[a-z]{2,8};)"
    r"|\\{1,8}u00(?P<json>[2-7][\da-f])"
    r"|%(?:25){0,2}(?P<url>[2-7][\da-f])"
    r"|\\{0,8}(?P<plain>[!-~])",
    re.IGNORECASE,
)
_ODD = "\\%&"  # what such a way begins with
# What may become one of these with the next piece of a text.
_BEGUN = re.compile(
    r"(?:\\{1,8}(?:u[\da-f]{0,4})?|%[\da-f]{0,6}|(?:&|\\{1,8}u0026)[#;\da-z]{0,20})\Z", re.IGNORECASE
)


class Secret:
    """A key that no repr, traceback or pickle shows; `reveal()` is for the request alone."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # In a closure: a debugger or `%xmode Verbose` that prints attributes finds no text here.
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """Return the key itself."""
        return self._reveal()

    def scrub(self, text: str) -> str:
        """Return `text` without the key, nor with most of it at its end: more than what many keys begin with.

        It is found in small and capital letters, and where JSON, a URL, HTML or Markdown write its characters
        in their way. Under 8 characters, and words, are no secret.
        """
        scrubber = Scrubber(self)
        return scrubber.feed(text) + scrubber.rest()

    def scrub_bytes(self, data: bytes) -> bytes:
        """Return the bytes of a text likewise, before anything is cut from them that would leave half."""
        return self.scrub(data.decode(_BYTES)).encode(_BYTES)

    def __repr__(self) -> str:
        return "Secret('…')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class Scrubber:
    """Takes a key out of a text that comes in pieces, cut anywhere.

    What may be the beginning of the key is held back until the next piece, once `least` characters of it
    have come; no other text is ever late. With none, all pieces together are what `Secret.scrub` makes of
    the whole text.
    """

    def __init__(self, key: Secret, *, least: int = 0) -> None:
        # No more than a character of the key is bound to a name here: a verbose traceback would print it.
        self._key = key
        self._size = len(key.reveal())
        public = self._size - len(_PUBLIC.sub("", key.reveal(), count=1))
        # So many characters of it are never shown at an end.
        self._most = max(_SHORTEST, min(public + _GUESSED, self._size * 2 // 3))
        self._least = least
        start = beginning(key)
        self._starts = start.finditer
        self.may_begin = start.search  # tells quickly where no key begins in a text that stands alone
        self._begun = ""  # the beginning of the key, perhaps
        self._shown = 0  # characters of it that are not held back

    @property
    def waits(self) -> bool:
        """Whether the text so far ends in what may begin the key."""
        return bool(self._begun)

    def feed(self, new: str) -> str:
        """Take a piece, and return what may be shown now."""
        if not self._begun and not self.may_begin(new):
            return new
        text, at, over = self._begun + new, self._shown, 0
        self._begun, self._shown, parts = "", 0, list[str]()
        for found in self._starts(text):
            start = found.start()
            if start < over or (end := self._end(text, start)) is None:
                continue
            parts.append(text[at:start])
            if end < 0:
                held = start if ~end >= self._least else len(text)
                parts.append(text[max(at, start) : held])
                self._begun, self._shown = text[start:], max(at, held) - start
                return "".join(parts)
            parts.append(_MARK)
            at = over = end
        return "".join([*parts, text[at:]])

    def rest(self) -> str:
        """Return what is held back, at the end of the text; of a key that was cut off its mark alone."""
        held = _MARK if self._holds_most() else self._begun[self._shown :]
        self._begun, self._shown = "", 0
        return held

    def release(self) -> str:
        """Return what is held back now, but for most of the key; what is left of that is still found."""
        if self._holds_most():
            return ""
        held, self._shown = self._begun[self._shown :], len(self._begun)
        return held

    def _holds_most(self) -> bool:
        held = self._shown < len(self._begun)
        return held and len(list(_CHARACTER.finditer(self._begun))) >= self._most

    def _end(self, text: str, start: int) -> int | None:
        """Return where the key ends that begins here; None where none does.

        Where the text ends before it, that is -1, less the number of characters that have come.
        """
        same = text[start : start + self._size]
        if self._key.reveal().startswith(same):
            return start + self._size if len(same) == self._size else ~len(same)
        at = start
        for number in range(self._size):
            wanted, plain = self._key.reveal()[number].lower(), text[at : at + 1].lower()
            if plain not in _ODD:
                if plain != wanted:
                    return None
                at += 1
            elif not plain or _BEGUN.match(text, at):
                return ~number
            elif (found := _CHARACTER.match(text, at)) is not None and _read(found) == wanted:
                at = found.end()
            else:
                return None
        return at


def beginning(key: Secret, end: str = r"\Z") -> re.Pattern[str]:
    """Return the pattern of what may begin a key, also at an `end`; most text has none of it."""
    words = _WORDS.fullmatch(key.reveal()) and len(key.reveal()) < _LONGEST_WORD
    if words or len(key.reveal()) < _SHORTEST:
        return re.compile(r"(?!)")
    first, second, third = (re.escape(char.lower() + char.upper()) for char in key.reveal()[:3])
    return re.compile(
        rf"[{first}\\%&](?:(?<=[{first}])(?=[{second}](?:[{third}\\%&]|{end})|[\\%&]|{end})"
        rf"|(?<=\\)(?<!\\\\)(?=[{first}u\\]|{end})|(?<=%)(?=[2-7]|{end})|(?<=&)(?=[#a-zA-Z]|{end}))"
    )


def _read(found: re.Match[str]) -> str:
    """Return the character that one of the ways to write it means, as a small letter."""
    if code := found["json"] or found["url"]:
        return chr(int(code, 16)).lower()
    return (unescape(f"&{found['html']}") if found["html"] else found["plain"]).lower()
