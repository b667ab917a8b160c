"""Replies over HTTP, as far as all that read them must know."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

_LONGEST_LINE = 500  # characters of a server's message
DECODED = frozenset({"identity", "gzip", "deflate"})


def encoding(response: httpx.Response) -> str:
    """Return the encoding of a reply's body."""
    return str(response.headers.get("content-encoding", "")).strip().lower() or "identity"


def kind(response: httpx.Response) -> str:
    """Return the content type of a reply that can be read, else nothing."""
    if encoding(response) not in DECODED:
        return ""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def source(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the bytes of a body as they arrive."""
    if encoding(response) != "identity":
        return response.aiter_bytes()
    # What `aiter_raw` iterates, with a layer less for each chunk.
    return aiter(cast("httpx.AsyncByteStream", response.stream))


async def collect(response: httpx.Response, body: bytearray, limit: int) -> None:
    """Read the body until it is longer than `limit`, and close the reply."""
    try:
        async for data in response.aiter_bytes():
            body += data
            if len(body) > limit:
                break
    finally:
        await response.aclose()


def one_line(text: str) -> str:
    """Return a server's message in one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…"
