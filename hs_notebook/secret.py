"""A key that shows itself nowhere, and that is taken out of what others say, also while they say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 8
_MARK = "[key]"


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
        """Return `text` without the key, nor with most of it at its end; under 8 characters are no secret."""
        scrubber = Scrubber(self)
        return scrubber.feed(text) + scrubber.rest()

    def __repr__(self) -> str:
        return "Secret('…')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class Scrubber:
    """Takes a key out of a text that comes in pieces, cut anywhere.

    What may be the beginning of the key is held back until the next piece; no other text is ever late. All
    pieces together are what `Secret.scrub` makes of the whole text.
    """

    def __init__(self, key: Secret) -> None:
        guarded = len(key.reveal()) >= _SHORTEST
        self._key = key
        self._longest = len(key.reveal()) - 1  # characters that are held back
        self._first = key.reveal()[:1] if guarded else ""
        self._held = ""

    def feed(self, new: str) -> str:
        """Take a piece, and return what may be shown now."""
        if not self._held and (not self._first or self._first not in new):
            return new
        # The key is never bound to a name here: a verbose traceback would print it.
        *parts, last = (self._held + new).split(self._key.reveal())
        start = self._beginning(last)
        self._held = last[start:]
        return _MARK.join([*parts, last[:start]])

    def rest(self) -> str:
        """Return what is held back, at the end of the text; of a key that was cut off its mark alone."""
        held, self._held = self._held, ""
        return _MARK if len(held) >= _SHORTEST else held

    def _beginning(self, text: str) -> int:
        """Return where the text's end may begin the key."""
        start = text.find(self._first, max(0, len(text) - self._longest))
        while start >= 0 and not self._key.reveal().startswith(text[start:]):
            start = text.find(self._first, start + 1)
        return start if start >= 0 else len(text)
