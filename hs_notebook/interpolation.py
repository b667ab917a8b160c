"""Values of the notebook in a prompt: ``{name}``, ``{df.shape}``, ``{rows[0]['id']}``, ``{Out[3]}``.

Only what names a value that exists is filled in; every other brace (JSON, code, LaTeX, a template's
``{{name}}``) stays as it is, and so does a name with two underscores before it. Nothing is called or
evaluated: attributes and items are read where they lie, and from a library's own objects; a property,
`__getattr__` or `__getitem__` of the user's never runs. Code (functions, classes, modules) is no value, and
what was filled in is not looked at again.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import re
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.wording import LONGEST, Wording, maker, wording

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORIES = frozenset({"In", "Out"})  # by index only: the whole history in a prompt is never what was meant
MISSING = object()
# The path is the first group.
FIELD = re.compile(r"\{([^\W\d]\w*(?:\.[^\W\d]\w*|\[(?:-?\d+|'[^'\n{}]*'|\"[^\"\n{}]*\")\])*)\}")
_STEP = re.compile(r"\.(\w+)|\[(-?\d+|'[^']*'|\"[^\"]*\")\]")
_ESCAPE = re.compile(r"\\(?:[\\'\"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_LONGEST_INDEX = 18  # digits
# Of objects that were made by these, attributes and items may be asked for.
_TRUSTED = frozenset(
    {"pandas", "numpy", "polars", "pyarrow", "geopandas", "xarray", "torch", "PIL", "requests", "httpx"}
    | {"datetime", "zoneinfo", "pathlib", "decimal", "fractions", "uuid", "re", "hs_notebook"}
)
_CONTAINERS = frozenset({list, tuple, str, bytes, bytearray, range, deque})
# From these, attributes lead to the variables of whatever code runs.
INNARDS = (
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.TracebackType,
)
_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.MethodType,
    types.ModuleType,
    types.CodeType,
    type(functools.cache(repr)),
    classmethod,
    staticmethod,
    type,
)
_FIELD_OF_TUPLE = type(vars(inspect.Attribute)["name"])  # what a namedtuple reads its fields by
# As a class lies there: one with a metaclass may answer otherwise.
_MRO, _DICT = (vars(type)[name].__get__ for name in ("__mro__", "__dict__"))


def interpolate(
    prompt: str,
    names: Mapping[str, Any],
    *,
    longest: int | None = LONGEST,
    cuts: dict[str, str] | None = None,
) -> str:
    """Return `prompt` with the fields that name something in `names` filled in, once.

    Of a value there are `longest` characters at most: see `hs_notebook.wording`. `cuts` takes how much it is
    of those that are cut, by their paths. Raises `UsageError` for one that cannot be shown as text.
    """

    def fill(field: re.Match[str]) -> str:
        value = look_up(field[1], names) if _is_asked(field) else MISSING
        if value is MISSING or holds_nothing(value):
            return field[0]
        text, cut = _filled(field[1], value, longest)
        if cut and cuts is not None:
            cuts[field[1]] = cut
        return text

    return FIELD.sub(fill, prompt)


def paths(prompt: str) -> list[str]:
    """Return the paths of the fields that may be filled in, each once."""
    return list(dict.fromkeys(field[1] for field in FIELD.finditer(prompt) if _is_asked(field)))


def _is_asked(field: re.Match[str]) -> bool:
    prompt, start, end = field.string, field.start(), field.end()
    doubled = prompt[start - 1 : start] == "{" and prompt[end : end + 1] == "}"
    return not doubled and field[1] not in HISTORIES


def _filled(path: str, value: Any, longest: int | None) -> Wording:
    try:
        return wording(value, longest)
    except HolySheepError:
        raise  # says what is the matter with a value of ours
    except Exception as error:  # noqa: BLE001 - a value of the user's may raise anything
        raise UsageError(f"{{{path}}} cannot be shown as text: {type(error).__name__}.") from None


def holds_nothing(value: Any) -> bool:
    """Tell whether a value is code, which would be of no use in a prompt."""
    return issubclass(type(value), _CODE)  # isinstance would ask the value for its class


def is_history(name: str) -> bool:
    """Tell whether IPython calls by this name what was typed or came of it: `In`, `Out`, `_` and `_3`."""
    return name in HISTORIES or (name[:1] == "_" and (name == "_" or name[1:].isdecimal()))


def look_up(path: str, names: Mapping[str, Any]) -> Any:
    """Return what a field's path leads to, `MISSING` where it leads nowhere; runs nothing of the user's."""
    root = re.match(r"\w+", path)
    if root is None or root[0].startswith("__") or root[0] not in names:
        return MISSING
    value = names[root[0]]
    for attribute, key in _STEP.findall(path[root.end() :]):
        value = _attribute(value, attribute) if attribute else _item(value, _key(key))
        if value is MISSING:
            return MISSING
    return value


def _key(text: str) -> Any:
    """Return what stands between brackets; what Python would not read, or warn of, is text as it is."""
    if text[0] in "'\"":
        return _ESCAPE.sub(lambda found: ast.literal_eval(f"'{found[0]}'"), text[1:-1])
    return int(text) if len(text) <= _LONGEST_INDEX else MISSING


def _attribute(value: Any, name: str) -> Any:
    kind = type(value)
    is_class = issubclass(kind, type)
    if name.startswith("_") or issubclass(kind, INNARDS) or (holds_nothing(value) and not is_class):
        return MISSING
    try:
        if not is_class and maker(kind) in _TRUSTED:
            return getattr(value, name, MISSING)
        found = inspect.getattr_static(value, name, MISSING)
        if not computed(found):
            return found
        return found.__get__(value, kind) if is_readable(found, value) else MISSING
    except Exception:  # noqa: BLE001 - also a library's object may raise anything; then it names nothing
        return MISSING


def computed(held: Any) -> bool:
    """Tell whether what a class holds is asked for a value, instead of being one."""
    return any("__get__" in _DICT(kind) for kind in _MRO(type(held)))


def is_readable(held: Any, value: Any) -> bool:
    """Tell whether a prompt reads what a value's class holds, when it is asked for a value."""
    kind = type(held)
    if issubclass(type(value), type):
        return False
    if maker(type(value)) in _TRUSTED:
        return True
    if kind is types.GetSetDescriptorType:
        return maker(held.__objclass__) in _TRUSTED | {"builtins"}
    if kind is enum.property:  # the name and the value of a member
        return issubclass(type(value), enum.Enum) and held.fget.__module__ == "enum"
    return kind is types.MemberDescriptorType or kind is _FIELD_OF_TUPLE


def _item(value: Any, key: Any) -> Any:
    kind = type(value)
    owner = next((base for base in _MRO(kind) if "__getitem__" in _DICT(base)), None)
    try:
        if owner is dict:
            return dict.get(value, key, MISSING)  # without __missing__, which may make a key
        if owner in _CONTAINERS or maker(kind) in _TRUSTED:
            return value[key]
    except Exception:  # noqa: BLE001 - as above
        return MISSING
    return MISSING
