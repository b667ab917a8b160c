"""Columns of text, aligned for a terminal of a given width."""

from __future__ import annotations

import unicodedata
from datetime import date
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Row = Sequence[str]

_GAP = "  "
_LEAST = 16  # cells of the screen that a column keeps when its text is cut


def shown(value: Any) -> str:
    """Return a value as text: None is unknown, an amount has all its digits."""
    if value is None:
        return "unknown"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return f"{value:,}"
    return value.isoformat() if isinstance(value, date) else str(value)


class Column(msgspec.Struct, frozen=True):
    """A column: its heading, the side that its cells stand on, and how values are shown.

    A `quiet` one matters least: it is drawn softly, and cut or left out where a terminal has no room.
    """

    heading: str
    align: Literal["left", "right"] = "left"
    quiet: bool = False
    show: Callable[[Any], str] = shown


def aligned(
    columns: Sequence[Column], rows: Sequence[Row], *, width: int, grouped: bool = False
) -> list[str]:
    """Return the lines of a table that fits in `width` cells of the screen, if its columns can.

    Where it does not fit, the text of quiet columns is cut; where that does not help, quiet columns are left
    out, the first one first, and a last line names them. With `grouped`, the first cell of a group stands on
    a line of its own.
    """
    group, columns, rows = _parted(columns, rows) if grouped else ([], columns, rows)
    widths = _widths(columns, rows)
    chosen = _chosen(columns, widths, width)
    widths = _cut(columns, widths, chosen, width)
    lines = [_line(columns, [column.heading for column in columns], widths, chosen)]
    lines.append("─" * _total(widths, chosen))
    body = [_line(columns, row, widths, chosen) for row in rows]
    for name, members in groupby(zip(group or [""] * len(body), body, strict=True), key=itemgetter(0)):
        lines += [name] * bool(group) + [line for _, line in members]
    missing = [column.heading for index, column in enumerate(columns) if index not in chosen]
    return lines + [f"(no room here for: {', '.join(missing)})"] * bool(missing)


def _parted(
    columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[list[str], list[Column], list[list[str]]]:
    """Take the first column off and set the second in under it."""
    rest = [["  " + row[1], *row[2:]] for row in rows]
    second = msgspec.structs.replace(columns[1], heading=columns[0].heading + _GAP + columns[1].heading)
    return [row[0] for row in rows], [second, *columns[2:]], rest


def _widths(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    return [
        max(screen_width(text) for text in (column.heading, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]


def _chosen(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return which columns there is room for when every quiet text is cut."""
    least = [
        min(size, _LEAST) if _cuttable(column) else size for column, size in zip(columns, widths, strict=True)
    ]
    chosen = list(range(len(columns)))
    for index, column in enumerate(columns):
        if _total(least, chosen) > width and column.quiet:
            chosen.remove(index)
    return chosen


def _cut(columns: Sequence[Column], widths: Sequence[int], chosen: Sequence[int], width: int) -> list[int]:
    """Return the widths of which the quiet texts, the widest first, give up what is too much."""
    cut = list(widths)
    while (excess := _total(cut, chosen) - width) > 0:
        wide = [index for index in chosen if _cuttable(columns[index]) and cut[index] > _LEAST]
        if not wide:
            break
        widest = max(wide, key=cut.__getitem__)
        cut[widest] = max(_LEAST, cut[widest] - excess)
    return cut


def _cuttable(column: Column) -> bool:
    return column.quiet and column.align == "left"


def _total(widths: Sequence[int], chosen: Sequence[int]) -> int:
    return sum(widths[index] for index in chosen) + len(_GAP) * (len(chosen) - 1)


def _line(columns: Sequence[Column], row: Row, widths: Sequence[int], chosen: Iterable[int]) -> str:
    cells = (_padded(row[index], widths[index], columns[index].align) for index in chosen)
    return _GAP.join(cells).rstrip()


def _padded(text: str, width: int, align: str) -> str:
    room = width - screen_width(text)
    if room < 0:
        text = _shortened(text, width)
        room = width - screen_width(text)
    return " " * room + text if align == "right" else text + " " * room


def _shortened(text: str, width: int) -> str:
    while screen_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def screen_width(text: str) -> int:
    """Return how many cells of a terminal a text takes: a wide character two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
