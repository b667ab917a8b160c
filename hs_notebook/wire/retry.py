"""Which failures are worth another attempt, and how long to wait before it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from hs_notebook.errors import APIConnectionError, APIError, APIStatusError, InsufficientBalanceError

_TEMPORARY = frozenset({408, 409, 425, 429, 529, *range(500, 505), *range(520, 525)})
_NONSENSE = 31 * 86_400.0  # seconds; no honest server asks for more


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Full jitter: a random wait up to `base` seconds, doubled at each attempt up to `cap`.

    At most `attempts` requests are sent, and `total` seconds waited in all; a `Retry-After` is obeyed
    up to `total` and ends the attempts beyond it.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 30.0
    total: float = 60.0

    def wait(
        self,
        error: APIError,
        *,
        attempt: int,
        waited: float,
        chance: Callable[[], float] = random.random,
    ) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (from 1), or None to give up."""
        if attempt >= self.attempts or not is_temporary(error):
            return None
        wait = error.retry_after
        if math.isnan(wait):
            wait = chance() * min(self.cap, self.base * 2.0 ** (attempt - 1))
            wait = min(wait, max(0.0, self.total - waited))
        return wait if waited + wait <= self.total else None

    def too_long(self, error: APIError, *, waited: float) -> str:
        """Return what a server asks to wait where that is more than is left, in a sentence, else nothing."""
        wait, left = error.retry_after, self.total - waited
        if not wait > left:  # NaN where it asks nothing
            return ""
        of = f", and {left:.0f} s of {self.total:.0f} are left" if wait <= self.total else ""
        return f"It asks to wait {wait:.0f} s{of}."


def is_temporary(error: APIError) -> bool:
    """Tell whether the same request could succeed a moment later."""
    if error.final or isinstance(error, InsufficientBalanceError):
        return False
    if isinstance(error, APIStatusError):
        return error.status_code in _TEMPORARY
    return isinstance(error, APIConnectionError) and error.temporary


def retry_after(headers: Mapping[str, str], body: Any = None, *, now: datetime | None = None) -> float:
    """Return the seconds a reply asks to wait: `retry-after-ms`, `Retry-After`, then `error.retry_after`.

    NaN where it asks nothing, or nonsense (negative, huge, no number). A date is reckoned from the
    reply's own `Date`: the clock of this machine may be wrong, or be set at this moment.
    """
    now = _moment(headers.get("date")) or now or datetime.now(UTC)
    for text, unit in ((headers.get("retry-after-ms"), 0.001), (headers.get("retry-after"), 1.0)):
        seconds = _seconds(text, now) * unit
        if 0.0 <= seconds <= _NONSENSE:
            return seconds
    error = body.get("error") if isinstance(body, Mapping) else None
    seconds = _seconds(error.get("retry_after"), now) if isinstance(error, Mapping) else math.nan
    return seconds if 0.0 <= seconds <= _NONSENSE else math.nan


def _seconds(value: Any, now: datetime) -> float:
    if not isinstance(value, str | int | float):
        return math.nan
    try:
        return float(value)
    except ValueError:
        pass
    except OverflowError:
        return math.inf
    moment = _moment(value)
    return math.nan if moment is None else max(0.0, (moment - now).total_seconds())


def _moment(value: Any) -> datetime | None:
    try:
        moment = parsedate_to_datetime(str(value))
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
