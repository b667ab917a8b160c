"""What a notebook's calls are like: the calculator's starting point."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.ledger.entries import plain

if TYPE_CHECKING:
    from sqlite3 import Connection


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """Averages over the `calls` that brought something and whose tokens are known.

    `input_tokens` and `output_tokens` are means a call; `cached_share` and `written_share` the parts of all
    input that were read from a cache and written to one, of no call more than it sent; `models` the share of
    the calls by the model that answered, the most used first. `first` and `last` are when the first and the
    last began. `simulated` and `estimated` count those among them that no model answered, and whose tokens
    were counted by us.
    """

    calls: int
    input_tokens: float
    output_tokens: float
    cached_share: float
    written_share: float
    models: dict[str, float]
    first: datetime
    last: datetime
    simulated: int = 0
    estimated: int = 0


_QUERY = """
    SELECT gen_ai_response_model, gen_ai_request_model, COUNT(*), SUM(simulated), SUM(usage_estimated),
        SUM(gen_ai_usage_input_tokens), SUM(gen_ai_usage_output_tokens),
        SUM(cached), SUM(MIN(gen_ai_usage_input_tokens - cached, written)),
        MIN(started_at), MAX(started_at)
    FROM (
        SELECT *, IFNULL(gen_ai_usage_cache_creation_input_tokens, 0) AS written,
            MIN(gen_ai_usage_input_tokens, IFNULL(gen_ai_usage_cache_read_input_tokens, 0)) AS cached
        FROM calls WHERE +user_name = ''
    )
    WHERE state IN ('complete', 'truncated', 'stopped')
        AND gen_ai_usage_input_tokens IS NOT NULL AND gen_ai_usage_output_tokens IS NOT NULL {}
    GROUP BY gen_ai_response_model, gen_ai_request_model
"""


def usual(connection: Connection, notebook: str | None = None) -> Usual | None:
    """Return what the calls of one notebook, or of all, are like; None where there are none.

    They are those that were made here: what a relay here handed on may be one of them a second time.
    """
    if notebook is None:
        rows = connection.execute(_QUERY.format("")).fetchall()
    else:
        rows = connection.execute(_QUERY.format("AND notebook = ?"), (plain(notebook),)).fetchall()
    if not rows:
        return None
    answered, asked, *columns = zip(*rows, strict=True)
    calls, simulated, estimated, sent, said, cached, written = (
        sum(number or 0 for number in column) for column in columns[:7]
    )
    models: dict[str, float] = {}
    for name, other, number in zip(answered, asked, columns[0], strict=True):
        models[name or other] = models.get(name or other, 0) + number / calls
    return Usual(
        calls=calls,
        input_tokens=sent / calls,
        output_tokens=said / calls,
        cached_share=cached / sent if sent else 0.0,
        written_share=written / sent if sent else 0.0,
        models=dict(sorted(models.items(), key=lambda item: (-item[1], item[0]))),
        first=datetime.fromisoformat(min(columns[7])),
        last=datetime.fromisoformat(max(columns[8])),
        simulated=simulated,
        estimated=estimated,
    )
