"""The upstream's own key, taken out on the way to a client: of bytes, and of texts that come by the event."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.errors import HolySheepError
from hs_notebook.relay.events import WholeEvents, end_of_event
from hs_notebook.secret import Scrubber, beginning
from hs_notebook.wire import sse
from hs_notebook.wire.chunks import decode_chunk
from hs_notebook.wire.ending import DONE
from hs_notebook.wire.scrubbing import ChunkScrubber
from hs_notebook.wire.surrogates import Surrogates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hs_notebook.relay.sinks import Sink
    from hs_notebook.secret import Secret
    from hs_notebook.types import ChatCompletionChunk
    from hs_notebook.wire.sse import ServerSentEvent

_BYTES = "latin-1"  # gives each byte a character, and takes it back
_END = r'(?:\Z|"(?!\s*:))'  # of a text in JSON, but not of a field's name
_NAMES = tuple(
    f'"{name}":{" " * space}' for name in ("id", "model", "system_fingerprint") for space in (0, 1)
)
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
                text = data.decode(_BYTES)
                if (said := self._scrubber.feed(text)) is text and data:
                    return data  # as nearly always
            if said:
                return said.encode(_BYTES)
        raise StopAsyncIteration


class EventsWithoutKey(WholeEvents):
    """Takes a key out of the texts of a stream that brings it in pieces, each in an event of its own.

    Only an event that brings the fourth character of what may be the key, and those that go on with it, are
    written anew, with other texts alone; all others pass byte for byte.
    """

    def __init__(self, sink: Sink, key: Secret) -> None:
        super().__init__(sink)
        self._scrubber = ChunkScrubber(key, least=_LEAST)
        self._may_begin = beginning(key, _END).search
        self._feed = sse.SSEDecoder().feed
        self._surrogates = Surrogates()

    def edited(self, data: bytes) -> bytes:
        """Return some events without the key."""
        text, parts, at = data.decode(_BYTES), list[bytes](), 0
        if not self._scrubber.waits and self._may_begin(text) is None:
            return data  # as nearly always
        while at < len(data) and (start := self._next(data, text, at)) is not None:
            end = end_of_event(data, start)
            parts += data[at:start], self._event(data[start:end])
            at = end
        return b"".join([*parts, data[at:]])

    def _next(self, data: bytes, text: str, at: int) -> int | None:
        """Return where the next event begins that may bring some of the key; most of them only pass."""
        if self._scrubber.waits:
            return at
        found = self._may_begin(text, at)
        while found is not None and _ends_name(text, found.start()):
            found = self._may_begin(text, found.end())
        if found is None:
            return None
        while (end := end_of_event(data, at)) <= found.start():
            at = end
        return at

    async def cut(self, last: bytes) -> None:
        """Leave out an event that has not ended, and hand on what is left, and a last one."""
        if rest := _written(self._scrubber.rest()):
            await self._sink.write(b"\n\n" + rest)
        await super().cut(last)

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
            chunk = decode_chunk(read[0].data, self._surrogates)
        except HolySheepError:  # it is not read either by who asks, and ends what is
            return _written(self._scrubber.rest()) + event
        (clean,) = self._scrubber.feed([chunk])
        return event if clean is chunk else _rewritten(read[0], chunk, clean)


def _ends_name(text: str, at: int) -> bool:
    """Tell whether a character is the last of an id or the like, which does not grow from event to event."""
    return text[at + 1 : at + 2] == '"' and text.endswith(_NAMES, 0, max(0, text.rfind('"', 0, at)))


def _rewritten(event: ServerSentEvent, chunk: ChatCompletionChunk, clean: ChatCompletionChunk) -> bytes:
    """Return an event whose chunk is to be another one; what stands beside its choices stays."""
    old, new = msgspec.to_builtins(chunk), msgspec.to_builtins(clean)
    # What we do not know within a choice, its logprobs first of all, may repeat the text piece by piece.
    changed = {name: new[name] for name in new if name == "choices" or new[name] != old[name]}
    frame = _frame(event.data)
    data = msgspec.json.encode(frame | changed if frame else new).decode()
    kind = None if event.event == "message" else event.event
    return sse.encode(data, event=kind, id=event.id or None)


def _frame(data: str) -> dict[str, Any]:
    """Return a frame of OpenAI's own dialect; of another, or where it cannot be read, there is none."""
    with suppress(msgspec.DecodeError):
        frame: dict[str, Any] = msgspec.json.decode(data)
        rows = frame.get("choices")
        ours = isinstance(rows, list) and all(isinstance(row, dict) and "message" not in row for row in rows)
        if rows and ours and "delta" not in frame:
            return frame
    return {}


def _written(chunks: Iterable[ChatCompletionChunk]) -> bytes:
    return b"".join(sse.encode(msgspec.json.encode(chunk).decode()) for chunk in chunks)
