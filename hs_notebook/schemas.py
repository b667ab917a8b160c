"""What an answer must look like: a class or a JSON schema of the user's, and answers read by it."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import sys
from typing import TYPE_CHECKING, Any, is_typeddict

import msgspec

from hs_notebook.errors import ConfigurationError, SchemaError, UsageError
from hs_notebook.fences import json_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hs_notebook.answers import Answer

_HINT = "Name a pydantic model, dataclass, TypedDict, msgspec Struct, or a JSON schema as dict."
_LONGEST = 300  # characters of what a validator says
_LONGEST_NAME = 64

# What OpenAI's strict mode knows of JSON schema, and what may go without a loss.
_STRICT = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref",
    "$defs", "title", "description", "pattern", "format", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
}  # fmt: skip
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_LOOKS_AROUND = re.compile(r"\(\?[=!<]")  # what its patterns may not
_NEEDLESS = {"default", "examples", "$schema", "$id", "$comment"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """A schema that answers are held to; `json_schema` is what the model is told.

    `strict` tells whether it is all that OpenAI's strict mode knows, so that the model is held to it as it
    writes.
    """

    name: str
    json_schema: dict[str, Any]
    strict: bool
    _read: Callable[[str], Any]

    @classmethod
    def of(cls, thing: Any) -> Schema:
        """Make a schema of a class or of a JSON schema as dict, which may stand in OpenAI's `{"name": …}`.

        Raises `UsageError` for what is none, and `ConfigurationError` for a dict without the extra `schema`.
        """
        if isinstance(thing, Schema):
            return thing
        if isinstance(thing, dict):
            return _of_dict(thing)
        if not isinstance(thing, type) and not is_typeddict(thing):
            raise UsageError(f"{_short(repr(thing))} is no schema.", hint=_HINT)
        try:
            whole, read = _of_class(thing)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - what a class of the user's raises is the user's
            raise UsageError(f"No schema can be made of {thing.__name__}: {_short(str(error))}") from None
        total = getattr(thing, "__optional_keys__", None) is None  # each field has a value in the end
        return _made(thing.__name__, whole, read, total=total)

    def params(self) -> dict[str, Any]:
        """Return the parameters of a request that ask for such an answer."""
        strict = {"strict": True} if self.strict else {}
        asked = {"name": self.name, "schema": self.json_schema, **strict}
        return {"response_format": {"type": "json_schema", "json_schema": asked}}

    def fill(self, answer: Answer) -> Answer:
        """Put what an answer holds into its `parsed`; raises `SchemaError` with the answer."""
        try:
            answer.parsed = self.read(answer.text)
        except SchemaError as error:
            error.answer = answer
            raise
        return answer

    def fits(self, answer: Answer) -> bool:
        """Tell whether an answer can be read."""
        try:
            self.read(answer.text)
        except SchemaError:
            return False
        return True

    def read(self, text: str) -> Any:
        """Return the object that a text holds, also in a fence beside words; raises `SchemaError`."""
        try:
            return self._read(json_in(text))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - validators of the user's raise what they like
            parse_json(text)
            raise SchemaError(f"The answer does not fit {self.name}: {_said(error)}") from None


def parse_json(text: str) -> Any:
    """Return the value that a text holds, also in a fence beside words; raises `SchemaError`."""
    try:
        return json.loads(json_in(text), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"The answer is no JSON: {error}.") from None


def pretty(text: str) -> str:
    """Return JSON on many lines, its values as they are written; what is no JSON as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value")


# --- of what is it made --------------------------------------------------------------------------


def _of_class(kind: type) -> tuple[dict[str, Any], Callable[[str], Any]]:
    if hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate_json"):
        return kind.model_json_schema(), kind.model_validate_json
    if hasattr(kind, "__pydantic_validator__"):  # a dataclass of pydantic's, which is imported then
        adapter = sys.modules["pydantic"].TypeAdapter(kind)
        return adapter.json_schema(), adapter.validate_json
    if dataclasses.is_dataclass(kind) or is_typeddict(kind) or issubclass(kind, msgspec.Struct):
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        return msgspec.json.schema(kind), decoder.decode
    raise UsageError(f"{kind.__name__} is no schema.", hint=_HINT)


