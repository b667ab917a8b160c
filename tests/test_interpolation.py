"""Values in a prompt: what is filled in, and all that must stay as it is."""

from __future__ import annotations

from typing import Any

import pytest

from hs_notebook.errors import UsageError
from hs_notebook.magics.interpolation import as_text, interpolate


class Frame:
    """Has what a data frame has, as far as a prompt can reach it."""

    shape = (3, 2)
    _private = "hidden"

    def method(self) -> str:
        return "called"

    @property
    def broken(self) -> str:
        raise RuntimeError("no")

    def __getitem__(self, key: object) -> str:
        return f"item {key!r}"


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


NAMES: dict[str, Any] = {
    "name": "value",
    "ünïcode": "ü",
    "brace": "{name} {other}",
    "df": Frame(),
    "rows": [{"id": 7, "a b": "spaced", "{": "odd"}, {"id": 8}],
    "number": 3.5,
    "none": None,
    "empty": "",
    "In": ["", "first cell", "second cell"],
    "Out": {2: "second result"},
    "_secret": "hidden",
    "__builtins__": {"open": open},
    "generator": (i for i in range(3)),
    "unprintable": Unprintable(),
}


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("{name}", "value"),
        ("a{name}b{name}c", "avaluebvaluec"),
        ("{ünïcode}", "ü"),
        ("{number} {none} [{empty}]", "3.5 None []"),
        ("{df.shape}", "(3, 2)"),
        ("{rows[0]['id']} {rows[-1][\"id\"]}", "7 8"),
        ("{rows[0]['a b']}", "spaced"),
        ("{df['x']} {df[0]}", "item 'x' item 0"),
        ("{In[1]} {Out[2]}", "first cell second result"),
        ('{"rows": {name}}', '{"rows": value}'),
        ("{{name}} {name}", "{{name}} value"),
        ("{\n{name}\n}", "{\nvalue\n}"),
        # What was filled in is text: nothing in it is a field.
        ("{brace}", "{name} {other}"),
        ("{brace}{name}", "{name} {other}value"),
    ],
)
def test_filled(prompt: str, filled: str) -> None:
    assert interpolate(prompt, NAMES) == filled


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "{}",
        "{ name }",
        "{missing}",
        "{name.missing}",
        "{rows[9]}",
        "{rows['id']}",
        "{rows[0][id]}",
        "{rows[0]['missing']}",
        "{rows[0]['{']}",
        "{rows[0:1]}",
        "{rows[name]}",
        "{none.attribute}",
        "{3}",
        "{0}",
        '{"name": 1}',
        "{'name'}",
        "{name: 1}",
        "{name, number}",
        "{name:>10}",
        "{name!r}",
        "{name=}",
        "{name.__class__}",
        "{name.__class__.__mro__}",
        "{name.upper()}",
        "{name }",
        "{df.method()}",
        "{df._private}",
        "{df.broken}",
        "{df.shape.__class__}",
        "{df.shape[0].__add__}",
        "{_secret}",
        "{__builtins__}",
        "{__builtins__['open']}",
        "{generator.gi_frame}",
        "{generator.gi_frame.f_globals}",
        "{(lambda: 1)()}",
        "{[name]}",
        "{*rows}",
        "{name;number}",
        "{In}",
        "{Out}",
        "{In[99]}",
        "{Out[99]}",
        "{{name}}",
        "{{{name}}}",
        r"\frac{1}{2} \text{if } x_{i}",
        "def f(): return {i: i for i in range(3)}",
        "{% if name %}{{ name }}{% endif %}",
        "${name2} $(name) %(name)s",
        "{name",
        "name}",
        "{\nname\n}",
    ],
)
def test_stays(prompt: str) -> None:
    assert interpolate(prompt, NAMES) == prompt


def test_methods_are_shown_and_never_called() -> None:
    assert "called" not in interpolate("{df.method}", NAMES)


def test_text_that_cannot_be_made_stops_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"\{unprintable\} cannot be shown as text: ValueError"):
        interpolate("{name} {unprintable}", NAMES)


def test_a_huge_value_is_cut_and_says_so() -> None:
    text = as_text("x" * 1_000_000)
    assert len(text) < 20_100
    assert text.endswith("(980,000 more characters left out)")
    assert as_text("x" * 20_000) == "x" * 20_000


def test_a_long_prompt_takes_linear_time() -> None:
    # Half a field ten thousand times, on which a backtracking pattern would take minutes.
    prompt = "{a.b[0]['" * 10_000
    assert interpolate(prompt, NAMES) == prompt
