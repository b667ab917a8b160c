"""Moments as the ledger keeps them, and as a user names them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hs_notebook.errors import UsageError

_AGO = re.compile(r"([0-9]{1,6})\s*([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_EXAMPLES = "Write 24h, 7d, 2w or a date such as 2026-11-01."


def now() -> datetime:
    """Return this moment, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Return a moment as ISO 8601 text in UTC, of one width, so that texts sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_day(moment: datetime) -> str:
    """Return the day of a moment where the user is, as ISO 8601 text."""
    return moment.astimezone().date().isoformat()


def since_stamp(since: datetime | timedelta | None) -> str:
    """Return the stamp that a span of time begins with; the empty text comes before all others."""
    if since is None:
        return ""
    return stamp(since if isinstance(since, datetime) else now() - since)


def parse_since(text: str, at: datetime | None = None) -> datetime:
    """Return the moment that `24h`, `7d`, `2w` (before `at`, else now) or a local date or time names.

    Raises `UsageError` for anything else, and for what is yet to come.
    """
    at = at or now()
    plain = text.strip()
    try:
        ago = _AGO.fullmatch(plain.lower())
        moment = at - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else _of_calendar(plain)
    except (ValueError, OverflowError, OSError):
        shown = plain if len(plain) <= 40 else plain[:39] + "…"
        raise UsageError(f"{shown!a} names no moment.", hint=_EXAMPLES) from None
    if moment > at:
        raise UsageError(f"{plain} is yet to come.", hint=_EXAMPLES)
    return moment


def _of_calendar(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
