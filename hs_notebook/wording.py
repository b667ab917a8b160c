"""A value as a prompt shows it, and what of it there is no room for."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

LONGEST = 20_000  # characters of one value
MOST_ROWS = 200  # of one table
# As a class lies there: one with a metaclass may answer otherwise.
_DICT, _MODULE = (vars(type)[name].__get__ for name in ("__dict__", "__module__"))


class Wording(NamedTuple):
    """A value as text; where that is not all of it, `cut` says how much it is."""

    text: str
    cut: str = ""


def wording(value: Any, longest: int | None = LONGEST) -> Wording:
    """Return a value as a prompt shows it: text as it is, a data frame as CSV, several answers as their text.

    At most `longest` characters of it and 200 rows of a table, and the text ends with what is left out; with
    None it is all there.
    """
    with _whole_arrays(longest):
        if _is_a(value, "pandas", "DataFrame", "Series"):
            return _table(value, longest)
        said = shortened(_ours(value) or str(value), longest)
    if longest is not None and _is_a(value, "numpy", "ndarray") and value.size > longest:
        return said._replace(cut=f"only the edges of its {value.size:,} elements")
    return said


def shortened(text: str, longest: int | None = LONGEST) -> Wording:
    """Return a text, at most `longest` characters of it."""
    if longest is None or len(text) <= longest:
        return Wording(text)
    return Wording(
        f"{text[:longest]}\n… ({len(text) - longest:,} more characters left out)",
        f"{longest:,} of {len(text):,} characters",
    )


def _table(value: Any, longest: int | None) -> Wording:
    most = None if longest is None else MOST_ROWS
    if most is None or len(value) <= most:
        return shortened(value.to_csv(), longest)
    said = shortened(value.head(most).to_csv(), longest)
    rest = f"… ({len(value) - most:,} more rows left out)\n"
    rows = f"{most:,} of {len(value):,} rows"
    if not said.cut:
        return Wording(said.text + rest, rows)
    return Wording(f"{said.text}\n{rest}", f"{rows}, and of these {said.cut}")


def _whole_arrays(longest: int | None) -> AbstractContextManager[Any]:
    """Let numpy write arrays without gaps, but for those of which not half the elements would have room."""
    numpy = sys.modules.get("numpy")  # a value of its kind exists only where it is imported
    if numpy is None:
        return contextlib.nullcontext()
    options: AbstractContextManager[Any] = numpy.printoptions(threshold=longest or sys.maxsize)
    return options


def _is_a(value: Any, library: str, *kinds: str) -> bool:
    module = sys.modules.get(library)
    return module is not None and issubclass(type(value), tuple(getattr(module, kind) for kind in kinds))


def _ours(value: Any) -> str:
    """Return the text of an object of ours that `str` would only describe."""
    kind = type(value)
    if maker(kind) != "hs_notebook" or "__str__" in _DICT(kind):
        return ""
    return str(getattr(value, "text", ""))


def maker(kind: type) -> str:
    """Return the package that a class was made in."""
    module = _MODULE(kind)
    return module.partition(".")[0] if type(module) is str else ""
