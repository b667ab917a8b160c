"""The upstream's own key, taken out of what it says on the way to a client."""

from __future__ import annotations

import re
from contextlib import suppress
from html import unescape
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hs_notebook.secret import Secret

# Of a character that a key may have.
_ENTITY = re.compile(r"&#(?:x0*[2-7][0-9a-f]|0*\d{2,3});?", re.IGNORECASE)
_BYTES = "latin-1"  # gives each byte a character, and takes it back


class Scrubbed:
    """The bytes of a reply without the key, however they are cut; all else is untouched, and at once."""

    def __init__(self, chunks: AsyncIterator[bytes], key: Secret) -> None:
        self._next = chunks.__anext__
        self._scrubber = Scrubber(key)
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                data = await self._next()
            except StopAsyncIteration:
                self._over = True
                said = self._scrubber.rest()
            else:
                said = self._scrubber.feed(data.decode(_BYTES))
            if said:
                return said.encode(_BYTES)
        raise StopAsyncIteration


def scrubbed_page(page: bytes, key: Secret, *, is_json: bool) -> bytes:
    """Return a whole page without the key, though JSON or HTML writes its characters in another way."""
    if is_json and b"\\u" in page:
        with suppress(
            msgspec.DecodeError, UnicodeError, RecursionError
        ):  # what nobody can decode stays as it is
            page = msgspec.json.encode(msgspec.json.decode(page))
    elif not is_json and b"&" in page:
        page = _ENTITY.sub(lambda entity: unescape(entity[0]), page.decode("utf-8", "replace")).encode()
    return key.scrub(page.decode(_BYTES)).encode(_BYTES)
