"""Functions that a model may ask for: what it is told of them, and their calls."""

from __future__ import annotations

import functools
import inspect
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, get_type_hints

import msgspec

from hs_notebook.errors import UsageError
from hs_notebook.schemas import rooted
from hs_notebook.wording import Wording, shortened, wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST_DESCRIPTION = 1024
_WIDTH = 80  # characters of a call that stands in one line
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function with its name, what its docstring says and the JSON schema of its parameters."""

    name: str
    description: str
    parameters: dict[str, Any]
    _function: Callable[..., Any]
    _signature: inspect.Signature
    _arguments: type[msgspec.Struct]

    @classmethod
    def of(cls, function: Any, name: str = "") -> Tool:
        """Make a tool of a function by its signature and docstring.

        A parameter without an annotation takes any value. Raises `UsageError` for what cannot be one: no
        function, one with `*args`, one that is async, or a parameter that JSON cannot hold.
        """
        name = name or str(getattr(function, "__name__", ""))
        if not callable(function) or isinstance(function, type):
            raise UsageError(
                f"{name or repr(function)} is no function.", hint="Name functions of the notebook."
            )
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name} is no name for a tool.", hint="It has ASCII letters, digits and _ alone."
            )
        if _is_async(function):
            raise UsageError(f"{name} is async.", hint="A tool is a plain function.")
        try:
            signature = inspect.signature(function)
            arguments = msgspec.defstruct(
                name, list(_fields(name, function, signature)), kw_only=True, forbid_unknown_fields=True
            )
            parameters = rooted(msgspec.json.schema(arguments))
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{name} cannot be a tool: {reason}") from None
        parameters.pop("title", None)
        return cls(
            name=name,
            description=(inspect.getdoc(_whole(function)) or "")[:_LONGEST_DESCRIPTION],
            parameters=parameters,
            _function=function,
            _signature=signature,
            _arguments=arguments,
        )

    def spec(self) -> dict[str, Any]:
        """Return it as it stands in a request's `tools`."""
        function: dict[str, Any] = {"name": self.name, "parameters": self.parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    def call(self, arguments: str) -> Wording:
        """Call the function with arguments as JSON text, and return its result as text of bounded length.

        What the function raises is a result too, and so are arguments that do not fit: the model sees both.
        An interrupt alone is raised.
        """
        try:
            bound = self._signature.bind_partial()
            bound.arguments.update(self._read(arguments))
            result = _worded(self._function(*bound.args, **bound.kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the model is told; the answer so far is paid for
            result = shortened(_told(error))
        text = result.text.encode("utf-8", "replace").decode()  # a file's name may hold half a character
        return result._replace(text=text)

    def _read(self, arguments: str) -> dict[str, Any]:
        read = msgspec.json.decode(arguments or "{}", type=self._arguments)
        given = {name: getattr(read, name) for name in self._arguments.__struct_fields__}
        # In the function's own order, which positional parameters need; the others keep their defaults.
        return {
            name: given[name]
            for name in self._signature.parameters
            if _is_given(given.get(name, msgspec.UNSET))
        }


def shown_call(name: str, arguments: str) -> str:
    """Return a call as Python would write it, with all of its arguments; as it is where it is no JSON."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return f"{name}({arguments})"
    parts = [f"{key}={value!r}" for key, value in given.items()]
    line = f"{name}({', '.join(parts)})"
    return line if len(line) <= _WIDTH else "\n".join([f"{name}(", *(f"    {part}," for part in parts), ")"])


def _whole(function: Any) -> Any:
    """Return what a partial function is a part of: its docstring and annotations are there."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_async(function: Any) -> bool:
    function = _whole(function)
    kinds = inspect.iscoroutinefunction, inspect.isasyncgenfunction
    return any(is_kind(one) for is_kind in kinds for one in (function, type(function).__call__))


def _fields(
    name: str, function: Callable[..., Any], signature: inspect.Signature
) -> Iterator[tuple[str, Any, Any] | tuple[str, Any]]:
    try:
        hints = get_type_hints(_whole(function), include_extras=True)
    except Exception:  # noqa: BLE001 - an annotation of the user's may be anything
        hints = {}
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise UsageError(f"{name} takes *{parameter.name}.", hint="A tool names all its parameters.")
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        kind = hints.get(parameter.name, Any)
        if parameter.default is inspect.Parameter.empty:
            yield parameter.name, kind
        else:
            yield parameter.name, Union[kind, msgspec.UnsetType], msgspec.UNSET  # noqa: UP007 - kind is a value


def _is_given(value: Any) -> bool:
    return value is not msgspec.UNSET


def _told(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - its text is the user's code too
        return name


def _worded(result: Any) -> Wording:
    try:
        return shortened(result if isinstance(result, str) else msgspec.json.encode(result).decode())
    except (TypeError, ValueError, OverflowError, RecursionError):
        return wording(result)
