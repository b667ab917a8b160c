"""Functions of the notebook as tools: what the model is told, what runs only after a yes, and rounds."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jsonschema
import msgspec
import pandas as pd
import pytest
from shell import KEY, Reply, Server, Shell, said, settings, sse

from hs_notebook.display.notes import unmarked
from hs_notebook.errors import BadRequestError, ToolError, UsageError
from hs_notebook.tools import Tool, shown_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hs_notebook.relay import EmbeddedRelay


@dataclass
class Point:
    x: int
    y: int = 0


def plain(a, b=2):  # an untyped one, as notebooks have them
    """Add."""
    return a + b


def typed(
    n: int,
    names: list[str],
    kind: Literal["a", "b"] = "a",
    point: Point | None = None,
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5,
) -> str:
    return f"{n} {names} {kind} {point} {share}"


def places(a: int, /, b: int = 1, *, c: int = 2, **more: Any) -> tuple[int, int, int]:
    assert not more
    return a, b, c


class Counter:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def add(self, n: int) -> int:
        """Count.

        As far as it goes.
        """
        self.calls.append(n)
        return sum(self.calls)


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


def raises(error: BaseException) -> Callable[[], Any]:
    def function() -> None:
        raise error

    return function


class Odd:
    def __str__(self) -> str:
        raise SystemExit(1)


# --- one tool ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "required", "optional"),
    [
        (plain, ["a"], ["b"]),
        (typed, ["n", "names"], ["kind", "point", "share"]),
        (places, ["a"], ["b", "c"]),
        (Counter().add, ["n"], []),
        (lambda: 1, [], []),
        (functools.partial(plain, 1), [], ["b"]),
    ],
)
def test_what_the_model_is_told(
    function: Callable[..., Any], required: list[str], optional: list[str]
) -> None:
    spec = Tool.of(function, "it").spec()
    assert spec["type"] == "function"
    assert spec["function"]["name"] == "it"
    parameters = spec["function"]["parameters"]
    assert parameters["type"] == "object"
    assert parameters.get("required", []) == required
    assert list(parameters["properties"]) == required + optional
    jsonschema.Draft202012Validator.check_schema(parameters)
    json.dumps(spec)


def test_the_docstring_and_the_types_reach_the_model() -> None:
    assert Tool.of(Counter().add).spec()["function"]["description"] == "Count.\n\nAs far as it goes."
    assert "description" not in Tool.of(typed).spec()["function"]
    properties = Tool.of(typed).parameters["properties"]
    assert properties["n"] == {"type": "integer"}
    assert properties["kind"] == {"enum": ["a", "b"]}
    assert properties["share"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert Tool.of(plain).parameters["properties"] == {"a": {}, "b": {}}


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (plain, '{"a": 1}', "3"),
        (plain, '{"a": "x", "b": "y"}', "xy"),
        (plain, '{"a": [1], "b": ["é"]}', '[1,"é"]'),
        (typed, '{"n": 1, "names": ["x"], "point": {"x": 3}}', "1 ['x'] a Point(x=3, y=0) 0.5"),
        (places, '{"c": 5, "a": 3}', "[3,1,5]"),
        (lambda: None, "{}", "null"),
        (lambda: None, "", "null"),
        (lambda: Point(1), "{}", '{"x":1,"y":0}'),
        (lambda: 1j, "{}", "1j"),
        (lambda: float("nan"), "{}", "null"),
        (lambda: "caf\udce9.txt 😀", "{}", "caf?.txt 😀"),  # as os.listdir gives a name that is no UTF-8
        (lambda: ["caf\udce9.txt"], "{}", r"['caf\udce9.txt']"),
        (raises(ValueError("caf\udce9.txt")), "{}", "ValueError: caf?.txt"),
        (plain, '{"a": 1, "b": "x"}', "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        (raises(SystemExit(3)), "{}", "SystemExit: 3"),
        (raises(GeneratorExit()), "{}", "GeneratorExit: "),
        (raises(asyncio.CancelledError()), "{}", "CancelledError: "),
        (raises(MuteError()), "{}", "MuteError"),
        (lambda: [Odd()][0], "{}", "SystemExit: 1"),
        (plain, "{}", "ValidationError: Object missing required field `a`"),
        (plain, '{"a": 1, "z": 2}', "ValidationError: Object contains unknown field `z`"),
        (plain, '{"a": ', "DecodeError: Input data was truncated"),
        (typed, '{"n": "1", "names": []}', "ValidationError: Expected `int`, got `str` - at `$.n`"),
        (
            typed,
            '{"n": 1, "names": [], "share": 2}',
            "ValidationError: Expected `float` <= 1.0 - at `$.share`",
        ),
    ],
)
def test_a_call_has_a_result_whatever_happens(
    function: Callable[..., Any], arguments: str, result: str
) -> None:
    told = Tool.of(function, "it").call(arguments).text
    assert told == result
    assert told.encode()


def test_an_interrupt_of_a_call_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt):
        Tool.of(raises(KeyboardInterrupt()), "it").call("{}")


def test_a_long_result_is_bounded() -> None:
    result = Tool.of(lambda: "x" * 30_000, "long").call("{}")
    assert result.text == "x" * 20_000 + "\n… (10,000 more characters left out)"
    assert result.cut == "20,000 of 30,000 characters"


def test_a_table_is_what_it_is_in_a_prompt() -> None:
    frame = pd.DataFrame({"v": range(100)})
    assert Tool.of(lambda: frame, "load").call("{}") == (frame.to_csv(), "")
    assert Tool.of(lambda: frame["v"], "load").call("{}") == (frame["v"].to_csv(), "")


def test_a_partial_function_is_told_as_the_whole_one() -> None:
    def add(x: int, y: int = 1) -> int:
        """Add two numbers."""
        return x + y

    tool = Tool.of(functools.partial(functools.partial(add), 2), "more")
    assert tool.description == "Add two numbers."
    assert tool.parameters["properties"] == {"y": {"type": "integer"}}
    assert tool.call('{"y": 3}').text == "5"


async def later() -> None: ...


async def bit_by_bit():
    yield 1


class Later:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "name", "says"),
    [
        (lambda *rest: rest, "f", "f takes *rest."),
        (later, "", "later is async."),
        (functools.partial(later), "f", "f is async."),
        (bit_by_bit, "", "bit_by_bit is async."),
        (Later(), "f", "f is async."),
        (functools.partial(Later()), "f", "f is async."),
        (3, "three", "three is no function."),
        (Point, "", "Point is no function."),
        (plain, "größe", "größe is no name for a tool."),
        (len, "f", None),
        (max, "f", "f cannot be a tool: "),
    ],
)
def test_what_is_no_tool(function: Any, name: str, says: str | None) -> None:
    if says is None:
        assert Tool.of(function, name).name == name
        return
    with pytest.raises(UsageError) as raised:
        Tool.of(function, name)
    assert str(raised.value).startswith(says)


def test_a_parameter_that_json_cannot_hold() -> None:
    def odd(value: complex) -> None: ...

    with pytest.raises(UsageError, match=r"odd cannot be a tool: .*complex"):
        Tool.of(odd)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("{}", "f()"),
        ("", "f()"),
        ('{"x": 1, "y": "a\\nb"}', "f(x=1, y='a\\nb')"),
        ('{"x": ', 'f({"x": )'),
        ("[1]", "f([1])"),
        (json.dumps({"x": "long" * 30, "y": 1}), f"f(\n    x='{'long' * 30}',\n    y=1,\n)"),
    ],
)
def test_a_call_is_shown_with_all_its_arguments(arguments: str, shown: str) -> None:
    assert shown_call("f", arguments) == shown


# --- in a cell -----------------------------------------------------------------------------------

DEFINED = """
ran = []
def add(x: int, y: int = 1) -> int:
    "Add two numbers."
    ran.append(x)
    return x + y
