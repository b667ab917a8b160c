"""``%%holysheep`` and ``%holysheep`` in IPython's own shell, against the simulated relay."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from shell import KEY, Reply, Server, Shell, said, settings

import hs_notebook
from hs_notebook.answers import Answer
from hs_notebook.magics.commands import COMMANDS

if TYPE_CHECKING:
    from hs_notebook.relay import EmbeddedRelay


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_and_its_receipt(shell: Shell) -> None:
    ran = shell.run("%%holysheep gpt-4.1 -o reply\n[simulate text speed=inf]\nThree\nlines\nof text.")
    text, _, receipt = ran.out.rpartition("of text.\n")
    assert text == "Three\nlines\n"
    assert receipt.startswith("gpt-4.1 · ")
    assert receipt.endswith(" · $0.00004000 (output only, input unknown) · simulated\n")
    assert "estimated" not in receipt
    reply = shell.names["reply"]
    assert isinstance(reply, Answer)
    assert reply.text == "Three\nlines\nof text."
    assert reply.receipt.simulated
    assert reply.cost is None
    assert ran.result is None


def test_without_streaming_the_answer_is_the_same(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%%holysheep -o one\n[simulate tokens=30 speed=inf]")
    shell.run("%%holysheep --no-stream -o two\n[simulate tokens=30 speed=inf]")
    assert shell.names["one"] == shell.names["two"]
    assert [seen.stream for seen in relay.stats.seen] == [True, False]


def test_the_default_model_is_a_setting(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.model = 'deepseek-v3.2'")
    shell.run("%%holysheep\n[simulate tokens=5 speed=inf]")
    assert relay.stats.seen[-1].model == "deepseek-v3.2"


def test_an_answer_shows_as_its_text(shell: Shell) -> None:
    shell.run("%%holysheep -o reply\n[simulate text speed=inf]\nLine one\nand two")
    assert shell.run("reply").out == f"Out[{shell.ip.execution_count - 1}]: \nLine one\nand two\n"
    assert shell.run("print(len(reply), reply.upper())").out == "16 LINE ONE\nAND TWO\n"


IN_FUNCTIONS = """
text = "of the notebook"

def translate(text):
    answer = %holysheep ask gpt-4.1 "Translate: {text}"
    return answer

def about(word):
    return get_ipython().run_line_magic("holysheep", "ask gpt-4.1 'About {word}, {text}'")

def held():
    from dataclasses import dataclass
    @dataclass
    class Own:
        a: int
    %holysheep ask gpt-4.1 "With {text}" --schema Own -o kept
