"""A reply other than 2xx, or of the wrong kind, as an error with its way out."""

from __future__ import annotations

import re
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.errors import (
    APIStatusError,
    AuthenticationError,
    InsufficientBalanceError,
    ProtocolError,
    status_error,
)
from hs_notebook.wire.chunks import error_text
from hs_notebook.wire.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 200  # characters of an error page
# What gateways say that handed a request on and got no answer. A request that 503 or 521 is said of did not
# get so far, and nobody bills a refusal.
_GIVEN_UP = frozenset({502, 504, 520, 524})
# What is not closed goes on to the end: else a page of "<" would take time with the square of its length.
_UNSEEN = re.compile(
    r"<(script|style|title)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[a-z/!?][^>]*(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_BALANCE = re.compile(r"balance|quota|credit|insufficient|billing", re.IGNORECASE)


def status_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, key_source: str, base_url: str
) -> APIStatusError:
    """Return the error that a status and its body mean."""
    parsed = _parsed(body)
    said = error_text(parsed) or visible_text(body) or _phrase(status)
    kind = _kind(status, parsed, said)
    error = kind(
        f"{status}: {sentence(said)}",
        status_code=status,
        hint=_hint(kind, status, key_source=key_source, base_url=base_url),
        param=_param(parsed),
    )
    error.retry_after = retry_after(headers, parsed)
    error.final = str(headers.get("x-should-retry", "")).strip().lower() == "false"  # as OpenAI's say it
    return error


def may_be_billed(status: int) -> bool:
    """Tell whether an answer may have been made, and billed, for all that a status says."""
    return status in _GIVEN_UP


def kind_failure(content_type: str, body: bytes) -> ProtocolError:
    """Return the error for a 2xx reply that is neither an event stream nor JSON."""
    said = visible_text(body)
    what = content_type or "no content type"
    shown = sentence(f": {said}" if said else "")
    return ProtocolError(
        f"The relay answered with {what} where an answer belongs{shown}",
        hint="Check the base URL.",
    )


def sentence(text: str) -> str:
    """Return a text with one mark at its end."""
    text = text.rstrip(". ")
    return text if text.endswith(("?", "!", "…")) else f"{text}."


def visible_text(body: bytes) -> str:
    """Return the first 200 visible characters of a page."""
    text = unescape(_UNSEEN.sub(" ", body.decode("utf-8", "replace")))
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def _kind(status: int, parsed: Any, said: str) -> type[APIStatusError]:
    error = parsed.get("error") if isinstance(parsed, dict) else None
    code = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
    if "insufficient_quota" in code or (status == HTTPStatus.FORBIDDEN and _BALANCE.search(said)):
        return InsufficientBalanceError
    return status_error(status)


def _param(parsed: Any) -> str | None:
    error = parsed.get("error") if isinstance(parsed, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else None


def _hint(kind: type[APIStatusError], status: int, *, key_source: str, base_url: str) -> str:
    if kind is AuthenticationError:
        return f"The key came from {key_source}; check it, and the account's balance."
    if kind is InsufficientBalanceError:
        return "Check the balance of the account."
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"Redirects are never followed; check the base URL {base_url}."
    return ""
