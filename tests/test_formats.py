"""Text, code, JSON and schemas in a cell: what is asked for, shown, kept and raised."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from shell import Ran, Server, Shell, said, settings

from hs_notebook import HolySheep
from hs_notebook.answers import Answer
from hs_notebook.display.page import answer_bundle
from hs_notebook.errors import SchemaError, UsageError

if TYPE_CHECKING:
    from hs_notebook.relay import EmbeddedRelay

MODEL = """
import pydantic
class City(pydantic.BaseModel):
    name: str
    people: int
"""
FITS, MISFITS = '{"name": "Ulm", "people": 3}', '{"name": "Ulm", "people": "many"}'
LIST = "--- a list ---\n* one\n* two\n```\n<b>"


def ask(shell: Shell, options: str, text: str) -> Ran:
    return shell.run(f"%%holysheep {options} -o reply\n[simulate text speed=inf]\n{text}")


def sent(relay: EmbeddedRelay) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(relay.stats.seen[-1].body)
    return body


def test_text_is_shown_as_it_is(shell: Shell, relay: EmbeddedRelay) -> None:
    ran = ask(shell, "-f text", LIST)
    assert ran.out.startswith(LIST + "\n")
    assert [turn["role"] for turn in sent(relay)["messages"]] == ["user"]
    reply = shell.names["reply"]
    assert reply.text == LIST
    bundle = answer_bundle(reply)
    assert bundle["text/plain"] == LIST
    assert 'class="hs-as-is"' in bundle["text/html"]
    assert "* one\n* two\n```\n&lt;b&gt;" in bundle["text/html"]


def test_code_is_asked_for_alone_and_offered_and_not_run(shell: Shell, relay: EmbeddedRelay) -> None:
    ran = ask(
        shell, "-f code -s Briefly.", "So:\n```python\nran = 1\n```\nand\n```python\nran = 2\n```\nDone."
    )
    assert ran.error is None
    system = sent(relay)["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("Briefly.\n\nAnswer with code alone")
    assert "ran" not in shell.names
    assert shell.ip.rl_next_input == "ran = 1\n\nran = 2"
    reply = shell.names["reply"]
    assert reply.text.startswith("So:\n")
    assert reply.code == "ran = 1\n\nran = 2\n"
    assert answer_bundle(reply)["text/plain"] == "```python\nran = 1\n\nran = 2\n```\n"


@pytest.mark.parametrize(
    ("text", "offered"), [("x = 1", "x = 1"), ("```r\nx <- 1\n```", "x <- 1"), ("```\nx = 1", "x = 1")]
)
def test_code_with_and_without_a_fence(text: str, offered: str, shell: Shell) -> None:
    ask(shell, "-f code", text)
    assert shell.ip.rl_next_input == offered


def test_what_the_code_prints_is_no_code(shell: Shell) -> None:
    text = "```text\nfirst\n```\n```python\nprint(1)\n```\nIt prints:\n```\n1\n```"
    ran = ask(shell, "-f code", text)
    assert shell.ip.rl_next_input == "print(1)"
    assert shell.names["reply"].code == "print(1)\n"
    assert ran.error is None


@pytest.mark.parametrize("options", ["-f code --max-tokens 3", "--dry-run -f code"])
def test_half_of_the_code_is_not_offered(options: str, shell: Shell) -> None:
    ask(shell, options, "```python\nx = [1, 2, 3, 4, 5, 6]\n```")
    assert not hasattr(shell.ip, "rl_next_input")


def test_code_in_the_background_is_only_shown(shell: Shell) -> None:
    ask(shell, "-f code --bg", "```python\nx = 1\n```")
    assert shell.names["reply"].wait().code == "x = 1\n"
    assert not hasattr(shell.ip, "rl_next_input")


@pytest.mark.parametrize("text", ['{"b": [1.10, "é"], "a": null}', '```json\n{"b":[1.10,"é"],"a":null}\n```'])
def test_json_is_parsed_and_shown_on_many_lines(text: str, shell: Shell, relay: EmbeddedRelay) -> None:
    assert ask(shell, "-f json", text).error is None
    assert sent(relay)["response_format"] == {"type": "json_object"}
    assert "JSON" in sent(relay)["messages"][0]["content"]
    reply = shell.names["reply"]
    assert reply.parsed == {"b": [1.1, "é"], "a": None}
    assert reply.text == text
    shown = '{\n  "b": [\n    1.10,\n    "é"\n  ],\n  "a": null\n}'
    assert reply.shown == f"```json\n{shown}\n```\n"
    assert pickle.loads(pickle.dumps(reply)).parsed == reply.parsed


def test_json_beside_words_is_read(shell: Shell) -> None:
    """It was paid for, and plain to see."""
    shell.run(MODEL)
    text = f"Here it is:\n\n```json\n{FITS}\n```\n\nHope this helps!"
    assert ask(shell, "--schema City", text).error is None
    assert shell.names["reply"].parsed.people == 3
    assert shell.names["reply"].json() == {"name": "Ulm", "people": 3}
    assert ask(shell, "-f json", text).error is None
    twice = ask(shell, "-f json", f"{text}\n\nOr:\n\n```json\n{{}}\n```")
    assert isinstance(twice.error, SchemaError)


def test_a_setting_says_the_format_and_the_line_says_otherwise(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.format = 'json'")
    ask(shell, "", "{}")
    assert shell.names["reply"].parsed == {}
    ask(shell, "-f markdown", "*So.*")
    assert "response_format" not in sent(relay)
    assert shell.names["reply"].parsed is None


@pytest.mark.parametrize(
    ("options", "text", "says"),
    [
        ("-f json", "No *idea*.", "The answer is no JSON: "),
        ("--schema City", "No idea.", "The answer is no JSON: "),
        ("--schema City", MISFITS, "The answer does not fit City: people: "),
        ("--schema City --max-tokens 5", FITS, "The answer is no JSON: "),
    ],
)
def test_a_misfit_is_an_error_that_keeps_the_text(options: str, text: str, says: str, shell: Shell) -> None:
    shell.run(MODEL)
    ran = ask(shell, options, text)
    assert isinstance(ran.error, SchemaError)
    assert str(ran.error).startswith(says)
    assert ran.out.splitlines()[-1] == f"SchemaError: {ran.error}"
    reply = shell.names["reply"]
    assert isinstance(reply, Answer)
    assert text.startswith(reply.text)
    assert ran.out.startswith(reply.text)
    assert ran.error.answer is reply
    assert shell.magics.session.answers[-1] is reply
    assert reply.parsed is None


def test_an_answer_fits_its_schema(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(MODEL)
    assert ask(shell, "--schema City", FITS).error is None
    asked = sent(relay)["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"]) == ("City", True)
    city = shell.names["reply"].parsed
    assert type(city) is shell.names["City"]
    assert (city.name, city.people) == ("Ulm", 3)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--schema Town", "There is no Town in the notebook."),
        ("--schema number", "3 is no schema."),
        ("--schema City -f text", "--schema asks for JSON, and not for text."),
        ("--repair", "Only JSON can be repaired."),
        ("--repair -f code", "Only JSON can be repaired."),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(
    line: str, says: str, shell: Shell, relay: EmbeddedRelay
) -> None:
    shell.run(MODEL + "number = 3")
    ran = ask(shell, line, FITS)
    assert isinstance(ran.error, UsageError)
    assert str(ran.error).startswith(says)
    assert relay.stats.requests == 0


@pytest.mark.parametrize(("second", "fits"), [(FITS, True), ("Sorry.", False)])
def test_one_repair(second: str, fits: bool, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([said(MISFITS), said(second)]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        shell.run(MODEL)
        ran = shell.run("%%holysheep --schema City --repair -o reply\nWhere?")
    reply = shell.names["reply"]
    assert isinstance(ran.error, SchemaError) is not fits
    assert reply.text == second
    assert len(server.asked) == 2
    *_, misfit, repair = server.asked[1].json["messages"]
    assert misfit == {"role": "assistant", "content": MISFITS}
    assert repair["role"] == "user"
    assert repair["content"].startswith("The answer does not fit City: people: ")
    assert '"additionalProperties": false' in repair["content"], "the schema, for who has not heard of it"
    assert server.asked[1].json["response_format"] == server.asked[0].json["response_format"]
    assert "2 rounds" in reply.receipt.note
    assert ("no JSON" in reply.receipt.note) is not fits
    if fits:
        assert (reply.parsed.name, reply.parsed.people) == ("Ulm", 3)
    assert "Asked once more" in reply.shown
    assert "many" in reply.shown


def test_each_of_several_conversations_keeps_its_own_system_message(
    shell: Shell, relay: EmbeddedRelay
) -> None:
    ask(shell, "--chat -s Briefly. -f json", "{}")
    ask(shell, "--chat -f markdown", "So.")
    assert sent(relay)["messages"][0] == {"role": "system", "content": "Briefly."}


def test_an_answer_in_the_background_says_its_misfit_where_it_is_announced(shell: Shell) -> None:
    ran = ask(shell, "-f json --bg", "No idea.")
    assert ran.out.startswith("An answer is there: gpt-4.1 · ")
    announced, raised = ran.out.splitlines()
    assert announced.endswith("The answer is no JSON: Expecting value: line 1 column 1 (char 0)")
    assert raised.startswith("SchemaError: ")  # nobody sits before this shell, so the cell has waited
    with pytest.raises(SchemaError):
        shell.names["reply"].wait()


def test_each_of_several_models_is_read(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(MODEL)
    assert ask(shell, "gpt-4.1,deepseek-v3.2 --schema City", FITS).error is None
    answers = shell.names["reply"]
    assert [answers[model].parsed.people for model in ("gpt-4.1", "deepseek-v3.2")] == [3, 3]
    assert isinstance(ask(shell, "gpt-4.1,deepseek-v3.2 --schema City", MISFITS).error, SchemaError)
    assert {answer.parsed for answer in shell.names["reply"].values()} == {None}
    assert relay.stats.requests == 4


def test_the_client_reads_an_answer_too(relay: EmbeddedRelay) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with HolySheep("cr_test", base_url=relay.base_url) as client:
        answer = client.ask('[simulate text speed=inf]\n{"n": 1}', model="gpt-4.1", schema=schema)
        assert answer.parsed == {"n": 1}
        with pytest.raises(SchemaError, match=r"\$\.n") as error:
            client.ask('[simulate text speed=inf]\n{"n": "x"}', model="gpt-4.1", schema=schema)
        assert error.value.answer.text == '{"n": "x"}'
        assert relay.stats.requests == 2
        with pytest.raises(UsageError):
            client.ask("x", model="gpt-4.1", schema=3)
        assert relay.stats.requests == 2
