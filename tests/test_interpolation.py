"""Values in a prompt: what is filled in, and all that must stay as it is."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import os
import pathlib
import re
import threading
import types
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest

from hs_notebook.answers import Answer, Receipt
from hs_notebook.background import Background
from hs_notebook.compared import Answers
from hs_notebook.errors import UsageError
from hs_notebook.interpolation import interpolate
from hs_notebook.mapping import Mapped
from hs_notebook.wording import wording

ran: list[str] = []  # of what must never run


class Place:
    """Has all by which an object of the user's could run code when it is only looked at."""

    size = 3
    _private = "hidden"

    def __init__(self) -> None:
        self.name = "Paris"
        self.shape = (3, 2)

    def method(self) -> None:
        ran.append("method")

    @property
    def danger(self) -> str:
        ran.append("property")
        return "ran"

    @functools.cached_property
    def cached(self) -> str:
        ran.append("cached property")
        return "ran"

    def __getattr__(self, name: str) -> str:
        ran.append(f"__getattr__ {name}")
        return "ran"

    def __getitem__(self, key: object) -> str:
        ran.append(f"__getitem__ {key!r}")
        return "ran"


class Watching(Place):
    def __getattribute__(self, name: str) -> Any:
        ran.append(f"__getattribute__ {name}")
        return object.__getattribute__(self, name)


class Kind(type):
    @property
    def danger(cls) -> str:
        ran.append("property of a metaclass")
        return "ran"

    def __getitem__(cls, key: object) -> str:
        ran.append("__getitem__ of a metaclass")
        return "ran"


class Made(metaclass=Kind):
    @property
    def own(self) -> str:
        ran.append("property")
        return "ran"


class Keyed(dict[Any, Any]):
    def __missing__(self, key: object) -> str:
        ran.append("__missing__")
        return "ran"


class Listed(list[Any]):
    def __getitem__(self, key: object) -> str:
        ran.append("__getitem__ of a list")
        return "ran"


class Table(pd.DataFrame):
    @property
    def shape(self) -> Any:
        ran.append("shape of a data frame")
        return "ran"

    def __getitem__(self, key: object) -> Any:
        ran.append("__getitem__ of a data frame")
        return "ran"


class Slotted:
    __slots__ = ("unset", "x")

    def __init__(self) -> None:
        self.x = 1


@dataclasses.dataclass
class Record:
    x: int
    y: str = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Tight:
    x: int


class Pair(NamedTuple):
    x: int
    y: int


class Color(enum.Enum):
    RED = "#f00"


class City(pydantic.BaseModel):
    name: str

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def danger(self) -> str:
        ran.append("computed field")
        return "ran"


class Bound(msgspec.Struct):
    x: int


class OddError(ValueError):
    def __init__(self) -> None:
        super().__init__("no", 3)
        self.code = 7


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


def function() -> None:
    ran.append("function")


def answer(text: str, **more: Any) -> Answer:
    return Answer(text, Receipt(request_model="m"), **more)


