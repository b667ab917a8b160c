"""The line of ``%%holysheep``: what each option makes the relay receive, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from shell import KEY, Server, Shell, said, settings

from hs_notebook.errors import UsageError
from hs_notebook.magics.options import parse, parse_ask, split
from hs_notebook.magics.parser import HelpRequested

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Server]:
    with Server([said("Fine.")]) as running:
        yield running


@pytest.fixture
def shell(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    for name, value in settings(server.base_url).items():
        monkeypatch.setenv(name, value)
    running = Shell()
    yield running
    running.close()


PROMPT = [{"role": "user", "content": "Hello"}]
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
BARE = {"model": "gpt-4.1", "messages": PROMPT} | STREAM


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("gpt-4.1", BARE),
        ("", BARE),
        ("-m claude-sonnet-4.5", BARE | {"model": "claude-sonnet-4.5"}),
        ("--model=gpt-5.4", BARE | {"model": "gpt-5.4"}),
        ("gpt-5.4 -m gpt-5.4", BARE | {"model": "gpt-5.4"}),
        ("-s 'Be brief.'", BARE | {"messages": [{"role": "system", "content": "Be brief."}, *PROMPT]}),
        ("--system=Kurz", BARE | {"messages": [{"role": "system", "content": "Kurz"}, *PROMPT]}),
        ("gpt-4.1 -t 0.2", BARE | {"temperature": 0.2}),
        ("-t 0", BARE | {"temperature": 0.0}),
        ("--temperature 2", BARE | {"temperature": 2.0}),
        ("--max-tokens 5", BARE | {"max_tokens": 5}),
        ("-p top_p=0.5 -p seed=7", BARE | {"top_p": 0.5, "seed": 7}),
        ('-p stop=\'["a", "b"]\'', BARE | {"stop": ["a", "b"]}),
        ("--param user=me", BARE | {"user": "me"}),
        ("-p 'stop=[\"END\"]'", BARE | {"stop": ["END"]}),
        ("-p user=a=b", BARE | {"user": "a=b"}),
        ("-p top_p=0.5 -p top_p=0.6", BARE | {"top_p": 0.6}),
        ("-p stop=null", BARE),
        ("--no-stream", {"model": "gpt-4.1", "messages": PROMPT, "stream": False}),
        ("--raw -o answer", BARE),
    ],
)
def test_the_relay_receives_what_was_given_and_nothing_else(
    line: str, body: dict[str, Any], shell: Shell, server: Server
) -> None:
    ran = shell.run(f"%%holysheep {line}\nHello")
    assert ran.error is None
    assert [asked.json for asked in server.asked] == [body]


@pytest.mark.parametrize("text", ["{x}", "$x", "${x}", "{{x}}", "$$", "!ls", "%time", "{x} $x {1+1}"])
def test_ipython_expands_nothing_of_the_line(text: str, shell: Shell, server: Server) -> None:
    shell.names["x"] = "EXPANDED"
    shell.run(f"%%holysheep gpt-4.1 -s '{text}'\nHello")
    assert server.asked[0].json["messages"][0]["content"] == text


def test_the_cell_is_filled_in_from_the_notebook(shell: Shell, server: Server) -> None:
    shell.run("rows = [1, 2, 3]\nx = 'EX'")
    shell.run('%%holysheep\n{x} {rows} {In[2]} {missing} {get_ipython} {exit} {open} {In} {"x": 1}\n')
    content = server.asked[0].json["messages"][0]["content"]
    assert content == (
        "EX [1, 2, 3] rows = [1, 2, 3]\nx = 'EX' {missing} {get_ipython} {exit} {open} {In} {\"x\": 1}"
    )


def test_a_result_is_filled_in(shell: Shell, server: Server) -> None:
    shell.run("6 * 7")
    number = shell.ip.execution_count - 1
    shell.run(f"%%holysheep\nWhy {{Out[{number}]}}?")
    assert server.asked[0].json["messages"][0]["content"] == "Why 42?"


def test_raw_sends_the_cell_as_it_is(shell: Shell, server: Server) -> None:
    shell.run("x = 1")
    shell.run("%%holysheep --raw\n{x}")
    assert server.asked[0].json["messages"][0]["content"] == "{x}"


def test_spaces_within_the_cell_are_kept(shell: Shell, server: Server) -> None:
    shell.run("%%holysheep\n\n    indented\n\n\tlast  \n\n")
    assert server.asked[0].json["messages"][0]["content"] == "    indented\n\n\tlast  "


def test_out_takes_the_answer(shell: Shell) -> None:
    shell.run("%%holysheep -o reply\nHello")
    assert shell.names["reply"] == "Fine."
    assert shell.names["reply"].state == "complete"
    assert shell.names["reply"].messages == (*PROMPT, {"role": "assistant", "content": "Fine."})


def test_another_relay_needs_a_key_of_its_own(shell: Shell, server: Server) -> None:
    with Server([said("Other.")]) as other:
        ran = shell.run(f"%%holysheep --base-url {other.base_url}\nHello")
        assert "MissingKeyError" in ran.out
        assert other.asked == []
    assert server.asked == []


def test_the_same_relay_under_another_path_gets_the_key(shell: Shell, server: Server) -> None:
    root = server.base_url.removesuffix("/v1")
    shell.run(f"%%holysheep --base-url {root}/proxy/v1\nHello")
    assert [asked.path for asked in server.asked] == ["/proxy/v1/chat/completions"]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_x_api_key_is_a_setting(shell: Shell, server: Server) -> None:
    shell.run("%config HolySheepMagics.auth = 'x-api-key'")
    shell.run("%%holysheep\nHello")
    assert server.asked[0].headers["x-api-key"] == KEY
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize("line", ["--help", "-h", "gpt-4.1 --help", "--help --nonsense"])
def test_help_is_shown_also_without_a_cell(line: str, shell: Shell, server: Server) -> None:
    ran = shell.run(f"%%holysheep {line}")
    assert ran.error is None
    assert ran.out.startswith("usage: %%holysheep [MODEL[,MODEL…]] [options]")
    given = ("-s", "-t", "--max-tokens", "-p", "-o", "-m", "--raw", "--no-stream", "--base-url", "--help")
    assert all(f"{option} " in ran.out or f"{option}," in ran.out for option in given)
    assert "%%%" not in ran.out
    assert "%%config" not in ran.out
    assert server.asked == []


def test_no_option_takes_a_key() -> None:
    with pytest.raises(HelpRequested) as shown:
        parse("--help")
    assert " KEY" not in shown.value.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gpt-4.1 --temprature 1", "There is no option --temprature. Did you mean --temperature?"),
        ("--max-token 5", "There is no option --max-token. Did you mean --max-tokens?"),
        ("--sytem x", "There is no option --sytem. Did you mean --system?"),
        ("-z", "There is no option -z. "),
        ("--temp 1", "There is no option --temp. Did you mean --temperature?"),
        ("--api-key cr_abcdefgh12345678", "no option takes a key. Set HOLYSHEEP_API_KEY"),
        ("--key=cr_abcdefgh12345678", "no option takes a key. Set HOLYSHEEP_API_KEY"),
        ("--token cr_abcdefgh12345678", "no option takes a key. Set HOLYSHEEP_API_KEY"),
        ("gpt-4.1 what is this", "more than a model. The prompt goes into the cell"),
        ("gpt-4.1 cr_abcdefgh12345678", "more than a model."),
        ("gpt-4.1 -m gpt-5.4", "Two models were named: gpt-4.1 and gpt-5.4."),
        ("-s 'open", "A quotation mark is not closed."),
        ("-t hot", "invalid number value: 'hot'"),
        ("-t 3", "3 is not between 0 and 2"),
        ("-t -1", "-1 is not between 0 and 2"),
        ("-t nan", "nan is not between 0 and 2"),
        ("-t inf", "inf is not between 0 and 2"),
        ("-t", "expected one argument"),
        ("-t cr_abcdefgh12345678", "invalid number value: '[key]'"),
        ("--max-tokens 0", "0 is not between 1 and"),
        ("--max-tokens 1.5", "invalid whole number value: '1.5'"),
        ("-o 3x", "'3x' is no name for a variable"),
        ("-o class", "'class' is no name for a variable"),
        ("-p top_p", "'top_p' is not K=V"),
        ("-p =1", "'=1' is not K=V"),
        ("-p messages=[]", "messages is not set this way"),
        ("-p stream=false", "stream is not set this way"),
        ("-p model=x", "model is not set this way"),
        (
            '-p stop=["END"]',
            """stop begins as JSON and is none. Put it in single quotes, as in -p 'stop=["END"]'.""",
        ),
        ('-p stop=["END", "X"]', "stop begins as JSON and is none."),
        ('-p response_format={"type": "text"}', "response_format begins as JSON and is none."),
        ("-p cr_abcdefgh12345678=[x", "begins as JSON and is none."),
    ],
)
def test_refused_in_one_line_with_the_way_out(line: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(line)
    text = str(refused.value)
    assert said in text
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert "cr_abcdefgh12345678" not in text


@pytest.mark.parametrize(
    ("line", "platform", "words"),
    [
        (r"--file data\notes.txt", "win32", ["--file", r"data\notes.txt"]),
        (r'--file "C:\my data\notes.txt" -s #1', "win32", ["--file", r"C:\my data\notes.txt", "-s", "#1"]),
        (
            r"""-p 'stop=["END"]' --file \\host\x\\""",
            "win32",
            ["-p", 'stop=["END"]', "--file", r"\\host\x" + "\\\\"],
        ),
        (r"--file my\ notes.txt -s #1", "linux", ["--file", "my notes.txt", "-s", "#1"]),
        ("", "win32", []),
    ],
)
def test_a_backslash_parts_folders_on_windows(line: str, platform: str, words: list[str]) -> None:
    assert split(line, platform) == words


@pytest.mark.parametrize("platform", ["win32", "linux"])
def test_an_open_quotation_mark_is_told_on_all_systems(platform: str) -> None:
    with pytest.raises(UsageError, match="not closed"):
        split('-s "open', platform)


@pytest.mark.parametrize(
    ("line", "model", "chat", "prompt"),
    [
        ('gpt-4.1 --chat "What is X?"', "gpt-4.1", "", "What is X?"),
        ('--chat "What is X?"', None, "", "What is X?"),
        ('-m gpt-4.1 --chat "What is X?"', "gpt-4.1", "", "What is X?"),
        ('gpt-4.1 --chat work "What is X?"', "gpt-4.1", "work", "What is X?"),
        ('gpt-4.1 "What is X?" --chat', "gpt-4.1", "", "What is X?"),
        ('gpt-4.1 "What is X?" --chat "my work"', "gpt-4.1", "my work", "What is X?"),
        ('-m gpt-4.1 "What is X?" --chat "my work"', "gpt-4.1", "my work", "What is X?"),
        ("gpt-4.1 --chat work", "gpt-4.1", "work", ""),
    ],
)
def test_a_prompt_behind_chat_is_the_prompt(line: str, model: str | None, chat: str, prompt: str) -> None:
    options, asked = parse_ask(split(line))
    assert (options.model, options.chat, asked) == (model, chat, prompt)


def test_a_prompt_behind_chat_is_asked(shell: Shell, server: Server) -> None:
    ran = shell.run('%holysheep ask gpt-4.1 --chat "Hello {there}"')
    assert ran.error is None
    assert server.asked[0].json["messages"] == [{"role": "user", "content": "Hello {there}"}]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "[1,NaN]"])
def test_what_json_cannot_say_is_not_sent(value: str, shell: Shell, server: Server) -> None:
    ran = shell.run(f"%%holysheep -p seed={value}\nHello")
    assert ran.out == "UsageError: A parameter is NaN or infinite, which JSON cannot say.\n"
    assert server.asked == []


@pytest.mark.parametrize(
    ("line", "model", "chat"),
    [
        ("--chat deepseek-v3.2", "deepseek-v3.2", ""),
        ("--chat=my-project", "gpt-4.1", "my-project"),
        ("--chat=deepseek-v3.2", "gpt-4.1", "deepseek-v3.2"),
        ('--chat "my project"', "gpt-4.1", "my project"),
        ("--chat my_project", "gpt-4.1", "my_project"),
        ("deepseek-v3.2 --chat my-project", "deepseek-v3.2", "my-project"),
    ],
)
def test_a_conversation_or_a_model(line: str, model: str, chat: str, shell: Shell, server: Server) -> None:
    assert shell.run(f"%%holysheep {line}\nHello").error is None
    assert server.asked[0].json["model"] == model
    assert [talk.name for talk in shell.magics.conversations] == [chat]


def test_what_may_be_either_is_refused_until_one_is_known(shell: Shell, server: Server) -> None:
    for line in ("%%holysheep --chat my-project\nHello", "%holysheep ask --chat my-project 'Hello you'"):
        assert str(shell.run(line).error) == (
            "my-project may be the name of a conversation or of a model. Write --chat=my-project for the "
            "conversation; a model goes first: my-project --chat."
        )
    assert server.asked == []
    shell.run("%%holysheep deepseek-v3.2 --chat my-project\nHello")
    assert shell.run("%%holysheep --chat my-project\nAgain").error is None
    assert server.asked[1].json["model"] == "gpt-4.1"
    assert len(server.asked[1].json["messages"]) == 3
    shell.magics.model = "my-model"
    shell.run("%%holysheep --chat my-model\nHello")
    assert server.asked[2].json["model"] == "my-model"
