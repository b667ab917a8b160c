"""Who asks: the one function that lets a request in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hs_notebook.errors import ConfigurationError
from hs_notebook.relay.replies import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.relay.keys import Client, KeyFile


def authorise(headers: Iterable[tuple[bytes, bytes]], keys: KeyFile) -> Client:
    """Return who holds the key of a request; raises `Refused` with 401, or 503 without a key file to look at.

    Both headers at once, or one of them twice, are refused: what stands before a relay may have looked at
    the other one.
    """
    found = [(name, value) for name, value in headers if name in {b"authorization", b"x-api-key"}]
    if not found:
        raise _refused("MISSING_AUTH", "No key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    if len(found) > 1:
        raise _refused("INVALID_KEY", "The request carries more than one key.")
    name, value = found[0]
    if name == b"authorization":
        scheme, _, value = value.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _refused("MISSING_AUTH", "The header Authorization holds no bearer token.")
    if not (key := value.strip()):
        raise _refused("MISSING_AUTH", "The key is empty.")
    try:
        client = keys.holder(key)
    except ConfigurationError as error:
        logging.getLogger(__name__).warning("%s", error)
        said = "The relay cannot read its keys: tell who runs it."
        raise Refused(503, said, kind="server_error", code="keys_unreadable") from None
    if client is None:
        raise _refused("INVALID_KEY", "The relay does not know this key.")
    return client


def _refused(code: str, message: str) -> Refused:
    return Refused(
        401, message, kind="authentication_error", code=code, headers={"www-authenticate": "Bearer"}
    )
