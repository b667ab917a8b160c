"""Rows of a table into prompts."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.interpolation import interpolate

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = "row"  # stands for the row itself, where no column has that name
_ROOT = re.compile(r"(?<!\{)\{([^\W\d]\w*)")
_SHOWN = 8  # columns in a message


def read_rows(rows: Any) -> list[dict[Any, Any]]:
    """Return the rows of a pandas or polars DataFrame, or of any iterable, as columns and values.

    What is no mapping is the column `row`. Raises `UsageError` for what has no rows.
    """
    if _is_frame(rows, "pandas"):
        return [dict(row) for row in rows.to_dict("records")]
    if _is_frame(rows, "polars"):
        return [dict(row) for row in rows.to_dicts()]
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise UsageError(
            f"rows is of the type {type(rows).__name__}, which has no rows.",
            hint="Give a DataFrame, a list of dicts or a list of texts.",
        )
    return [dict(row) if isinstance(row, Mapping) else {ROW: row} for row in rows]


def as_frame(rows: Any) -> Any:
    """Return a copy of a pandas DataFrame, which keeps its index; None for all else."""
    return rows.copy() if _is_frame(rows, "pandas") else None


def _is_frame(value: Any, library: str) -> bool:
    module = sys.modules.get(library)  # a value of its kind exists only where it is imported
    return module is not None and isinstance(value, module.DataFrame)


def fill_in(template: str, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return the prompt of each row: `{column}` stands for its value, all other braces stay as they are.

    The rules are those of a cell, see `hs_notebook.interpolation`: names, attributes and keys,
    filled in once and never evaluated. Raises `UsageError` where the template cannot be meant for these rows.
    """
    if not isinstance(template, str) or not template.strip():
        raise UsageError("The template is empty.", hint="Write the question, with {column} for a value.")
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    named = dict.fromkeys(_ROOT.findall(template))
    if rows:
        _check(named, columns)
    _check_each(named, columns, rows)
    return [interpolate(template, {ROW: row, **row}) for row in rows]


def _check(named: Iterable[str], columns: Sequence[str]) -> None:
    """Refuse a template that would ask the same of every row, or that has a name misspelt."""
    known = {*columns, ROW}
    unknown = [name for name in named if name not in known]
    for name in unknown:
        if near := difflib.get_close_matches(name, columns, 1, cutoff=0.75):
            raise UsageError(f"There is no column {name}.", hint=f"Did you mean {{{near[0]}}}?")
    if known.isdisjoint(named):
        more = ", …" if len(columns) > _SHOWN else ""
        raise UsageError(
            "The template names no column, so all rows would be asked the same.",
            hint=f"There are: {', '.join(columns[:_SHOWN])}{more}. "
            "Write {name} for a value, or {row['a name']} where it holds a space.",
        )


def _check_each(named: Iterable[str], columns: Sequence[str], rows: Sequence[Mapping[Any, Any]]) -> None:
    wanted = [name for name in named if name in columns]
    for number, row in enumerate(rows):
        for name in wanted:
            if name not in row:
                raise UsageError(f"Row {number} has no {name}.", hint="Give every row the same columns.")
