"""Calls of which nobody knows how they ended: their kernel did not live to see it."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.ledger.moments import now, since_stamp, stamp

if TYPE_CHECKING:
    from collections.abc import Collection
    from sqlite3 import Connection

    from hs_notebook.ledger.spending import Since

_IMPORTED = now()
_LONGEST_CALL = timedelta(days=1)  # on another machine, or where a later process has the same number


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was sent and whose kernel ended before the answer did; `charge` counts, in USD."""

    id: int
    started_at: datetime
    model: str
    notebook: str
    user: str = ""
    charge: Decimal = Decimal(0)

    @property
    def note(self) -> str:
        """What to say of it."""
        return "outcome unknown: the kernel ended before the answer did"


def host_name() -> str:
    """Return this machine's name: a home folder may be shared by several."""
    return platform.node()


def unsettled(
    connection: Connection, since: Since = None, under_way: Collection[int] = ()
) -> tuple[Unsettled, ...]:
    """Return the pending calls since a moment whose process is gone, the earliest first.

    Those `under_way` are this process's own.
    """
    rows = connection.execute(
        "SELECT id, started_at, gen_ai_request_model, notebook, user_name, charged_usd, host_name, "
        "process_id FROM calls WHERE state = 'pending' AND started_at >= ? ORDER BY id",
        (since_stamp(since),),
    )
    found = []
    for number, started, model, notebook, user, charged, host, process in rows:
        moment = datetime.fromisoformat(started)
        ours = process == os.getpid() and number in under_way
        if not ours and _is_gone(host, process, moment):
            named = {"model": model, "notebook": notebook, "user": user}
            found.append(Unsettled(id=number, started_at=moment, charge=Decimal(charged or 0), **named))
    return tuple(found)


def forgive(connection: Connection, user: str) -> int:
    """Settle such calls of a relay's key at what is known of them, which is nothing; return their number."""
    dead = [(stamp(now()), call.id) for call in unsettled(connection) if call.user == user]
    connection.executemany(
        "UPDATE calls SET state = 'stopped', ended_at = ?, charged_usd = NULL, charged_pico = NULL "
        "WHERE id = ? AND state = 'pending'",
        dead,
    )
    return len(dead)


def _is_gone(host: str | None, process: int, started: datetime) -> bool:
    if now() - started > _LONGEST_CALL:
        return True
    if host != host_name():
        return False
    if process == os.getpid():
        # In a container a kernel often has the number of the one before.
        return stamp(started) < stamp(_IMPORTED)
    return not is_alive(process)


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine runs; on Windows they all do, as far as anybody may ask."""
    if sys.platform == "win32":
        return True  # the question would end the process there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
