"""The rows of the ledger as they are shown: plain JSON values by column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hs_notebook.ledger.schema import COLUMNS, TEXTS

if TYPE_CHECKING:
    from sqlite3 import Connection

_FLAGS = ("usage_estimated", "simulated")
_LISTS = ("gen_ai_response_finish_reasons",)
_FROM = """
    FROM calls LEFT JOIN texts USING (id)
    WHERE id > :after AND started_at >= :since AND (:notebook IS NULL OR notebook = :notebook)
    ORDER BY id LIMIT :most
"""


def names(*, text: bool) -> tuple[str, ...]:
    """Return the columns that are shown, in their order."""
    return (*COLUMNS, *TEXTS) if text else COLUMNS


def page(
    connection: Connection, *, after: int, most: int, since: str, notebook: str | None, text: bool
) -> list[dict[str, Any]]:
    """Return up to `most` rows whose number is above `after`."""
    columns = names(text=text)
    wanted = {"after": after, "most": most, "since": since, "notebook": notebook}
    found = connection.execute(f"SELECT {', '.join(columns)} {_FROM}", wanted)
    return [_shown(dict(zip(columns, row, strict=True))) for row in found]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    for flag in _FLAGS:
        row[flag] = bool(row[flag])
    for name in _LISTS:
        row[name] = json.loads(row[name]) if row[name] else []
    return row
