"""TAB, asked of IPython's own completer as both front ends ask it, and of real kernels."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import time
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter
from kernels import KERNEL_NAMES
from shell import Reply, Server, kernel, settings
from test_terminal import Terminal

from hs_notebook.magics import candidates
from hs_notebook.magics.commands import COMMANDS, HELP
from hs_notebook.magics.manual import purposes
from hs_notebook.magics.parser import HelpRequested

if TYPE_CHECKING:
    from pathlib import Path

    from shell import Shell

    from hs_notebook.relay import EmbeddedRelay

MODELS = ["gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"]
OURS = "hs_notebook"


def completions(shell: Shell, cell: str) -> list[Any]:
    """What TAB offers where `|` stands, else at the end."""
    before, _, after = cell.partition("|")
    with provisionalcompleter():
        return list(shell.ip.Completer.completions(before + after, len(before)))


def offered(shell: Shell, cell: str) -> list[str]:
    """The texts that are ours, and nobody else's beside them."""
    found = completions(shell, cell)
    assert {completion._origin for completion in found} <= {OURS}
    return [completion.text for completion in found]


def inserted(shell: Shell, cell: str, text: str) -> str:
    """The cell when `text` was chosen."""
    before, _, after = cell.partition("|")
    chosen = next(c for c in completions(shell, cell) if c.text == text)
    return (before + after)[: chosen.start] + chosen.text + (before + after)[chosen.end :]


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("%%holysheep gp", ["gpt-4.1"]),
        ("\n%%holysheep gp", ["gpt-4.1"]),
        ("%%holysheep GP", ["gpt-4.1"]),
        ("%%holysheep sonnet", ["claude-sonnet-4.5"]),
        ("%%holysheep gp|\nthe prompt", ["gpt-4.1"]),
        ("%%holysheep gpt-4.1,", [name for name in MODELS if name != "gpt-4.1"]),
        ("%%holysheep gpt-4.1,ge", ["gemini-2.5-flash"]),
        ("%%holysheep -m dee", ["deepseek-v3.2"]),
        ("%%holysheep --model=dee", ["deepseek-v3.2"]),
        ("%%holysheep --chat gp", ["gpt-4.1"]),
        ("%%holysheep answer << gp", ["gpt-4.1"]),
        ("%%holysheep gpt-4.1 gp", []),
        ("%%holysheep gpt-4.1 -s 'be br", []),
        ("%%holysheep gpt-4.1 --max-cost ", []),
        ("%%holysheep gpt-4.1 -t ", []),
        ("%%holysheep gpt-4.1 -f ", ["markdown", "text", "code", "json"]),
        ("%%holysheep gpt-4.1 --format=js", ["json"]),
        ("%%holysheep gpt-4.1 --dry", ["--dry-run"]),
        ("%%holysheep --dry-run --dry", []),
        ("%%holysheep gpt-4.1 --wobble", []),
        ("%holysheep pr", ["prices"]),
        ("%holysheep prices gpt-4.1 cl", ["claude-sonnet-4.5"]),
        ("%holysheep prices --sel", ["--seller"]),
        ("%holysheep spend --by ", ["model", "day", "notebook", "user"]),
        ("%holysheep spend pl", []),
        ("%holysheep roi ba", ["batch"]),
        ("%holysheep stop al", ["all"]),
        ("%holysheep ask dee", ["deepseek-v3.2"]),
        ("x = %holysheep ask dee", ["deepseek-v3.2"]),
        ("y = 1\n%holysheep ask dee", ["deepseek-v3.2"]),
        ("%holysheep ask gpt-4.1 'what is", []),
        ("%holysheep models ", ["--help"]),
    ],
)
def test_a_line(cell: str, texts: list[str], shell: Shell) -> None:
    assert offered(shell, cell) == texts


def test_models_come_first_with_their_prices_and_then_the_options(shell: Shell) -> None:
    found = completions(shell, "%%holysheep ")
    assert [completion.text for completion in found][:4] == MODELS
    assert all(completion.text.startswith("--") for completion in found[4:])
    assert found[0].type.startswith("8.00 $/MTok out")  # later it says that it retires
    assert found[3].type == "0.42 $/MTok out, retired 2026-07-24"
    assert len(found) > 15


