"""A run in files: JSON, which can be loaded again, CSV, Markdown and SVG."""

from __future__ import annotations

import csv
import io
import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.benchmarking.sample import FORMAT, VERSION, File, Sample
from hs_notebook.benchmarking.summary import summarize
from hs_notebook.display.visible import escape, visible
from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.ledger.export import cell

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hs_notebook.display.table import Table

ENDINGS = (".json", ".csv", ".md", ".svg")
_NAME = "benchmark"
_LARGEST = 200 * 2**20  # bytes


def target(path: str | os.PathLike[str]) -> Path:
    """Return where to save; raises `UsageError` where it is not clear what, or there is no such place."""
    try:
        return _target(Path(path).expanduser())
    except OSError as error:
        raise _unwritable(path, error) from None


def try_writing(path: str | os.PathLike[str]) -> None:
    """Write something where `save` would, and take it away; raises as that does."""
    place = target(path)
    folder = place if place.is_dir() else place.parent
    beside = folder / f".{uuid.uuid4().hex}.part"
    try:
        beside.write_bytes(b" ")
        beside.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str | os.PathLike[str], error: OSError) -> ConfigurationError:
    reason = error.strerror or type(error).__name__
    return ConfigurationError(f"{path} cannot be written ({reason}).", hint="Name another place.")


def _target(place: Path) -> Path:
    if place.suffix.lower() in ENDINGS and not place.is_dir():
        if not place.parent.is_dir():
            raise UsageError(f"There is no folder {place.parent}.", hint="Make it first, or name another.")
    elif not place.is_dir() and (place.suffix or not place.parent.is_dir()):
        raise UsageError(
            f"What to write into {place.name} is not clear.",
            hint=f"End its name in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, or name a folder for all.",
        )
    return place


def save(path: str | os.PathLike[str], written: Mapping[str, Callable[[], str]]) -> list[Path]:
    """Write what is `written` for the suffix of a file; into a folder, also a new one, all of it."""
    place = target(path)
    if place.suffix.lower() in ENDINGS and not place.is_dir():
        if place.suffix.lower() not in written:
            raise UsageError("Nothing was measured that could be drawn.")
        texts = {place: written[place.suffix.lower()]()}
    else:
        texts = {place / f"{_NAME}{ending}": write() for ending, write in written.items()}
    try:
        for file, text in texts.items():
            file.parent.mkdir(exist_ok=True)
            _write(file, text)
    except OSError as error:
        raise _unwritable(place, error) from None
    return list(texts)


def _write(file: Path, text: str) -> None:
    beside = file.with_name(f".{uuid.uuid4().hex}.part")  # whole or not at all
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def as_json(file: File, comparison: dict[str, Any] | None = None) -> str:
    """Return a run with its samples, and for who reads it elsewhere what they come to.

    `comparison` is what differs from another run.
    """
    summaries = [_plain(one._asdict()) for one in summarize(file.samples, file.setup.models)]
    fields: dict[str, Any] = msgspec.to_builtins(file)
    fields["simulated"] = file.simulated
    fields["summary"] = summaries
    if comparison is not None:
        fields["comparison"] = _plain(comparison)
    return json.dumps(fields, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: an amount is text, NaN is null, and the values are in the samples."""
    if hasattr(value, "_asdict"):
        value = {name: each for name, each in value._asdict().items() if name != "values"}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if value != value else round(value, 6)  # noqa: PLR0124 - NaN
    return value if isinstance(value, str | int | None) else format(value, "f")


def from_json(path: str | os.PathLike[str]) -> File:
    """Read a saved run; raises `UsageError` for a file that holds none."""
    place = Path(path).expanduser()
    try:
        if place.stat().st_size > _LARGEST:
            raise UsageError(f"{place} is too large for a benchmark.")
        read = place.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{place} cannot be read ({reason}).", hint="Name a saved .json file.") from None
    try:
        found = msgspec.json.decode(read, type=_Head)
        if found.version <= VERSION:
            return msgspec.json.decode(read, type=File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        told = isinstance(error, msgspec.ValidationError) and FORMAT.encode() in read[:200]
        why = f" ({error})" if told else ""
        raise UsageError(
            f"{place} is no benchmark{why}.", hint="A run is saved by --save FILE.json."
        ) from None
    raise UsageError(f"{place} was made by a newer version.", hint="Update hs_notebook.")


class _Head(msgspec.Struct):
    format: str
    version: int


def as_csv(samples: Iterable[Sample]) -> str:
    """Return the samples as CSV, one a line; lists have semicolons, what is unknown is empty."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(Sample.__struct_fields__)
    for sample in samples:
        fields = msgspec.to_builtins(sample)
        writer.writerow([cell(fields[name]) for name in Sample.__struct_fields__])
    return written.getvalue()


def as_markdown(table: Table) -> str:
    """Return a table as Markdown: title, table, notes."""
    head = _line([column.heading for column in table.columns])
    rule = "|" + "|".join("---:" if column.align == "right" else "---" for column in table.columns) + "|"
    rows = [
        _line([column.show(value) for column, value in zip(table.columns, row, strict=True)])
        for row in table.rows
    ]
    notes = [f"- {_markdown(note)}" for note in table.notes]
    return "\n".join([f"**{_markdown(table.title)}**", "", head, rule, *rows, "", *notes, ""])


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(_markdown, texts))} |"


def _markdown(text: str) -> str:
    """Return text in which nothing is markup."""
    plain = escape(" ".join(visible(text).split()))
    return "".join(f"\\{char}" if char in "\\`*_[]|~$" else char for char in plain)