FACTORY = collections.defaultdict(lambda: ran.append("default_factory"), {"a": "kept"})
NAMES: dict[str, Any] = {
    "name": "value",
    "ünïcode": "ü",
    "brace": "{name} {other}",
    "df": pd.DataFrame({"price": [1, 2, 3], "a b": [4, 5, 6]}),
    "series": pd.Series([7, 8]),
    "table": Table({"price": [1]}),
    "arr": np.zeros((2, 3)),
    "rows": [{"id": 7, "a b": "spaced", "{": "odd"}, {"id": 8}],
    "place": Place(),
    "Place": Place,
    "watching": Watching(),
    "Made": Made,
    "made": Made(),
    "keyed": Keyed(a=1),
    "listed": Listed([1]),
    "factory": FACTORY,
    "chained": collections.ChainMap(FACTORY),
    "counter": collections.Counter("aab"),
    "queue": collections.deque([1, 2]),
    "slotted": Slotted(),
    "record": Record(1),
    "tight": Tight(2),
    "pair": Pair(3, 4),
    "color": Color.RED,
    "city": City(name="Paris"),
    "bound": Bound(5),
    "failure": OddError(),
    "space": types.SimpleNamespace(x=6),
    "day": dt.date(2026, 11, 24),
    "path": pathlib.PurePosixPath("a/b.txt"),
    "match": re.match("(?P<word>a+)", "aab"),
    "answer": answer("said", parsed=City(name="Rome")),
    "answers": Answers(["a", "b"], {"a": answer("one"), "b": answer("two")}),
    "number": 3.5,
    "none": None,
    "empty": "",
    "In": ["", "first cell", "second cell"],
    "Out": {2: "second result"},
    "_": "last output",
    "_2": "second output",
    "_mine": "mine",
    "__private": "hidden",
    "__builtins__": {"open": open},
    "generator": (i for i in range(3)),
    "unprintable": Unprintable(),
    "os": os,
    "function": function,
    "cached": functools.cache(function),
    "lambda_": lambda: ran.append("lambda"),
    "method": Place().method,
    "length": len,
    "holder": types.SimpleNamespace(module=os, function=function, kind=Place),
}


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("{name}", "value"),
        ("a{name}b{name}c", "avaluebvaluec"),
        ("{ünïcode}", "ü"),
        ("{number} {none} [{empty}]", "3.5 None []"),
        ("{df.shape} {df.columns[1]} {df.price[1]}", "(3, 2) a b 2"),
        ("{df['a b'][0]} {series[1]} {series.size}", "4 8 2"),
        ("{arr.shape} {arr[0][1]} {arr.dtype} {arr.T.shape}", "(2, 3) 0.0 float64 (3, 2)"),
        ("{place.name} {place.size} {place.shape[0]} {Place.size}", "Paris 3 3 3"),
        ("{record.x} {record.y} {tight.x} {slotted.x} {space.x}", "1 default 2 1 6"),
        ("{pair.x} {pair[1]} {city.name} {bound.x}", "3 4 Paris 5"),
        ("{color.name} {color.value}", "RED #f00"),
        ("{failure.code} {failure.args[1]} {failure}", "7 3 ('no', 3)"),
        ("{day.year} {path.name} {path.parent.name} {match['word']}", "2026 b.txt a aa"),
        ("{keyed['a']} {factory['a']} {counter['a']} {queue[0]} {name[0]}", "1 kept 2 1 v"),
        ("{answer.text} {answer.parsed.name} {answer.state} {answer}", "said Rome complete said"),
        ("{answers['b']} {answers['a'].text}", "two one"),
        ("{answers}", "## a\n\none\n\n## b\n\ntwo"),
        ("{rows[0]['id']} {rows[-1][\"id\"]}", "7 8"),
        ("{rows[0]['a b']}", "spaced"),
        (r"{rows[0]['\x61 b']} {rows[0]['a\u0020b']}", "spaced spaced"),
        ("{In[1]} {Out[2]}", "first cell second result"),
        ("{_} {_2} {_mine}", "last output second output mine"),
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
        r"{rows[0]['\x']} {rows[0]['\q']} {rows[0]['\ud800']}",
        "{rows[0]['\0']} {rows[0]['a\rb']}",
        "{rows[" + "9" * 5000 + "]}",
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
        "{place.method()}",
        "{place._private}",
        "{df.shape.__class__}",
        "{df.shape[0].__add__}",
        "{__private}",
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


@pytest.mark.parametrize(
    "prompt",
    [
        "{place.danger}",
        "{place.danger.x}",
        "{place.cached}",
        "{place.missing}",
        "{place['x']}",
        "{place[0]}",
        "{watching.danger}",
        "{watching.missing}",
        "{Place.danger}",
        "{Made.danger}",
        "{Made['x']}",
        "{made.own}",
        "{keyed['b']}",
        "{listed[0]}",
        "{factory['b']}",
        "{chained['b']}",
        "{table.shape}",
        "{table['price']}",
        "{city.danger}",
        "{slotted.unset}",
        # Code is no value.
        "{function}",
        "{cached}",
        "{lambda_}",
        "{method}",
        "{length}",
        "{Place}",
        "{place.method}",
        "{df.head}",
        "{arr.sum}",
        "{name.upper}",
        "{holder.module}",
        "{holder.module.path}",
        "{holder.function}",
        "{holder.kind}",
        "{os}",
        "{os.name}",
        "{os.name.upper}",
        "{os.path}",
        "{os.environ}",
        "{os.environ['PATH']}",
        "{os.sys.modules}",
        "{function.__globals__}",
        "{method.__func__}",
        "{method.im_func}",
        "{failure.with_traceback}",
        "{failure.__traceback__.tb_frame}",
    ],
)
def test_nothing_of_the_user_s_runs_and_code_is_no_value(prompt: str) -> None:
    before = len(FACTORY)
    ran.clear()
    assert interpolate(prompt, NAMES) == prompt
    # Not as a value either.
    assert interpolate("{attack}", {"attack": prompt, **NAMES}) == prompt
    assert ran == []
    assert len(FACTORY) == before


