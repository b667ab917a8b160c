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
# A quota that is used up and a limit of requests a minute come with the same status. Codes tell them apart,
# and words where there is no such code: both speak of billing now and then.
_UNPAID_CODE = re.compile(
    r"insufficient\w{0,20}(quota|credit|fund)|current_quota|balance(?!r)|billing", re.IGNORECASE
)
_LIMIT_CODE = re.compile(r"rate_?limit_|too_many_requests", re.IGNORECASE)
_MONEY = re.compile(r"\b(balance|credits?|billing|funds)\b|insufficient[ _]quota|余额|额度", re.IGNORECASE)
_LACK = re.compile(r"insufficient|not enough|too low|exceed|exhaust|used up|out of|不足", re.IGNORECASE)
_LIMIT = re.compile(r"rate[ -]limit|\b(per|a) (second|minute|hour|day)\b|(retry|again) in", re.IGNORECASE)
_MAY_BE_UNPAID = frozenset({400, 403, 429})  # by their words


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
        return msgspec.json.decode(body.decode("utf-8", "replace"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def _kind(status: int, parsed: Any, said: str) -> type[APIStatusError]:
    return InsufficientBalanceError if _is_unpaid(status, _codes(parsed), said) else status_error(status)


def _is_unpaid(status: int, codes: str, said: str) -> bool:
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and _UNPAID_CODE.search(codes):
        return True
    if _LIMIT_CODE.search(codes) or status not in _MAY_BE_UNPAID:
        return False
    # A limit of requests is a quota too, but no reason to forbid.
    money = _MONEY.search(said) or (status == HTTPStatus.FORBIDDEN and "quota" in said.lower())
    return bool(money and _LACK.search(said)) and not _LIMIT.search(said)


def _codes(parsed: Any) -> str:
    if not isinstance(parsed, dict):
        return ""
    error = parsed.get("error")
    told = error if isinstance(error, dict) else parsed
    return f"{told.get('code')} {told.get('type')}"


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
