"""What an answer must look like: schemas of all kinds, what of them is sent, and answers that do not fit."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import pathlib
import subprocess
import sys
import uuid
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import msgspec
import pydantic
import pytest

from hs_notebook.errors import SchemaError, UsageError
from hs_notebook.schemas import Schema, parse_json


class City(pydantic.BaseModel):
    """A city."""

    name: str
    people: int = pydantic.Field(ge=0, description="who live there")
    kind: Literal["small", "large"] = "small"
    twin: City | None = None


@dataclass
class Town:
    name: str
    people: int
    streets: list[str] = field(default_factory=list)


class Village(TypedDict):
    name: str
    people: int


class Hamlet(TypedDict):
    name: str
    people: NotRequired[int]


class Port(msgspec.Struct):
    name: str
    people: int
    ships: dict[str, int] = {}


@pydantic.dataclasses.dataclass
class Parish:
    """A parish."""

    name: str
    people: int = pydantic.Field(ge=0, description="who live there")
    twin: Parish | None = None


PLAIN: dict[str, Any] = {
    "title": "place",
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
KINDS = [City, Parish, Town, Village, Hamlet, Port, PLAIN, {"name": "in_a_cover", "schema": PLAIN}]
FITS = '{"name": "Ulm", "people": 3}'


@pytest.mark.parametrize(
    ("thing", "name", "strict"),
    [
        (City, "City", True),
        (Parish, "Parish", True),
        (Town, "Town", True),
        (Village, "Village", True),
        (Hamlet, "Hamlet", False),  # a field that may be left out
        (Port, "Port", False),  # an object with any keys
        (make_dataclass("Bill", [("total", Decimal)]), "Bill", False),  # of the format "decimal"
        (PLAIN, "place", True),
        ({"name": "in_a_cover", "schema": PLAIN}, "in_a_cover", True),
        ({"type": "array", "items": PLAIN}, "answer", False),  # no object
        (PLAIN | {"title": "Ein Ort!", "required": ["name"]}, "Ein_Ort", False),
        (PLAIN | {"not": {"required": ["x"]}}, "place", False),
    ],
)
def test_what_is_sent(thing: Any, name: str, strict: bool) -> None:
    sent = Schema.of(thing).params()["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["name"] == name
    assert sent["json_schema"].get("strict", False) is strict
    json.dumps(sent)


@pytest.mark.parametrize("thing", [City, Parish, Town, Village, PLAIN])
def test_strict_is_what_openai_s_strict_mode_takes(thing: Any) -> None:
    """The root is an object, and each object is closed and has all its fields required."""
    schema = Schema.of(thing).json_schema
    assert schema["type"] == "object"
    objects = [schema, *schema.get("$defs", {}).values()]
    for one in objects:
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])
    assert "default" not in json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_strict_mode_wants_a_type_beside_the_values() -> None:
    @dataclass
    class Sign:
        kind: Literal["a", "b"]
        size: Literal[1, "large"]

    properties = Schema.of(Sign).json_schema["properties"]
    assert properties["kind"] == {"enum": ["a", "b"], "type": "string"}
    assert properties["size"]["type"] == ["integer", "string"]


@pytest.mark.parametrize(
    ("field", "strict"),
    [
        *((kind, True) for kind in (datetime, date, time, timedelta, uuid.UUID, ipaddress.IPv4Address)),
        *((kind, False) for kind in (pydantic.AnyUrl, pathlib.Path, bytes)),
        (Annotated[str, pydantic.Field(pattern=r"^(?:a|b)\(?c$")], True),
    ],
)
def test_strict_mode_knows_some_formats_and_patterns_alone(field: Any, strict: bool) -> None:
    schema = Schema.of(pydantic.create_model("Form", value=(list[field], ...)))
    assert schema.strict is strict
    assert "value" in json.dumps(schema.params())


@pytest.mark.parametrize("pattern", ["(?=a)ab", "(?!b)ab", "(?<=a)b", "(?<!b)a"])
def test_a_pattern_that_strict_mode_refuses_is_checked_here(pattern: str) -> None:
    told = {"type": "string", "pattern": pattern}
    schema = Schema.of({"type": "object", "properties": {"a": told}, "required": ["a"]})
    assert not schema.strict
    assert schema.json_schema["properties"]["a"] == told
    assert schema.read('{"a": "ab"}') == {"a": "ab"}
    with pytest.raises(SchemaError, match="does not match"):
        schema.read('{"a": "cc"}')


@pytest.mark.parametrize("thing", [City, Parish])
def test_descriptions_reach_the_model(thing: Any) -> None:
    schema = json.dumps(Schema.of(thing).json_schema)
    assert f"A {thing.__name__.lower()}." in schema
    assert "who live there" in schema


@pytest.mark.parametrize("thing", KINDS)
@pytest.mark.parametrize("text", [FITS, f" \n{FITS}\n", f"```json\n{FITS}\n```", f"```\n{FITS}\n```\n"])
def test_what_fits_is_read(thing: Any, text: str) -> None:
    made = Schema.of(thing).read(text)
    read = made if isinstance(made, dict) else {"name": made.name, "people": made.people}
    assert read == {"name": "Ulm", "people": 3}
    if isinstance(thing, type) and not issubclass(thing, dict):
        assert type(made) is thing


@pytest.mark.parametrize("thing", KINDS)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "Ulm", "people": "many"}', "people"),
        ('{"people": 3}', "name"),
        ('{"name": "Ulm", "people":', "is no JSON"),
        ("Ulm has many people.", "is no JSON"),
        ("", "is no JSON"),
        ("[1]", "does not fit"),
    ],
)
def test_what_does_not_fit_says_where(thing: Any, text: str, says: str) -> None:
    with pytest.raises(SchemaError) as raised:
        Schema.of(thing).read(text)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_long_misfit_is_one_short_line() -> None:
    with pytest.raises(SchemaError) as raised:
        Schema.of(PLAIN).read(json.dumps({"name": ["x\n" * 5000], "people": 1}))
    assert len(str(raised.value)) < 400


def test_several_misfits_are_counted() -> None:
    with pytest.raises(SchemaError, match=r"does not fit City: name: .*\(and 1 more\)$"):
        Schema.of(City).read('{"kind": "small"}')


def test_a_validator_of_the_user_s() -> None:
    class Even(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            return n if n % 2 == 0 else 1 // 0

    with pytest.raises(SchemaError, match="division"):
        Schema.of(Even).read('{"n": 3}')
    assert Schema.of(Even).read('{"n": 4}').n == 4


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, UnprintableError, asyncio.CancelledError])
def test_a_validator_that_raises_what_is_no_error(kind: type[BaseException]) -> None:
    with pytest.raises(SchemaError, match=f"^The answer does not fit Raising: {kind.__name__}$"):
        raising(kind).read('{"n": 3}')
    with pytest.raises(KeyboardInterrupt):  # which is the user's own
        raising(KeyboardInterrupt).read('{"n": 3}')


def raising(kind: type[BaseException]) -> Schema:
    class Raising(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def never(cls, n: int) -> int:  # noqa: ARG003
            raise kind

    return Schema.of(Raising)


@pytest.mark.parametrize(
    "thing",
    [1, None, "City", int, list, object, [PLAIN], {}, {"a": 1}, Town("Ulm", 3), {"type": "strange"}, len],
)
def test_what_is_no_schema(thing: Any) -> None:
    with pytest.raises(UsageError, match="schema"):
        Schema.of(thing)


def test_a_class_that_json_cannot_hold() -> None:
    @dataclass
    class Odd:
        value: complex

    with pytest.raises(UsageError, match=r"No schema can be made of Odd: .*complex"):
        Schema.of(Odd)


def test_a_schema_that_would_be_fetched() -> None:
    with pytest.raises(UsageError, match="refers to https://"):
        Schema.of({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}})


def test_a_dict_that_is_changed_afterwards_changes_nothing() -> None:
    mine = json.loads(json.dumps(PLAIN))
    schema = Schema.of(mine)
    mine["required"].append("more")
    assert schema.read(FITS) == {"name": "Ulm", "people": 3}
    assert "more" not in json.dumps(schema.json_schema)


def test_without_jsonschema_a_dict_names_the_extra_and_a_class_works() -> None:
    script = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from dataclasses import make_dataclass\n"
        "from hs_notebook.schemas import Schema\n"
        "print(Schema.of(make_dataclass('P', [('n', int)])).read('{\"n\": 1}').n)\n"
        "try: Schema.of({'type': 'object'})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [
        "1",
        "ConfigurationError A JSON schema needs jsonschema. Install hs-notebook[schema], or name a class.",
    ]


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{'a': 1}", "[" * 100_000])
def test_no_json(text: str) -> None:
    with pytest.raises(SchemaError, match=r"is no JSON"):
        parse_json(text)
