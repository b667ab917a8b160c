"""Whole replies without a key, before anything is cut from them, which could leave half of it."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

# Of a character that a key may have.
_ENTITY = re.compile(
    r"&(?:#(?:x0*[2-7][0-9a-f]|0*\d{2,3})|lowbar|underbar|period|plus|sol|equals|colon);?", re.IGNORECASE
)
_STREAM = "text/event-stream"
_BYTES = "latin-1"  # gives each byte a character, and takes it back


def without_key(page: bytes, scrub: Callable[[str], str], kind: str) -> bytes:
    """Return a whole reply `scrub`bed, though JSON or HTML writes a key's characters in another way."""
    if b"\\" in page or b"&" in page:
        try:
            page = msgspec.json.encode(msgspec.json.decode(page))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            if kind != _STREAM:
                page = _ENTITY.sub(lambda found: unescape(found[0]), page.decode("utf-8", "replace")).encode()
    return scrub(page.decode(_BYTES)).encode(_BYTES)
