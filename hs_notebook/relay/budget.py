"""What a call may cost a key that has a budget, and why it may not be sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import BudgetError, ConfigurationError
from hs_notebook.pricing.limit import Limit, limit_for
from hs_notebook.pricing.money import exactly
from hs_notebook.pricing.tokens import beside_text, is_image
from hs_notebook.relay.replies import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.relay.asked import Asked
    from hs_notebook.relay.keys import Client


def _is_given(value: Any) -> bool:
    return bool(value)


#: What makes a call dearer than its model's price by the token says: OpenAI's, OpenRouter's and others'.
_UNPRICED: dict[str, Callable[[Any], bool]] = {
    "service_tier": lambda value: value not in (None, "auto", "default", "flex"),
    "modalities": lambda value: value not in (None, [], ["text"]),
    "tools": lambda value: isinstance(value, list) and not all(map(_is_function, value)),
    "audio": _is_given,
    "web_search_options": lambda value: value is not None,
    "search_parameters": lambda value: value is not None,
    "enable_search": _is_given,
    "models": _is_given,
    "route": _is_given,
    "plugins": _is_given,
    "provider": _is_given,
    "preset": _is_given,
}


def limit_of(client: Client, asked: Asked, quotes: Quotes, left: Decimal) -> Limit:
    """Return what holds a call to what is `left` of a budget; raises `Refused` where no price does."""
    for name, unpriced in _UNPRICED.items():
        if unpriced(asked.request.params.get(name)):
            said = f"No price is known with this {name}, so the monthly budget of the key cannot be kept."
            raise Refused(400, f"{said} Leave it out.", code="PRICE_UNKNOWN", param=name)
    if any(message.get("audio") or _has_unpriced(message) for message in asked.request.messages):
        said = "No price is known for sounds and files, so the monthly budget of the key cannot be kept."
        raise Refused(400, f"{said} Send text and images alone.", code="PRICE_UNKNOWN", param="messages")
    ask = "ask who runs the relay for more"
    try:
        return limit_for(asked.request, quotes, left, name="monthly budget", of=client.budget, otherwise=ask)
    except BudgetError as error:
        said = f"{error.message} Who runs the relay can name it in its file of prices."
        raise Refused(400, said, code="PRICE_UNKNOWN", param="model") from None


def too_dear(error: BudgetError, unknown: Decimal) -> Refused:
    """Return the refusal of a call; `unknown` USD of its budget went to calls whose end nobody knows."""
    said = str(error)
    if unknown:
        said += (
            f" {exactly(unknown)} of the budget are held for calls whose end is unknown, since the relay was "
            "killed: who runs it can forgive them."
        )
    return Refused(402, said, kind="insufficient_quota", code="BUDGET_EXCEEDED")


def unknown_charge(ledger: Ledger, user: str) -> Decimal:
    """Return what calls of this month, whose end nobody knows, count against the budget of a key, in USD."""
    try:
        dead = ledger.unsettled(since=this_month())
    except ConfigurationError:
        return Decimal(0)
    return sum((call.charge for call in dead if call.user == user), Decimal(0))


def this_month() -> datetime:
    """Return when the month began, in UTC, by which budgets are kept."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _is_function(tool: Any) -> bool:
    return not isinstance(tool, dict) or tool.get("type", "function") in ("function", "custom")


def _has_unpriced(message: Mapping[str, Any]) -> bool:
    return not all(map(is_image, beside_text(message.get("content"))))
