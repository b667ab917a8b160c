"""A table that stays in the notebook: static HTML for the page, aligned columns for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.display.columns import Column, aligned
from hs_notebook.display.style import stylesheet
from hs_notebook.display.visible import escape, visible
from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Column", "Table"]

_NO_TERMINAL = (120, 24)  # what the plain text in a notebook is laid out for
_NOTE_WIDTH = 100  # cells of the screen: wider is tiring to read


class Table(msgspec.Struct, frozen=True):
    """Rows of values under headings, with a title above and notes below.

    A cell is a value, which its column shows as text; None is unknown. With `grouped`, neighbouring rows
    with the same first cell stand together under it. A notebook displays it, `str` and `print` lay it out
    for the terminal.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()
    grouped: bool = False

    def __str__(self) -> str:
        return self.plain()

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as mappings of headings to values, unknown ones None."""
        headings = [column.heading for column in self.columns]
        return [dict(zip(headings, row, strict=True)) for row in self.rows]

    def to_dataframe(self) -> Any:
        """Return the rows as a pandas DataFrame; raises `UsageError` where there is no pandas."""
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError:
            raise UsageError("pandas is not installed.", hint="Install it, or use as_dicts().") from None
        return pd.DataFrame(self.as_dicts(), columns=[column.heading for column in self.columns])

    def plain(self, width: int | None = None) -> str:
        """Return the table as text for `width` cells of a screen, else for the terminal at hand."""
        width = width or shutil.get_terminal_size(_NO_TERMINAL).columns
        columns = [msgspec.structs.replace(column, heading=_line(column.heading)) for column in self.columns]
        rows = [[_line(text) for text in row] for row in self._texts()]
        lines = aligned(columns, rows, width=width, grouped=self.grouped)
        notes = [line for note in self.notes for line in _wrapped(visible(note), min(width, _NOTE_WIDTH))]
        return "\n".join([_line(self.title), "", *lines, *[""] * bool(notes), *notes])

    def html(self) -> str:
        """Return the table as HTML: static, safe, and readable where a sanitiser takes its style away."""
        head = "".join(_cell("th", column, column.heading, ' scope="col"') for column in self.columns)
        body = "".join(f"<tbody>\n{''.join(group)}</tbody>\n" for group in self._groups())
        notes = "".join(f"<li>{_html(note)}</li>\n" for note in self.notes)
        below = f'<ul class="hs-notes">\n{notes}</ul>\n' if notes else ""
        return (
            f"<style>{stylesheet('table.css')}</style>\n"
            '<div class="hs-table mathjax_ignore tex2jax_ignore">\n<div class="hs-scroll">\n<table>\n'
            f"<caption>{_html(self.title)}</caption>\n"
            f"<thead>\n<tr>{head}</tr>\n</thead>\n{body}</table>\n</div>\n{below}</div>"
        )

    def _texts(self) -> list[list[str]]:
        return [
            [column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows
        ]

    def _groups(self) -> Iterator[list[str]]:
        """Return the rows of each group as HTML; without groups, all in one."""
        texts = self._texts()
        for _, members in groupby(texts, key=itemgetter(0) if self.grouped else lambda _: ""):
            rows = list(members)
            yield [self._row(row, len(rows) if index == 0 else 0) for index, row in enumerate(rows)]

    def _row(self, texts: list[str], spanned: int) -> str:
        """Return a row as HTML; the first cell of a group spans its rows."""
        cells = list(zip(self.columns, texts, strict=True))
        start = ""
        if self.grouped:
            column, text = cells.pop(0)
            start = (
                _cell("th", column, text, f' scope="rowgroup" rowspan="{spanned}" valign="top"')
                if spanned
                else ""
            )
        (column, text), *rest = cells
        start += _cell("th", column, text, ' scope="row"')
        return f"<tr>{start}{''.join(_cell('td', *cell) for cell in rest)}</tr>\n"


def _cell(tag: str, column: Column, text: str, more: str = "") -> str:
    right = column.align == "right"
    classes = " ".join(["hs-number"] * right + ["hs-quiet"] * (column.quiet or text == "unknown"))
    more += f' class="{classes}"' * bool(classes)
    # The attribute outlives a sanitiser that takes classes and styles.
    more += f' align="{column.align}"' * (right or tag == "th")
    return f"<{tag}{more}>{_html(text)}</{tag}>"


def _line(text: str) -> str:
    return visible(text).replace("\n", " ").replace("\t", " ")


def _html(text: str) -> str:
    return escape(visible(text))


def _wrapped(note: str, width: int) -> list[str]:
    return textwrap.wrap(note, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