def test_what_the_relay_offers_is_known_once_it_was_asked_and_never_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"object": "list", "data": [{"id": "gpt-5.5"}, {"id": "gpt-5.4"}]}
    with Server([Reply(body=json.dumps(listed))]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        assert offered(shell, "%%holysheep gpt-5") == []
        assert server.asked == []
        shell.run("%holysheep models")
        assert offered(shell, "%%holysheep gpt-5") == ["gpt-5.4", "gpt-5.5"]
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("day", "shown"),
    [("2026-11-29", "retires"), ("2026-11-30", "retired"), ("2027-11-30", "retired")],
)
def test_a_model_retires_and_then_has_retired(
    day: str, shown: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "today", lambda: date.fromisoformat(day))
    (found,) = completions(shell, "%%holysheep claude-sonnet-4.5")
    assert found.type == f"15.00 $/MTok out, {shown} 2026-11-30"


def test_own_prices_count(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.prices = [{'model': 'my-model', 'input': 0.5, 'output': 1.5}]")
    (found,) = completions(shell, "%%holysheep my")
    assert (found.text, found.type) == ("my-model", "0.50 in, 1.50 $/MTok out")


def test_a_broken_price_file_silences_tab_and_raises_nothing(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.magics.prices_file = "no such file"
    assert all(completion._origin != OURS for completion in completions(shell, "%%holysheep gp"))
    assert capsys.readouterr().err == ""


def test_names_of_the_right_kind(shell: Shell, tmp_path: Path) -> None:
    shell.run("def weather(city: str) -> str: return city\nnumber = 3\nshape = {'type': 'object'}")
    shell.run("import dataclasses\n@dataclasses.dataclass\nclass City:\n    name: str")
    (tmp_path / "notes of mine.txt").touch()
    (tmp_path / "photo.png").touch()
    (tmp_path / "folder").mkdir()
    assert offered(shell, "%%holysheep --tools ") == ["weather"]
    assert offered(shell, "%%holysheep --tools weather,") == []
    assert offered(shell, "%%holysheep --schema ") == ["City", "shape"]
    assert offered(shell, "%%holysheep --file ") == ["folder/", "notes\\ of\\ mine.txt", "photo.png"]
    assert offered(shell, "%%holysheep --file notes\\ of") == ["notes\\ of\\ mine.txt"]
    assert offered(shell, "%%holysheep --file " + str(tmp_path / "fol")) == [f"{tmp_path}/folder/"]
    assert offered(shell, "%%holysheep --image ") == ["folder/", "photo.png"]
    assert offered(shell, "%%holysheep --image photo.png --image ph") == ["photo.png"]


def test_pictures_and_pydantic_models(shell: Shell) -> None:
    shell.run("import PIL.Image, pydantic\npicture = PIL.Image.new('RGB', (2, 2))")
    shell.run("class Town(pydantic.BaseModel):\n    name: str")
    assert offered(shell, "%%holysheep --image pic") == ["picture"]
    shell.run("import typing, msgspec\nclass Typed(typing.TypedDict):\n    name: str")
    shell.run("class Tight(msgspec.Struct):\n    name: str\nclass Tree:\n    name: str")
    assert offered(shell, "%%holysheep --schema T") == ["Tight", "Town", "Typed"]


@pytest.mark.parametrize("line", ["%%holysheep --chat ", "%holysheep history ", "%holysheep reset "])
def test_names_of_conversations(line: str, shell: Shell) -> None:
    shell.run("%%holysheep gpt-4.1 --chat travel\n[simulate text]\nhello")
    found = completions(shell, line)
    assert (found[0].text, found[0].type) == ("travel", "conversation of 1")
    assert offered(shell, line + "tr") == ["travel"]


# --- in the prompt ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("{", ["In", "Out", "city", "df", "place", "rows", "settings"]),
        ("{ci", ["city"]),
        ("{{ci", []),
        ("{ci|} and more", ["city"]),
        ("{df.", ["columns", "dtypes", "index", "shape", "price"]),
        ("{df.pr", ["price"]),
        ("{df[", ["'price']", "'the name']"]),
        ("{df['", ["'price']", "'the name']"]),
        ("{df['pr|']}", ["'price"]),
        ('{df["pr', ['"price"]']),
        ("{df[pr", ["'price']"]),
        ("{settings['a']['", ["'b']"]),
        ("{rows[", ["0]", "1]"]),
        ("{rows[|]}", ["0", "1"]),
        ("{rows[0].", []),
        ("{settings[", ["'a']", "7]"]),
        ("{place.", ["name", "size"]),  # a property would not be filled in
        ("{place.na", ["name"]),
        ("{place._", []),
        ("{nothing.", []),
        ("{place.__cl", []),
    ],
)
def test_a_field(prompt: str, texts: list[str], shell: Shell) -> None:
    shell.run(
        "import pandas\ncity = 'Paris'\nrows = [{'id': 1}, {'id': 2}]\nsettings = {'a': {'b': 1}, 7: 2}"
    )
    shell.run("df = pandas.DataFrame({'price': [1.0], 'the name': ['a']})")
    shell.run("def function(): pass")
    shell.run(
        "class Place:\n    size = 3\n    def __init__(self): self.name = 'Paris'\n"
        "    @property\n    def twice(self): raise SystemError('a property was called')\n"
        "    def method(self): pass\nplace = Place()"
    )
    found = completions(shell, f"%%holysheep gpt-4.1\nSay {prompt}")
    assert [c.text for c in found if c._origin == OURS] == texts
    assert not texts or len(found) == len(texts)
    assert offered(shell, "%%holysheep gpt-4.1\n{rows[0]['") == ["'id']"]


