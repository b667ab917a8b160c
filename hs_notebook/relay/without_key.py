"""The upstream's own key, taken out on the way to a client: of bytes, and of texts that come by the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import HolySheepError
from hs_notebook.relay.events import WholeEvents, end_of_event
from hs_notebook.secret import Scrubber, beginning
from hs_notebook.wire import sse
from hs_notebook.wire.chunks import decode_chunk
from hs_notebook.wire.ending import DONE
from hs_notebook.wire.scrubbing import ChunkScrubber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hs_notebook.relay.sinks import Sink
    from hs_notebook.secret import Secret
    from hs_notebook.types import ChatCompletionChunk

_BYTES = "latin-1"  # gives each byte a character, and takes it back
_END = r'(?:\Z|"(?!\s*:))'  # of a text in JSON, but not of a field's name
_LEAST = 4  # characters of the key; fewer may pass, or every answer that ends so would be written anew


class BytesWithoutKey:
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


class EventsWithoutKey(WholeEvents):
    """Takes a key out of the texts of a stream that brings it in pieces, each in an event of its own.

    Only an event that brings the fourth character of what may be the key, and those that go on with it, are
    written anew, as far as we know their fields; all others pass byte for byte.
    """

    def __init__(self, sink: Sink, key: Secret) -> None:
        super().__init__(sink)
        self._scrubber = ChunkScrubber(key, least=_LEAST)
        self._may_begin = beginning(key, _END).search
        self._feed = sse.SSEDecoder().feed

    def edited(self, data: bytes) -> bytes:
        """Return some events without the key."""
        text, parts, at = data.decode(_BYTES), list[bytes](), 0
        while at < len(data) and (start := self._next(data, text, at)) is not None:
            end = end_of_event(data, start)
            parts += data[at:start], self._event(data[start:end])
            at = end
        return b"".join([*parts, data[at:]])

    def _next(self, data: bytes, text: str, at: int) -> int | None:
        """Return where the next event begins that may bring some of the key; most of them only pass."""
        if self._scrubber.waits:
            return at
        if (found := self._may_begin(text, at)) is None:
            return None
        while (end := end_of_event(data, at)) <= found.start():
            at = end
        return at

    async def end(self, *, whole: bool) -> None:
        """Hand on what is left, and end."""
        if rest := _written(self._scrubber.rest()):
            await self._sink.write(rest)
        await super().end(whole=whole)

    def _event(self, event: bytes) -> bytes:
        try:
            read = self._feed(event)
            if len(read) != 1:
                return event
            if read[0].data == DONE:
                return _written(self._scrubber.rest()) + event
            chunk = decode_chunk(read[0].data)
        except HolySheepError:  # it is not read either by who asks
            return event
        (clean,) = self._scrubber.feed([chunk])
        return event if clean is chunk else _written([clean])


def _written(chunks: Iterable[ChatCompletionChunk]) -> bytes:
    return b"".join(sse.encode(msgspec.json.encode(chunk).decode()) for chunk in chunks)