def _of_dict(given: dict[str, Any]) -> Schema:
    schema = given["schema"] if isinstance(given.get("schema"), dict) and "name" in given else given
    if not schema.keys() & (_STRICT | {"allOf", "oneOf"}):
        raise UsageError(f"{_short(repr(given))} is no JSON schema.", hint=_HINT)
    foreign = [ref for ref in _found("$ref", schema) if not str(ref).startswith("#")]
    if foreign:  # it would be fetched
        raise UsageError(f"The schema refers to {_short(str(foreign[0]))}.", hint="Put it under $defs.")
    try:
        import jsonschema
    except ImportError:
        raise ConfigurationError(
            "A JSON schema needs jsonschema.", hint="Install hs-notebook[schema], or name a class."
        ) from None
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"That is no JSON schema: {_misfit(error)}") from None
    validator = kind(copy.deepcopy(schema))

    def read(text: str) -> Any:
        value = json.loads(text, parse_constant=_refuse)
        if (error := jsonschema.exceptions.best_match(validator.iter_errors(value))) is not None:
            raise error
        return value

    name = given.get("name") if schema is not given else given.get("title")
    return _made(str(name or "answer"), copy.deepcopy(schema), read, total=False)


def _made(name: str, whole: dict[str, Any], read: Callable[[str], Any], *, total: bool) -> Schema:
    root = rooted(whole)
    strict = _strict(root, total=total) if _is_object(root) else None
    return Schema(
        name=re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:_LONGEST_NAME] or "answer",
        json_schema=root if strict is None else strict,
        strict=strict is not None,
        _read=read,
    )


# --- OpenAI's strict mode ------------------------------------------------------------------------


def rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Put the object that a schema only refers to into its place: the root may not be a reference."""
    ref = str(schema.get("$ref", ""))
    definitions = schema.get("$defs", {})
    root = definitions.get(ref.removeprefix("#/$defs/"))
    if root is None or set(schema) != {"$ref", "$defs"}:
        return schema
    others = definitions
    if ref not in _found("$ref", definitions):
        others = {name: part for name, part in definitions.items() if part is not root}
    return {**root, **({"$defs": others} if others else {})}


def _strict(schema: Any, *, total: bool) -> Any:
    """Return a schema as strict mode wants it: closed objects, all fields required; None where it cannot be.

    Where it is not `total`, a field that may be left out must stay so.
    """
    if not isinstance(schema, dict):
        return None
    kept = {key: value for key, value in schema.items() if key not in _NEEDLESS}
    if not kept.keys() & {"type", "anyOf", "$ref", "enum", "const"} or not kept.keys() <= _STRICT:
        return None
    if kept.get("format", "date") not in _FORMATS or _LOOKS_AROUND.search(kept.get("pattern", "")):
        return None
    if values := kept.get("enum", [kept["const"]] if "const" in kept else []):
        kept.setdefault("type", _types_of(values))
    if "$ref" in kept:
        kept = {"$ref": kept["$ref"], **({"$defs": kept["$defs"]} if "$defs" in kept else {})}
    if _is_object(kept):
        properties = kept.get("properties", {})
        closed = kept.get("additionalProperties", False) is False
        if not closed or not properties or not (total or set(properties) <= set(kept.get("required", ()))):
            return None
        kept |= {"required": list(properties), "additionalProperties": False}
    return _strict_inside(kept, total=total)


def _strict_inside(schema: dict[str, Any], *, total: bool) -> dict[str, Any] | None:
    made: dict[str, Any] = {}
    for key, value in schema.items():
        inner: Any = value
        if key in {"properties", "$defs"}:
            inner = {name: _strict(part, total=total) for name, part in value.items()}
        elif key == "anyOf":
            inner = [_strict(part, total=total) for part in value]
        elif key == "items":
            inner = _strict(value, total=total)
        parts = inner.values() if key in {"properties", "$defs"} else inner if key == "anyOf" else [inner]
        if key in {"properties", "$defs", "anyOf", "items"} and any(part is None for part in parts):
            return None
        made[key] = inner
    return made


def _types_of(values: Iterable[Any]) -> str | list[str]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    found = sorted({names.get(type(value), "object") for value in values})
    return found[0] if len(found) == 1 else found


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"


def _found(key: str, schema: Any) -> Iterator[Any]:
    """Go through all that stands under a key, however deep."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict) and isinstance(schema.get(key), str):
        yield schema[key]
    for part in parts:
        yield from _found(key, part)


# --- what does not fit ---------------------------------------------------------------------------


def _said(error: BaseException) -> str:
    """Return what a validator says, or its kind where it cannot be made to say anything."""
    try:
        return _reason(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - an error of the user's may raise another one
        return type(error).__name__


def _reason(error: BaseException) -> str:
    """Return what a validator says in one line, with the place first."""
    if hasattr(error, "json_path"):
        return _misfit(error)
    if not hasattr(error, "errors"):
        return _short(str(error) or type(error).__name__)
    first, *more = error.errors(include_url=False, include_input=False)
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    rest = f" (and {len(more)} more)" if more else ""
    return _short(f"{place.lstrip('.')}: {first['msg']}".removeprefix(": ")) + rest


def _misfit(error: Any) -> str:
    return _short(f"{error.json_path}: {error.message}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
