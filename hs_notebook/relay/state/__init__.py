"""What the workers of a relay know together: who has asked how often, what runs, what was spent.

`memory` serves one process, `shared` several of them, on several machines, through a Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hs_notebook.relay.replies import Refused

if TYPE_CHECKING:
    from decimal import Decimal

    from hs_notebook.relay.keys import Client


class State(Protocol):
    """Admission to the relay. Amounts are USD; `lease` names one call among all of all workers."""

    async def open(self) -> None:
        """Begin, on the loop that will use it."""

    async def close(self) -> None:
        """End; what this worker holds is given back."""

    async def check(self) -> None:
        """Raise `Refused` where the state is not to be had."""

    async def left(self, client: Client) -> Decimal | None:
        """Return what is left of a client's budget this month; None where there is none."""

    async def unspent(self, client: Client) -> Decimal:
        """Return what is left of a client's budget this month once nothing is held by calls under way."""

    async def room(self, client: Client) -> None:
        """Raise `Refused` where one more call is one too many; counts nothing, and holds no place."""

    async def enter(self, client: Client, lease: str, hold: Decimal) -> None:
        """Admit one call, which may cost `hold`, to the budget of this month; raises `Refused`, see below."""

    async def leave(self, client: Client, lease: str, charge: Decimal) -> None:
        """End a call that cost `charge`; may be called for one that never entered."""


def too_fast(client: Client, wait: float) -> Refused:
    """Return the refusal of one request too many in a minute; `wait` in seconds."""
    return _later(
        f"The key {client.name} may send {client.per_minute} requests a minute.", "rate_limit_exceeded", wait
    )


def too_many(client: Client) -> Refused:
    """Return the refusal of one answer too many at a time."""
    said = f"The key {client.name} may read {client.concurrent} answers at a time."
    return _later(said, "concurrency_limit_exceeded", 1.0)


def too_dear(client: Client) -> Refused:
    """Return the refusal of a call that the month's budget does not allow."""
    said = f"The monthly budget of the key {client.name} is used up."
    return Refused(402, said, kind="insufficient_quota", code="BUDGET_EXCEEDED")


def held_back(client: Client) -> Refused:
    """Return the refusal of a call that the month's budget allows once others have ended."""
    said = (
        f"The rest of the monthly budget of the key {client.name} is held by calls under way: try again when "
        "they have ended, or give them max_tokens."
    )
    return _later(said, "BUDGET_HELD", 5.0)


def _later(message: str, code: str, wait: float) -> Refused:
    seconds = str(max(1, -int(-wait // 1)))
    return Refused(429, message, kind="rate_limit_error", code=code, headers={"retry-after": seconds})
