"""JSON that fits a schema: what a simulated model says where the request asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

_WORDS = ("simulated", "invented", "made up", "an example", "no real answer")
_DEEPEST = 6  # levels of a schema that refers to itself


def sample(schema: Any, random: Random) -> Any:
    """Return a value that fits a JSON schema, as far as its keywords are known here: patterns aside."""
    return _Sampler(schema, random).value(schema, 0)


class _Sampler:
    def __init__(self, root: Any, random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Any, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._random.choice(schema["enum"])
        kinds = schema.get("type") or ("object" if "properties" in schema else "string")
        kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "null")
        make = getattr(self, f"_{kind}", None)
        return make(schema, depth) if make else None

    def _resolved(self, schema: Any) -> dict[str, Any]:
        """Follow references and take the first of several ways that is not null."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, dict):
                return {}
            ways = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if "$ref" in schema:
                schema = self._referred(schema["$ref"])
            elif ways:
                schema = next((way for way in ways if way != {"type": "null"}), {})
            else:
                return schema
        return {}

    def _referred(self, reference: str) -> Any:
        found = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(part, {}) if isinstance(found, dict) and part else found
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        fields = schema.get("properties", {})
        wanted = fields if depth < _DEEPEST else {name: fields[name] for name in schema.get("required", ())}
        return {name: self.value(field, depth + 1) for name, field in wanted.items()}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        number = max(least, min(2, schema.get("maxItems", 2))) if depth < _DEEPEST else least
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(number)]

    def _string(self, schema: dict[str, Any], _depth: int) -> str:
        text = self._random.choice(_WORDS).ljust(schema.get("minLength", 0), "…")
        return text[: schema.get("maxLength", len(text))]

    def _integer(self, schema: dict[str, Any], _depth: int) -> int:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 11) - 1)
        return self._random.randint(int(low), max(int(low), int(high)))

    def _number(self, schema: dict[str, Any], _depth: int) -> float:
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 1)))
        return round(low + (high - low) * self._random.uniform(0.1, 0.9), 3)

    def _boolean(self, _schema: dict[str, Any], _depth: int) -> bool:
        return self._random.random() < 0.5