def test_what_is_chosen_replaces_what_was_typed(shell: Shell) -> None:
    shell.run("rows = {'one key': 1}")
    assert inserted(shell, "%%holysheep gpt-4.1\n{rows['|']} x", "'one key") == (
        "%%holysheep gpt-4.1\n{rows['one key']} x"
    )
    assert inserted(shell, "%%holysheep gpt-4.1,sonn|\nx", "claude-sonnet-4.5") == (
        "%%holysheep gpt-4.1,claude-sonnet-4.5\nx"
    )


def test_nothing_of_the_user_s_runs(shell: Shell) -> None:
    shell.run(
        "ran = []\n"
        "class Spy:\n"
        "    def __getattribute__(self, name): ran.append(name); return object.__getattribute__(self, name)\n"
        "    def __getattr__(self, name): ran.append(name); return 1\n"
        "    def __getitem__(self, key): ran.append(key); return 1\n"
        "    def __dir__(self): ran.append('dir'); return ['a']\n"
        "    def __len__(self): ran.append('len'); return 1\n"
        "    def keys(self): ran.append('keys'); return ['a']\n"
        "    def __repr__(self): ran.append('repr'); return ''\n"
        "    def __eq__(self, other): ran.append('eq'); return False\n"
        "    __hash__ = None\n"
        "    @property\n    def __class__(self): ran.append('class'); return int\n"
        "    @property\n    def danger(self): ran.append('danger'); return self\n"
        "class Hidden:\n    @property\n    def __dict__(self): ran.append('dict'); return {}\n"
        "hidden = Hidden()\n"
        "class Slots:\n    __slots__ = ('a',)\nslots = Slots(); slots.a = Spy()\n"
        "spy = Spy()"
    )
    ran = shell.names["ran"]
    ran.clear()
    ends = ("sp", "spy.", "spy.danger.", "spy.a.b.", "spy['", "slots.a.", "slots.a.danger.", "hidden.")
    for end in ends:
        offered(shell, "%%holysheep gpt-4.1\n{" + end)
    for option in ("--schema ", "--image ", "--tools "):
        offered(shell, "%%holysheep " + option)
    assert ran == []


