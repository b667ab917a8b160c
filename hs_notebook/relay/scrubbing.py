"""The upstream's own key, taken out of what it says on the way to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hs_notebook.secret import Secret

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