"""


def test_in_a_function_its_own_names_come_first(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([said("one"), said("two"), said('{"a": 3}'), said("four")]) as server:
        for name, value in settings(server.base_url).items():
            monkeypatch.setenv(name, value)
        shell.run(IN_FUNCTIONS)
        for call in ("translate('of the function')", "about('sheep')", "held()"):
            assert shell.run(f"came = {call}").error is None
        shell.run('%holysheep ask gpt-4.1 "Translate: {text}"')
        assert [asked.json["messages"][-1]["content"] for asked in server.asked] == [
            "Translate: of the function",
            "About sheep, of the notebook",
            "With of the notebook",
            "Translate: of the notebook",
        ]
    assert shell.names["kept"].parsed.a == 3  # where -o always puts it


def test_what_was_shown_last_is_filled_in(shell: Shell, relay: EmbeddedRelay) -> None:
    def sent(prompt: str) -> str:
        shell.run(f"%%holysheep gpt-4.1\n[simulate text speed=inf]\n{prompt}")
        content: str = json.loads(relay.stats.seen[-1].body)["messages"][-1]["content"]
        return content.partition("\n")[2]

    assert sent("{_}") == "{_}"  # nothing was
    number = shell.ip.execution_count
    shell.run("6 * 7")
    assert sent(f"{{_}} {{_{number}}} {{__}} {{_i}} {{_oh}} {{_dh}}") == "42 42 {__} {_i} {_oh} {_dh}"
    assert sent(f"{{_}}, and before {{_{number}}}") == "42 42 {__} {_i} {_oh} {_dh}, and before 42"


@pytest.mark.parametrize("options", ["gpt-4.1", "gpt-4.1,deepseek-v3.2", "gpt-4.1 --dry-run"])
def test_a_value_that_is_cut_is_told_once(options: str, shell: Shell) -> None:
    shell.run("import pandas as pd\ntext = 'x' * 60_013\ndf = pd.DataFrame({'v': range(1000)})")
    ran = shell.run(
        f"%%holysheep {options}\n[simulate tokens=3 speed=inf] {{text}} {{df}} {{text}} {{df.shape}}"
    )
    all_of_it = "To send all of it, write it to a file: --file PATH takes up to 200,000 characters."
    assert ran.err.splitlines()[:2] == [
        f"{{text}} is cut: the model gets 20,000 of 60,013 characters. {all_of_it}",
        f"{{df}} is cut: the model gets 200 of 1,000 rows. {all_of_it}",
    ]
    assert ran.err.count(" is cut: ") == 2
    assert ran.error is None


def test_the_model_may_be_named_by_a_variable(shell: Shell, relay: EmbeddedRelay) -> None:
    loop = "for m in models:\n    came = %holysheep ask {m} '[simulate text speed=inf] {m}'"
    shell.run(f"models = ['gpt-4.1', 'deepseek-v3.2']\n{loop}")
    shell.run("%%holysheep {models[1]}\n[simulate tokens=3 speed=inf]")
    assert [seen.model for seen in relay.stats.seen] == ["gpt-4.1", "deepseek-v3.2", "deepseek-v3.2"]


def test_functions_that_ask_at_a_time_keep_their_names_apart(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(
        "def say(n):\n    x = %holysheep ask gpt-4.1 '[simulate text speed=inf] number {n}'\n    return x"
    )
    shell.run("from concurrent.futures import ThreadPoolExecutor")
    shell.run("with ThreadPoolExecutor(4) as pool:\n    came = list(pool.map(say, range(8)))")
    asked = {json.loads(seen.body)["messages"][-1]["content"].split()[-1] for seen in relay.stats.seen}
    assert asked == {str(number) for number in range(8)}


@pytest.mark.parametrize(
    ("fault", "state", "note"),
    [
        ("cut", "truncated", "The stream broke off"),
        ("nodone", "complete", "the stream had no [DONE]"),
        ("nousage", "complete", ""),
    ],
)
def test_what_came_is_kept_and_the_receipt_says_how_it_ended(
    fault: str, state: str, note: str, shell: Shell
) -> None:
    ran = shell.run(f"%%holysheep -o reply\n[simulate tokens=20 speed=inf fault={fault}]")
    assert ran.error is None
    reply = shell.names["reply"]
    assert (reply.state, reply.text != "") == (state, True)
    last = ran.out.splitlines()[-1]
    assert last.startswith(f"{state}: ") is (state != "complete")
    assert note in last
    assert ("≈" in last) is (fault in {"cut", "nousage"})


@pytest.mark.parametrize("fault", ["errorframe", "badjson"])
def test_an_error_in_mid_answer_stops_and_keeps_the_text(fault: str, shell: Shell) -> None:
    ran = shell.run(f"%%holysheep -o reply\n[simulate tokens=20 speed=inf fault={fault}]")
    assert isinstance(ran.error, hs_notebook.HolySheepError)
    *_, receipt, error = ran.out.splitlines()
    assert receipt.startswith("error: gpt-4.1 · ")
    assert error.startswith(f"{type(ran.error).__name__}: ")
    assert shell.names["reply"].state == "error"
    assert shell.names["reply"].text
    assert shell.run("%holysheep last").error is None


# --- commands ------------------------------------------------------------------------------------


def test_where_it_stands(shell: Shell, relay: EmbeddedRelay) -> None:
    rows = dict(line.split("  ", 1) for line in shell.run("%holysheep").out.splitlines())
    assert {name: value.strip() for name, value in rows.items()} == {
        "key": "from the environment variable HOLYSHEEP_API_KEY",
        "relay": relay.base_url,
        "model": "gpt-4.1",
        "answers kept": "0 in this session",
        "spent": "$0 in this notebook (IPython); $0 in all",
    }
    assert shell.run("%holysheep status").out == shell.run("%holysheep").out
    assert relay.stats.requests == 0


def test_where_it_stands_without_a_key_is_no_error_and_asks_nobody(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    ran = shell.run("%holysheep")
    assert ran.error is None
    assert ran.out.startswith("key           none: No key for http://127.0.0.1:")
    assert ran.err == ""


def test_models(shell: Shell) -> None:
    lines = shell.run("%holysheep models").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert ["claude-sonnet-4.5", "anthropic"] in [line.split() for line in lines]


def test_last_shows_the_answer_again(shell: Shell) -> None:
    assert shell.run("%holysheep last").out == (
        "UsageError: There is no answer yet in this session. Ask with %%holysheep.\n"
    )
    first = shell.run("%%holysheep\n[simulate text speed=inf]\nShown \x1b[31magain")
    again = shell.run("%holysheep last")
    assert again.out == first.out
    assert "Shown ⟦U+001B⟧[31magain" in again.out


def test_version_and_help(shell: Shell) -> None:
    assert shell.run("%holysheep version").out == f"hs_notebook {hs_notebook.__version__}\n"
    lines = shell.run("%holysheep help").out.splitlines()
    assert all(
        any(name in line for line in lines)
        for name in ("%%holysheep", "models", "last", "version", "%config")
    )
    assert shell.run("%holysheep --help").out.startswith("usage: %%holysheep")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("modls", f"no %holysheep modls; there are: {', '.join(COMMANDS)}. Did you mean models?"),
        ("gpt-4.1", "To ask, use a cell that begins with %%holysheep."),
        ("models all", "%holysheep models takes nothing more."),
        ("\x1b[31m", "There is no %holysheep ⟦U+001B⟧[31m;"),
    ],
)
def test_an_unknown_command_names_those_there_are(line: str, said: str, shell: Shell) -> None:
    out = shell.run(f"%holysheep {line}").out
    assert out.startswith("UsageError: ")
    assert said in out
    assert out.count("\n") == 1


# --- bad input: one clear line with its way out ----------------------------------------------------


def one_line(shell: Shell, code: str, kind: str) -> str:
    """Run a cell that must fail with exactly one line, and return what it says after the error's name."""
    ran = shell.run(code)
    assert ran.error is not None
    assert type(ran.error).__name__ == kind
    *_, last = ran.out.splitlines()
    name, _, said = last.partition(": ")
    assert name == kind
    assert "Traceback" not in ran.out
    assert "File " not in ran.out
    assert KEY not in ran.out + ran.err
    return said


