"""The ledger for other tools: CSV and JSON files, a DataFrame."""

from __future__ import annotations

import csv
import json
import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.ledger.rows import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hs_notebook.ledger.ledger import Ledger
    from hs_notebook.ledger.spending import Since

Form: TypeAlias = Literal["csv", "json"]

_USUAL, _PRIVATE = 0o666, 0o600  # the user's umask takes its own from either

# What a spreadsheet takes for the beginning of a formula, the full-width forms too.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(
    ledger: Ledger,
    path: Path,
    *,
    form: Form | None = None,
    since: Since = None,
    notebook: str | None = None,
    text: bool = False,
) -> int:
    """Write the calls to a file, whole or not at all, and return their number.

    `form` is told by the suffix where it is not given. `text` adds prompts and answers, where they were kept;
    then nobody but the user may read the file.
    Raises `UsageError` for a path that cannot be meant, `ConfigurationError` where it cannot be written.
    """
    path = path.expanduser()
    write = _WRITERS.get(form or path.suffix.lower().removeprefix("."))
    if write is None:
        raise UsageError(
            f"What to write into {path.name} is not clear.", hint="End its name in .csv or .json."
        )
    if os.path.realpath(path) == os.path.realpath(ledger.path):
        raise UsageError(f"{path} is the ledger itself.", hint="Name another file.")
    rows = ledger.rows(since=since, notebook=notebook, text=text)
    try:
        return _replace(path, lambda file: write(file, rows, names(text=text)), _PRIVATE if text else _USUAL)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{path} cannot be written ({reason}).", hint="Name another place."
        ) from None


def _replace(path: Path, write: Callable[[TextIO], int], mode: int) -> int:
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        beside.touch(mode, exist_ok=False)
        with beside.open("w", encoding="utf-8", newline="") as file:
            number = write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    return number


def _write_json(file: TextIO, rows: Iterable[dict[str, Any]], _columns: tuple[str, ...]) -> int:
    number = 0
    for row in rows:
        file.write((",\n" if number else "[\n") + json.dumps(row, ensure_ascii=False, allow_nan=False))
        number += 1
    file.write("\n]\n" if number else "[]\n")
    return number


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> int:
    writer = csv.writer(file)
    writer.writerow(columns)
    number = 0
    for row in rows:
        writer.writerow([cell(row[column]) for column in columns])
        number += 1
    return number


_WRITERS: dict[str, Callable[[TextIO, Iterable[dict[str, Any]], tuple[str, ...]], int]] = {
    "csv": _write_csv,
    "json": _write_json,
}


def cell(value: Any) -> Any:
    """Return a value for a cell of CSV; a list has semicolons between its members."""
    text = ";".join(value) if isinstance(value, list) else value
    # Models and notebooks are named by others: a spreadsheet must not run what they wrote.
    return f"'{text}" if isinstance(text, str) and text.startswith(_ACTIVE) else text


def to_dataframe(
    ledger: Ledger, *, since: Since = None, notebook: str | None = None, text: bool = False
) -> Any:
    """Return the calls as a `pandas.DataFrame`, one row each.

    Times are `datetime64` in UTC, tokens `Int64`, flags `bool`, seconds and costs (USD) `float64` with NaN
    for unknown; finish reasons are lists, all else is text. What must add up exactly is in `Ledger.spending`.
    Raises `UsageError` where pandas is not installed.
    """
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("A DataFrame needs pandas.", hint="Install it with %pip install pandas.") from None
    rows = list(ledger.rows(since=since, notebook=notebook, text=text))
    frame = pd.DataFrame(rows, columns=list(names(text=text)))
    return frame.assign(**{column: _typed(pd, column, frame[column]) for column in frame.columns})


def _typed(pd: Any, column: str, values: Any) -> Any:
    if column in {"started_at", "ended_at"}:
        return pd.to_datetime(values, utc=True, format="ISO8601")
    if column in {
        "cost_usd",
        "cost_known_usd",
        "charged_usd",
        "time_to_first_token",
        "duration",
        "gen_ai_request_temperature",
    }:
        return pd.to_numeric(values).astype("float64")
    if column.endswith("_tokens") or column in {"id", "process_id"}:
        return values.astype("Int64")
    return values.astype(bool) if column in {"usage_estimated", "simulated"} else values
