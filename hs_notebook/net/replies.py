"""Replies over HTTP, as far as all that read them must know."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from hs_notebook.connections import undisturbed
from hs_notebook.watchdog import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

_LONGEST_PAGE = 64 * 1024  # bytes read of an error page
_LONGEST_LINE = 500  # characters of a server's message
DECODED = frozenset({"identity", "gzip", "deflate"})
_STEP = 64 * 1024  # bytes unpacked at a time: what arrives may hold a thousand times its own size
_EITHER, _BARE = 47, -15  # what zlib calls a header of gzip or of its own, and none


def encoding(response: httpx.Response) -> str:
    """Return the encoding of a reply's body."""
    return str(response.headers.get("content-encoding", "")).strip().lower() or "identity"


def kind(response: httpx.Response) -> str:
    """Return the content type of a reply that can be read, else nothing."""
    if encoding(response) not in DECODED:
        return ""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def source(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the bytes of a body as they arrive, unpacked; raises `zlib.error` where they are broken."""
    # What `aiter_raw` iterates, with a layer less for each chunk.
    raw = aiter(cast("httpx.AsyncByteStream", response.stream))
    return raw if (used := encoding(response)) == "identity" else _Unpacked(raw, bare=used == "deflate")


class _Unpacked:
    """A body without its compression, in pieces of a bounded size.

    The HTTP library itself would unpack all that one read has brought.
    """

    def __init__(self, packed: AsyncIterator[bytes], *, bare: bool) -> None:
        self._packed = packed
        self._zlib = zlib.decompressobj(_EITHER)
        self._may_be_bare = bare  # some servers understand "deflate" so
        self._held = b""  # has come, and is packed yet
        self._full = False  # zlib itself may hold some more

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._held or self._full:
                if piece := self._piece():
                    return piece
            else:
                self._held = await anext(self._packed)

    def _piece(self) -> bytes:
        try:
            piece = self._zlib.decompress(self._held, _STEP)
        except zlib.error:
            if not self._may_be_bare:
                raise
            self._zlib = zlib.decompressobj(_BARE)
            piece = self._zlib.decompress(self._held, _STEP)
        self._may_be_bare = False
        self._held, self._full = self._zlib.unconsumed_tail, len(piece) == _STEP
        if self._zlib.eof:
            self._held, self._full = self._zlib.unused_data, False
            self._zlib = zlib.decompressobj(_EITHER)  # another may follow
        return piece


async def collect(response: httpx.Response, body: bytearray, limit: int) -> None:
    """Read the body until it is longer than `limit`, and close the reply."""
    try:
        async for data in source(response):
            body += data
            if len(body) > limit:
                break
    finally:
        await undisturbed(response.aclose())


async def page_of(response: httpx.Response, patience: float, scrub: Callable[[bytes], bytes]) -> bytes:
    """Return what comes of an error page within `patience` (seconds), without a key, and close the reply."""
    body = bytearray()
    with suppress(Exception):  # part of a page is better than none
        async with within(patience):
            await collect(response, body, _LONGEST_PAGE)
    if encoding(response) not in DECODED:
        return b""
    return scrub(bytes(body[:_LONGEST_PAGE]))


def one_line(text: str) -> str:
    """Return a server's message in one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…"