def test_an_object_that_watches_is_read_all_the_same() -> None:
    ran.clear()
    assert interpolate("{watching.name} {watching.size}", NAMES) == "Paris 3"
    assert ran == []


def test_an_answer_that_still_arrives_says_so() -> None:
    go_on = threading.Event()

    def work() -> Answer:
        go_on.wait(30)
        return answer("come")

    handle = Background("m", work, lambda: None, lambda: "so far")
    try:
        with pytest.raises(UsageError, match=r"The answer of m is still arriving\. Wait for it: \.wait\(\)"):
            interpolate("{later}", {"later": handle})
        assert interpolate("{later.text}", {"later": handle}) == "so far"
    finally:
        go_on.set()
    handle.wait(30)
    assert interpolate("{later} {later.text}", {"later": handle}) == "come come"


def test_a_run_over_rows_is_its_rows_and_their_answers() -> None:
    def resume(_mapped: Mapped, _max_cost: Any) -> None: ...

    mapped = Mapped([{"a b": "x", "answer": 1}, {"a b": "y, z", "answer": 2}], model="m", resume=resume)
    mapped.put(0, answer('said "so"'))
    assert interpolate("{mapped}", {"mapped": mapped}) == (
        'a b,answer,holysheep_answer\nx,1,"said ""so"""\n"y, z",2,\n'
    )
    mapped.put(1, answer("{}", parsed=Record(3)))
    assert interpolate("{mapped}", {"mapped": mapped}) == 'a b,answer,x,y\nx,1,,\n"y, z",2,3,default\n'
    assert interpolate("{mapped[0].text}", {"mapped": mapped}) == 'said "so"'


def test_text_that_cannot_be_made_stops_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"\{unprintable\} cannot be shown as text: ValueError"):
        interpolate("{name} {unprintable}", NAMES)


def test_a_huge_value_is_cut_and_says_so() -> None:
    text, cut = wording("x" * 1_000_000)
    assert len(text) < 20_100
    assert text.endswith("(980,000 more characters left out)")
    assert cut == "20,000 of 1,000,000 characters"
    assert wording("x" * 20_000) == ("x" * 20_000, "")
    assert interpolate("{x}", {"x": "x" * 1_000_000}, longest=None) == "x" * 1_000_000
    cuts: dict[str, str] = {}
    interpolate("{x} {y[0]} {y[0]} {z}", {"x": "x", "y": ["y" * 30_000], "z": 3}, cuts=cuts)
    assert cuts == {"y[0]": "20,000 of 30,000 characters"}


def test_a_long_table_is_cut_and_says_so() -> None:
    frame = pd.DataFrame({"v": range(1000)})
    text, cut = wording(frame)
    assert text.endswith("\n199,199\n… (800 more rows left out)\n")
    assert cut == "200 of 1,000 rows"
    assert wording(frame["v"]).cut == cut
    assert wording(frame, None) == (frame.to_csv(), "")
    assert wording(frame[:200]) == (frame[:200].to_csv(), "")
    wide = pd.DataFrame({"v": ["x" * 1000] * 300})
    text, cut = wording(wide)
    assert text.endswith("more characters left out)\n… (100 more rows left out)\n")
    assert re.fullmatch(r"200 of 300 rows, and of these 20,000 of 20\d,\d{3} characters", cut)
    reals = pd.Series(range(300), index=[number / 2 for number in range(300)])
    assert wording(reals).text.count("\n") == 202  # rows by their places, whatever the index


def test_an_array_has_no_gaps() -> None:
    numbers = np.arange(5000)
    whole = np.array2string(numbers, threshold=10**6)
    assert wording(numbers, None) == (whole, "")
    text, cut = wording(numbers)
    assert text.startswith(whole[:20_000])
    assert cut == f"20,000 of {len(whole):,} characters"
    assert wording(numbers[:3000]).text == np.array2string(numbers[:3000], threshold=10**6)
    assert "..." not in interpolate("{many}", {"many": [numbers[:2000], 1]})
    text, cut = wording(np.zeros((300, 300)))  # to write all of a huge one would take minutes
    assert "..." in text
    assert cut == "only the edges of its 90,000 elements"
    assert np.get_printoptions()["threshold"] == 1000


def test_a_long_prompt_takes_linear_time() -> None:
    # Half a field ten thousand times, on which a backtracking pattern would take minutes.
    prompt = "{a.b[0]['" * 10_000
    assert interpolate(prompt, NAMES) == prompt