def test_no_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    said = one_line(shell, "%%holysheep\nHello", "MissingKeyError")
    assert "HOLYSHEEP_API_KEY" in said
    assert ".env" in said
    assert "make lab" in said


@pytest.mark.parametrize("cell", ["", "\n", "   \n\t\n"])
def test_an_empty_prompt(cell: str, shell: Shell, relay: EmbeddedRelay) -> None:
    assert (
        one_line(shell, f"%%holysheep gpt-4.1{cell}", "UsageError")
        == "The prompt is empty. Write the question."
    )
    assert relay.stats.requests == 0


def test_an_unknown_option(shell: Shell) -> None:
    said = one_line(shell, "%%holysheep --temperatur 1\nHello", "UsageError")
    assert said == "There is no option --temperatur. Did you mean --temperature?"


def test_an_unknown_model(shell: Shell) -> None:
    said = one_line(shell, "%%holysheep gtp-4.1\nHello", "NotFoundError")
    assert "gpt-4.1" in said
    assert "id you mean" in said
    assert said.count("id you mean") == 1


def test_an_unknown_model_of_a_relay_that_suggests_none(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Reply(status=404, body=json.dumps({"error": {"message": "No such model."}}))
    models = Reply(body=json.dumps({"data": [{"id": "gpt-4.1"}, {"id": "deepseek-v3.2"}]}))
    with Server([refusal, models]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        said = one_line(shell, "%%holysheep gpt4.1\nHello", "NotFoundError")
        assert said == "404: No such model. Did you mean gpt-4.1?"
        assert [asked.path for asked in server.asked] == ["/v1/chat/completions", "/v1/models"]


def test_a_refused_connection(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", f"http://{place}")
        said = one_line(shell, "%%holysheep\nHello", "APIConnectionError")
    assert said.startswith(f"{place} cannot be reached: ")
    assert "refused" in said
    assert said.endswith("Check the base URL and the network.")


def test_401_names_where_the_key_came_from(shell: Shell) -> None:
    said = one_line(shell, "%%holysheep\n[simulate fault=401]", "AuthenticationError")
    assert said.startswith("401: Incorrect API key provided.")
    assert "The key came from the environment variable HOLYSHEEP_API_KEY" in said


def test_429_waits_as_asked_and_says_so(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.attempts = 2")
    ran = shell.run("%%holysheep\n[simulate fault=429]")
    wait, error = ran.out.splitlines()
    assert "trying again in 1 s (2 of 2)" in wait
    assert error.startswith("RateLimitError: 429: Too many requests")
    assert error.endswith("Tried 2 times.")
    assert relay.stats.requests == 2


def test_429_that_asks_for_too_long_fails_at_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("%config HolySheepMagics.attempts = 5")
    refusal = Reply(status=429, body='{"error": {"message": "Slow down."}}', headers={"retry-after": "3600"})
    with Server([refusal]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        said = one_line(shell, "%%holysheep\nHello", "RateLimitError")
        assert said == "429: Slow down. It asks to wait 3600 s."
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            "html",
            "ProtocolError",
            ["text/html", "This page comes from a simulated proxy", "Check the base URL."],
        ),
        ("html502", "InternalServerError", ["502: ", "This page comes from a simulated proxy"]),
        (
            "redirect",
            "APIStatusError",
            ["307", "Redirects are never followed; check the base URL http://127"],
        ),
        ("402", "InsufficientBalanceError", ["402: ", "Check the balance of the account."]),
        ("400", "BadRequestError", ["400: The request cannot be meant."]),
        ("empty", "EmptyAnswerError", ["Try again"]),
        ("doneonly", "EmptyAnswerError", ["Try again"]),
    ],
)
def test_a_reply_that_is_no_answer(fault: str, kind: str, words: list[str], shell: Shell) -> None:
    said = one_line(shell, f"%%holysheep\n[simulate fault={fault} speed=inf]", kind)
    assert [word for word in words if word not in said] == []
    assert "<" not in said


def test_a_server_cannot_paint_in_an_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = json.dumps({"error": {"message": "\x1b]0;title\x07\x1b[2Jline one\nline two \u202egnp.exe"}})
    with Server([Reply(status=400, body=evil)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        ran = shell.run("%%holysheep\nHello")
    assert ran.out.count("\n") == 1
    assert not set("\x07\u202e") & set(ran.out)
    assert "⟦U+001B⟧" in ran.out
    assert "⟦U+202E⟧" in ran.out


# --- keys ----------------------------------------------------------------------------------------


def test_a_cell_that_holds_something_like_a_key_is_warned_of(shell: Shell) -> None:
    ran = shell.run("%%holysheep\n[simulate tokens=5 speed=inf] sk-abcdefghijklmnop1234")
    assert ran.error is None
    assert "looks like a key" in ran.err
    assert "sk-abc" not in ran.err
    on_the_line = shell.run("%%holysheep -s cr_abcdefghijklmnop1234\n[simulate tokens=5 speed=inf]")
    assert "looks like a key" in on_the_line.err
    assert shell.run("%%holysheep\n[simulate tokens=5 speed=inf] task-force").err == ""


@pytest.mark.parametrize(
    "cell",
    [
        "%%holysheep\n[simulate tokens=5 speed=inf] {key}",
        "%%holysheep\n[simulate tokens=5 speed=inf] {keys['a']} and {key}",
        "%%holysheep gpt-4.1,deepseek-v3.2\n[simulate tokens=5 speed=inf] {key}",
        "%%holysheep --dry-run\n{key}",
        "%%holysheep --bg\n[simulate tokens=5 speed=inf] {key}",
        "%%holysheep --chat\n[simulate tokens=5 speed=inf] {key}",
        "%%holysheep\n[simulate tokens=5 speed=inf] sk-abcdefghijklmnop1234 {key}",
        "%holysheep ask gpt-4.1 '[simulate tokens=5 speed=inf] sk-abcdefghijklmnop1234'",
    ],
)
def test_a_variable_that_holds_something_like_a_key_is_warned_of_once(cell: str, shell: Shell) -> None:
    shell.run("key = 'sk-' + 'abcdefghijklmnop1234'; keys = {'a': key}")
    ran = shell.run(cell)
    assert ran.error is None
    assert ran.err.count("looks like a key") == 1
    assert "sk-abc" not in ran.err


def test_two_keys_are_two_warnings(shell: Shell) -> None:
    shell.run("key = 'sk-' + 'ponmlkjihgfedcba4321'")
    ran = shell.run("%%holysheep\n[simulate tokens=5 speed=inf] sk-abcdefghijklmnop1234 {key}")
    assert ran.err.count("looks like a key") == 2


@pytest.mark.parametrize(
    "code",
    [
        f"%%holysheep\nMy key is {KEY}.",
        f"%%holysheep -s {KEY}\nHello",
        f"%%holysheep -p user={KEY}\nHello",
        "%%holysheep\n{environ}",
        "%%holysheep\n{variables['HOLYSHEEP_API_KEY']}",
    ],
)
def test_the_key_is_not_sent_as_text(code: str, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("from os import environ\nvariables = dict(environ)")
    ran = shell.run(code)
    assert ran.out == "UsageError: The prompt or an option holds your key; nothing was sent. Take it out.\n"
    assert relay.stats.requests == 0


# --- settings and loading --------------------------------------------------------------------------


def test_time_outs_are_settings(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.idle_timeout = 0.3")
    ran = shell.run("%%holysheep -o reply\n[simulate tokens=50 speed=inf fault=stall]")
    assert ran.error is None
    assert shell.names["reply"].state == "truncated"
    assert "0.3 s" in ran.out.splitlines()[-1]


def test_a_setting_that_cannot_be_is_refused(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.attempts = 0")  # traitlets says so in the log
    shell.run("%config HolySheepMagics.display = 'screen'")
    assert (shell.magics.attempts, shell.magics.display) == (1, "auto")


def test_loading_twice_reloading_and_unloading(shell: Shell) -> None:
    magics = shell.magics
    before = len(shell.ip.configurables), len(shell.ip.input_transformers_cleanup)
    hs_notebook.load_ipython_extension(shell.ip)
    assert shell.magics is magics
    assert shell.run("%reload_ext hs_notebook").out == ""
    assert shell.magics is not magics
    assert (len(shell.ip.configurables), len(shell.ip.input_transformers_cleanup)) == before
    assert shell.run("%holysheep version").error is None
    assert shell.run("%unload_ext hs_notebook").out == ""
    assert "not found" in shell.run("%holysheep version").err
    assert "not found" in shell.run("%%holysheep\nHello").err
    assert (len(shell.ip.configurables), len(shell.ip.input_transformers_cleanup)) == (
        before[0] - 1,
        before[1] - 1,
    )
    hs_notebook.unload_ipython_extension(shell.ip)
    assert shell.run("%load_ext hs_notebook").out == ""


def test_a_line_alone_is_not_yet_a_cell_in_a_terminal(shell: Shell) -> None:
    assert shell.ip.check_complete("%%holysheep gpt-4.1")[0] == "incomplete"
    assert shell.ip.check_complete("%%holysheep gpt-4.1\nHello\n\n")[0] == "complete"
    assert shell.run("%%time --bad").out != shell.run("%%holysheep --bad").out  # no other magic is touched
