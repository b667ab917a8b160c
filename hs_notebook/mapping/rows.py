"""Rows of a table into prompts."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.interpolation import FIELD, HISTORIES, MISSING, holds_nothing, interpolate, look_up, paths

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

ROW = "row"  # stands for the row itself, where no column has that name
_ROOT = re.compile(r"(?<!\{)\{([^\W\d]\w*)")
_FIELD = re.compile(r"(?<!\{)\{([^\W\d]\w*)(?:[.\[][^{}\n]*)?\}")
_FORMAT = re.compile(r"(?<!\{)\{([^\W\d]\w*)(?:![rsa][:}]|:[^\s{}\[\"'][^{}\n]*\})")  # as in an f-string
_BRACES = re.compile(r"\{\{[^{}\n]+\}\}|\{([^{}\n]+)\}")  # the name is the group
_SHOWN = 8  # columns in a message


def read_rows(rows: Any) -> list[dict[Any, Any]]:
    """Return the rows of a pandas or polars DataFrame, or of any iterable, as columns and values.

    What is no mapping is the column `row`. Raises `UsageError` for what has no rows.
    """
    if _is_frame(rows, "pandas"):
        if not rows.columns.is_unique:
            twice = rows.columns[rows.columns.duplicated()][0]
            raise UsageError(f"Several columns are named {twice}.", hint="Rename all but one.")
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
    """Return the columns of a pandas DataFrame or Series, with its index; None for all else."""
    if _is_frame(rows, "pandas"):
        return rows.copy()
    if not _is_a(rows, "pandas", "Series"):
        return None
    if any(isinstance(row, Mapping) for row in rows):
        return sys.modules["pandas"].DataFrame(read_rows(rows), index=rows.index)
    return rows.to_frame(ROW)


def _is_frame(value: Any, library: str) -> bool:
    return _is_a(value, library, "DataFrame")


def _is_a(value: Any, library: str, kind: str) -> bool:
    module = sys.modules.get(library)  # a value of its kind exists only where it is imported
    return module is not None and isinstance(value, getattr(module, kind))


def find_gaps(template: str, rows: Sequence[Mapping[Any, Any]]) -> dict[int, str]:
    """Return what the template uses and a row has no value for, by the number of the row."""
    used = {path: path.partition(".")[0].partition("[")[0] for path in paths(str(template))}
    gaps: dict[int, str] = {}
    for number, row in enumerate(rows):
        names = {ROW: row, **row}
        for path, root in used.items():
            if _is_none(look_up(root, names)) or _is_none(look_up(path, names)):
                gaps.setdefault(number, path)
    return gaps


def _is_none(value: Any) -> bool:
    """Tell whether a value stands for there being none: None, NaN, NA, NaT. An empty text is a value."""
    kind = type(value)
    if kind is float or kind is Decimal:
        return math.isnan(value) if kind is float else bool(value.is_nan())
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and issubclass(kind, numpy.inexact | numpy.datetime64 | numpy.timedelta64):
        return bool(value != value)  # noqa: PLR0124 - so does no other
    return value is None or (pandas is not None and (value is pandas.NA or value is pandas.NaT))


def fill_in(
    template: str, rows: Sequence[Mapping[Any, Any]], gaps: Container[int] = frozenset()
) -> list[str]:
    """Return the prompt of each row: `{column}` stands for its value, all other braces stay as they are.

    The rules are those of a cell, see `hs_notebook.interpolation`: names, attributes and keys,
    filled in once and never evaluated. It is empty for the rows with `gaps`. Raises `UsageError` where the
    template cannot be meant for these rows.
    """
    if not isinstance(template, str) or not template.strip():
        raise UsageError("The template is empty.", hint="Write the question, with {column} for a value.")
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    _refuse_bare({name for row in rows for name in row if isinstance(name, str)}, template)
    if rows:
        _check(template, columns)
    fields = {field[0]: field[1] for field in _FIELD.finditer(template) if field[1] in {*columns, ROW}}
    prompts = []
    for number, row in enumerate(rows):
        names = {ROW: row, **row}
        if number not in gaps:
            _check_row(fields, names, number)
        prompts.append("" if number in gaps else interpolate(template, names, longest=None))
    return prompts


def _check(template: str, columns: Sequence[str]) -> None:
    """Refuse a template that would ask the same of every row, or that has a name misspelt."""
    known = {*columns, ROW}
    for name in dict.fromkeys(_ROOT.findall(template)):
        if name not in known and (near := difflib.get_close_matches(name, columns, 1, cutoff=0.75)):
            raise UsageError(f"There is no column {name}.", hint=f"Did you mean {{{near[0]}}}?")
    for field in _FORMAT.finditer(template):
        if field[1] in known:
            raise UsageError(
                f"{{{field[1]}}} has a format behind it, and nothing is evaluated here.",
                hint="Format the column first.",
            )
    if known.isdisjoint(_FIELD.findall(template)):
        more = ", …" if len(columns) > _SHOWN else ""
        raise UsageError(
            "The template names no column, so all rows would be asked the same.",
            hint=f"There are: {', '.join(columns[:_SHOWN])}{more}. "
            "Write {name} for a value, or {row['a name']} where it holds a space.",
        )


def _refuse_bare(columns: Container[str], template: str) -> None:
    """Refuse the name of a column that is no identifier: its braces would be sent as they are."""
    for name in _BRACES.findall(template):
        if name in columns and not name.isidentifier():
            written = f"{{{ROW}[{name!r}]}}"
            whole = FIELD.fullmatch(written)
            works = ROW not in columns and whole is not None and look_up(whole[1], {ROW: {name: 1}}) == 1
            raise UsageError(
                f"{{{name}}} names a column in a way that is not read.",
                hint=f"Write {written}." if works else "Rename the column.",
            )


def _check_row(fields: Mapping[str, str], names: Mapping[Any, Any], number: int) -> None:
    """Refuse a field that a row has nothing for: its braces would be sent, and paid for."""
    for field, root in fields.items():
        if root not in names:
            raise UsageError(f"Row {number} has no {root}.", hint="Give every row the same columns.")
        if not _names_something(field, names):
            raise UsageError(
                f"{field} names nothing in row {number}; nothing is called or evaluated.",
                hint="Write {name}, {name.attribute}, {name['key']} or {row['a name']}.",
            )


def _names_something(field: str, names: Mapping[Any, Any]) -> bool:
    whole = FIELD.fullmatch(field)
    if whole is None or whole[1] in HISTORIES:
        return False
    value = look_up(whole[1], names)
    return value is not MISSING and not holds_nothing(value)
