"""Values of the notebook in a prompt: ``{name}``, ``{df.shape}``, ``{rows[0]['id']}``, ``{Out[3]}``.

Only what names something that exists is filled in; every other brace (JSON, code, LaTeX, a template's
``{{name}}``) stays as it is. Nothing is called or evaluated: there are names, attributes without a leading
underscore and literal keys, no way into the interpreter's frames, and what was filled in is not looked at
again.
"""

from __future__ import annotations

import ast
import re
import sys
import types
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORIES = frozenset({"In", "Out"})  # by index only: the whole history in a prompt is never what was meant

_FIELD = re.compile(r"\{([^\W\d]\w*(?:\.[^\W\d]\w*|\[(?:-?\d+|'[^'\n{}]*'|\"[^\"\n{}]*\")\])*)\}")
STEP = re.compile(r"\.(\w+)|\[(-?\d+|'[^']*'|\"[^\"]*\")\]")
_LONGEST = 20_000  # characters of one value
_MISSING = object()
# From these, attributes lead to the variables of whatever code runs.
INNARDS = (
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.TracebackType,
)


def interpolate(prompt: str, names: Mapping[str, Any]) -> str:
    """Return `prompt` with the fields that name something in `names` filled in, once."""

    def fill(field: re.Match[str]) -> str:
        if prompt[field.start() - 1 : field.start()] == "{" and prompt[field.end() : field.end() + 1] == "}":
            return field[0]
        value = _look_up(field[1], names)
        return field[0] if value is _MISSING else _filled(field[1], value)

    return _FIELD.sub(fill, prompt)


def _filled(path: str, value: Any) -> str:
    try:
        return as_text(value)
    except Exception as error:  # noqa: BLE001 - a value of the user's may raise anything
        raise UsageError(f"{{{path}}} cannot be shown as text: {type(error).__name__}.") from None


def as_text(value: Any) -> str:
    """Return a value as a prompt shows it: text as it is, a data frame as CSV, at most 20,000 characters."""
    text = _table(value) or str(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n… ({len(text) - _LONGEST:,} more characters left out)"


def _table(value: Any) -> str:
    pandas = sys.modules.get("pandas")  # a value of its kind exists only where it is imported
    if pandas is None or not isinstance(value, pandas.DataFrame | pandas.Series):
        return ""
    text: str = value.head(200).to_csv()
    rest = len(value) - 200
    return text if rest <= 0 else f"{text}… ({rest:,} more rows left out)\n"


def _look_up(path: str, names: Mapping[str, Any]) -> Any:
    root = re.match(r"\w+", path)
    if root is None or root[0].startswith("_") or root[0] not in names or path in HISTORIES:
        return _MISSING
    value = names[root[0]]
    for attribute, key in STEP.findall(path[root.end() :]):
        value = _attribute(value, attribute) if attribute else _item(value, ast.literal_eval(key))
        if value is _MISSING:
            return _MISSING
    return value


def _attribute(value: Any, name: str) -> Any:
    if name.startswith("_") or isinstance(value, INNARDS):
        return _MISSING
    try:
        return getattr(value, name)
    except Exception:  # noqa: BLE001 - a property of the user's may raise anything; then it names nothing
        return _MISSING


def _item(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except Exception:  # noqa: BLE001 - as above
        return _MISSING
