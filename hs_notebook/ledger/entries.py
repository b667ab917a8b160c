"""What the ledger is told of a call: when it opens, and how it came out.

What comes from outside is made fit to be kept: half surrogates are spelt out, absurd counts are capped so
that no sum can overflow, and what is no finite number is unknown.
"""

from __future__ import annotations

import json
import math
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from hs_notebook.ledger.moments import local_day, now, stamp
from hs_notebook.types import State  # noqa: TC001 - msgspec reads the annotations

_LONGEST_NAME = 4096  # characters, as of a path
_MOST_TOKENS = 10**12
_MOST_USD = 10**12
_LEAST_EXPONENT = -100
_PICO = 10**12

ODD = -1
"""What stands for an amount that is no whole number of 1e-12 USD."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A call about to be sent.

    `charge` is what it may cost at most, in USD: so much counts against a budget until its outcome is known.
    `user` is the name of the relay's key that asks, empty where there is no relay between. `prompt` is kept
    only by a ledger that keeps text.
    """

    model: str
    operation: str = "chat"
    provider: str = ""
    server_address: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    seller: str = ""
    notebook: str = ""
    user: str = ""
    simulated: bool = False
    charge: Decimal | None = None
    prompt: str | None = None
    started_at: datetime = msgspec.field(default_factory=now)

    def columns(self) -> dict[str, Any]:
        """Return the row's values by column."""
        return {
            "started_at": stamp(self.started_at),
            "local_day": local_day(self.started_at),
            "gen_ai_operation_name": _name(self.operation),
            "gen_ai_provider_name": _name(self.provider),
            "gen_ai_request_model": plain(self.model),
            "gen_ai_request_max_tokens": _count(self.max_tokens),
            "gen_ai_request_temperature": _number(self.temperature),
            "server_address": _name(self.server_address),
            "seller": _name(self.seller),
            "notebook": plain(self.notebook),
            "user_name": plain(self.user),
            "simulated": int(self.simulated),
            **_charged(_money(self.charge)),
        }


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended.

    `cost` is the whole of it in USD, `known_cost` the part that is known where the whole is not. `charge` is
    what the call counts against a budget; where it is None, that is the known cost, and nothing if none is.
    `cached_tokens` and `written_tokens` are parts of the input, `reasoning_tokens` of the output. `ttft` and
    `duration` are seconds. None and NaN are unknown. `error_type` is the name of an error's class. `answer`
    is kept only by a ledger that keeps text.
    """

    state: State
    response_model: str = ""
    response_id: str = ""
    finish_reasons: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    written_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False
    cost: Decimal | None = None
    known_cost: Decimal | None = None
    charge: Decimal | None = None
    seller: str = ""
    simulated: bool = False
    ttft: float = math.nan
    duration: float = math.nan
    error_type: str = ""
    answer: str | None = None
    ended_at: datetime = msgspec.field(default_factory=now)

    def columns(self) -> dict[str, Any]:
        """Return the row's values by column."""
        cost = _money(self.cost)
        known = cost if cost is not None else _money(self.known_cost)
        charge = _money(self.charge)
        return {
            "ended_at": stamp(self.ended_at),
            "state": self.state,
            "gen_ai_response_model": _name(self.response_model),
            "gen_ai_response_id": _name(self.response_id),
            "gen_ai_response_finish_reasons": _list(self.finish_reasons),
            "gen_ai_usage_input_tokens": _count(self.input_tokens),
            "gen_ai_usage_output_tokens": _count(self.output_tokens),
            "gen_ai_usage_cache_read_input_tokens": _count(self.cached_tokens),
            "gen_ai_usage_cache_creation_input_tokens": _count(self.written_tokens),
            "gen_ai_usage_reasoning_output_tokens": _count(self.reasoning_tokens),
            "usage_estimated": int(self.estimated),
            "cost_usd": _text(cost),
            "cost_known_usd": _text(known) if cost is None else None,
            "cost_pico": _pico(known),
            **_charged(known if charge is None else charge),
            "seller": _name(self.seller),
            "simulated": int(self.simulated),
            "time_to_first_token": _number(self.ttft),
            "duration": _number(self.duration),
            "error_type": _name(self.error_type),
        }


def plain(text: str) -> str:
    """Return a name as the ledger keeps it: a half of a surrogate pair, as in some paths, is spelt out."""
    return spelt(text)[:_LONGEST_NAME]


def spelt(text: str) -> str:
    """Return a text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _name(text: str) -> str | None:
    return plain(text) or None


def _list(names: tuple[str, ...]) -> str | None:
    return json.dumps([plain(name) for name in names], ensure_ascii=False) if names else None


def _count(value: Any) -> int | None:
    return min(max(0, int(value)), _MOST_TOKENS) if isinstance(value, int) else None


def _number(value: Any) -> float | None:
    # What a user gives as a temperature may be anything that JSON can say.
    if not isinstance(value, int | float) or not -1e300 < value < 1e300:
        return None
    return float(value)


def _money(amount: Decimal | None) -> Decimal | None:
    if amount is None or not amount.is_finite() or not 0 <= amount < _MOST_USD:
        return None
    exponent = amount.as_tuple().exponent
    return amount if isinstance(exponent, int) and exponent >= _LEAST_EXPONENT else None


def _charged(amount: Decimal | None) -> dict[str, Any]:
    return {"charged_usd": _text(amount), "charged_pico": _pico(amount)}


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def _pico(amount: Decimal | None) -> int | None:
    """Return USD in whole 1e-12, or the mark that says: not so, look at the text."""
    if amount is None:
        return None
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * _PICO, denominator)
    return ODD if rest or whole >= 2**63 else whole