def test_a_raw_cell_has_no_fields(shell: Shell) -> None:
    shell.run("city = 'Paris'")
    cell = "%%holysheep gpt-4.1 --raw\n{ci"
    assert not [c for c in completions(shell, cell) if c._origin == OURS]


# --- elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["gp", "%%holy", "%holy", "%%holysheepgp", "%%time\ngp", "text = '%%holysheep gp", "f'{ci", "%time x"],
)
def test_silent_elsewhere(cell: str, shell: Shell) -> None:
    shell.run("city = 'Paris'")
    assert not [c for c in completions(shell, cell) if c._origin == OURS]


def test_unloading_takes_it_away(shell: Shell) -> None:
    shell.run("%unload_ext hs_notebook")
    assert not [c for c in completions(shell, "%%holysheep gp") if c._origin == OURS]
    shell.run("%load_ext hs_notebook")
    assert offered(shell, "%%holysheep gp") == ["gpt-4.1"]


def test_without_jedi(shell: Shell) -> None:
    shell.ip.Completer.use_jedi = False
    assert offered(shell, "%%holysheep gp") == ["gpt-4.1"]


@pytest.mark.parametrize(
    "cell", ["%%holysheep ", "%%holysheep gpt-4.1 --", "%%holysheep m\n{", "%holysheep ask "]
)
def test_quicker_than_anybody_types(cell: str, shell: Shell) -> None:
    completions(shell, cell)
    took = []
    for _ in range(7):
        began = time.perf_counter()
        completions(shell, cell)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02


@pytest.mark.parametrize("name", COMMANDS)
def test_help_completion_and_commands_agree(name: str, shell: Shell, relay: EmbeddedRelay) -> None:
    """Completion asks a command for `--help` to learn its options: that must do nothing else."""
    with pytest.raises(HelpRequested) as asked:
        COMMANDS[name](shell.magics, ["--help"])
    assert f"%holysheep {name}" in asked.value.text
    assert relay.stats.requests == 0
    assert name in offered(shell, f"%holysheep {name}")
    assert purposes()[name]


def test_help_names_no_command_that_is_not_there() -> None:
    assert set(purposes()) == set(COMMANDS)
    assert "--help" in HELP


def test_all_is_bounded(shell: Shell) -> None:
    @dataclasses.dataclass
    class Big:
        name: str = ""

    shell.names["many"] = {f"key {number}": number for number in range(100_000)}
    shell.names["big"] = Big()
    began = time.perf_counter()
    assert len(offered(shell, "%%holysheep m\n{many['")) == 200
    assert time.perf_counter() - began < 1


# --- kernels ---------------------------------------------------------------------------------------


@pytest.mark.kernels
@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_a_page_asks_a_kernel(name: str, relay: EmbeddedRelay, tmp_path: Path) -> None:
    with kernel(name, tmp_path, settings(relay.base_url)) as running:
        running.run("rows = [{'id': 1}]")
        reply = running.complete("%%holysheep gpt-4.1,son")
        assert reply["matches"] == ["claude-sonnet-4.5"]
        assert (reply["cursor_start"], reply["cursor_end"]) == (20, 23)
        (kind,) = reply["metadata"]["_jupyter_types_experimental"]
        shown = kind["type"].replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")
        assert re.fullmatch(r"15\.00 \$/MTok out, retire[sd] 2026-11-30", shown)
        reply = running.complete("%%holysheep gpt-4.1\nSay {rows[0]['")
        assert reply["matches"] == ["'id']"]
        assert running.complete("%%holysheep gpt-4.1 --max-cost ")["matches"] == []


def test_a_terminal(relay: EmbeddedRelay, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor"]
    environment = os.environ | settings(relay.base_url) | {"TERM": "xterm"}
    with Terminal(command, environment, tmp_path) as running:
        running.until(r"In \[1\]", 0)
        start = running.type("%load_ext hs_notebook\r")
        running.until(r"In \[2\]", start)
        start = running.type("%%holysheep gem\t")
        running.until(r"ini-2\.5-flash", start)  # what was typed may be drawn before
        start = running.type(" --max-t\t")
        running.until("okens", start)
