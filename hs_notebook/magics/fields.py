"""What fits after a ``{`` in a prompt: variables, their attributes and their keys.

Completion must run nothing of the user's: what a path leads to is looked up as a prompt does it, attributes
are listed as they lie in instances and classes, and keys are those of plain dictionaries, lists and data
frames.
"""

from __future__ import annotations

import inspect
import re
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.interpolation import INNARDS, MISSING, computed, holds_nothing, is_readable, look_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NAME = r"[^\W\d]\w*"
_PATH = rf"{_NAME}(?:\.{_NAME}|\[(?:-?\d+|'[^'\n{{}}]*'|\"[^\"\n{{}}]*\")\])*"
_FIELD = re.compile(
    rf"(?<!\{{)\{{(?:(?P<name>(?:{_NAME})?)|(?P<path>{_PATH})\.(?P<attribute>\w*)"
    rf"|(?P<owner>{_PATH})\[(?P<quote>['\"]?)(?P<key>[^'\"\n{{}}\]]*))$"
)
_MOST = 200  # keys that are offered


class Item(NamedTuple):
    """One thing that fits, and in a few words what it is."""

    text: str
    kind: str


class Fit(NamedTuple):
    """What fits instead of `fragment`, the text before the cursor that it replaces."""

    fragment: str
    items: list[Item]


def field_fit(before: str, after: str, names: Mapping[str, Any]) -> Fit | None:
    """Return what fits where a prompt reads `before` and then `after`; None where no field is begun."""
    found = _FIELD.search(before)
    if found is None:
        return None
    if (name := found["name"]) is not None:
        return Fit(name, [Item(*item) for item in _variables(names) if item[0].startswith(name)])
    if (part := found["attribute"]) is not None:
        value = look_up(found["path"], names)
        kinds = _attributes(value).items() if not part.startswith("_") else ()
        return Fit(part, [Item(name, kind) for name, kind in kinds if name.startswith(part)])
    quote, part = found["quote"], found["key"]
    return Fit(quote + part, list(_keys(look_up(found["owner"], names), quote, part, after)))


def _variables(names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(names.items()):
        if not name.startswith("_") and not holds_nothing(value):
            yield name, kind_of(value)


def kind_of(value: Any) -> str:
    """Return what a value is in a few words, such as `DataFrame, 3 × 2` or `list of 4`."""
    kind = type(value).__name__
    if is_frame(value):
        rows, columns = value.shape
        return f"{kind}, {rows:,} × {columns:,}"
    if type(value) in {list, tuple, dict, set}:
        return f"{kind} of {len(value):,}"
    return kind


def is_frame(value: Any) -> bool:
    """Tell whether a value is a data frame of pandas, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) is getattr(pandas, "DataFrame", None)


def _attributes(value: Any) -> dict[str, str]:
    """Return the attributes that hold something, and what."""
    if value is MISSING or issubclass(type(value), INNARDS):
        return {}
    if is_frame(value):
        columns = {name: "column" for name in value.columns if isinstance(name, str) and name.isidentifier()}
        return {"columns": "Index", "dtypes": "Series", "index": "Index", "shape": "tuple", **columns}
    found = {}
    for name in sorted(_static_names(value)):
        held = inspect.getattr_static(value, name, MISSING)
        if name.startswith("_") or holds_nothing(held) or held is MISSING:
            continue
        if computed(held) and not is_readable(held, value):
            continue
        found[name] = "attribute" if computed(held) else kind_of(held)
    return found


def _static_names(value: Any) -> Iterable[str]:
    names = {name for kind in type(value).__mro__ if kind is not object for name in vars(kind)}
    if "__dict__" in names and type(inspect.getattr_static(value, "__dict__", None)) is property:
        return names
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return names
    return names | {name for name in own if isinstance(name, str)} if type(own) is dict else names


def _keys(value: Any, quote: str, part: str, after: str) -> Iterator[Item]:
    if type(value) in {list, tuple} and not quote:
        known: Iterable[Any] = range(len(value))
    elif type(value) is dict:
        known = value
    else:
        known = value.columns if is_frame(value) else ()
    for key in islice(known, _MOST):
        written = _written(key, quote)
        if written is not None and written.strip("'\"").startswith(part):
            kind = "column" if is_frame(value) else kind_of(value[key])
            yield Item(_ended(written, after), kind)


def _written(key: Any, quote: str) -> str | None:
    """Return a key as a field writes it; None for one that no field can name."""
    if type(key) is int and not quote:
        return str(key)
    if type(key) is not str or not re.fullmatch(r"[^'\"\n{}\\]*", key):
        return None
    quote = quote or "'"
    return f"{quote}{key}{quote}"


def _ended(written: str, after: str) -> str:
    # A page that closes brackets and quotation marks by itself has typed them already.
    if written.endswith(("'", '"')) and after.startswith(written[-1]):
        return written[:-1]
    return written if after.startswith("]") else written + "]"