def fails(x):
    raise ValueError("no " + str(x))
"""
ASK = '%%holysheep {} -o reply\n[simulate text speed=inf tool={} arguments={{"x":2}}]\nIt is 3.'


def asks(name: str, arguments: str = '{"x": 2}', number: int = 0) -> Reply:
    """A reply that asks for a function."""
    call = {"index": 0, "id": f"c{number}", "function": {"name": name, "arguments": arguments}}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
    return sse({"model": "m", "choices": [choice]})


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], object]]:
    """A terminal before the shell; what it is given has been typed."""
    master, slave = os.openpty()
    with os.fdopen(slave, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield lambda text: os.write(master, text.encode())
    os.close(master)


def test_allowed_tools_run_and_their_results_go_back(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    ran = shell.run(ASK.format("--tools add,fails --allow-tools", "add,fails,unknown"))
    assert ran.error is None
    assert shell.names["ran"] == [2]
    first, second = (json.loads(seen.body) for seen in relay.stats.seen)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["add", "fails"]
    assert second["tools"] == first["tools"]
    *before, turn, one, two = second["messages"]
    assert before == first["messages"]
    assert (turn["role"], turn["content"]) == ("assistant", None)
    assert [call["function"]["name"] for call in turn["tool_calls"]] == ["add", "fails"]
    ids = [call["id"] for call in turn["tool_calls"]]
    assert (one, two) == (
        {"role": "tool", "tool_call_id": ids[0], "content": "3"},
        {"role": "tool", "tool_call_id": ids[1], "content": "ValueError: no 2"},
    )
    reply = shell.names["reply"]
    assert reply.text == "It is 3."
    assert "2 rounds" in reply.receipt.note
    assert unmarked(reply.shown) == (
        "```call\nadd(x=2)\n```\n\n```result\n3\n```\n\n"
        "```call\nfails(x=2)\n```\n\n```result\nValueError: no 2\n```\n\nIt is 3."
    )
    assert ran.out.startswith("```call\nadd(x=2)\n")
    assert ran.out.index("add(x=2)") < ran.out.index("It is 3.")


@pytest.mark.parametrize(("typed", "runs"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False)])
def test_a_terminal_asks(
    typed: str, runs: bool, shell: Shell, relay: EmbeddedRelay, keyboard: Callable[[str], object]
) -> None:
    shell.run(DEFINED)
    keyboard(typed)
    ran = shell.run(ASK.format("--tools add", "add"))
    assert "Run add(x=2)? [y/N] " in ran.out
    assert shell.names["ran"] == [2] * runs
    result = json.loads(relay.stats.seen[-1].body)["messages"][-1]
    assert result["content"] == ("3" if runs else "Not run: the user refused.")
    assert ("*Not run: you did not allow it.*" in ran.out) is not runs
    assert shell.names["reply"].text == "It is 3."


def test_a_function_runs_in_the_thread_of_its_cell(shell: Shell) -> None:
    shell.run("import threading\ndef add(x):\n    global thread\n    thread = threading.current_thread()")
    shell.run(ASK.format("--tools add --allow-tools", "add"))
    assert shell.names["thread"] is threading.current_thread()


def test_an_answer_from_the_file_asks_for_its_tools_again(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    for _ in range(2):
        assert shell.run(ASK.format("--cache --tools add --allow-tools", "add")).error is None
    assert shell.names["ran"] == [2, 2]
    assert relay.stats.requests == 2
    assert shell.names["reply"].text == "It is 3."


def test_where_nobody_is_nothing_runs(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    ran = shell.run(ASK.format("--tools add", "add"))
    assert ran.error is None
    assert shell.names["ran"] == []
    assert "Not run: nobody is here to allow it. --allow-tools runs functions without asking." in ran.out
    assert json.loads(relay.stats.seen[-1].body)["messages"][-1]["content"] == "Not run: nobody allowed it."


def test_what_was_said_before_a_call_is_a_part_of_the_answer(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run(DEFINED)
    call = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"x": 2}'}}
    first = sse(
        {"model": "m", "choices": [{"index": 0, "delta": {"content": "Let me see."}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]},
    )
    with Server([first, said("It is 3."), Reply(status=500)]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        shell.run("%%holysheep --tools add --allow-tools --chat -o reply\nHow much?")
        failed = shell.run("%%holysheep --chat\nAnd?")
    assert shell.names["reply"] == "Let me see.\n\nIt is 3."
    assert failed.error is not None
    (turn,) = shell.magics.conversations.find("").turns
    assert turn.answer is shell.names["reply"]


@pytest.mark.parametrize(("model", "hears"), [("deepseek-v3.2", True), ("claude-sonnet-4.5", False)])
def test_a_model_hears_its_own_thoughts_where_it_needs_them(
    model: str, hears: bool, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeek's refuse a round without them, and others a name that they do not know."""
    shell.run("def now():\n    return 3")
    call = {"index": 0, "id": "c", "function": {"name": "now", "arguments": ""}}
    first = sse(
        {"model": "m", "choices": [{"index": 0, "delta": {"reasoning_content": "Let me "}}]},
        {"model": "m", "choices": [{"index": 0, "delta": {"reasoning_content": "think."}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]},
    )
    with Server([first, said("It is 3.")]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        shell.run(f"%%holysheep {model} --tools now --allow-tools -o reply\nWhat is the time?")
    turn = json.loads(server.asked[-1].body)["messages"][-2]
    assert turn.get("reasoning_content") == ("Let me think." if hears else None)
    assert turn["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}


def test_an_error_after_a_call_marks_the_turn(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run(DEFINED)
    with Server([asks("add"), Reply(status=400)]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        ran = shell.run("%%holysheep --tools add --allow-tools --chat -o reply\nHow much?")
    assert isinstance(ran.error, BadRequestError)
    assert shell.names["reply"].state == "error"
    assert "error: m (asked for gpt-4.1) · " in ran.out
    assert "(error): " in shell.run("%holysheep history").out
    assert "add(x=2)" in shell.names["reply"].shown
    assert shell.magics.session.last is shell.names["reply"]


def test_rounds_are_bounded_and_what_came_is_kept(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run(DEFINED + "%config HolySheepMagics.tool_rounds = 2")
    with Server([asks("add")]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        ran = shell.run("%%holysheep --tools add --allow-tools -o reply\nAgain and again.")
    assert isinstance(ran.error, ToolError)
    assert str(ran.error).startswith("The model asked for functions again after 2 rounds.")
    assert shell.names["ran"] == [2, 2]
    assert len(server.asked) == 3
    assert shell.names["reply"].tool_calls[0].function.name == "add"
    assert shell.names["reply"].shown.count("add(x=2)") == 2


def test_an_unknown_function_and_bad_arguments_are_told_to_the_model(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run(DEFINED)
    with Server([asks("rm"), asks("add", '{"x": "much"}'), asks("add", "", 2)]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        shell.run("%config HolySheepMagics.tool_rounds = 2")
        shell.run("%%holysheep --tools add --allow-tools\nGo.")
    told = [asked.json["messages"][-1]["content"] for asked in server.asked[1:]]
    assert told == ["There is no function rm.", "ValidationError: Expected `int`, got `str` - at `$.x`"]
    assert shell.names["ran"] == []


def test_a_result_that_is_cut_says_so_to_the_user_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("import pandas as pd\ndef load():\n    return pd.DataFrame({'v': range(1000)})")
    with Server([asks("load", ""), said("done")]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        ran = shell.run("%%holysheep --tools load --allow-tools\nGo.")
    assert server.asked[-1].json["messages"][-1]["content"].endswith("199,199\n… (800 more rows left out)\n")
    assert "*Cut: the model gets 200 of 1,000 rows. Let the function return what matters.*" in ran.out


def test_the_key_in_a_result_goes_nowhere(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("import os\ndef add(x):\n    return dict(os.environ)")
    ran = shell.run(ASK.format("--tools add --allow-tools", "add"))
    assert KEY.encode() not in relay.stats.seen[-1].body
    assert b"[key]" in relay.stats.seen[-1].body
    assert KEY not in ran.out + shell.names["reply"].shown


def test_a_function_that_would_end_the_process_does_not_lose_the_answer(
    shell: Shell, relay: EmbeddedRelay
) -> None:
    shell.run("import sys\ndef add(x):\n    sys.exit('gone')")
    ran = shell.run(ASK.format("--tools add --allow-tools", "add"))
    assert ran.error is None
    assert json.loads(relay.stats.seen[-1].body)["messages"][-1]["content"] == "SystemExit: gone"
    assert shell.names["reply"].text == "It is 3."


@pytest.mark.parametrize("stream", ["", "--no-stream"])
def test_a_relay_that_gives_the_key_back_where_it_names_something(
    stream: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run("def add(x):\n    global given\n    given = x")
    call = {"index": 0, "id": KEY, "type": KEY, "function": {"name": KEY, "arguments": f'{{"x": "{KEY}"}}'}}
    right = {
        "index": 1,
        "id": "c",
        "type": KEY,
        "function": {"name": "add", "arguments": f'{{"x": "{KEY}"}}'},
    }
    said = {"content": "hi", "tool_calls": [call, right]}

    def reply(told: dict[str, Any], reason: str) -> Reply:
        other = {"content": f"or {KEY}"}
        part = "message" if stream else "delta"
        choices = [
            {"index": 0, part: told, "finish_reason": reason},
            {"index": 1, part: other, "finish_reason": KEY},
        ]
        whole = {"id": KEY, "model": KEY, "choices": choices}
        return Reply(body=json.dumps(whole)) if stream else sse(whole)

    with Server([reply(said, "tool_calls"), reply({"content": "hi"}, KEY)]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        ran = shell.run(f"%%holysheep --tools add --allow-tools -p n=2 {stream} -o reply\nGo.")
    answer = shell.names["reply"]
    receipt = answer.receipt
    assert receipt.model == receipt.finish_reason == receipt.response_id == shell.names["given"] == "[key]"
    assert answer.alternatives == ("hi", "or [key]")
    kept = [receipt, answer.tool_calls, answer.messages, answer.shown]
    assert KEY not in f"{ran.out} {ran.err} {kept} {server.asked[-1].body!r}"


def test_an_interrupt_in_a_function_ends_the_answer(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("def add(x):\n    raise KeyboardInterrupt")
    ran = shell.run(ASK.format("--tools add --allow-tools", "add"))
    assert isinstance(ran.error, KeyboardInterrupt)
    assert relay.stats.requests == 1
    assert shell.names["reply"].state == "stopped"
    assert "add(x=2)" in shell.names["reply"].shown


def test_a_limit_holds_for_all_rounds(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(
        DEFINED + "%config HolySheepMagics.prices = [{'model': 'gpt-4.1', 'input': 100, 'output': 100}]"
    )
    shell.run("def add(x):\n    return 'long ' * 4000")
    ran = shell.run(ASK.format("--tools add --allow-tools --max-cost 0.1 --max-tokens 50", "add"))
    assert type(ran.error).__name__ == "BudgetError"
    assert relay.stats.requests == 1
    assert "add(x=2)" in shell.names["reply"].shown


def test_in_a_conversation_question_and_answer_are_kept(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    shell.run(ASK.format("--chat --tools add --allow-tools", "add"))
    shell.run("%%holysheep --chat\n[simulate tokens=3 speed=inf]")
    sent = json.loads(relay.stats.seen[-1].body)
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][1]["content"] == "It is 3."
    assert "tools" not in sent


def test_tools_and_json(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    shell.run(ASK.format("--tools add --allow-tools -f json", "add").replace("It is 3.", '{"sum": 3}'))
    assert shell.names["reply"].parsed == {"sum": 3}
    assert relay.stats.requests == 2


@pytest.mark.parametrize("stream", ["", "--no-stream"])
def test_a_call_alone_is_no_empty_answer(stream: str, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    assert shell.run(ASK.format(f"--tools add --allow-tools {stream}", "add")).error is None
    assert shell.names["ran"] == [2]
    assert relay.stats.requests == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--tools nothing", "There is no function nothing."),
        ("--tools ,", "--tools names no function."),
        ("--tools add,ran", "ran is no function."),
        ("--tools add --bg", "There are no tools for an answer in the background."),
        ("gpt-4.1,deepseek-v3.2 --tools add", "There are no tools for several models at a time."),
        ("--allow-tools", "--allow-tools allows nothing."),
    ],
)
def test_what_cannot_be_meant(line: str, says: str, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(DEFINED)
    ran = shell.run(f"%%holysheep {line}\nx")
    assert isinstance(ran.error, UsageError)
    assert str(ran.error).startswith(says)
    assert relay.stats.requests == 0
