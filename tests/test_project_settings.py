"""Settings from `pyproject.toml` and `ipython_config.py`, and which of all sources wins."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from IPython.core.interactiveshell import InteractiveShell
from shell import KEY, Shell, settings
from traitlets.config import Config

from hs_notebook.errors import BudgetError, MissingKeyError
from hs_notebook.project import find_project
from hs_notebook.settings import find_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

    Made = Callable[[str], Shell]


@pytest.fixture
def made(relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """What makes a shell in a folder of its own, with such a table in its project's file."""
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOLYSHEEP_API_KEY", KEY)
    monkeypatch.setenv("HOLYSHEEP_BASE_URL", relay.base_url)
    shells = []

    def make(table: str) -> Shell:
        (folder.parent / "pyproject.toml").write_text(f"[tool.hs_notebook]\n{table}\n")
        shells.append(Shell())
        return shells[-1]

    yield make
    for shell in shells:
        shell.close()


def asked_of(shell: Shell, line: str = "%%holysheep") -> str:
    """The model that a cell would ask."""
    ran = shell.run(f"{line} --dry-run\nhello")
    assert ran.error is None, ran.out
    return ran.out.partition("to     ")[2].partition(" ")[0]


def test_the_nearest_file_that_has_the_table_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.hs_notebook]\nmodel = 'outer'\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    found = find_project(inner)
    assert found is not None
    assert (found.file, found.values) == (tmp_path / "pyproject.toml", {"model": "outer"})
    (inner / "pyproject.toml").write_text("[tool.hs_notebook]\n")
    assert (near := find_project(inner)) is not None
    assert near.values == {}


def test_it_sets_what_nobody_else_sets(made: Made) -> None:
    shell = made(
        "model = 'from-the-file'\nbudget_usd = 2\nhistory_turns = 3\nprices = [{model = 'm', output = 1}]"
    )
    assert asked_of(shell) == "from-the-file"
    assert (shell.magics.budget_usd, shell.magics.history_turns) == (2.0, 3)
    assert shell.magics.prices == [{"model": "m", "output": 1}]


@pytest.mark.parametrize(
    "call", ["hs_notebook.map(['x'], '{row}', model='gpt-4.1')", "hs_notebook.bench('gpt-4.1', requests=1)"]
)
def test_it_holds_for_a_call_before_any_magic(
    call: str, made: Made, relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = made("budget_usd = 0.0")
    monkeypatch.setattr(InteractiveShell, "_instance", shell.ip)
    refused = shell.run(f"import hs_notebook\n{call}")
    assert isinstance(refused.error, BudgetError)
    assert "the notebook's budget of $0" in str(refused.error)
    assert relay.stats.requests == 0


def test_the_line_wins_over_config_and_config_over_the_file(made: Made) -> None:
    shell = made("model = 'from-the-file'")
    assert asked_of(shell) == "from-the-file"
    shell.run("%config HolySheepMagics.model = 'from-config'")
    assert asked_of(shell) == "from-config"
    assert asked_of(shell, "%%holysheep from-the-line") == "from-the-line"
    shell.run("%config HolySheepMagics.history_turns = 5")
    assert asked_of(shell) == "from-config"


@pytest.mark.parametrize("model", ["from-config", "gpt-4.1"])  # the default, said aloud, is a choice, too
def test_config_before_the_file_is_read_wins(model: str, made: Made) -> None:
    shell = made("model = 'from-the-file'\nhistory_turns = 3")
    shell.run(f"%config HolySheepMagics.model = '{model}'")
    assert asked_of(shell) == model
    assert shell.magics.history_turns == 3


def test_set_in_code_before_the_file_is_read(made: Made) -> None:
    shell = made("model = 'from-the-file'")
    shell.magics.model = "from-code"
    assert asked_of(shell) == "from-code"


def test_the_environment_wins_over_the_file(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text("[[price]]\nmodel = 'ours'\noutput = 1\n")
    monkeypatch.setenv("HOLYSHEEP_PRICES", str(ours))
    shell = made("base_url = 'https://elsewhere.example/v1'\nprices_file = 'theirs.toml'")
    assert "elsewhere" not in shell.run("%holysheep status").out
    assert "ours" in str(shell.run("%holysheep prices ours").result)
    monkeypatch.delenv("HOLYSHEEP_PRICES")
    assert "theirs.toml" in shell.run("%holysheep prices ours").out


def test_a_dotenv_file_is_environment(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    (tmp_path / ".env").write_text("HOLYSHEEP_API_KEY=cr_x\nHOLYSHEEP_BASE_URL=https://mine.example/v1\n")
    out = made("base_url = 'https://elsewhere.example/v1'").run("%holysheep status").out
    assert "https://mine.example/v1" in out
    assert "elsewhere" not in out


def test_paths_are_relative_to_the_file(made: Made, tmp_path: Path) -> None:
    shell = made("ledger = 'calls.db'\nprices_file = '/else/prices.toml'\nreplay_file = 'sub/answers.jsonl'")
    shell.run("%holysheep version")
    assert shell.magics.ledger == str(tmp_path / "project" / "calls.db")
    assert shell.magics.prices_file == "/else/prices.toml"
    assert shell.magics.replay_file == str(tmp_path / "project" / "sub" / "answers.jsonl")


def test_off_is_no_path(made: Made) -> None:
    shell = made("ledger = 'off'")
    shell.run("%holysheep version")
    assert shell.magics.purse.ledger is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("modle = 'x'", "There is no setting modle. Did you mean model?"),
        ("wobble = 'x'", "There is no setting wobble. %config HolySheepMagics lists them."),
        ("model = 3", "model must be text."),
        ("attempts = 'many'", "attempts must be a whole number, at least 1."),
        ("attempts = 0", "attempts must be a whole number, at least 1."),
        ("budget_usd = 'all'", "budget_usd must be a number, at least 0 or None."),
        ("display = 'tv'", "display must be auto or widget or page or text."),
        ("keep_text = 'yes'", "keep_text must be True or False."),
        (
            f"api_key = '{KEY}'",
            "api_key is not read. A key belongs into HOLYSHEEP_API_KEY",
        ),
        (f"TOKEN = '{KEY}'", "TOKEN is not read. A key belongs into HOLYSHEEP_API_KEY"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_the_rest_holds(
    table: str, said: str, made: Made, tmp_path: Path
) -> None:
    shell = made(f"{table}\nhistory_turns = 3")
    ran = shell.run("%holysheep version")
    assert ran.err.startswith(f"{tmp_path / 'project' / 'pyproject.toml'}: {said}")
    assert ran.err.count("\n") == 1
    assert KEY not in ran.err
    assert ran.error is None
    assert shell.magics.history_turns == 3
    assert shell.run("%holysheep version").err == ""  # told once


@pytest.mark.parametrize("text", ["[tool.hs_notebook\n", "tool = {hs_notebook = 3}\n"])
def test_a_broken_file_is_told_in_a_line(text: str, made: Made, tmp_path: Path) -> None:
    shell = made("")
    (tmp_path / "project" / "pyproject.toml").write_text(text)
    ran = shell.run("%holysheep version")
    assert ran.err.startswith(str(tmp_path / "project" / "pyproject.toml"))
    assert ran.err.count("\n") == 1
    assert ran.error is None


def test_another_s_broken_file_is_no_business_of_ours(made: Made, tmp_path: Path) -> None:
    shell = made("")
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.other\n")
    assert shell.run("%holysheep version").err == ""


def test_status_and_config_say_which_file(made: Made, tmp_path: Path) -> None:
    shell = made("history_turns = 3\nchat = 'main'")
    file = tmp_path / "project" / "pyproject.toml"
    assert f"Current: 3 (from {file})" in shell.run("%config HolySheepMagics").out
    assert f"chat, history_turns from {file}\n" in shell.run("%holysheep status").out
    shell.run("%config HolySheepMagics.history_turns = 4")
    out = shell.run("%holysheep status").out
    assert f"chat from {file}\n" in out
    assert "history_turns" not in out


def test_without_files_status_says_nothing_of_them(shell: Shell) -> None:
    assert "settings" not in shell.run("%holysheep status").out


# --- a base URL from a file ------------------------------------------------------------------------


def test_a_key_does_not_follow_the_file_to_another_host(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    shell = made("base_url = 'https://elsewhere.example/v1'")
    ran = shell.run("%%holysheep gpt-4.1\nhello")
    assert isinstance(ran.error, MissingKeyError)
    assert "There is no key for https://elsewhere.example/v1" in ran.out
    assert "pyproject.toml" in ran.out
    assert "pyproject.toml" in shell.run("%holysheep status").out


def test_who_is_asked_for_a_key_is_told_which_file_names_the_host() -> None:
    asked = []

    def prompt(text: str) -> str:
        asked.append(text)
        return "cr_typed_0123456789"

    find_credentials("https://elsewhere.example/v1", environ={}, prompt=prompt, named_by="/a/pyproject.toml")
    find_credentials("https://elsewhere.example/v1", environ={}, prompt=prompt)
    assert asked == [
        "Key for https://elsewhere.example/v1 (named by /a/pyproject.toml; it stays hidden): ",
        "Key for https://elsewhere.example/v1 (it stays hidden): ",
    ]


def test_the_shell_s_own_prompt_says_so_and_remembers(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    shell = made("base_url = 'https://elsewhere.example/v1'")
    asked = []
    shell.magics.session._prompt = lambda text: asked.append(text) or "cr_typed_0123456789"
    shell.run("%holysheep version")
    client = shell.magics.client()
    assert client.base_url == "https://elsewhere.example/v1"
    assert "named by" in asked[0]
    shell.magics.client()
    assert len(asked) == 1


# --- ipython_config.py -----------------------------------------------------------------------------


def shell_with(relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch, **values: object) -> InteractiveShell:
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    config = Config({"HolySheepMagics": values})
    config.HistoryManager.enabled = False
    ip = InteractiveShell(config=config)
    ip.run_line_magic("load_ext", "hs_notebook")
    return ip


def test_ipython_config_is_the_weakest(
    relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.hs_notebook]\nmodel = 'from-the-file'\n")
    ip = shell_with(
        relay, monkeypatch, model="from-ipython", history_turns=7, base_url="https://far.example/v1"
    )
    magics = ip.magics_manager.registry["HolySheepMagics"]
    try:
        assert magics.model == "from-ipython"
        assert magics.client().base_url == relay.base_url  # the environment wins
        ip.run_line_magic("holysheep", "version")
        assert (magics.model, magics.history_turns) == ("from-the-file", 7)
        assert magics.origin("history_turns") == "from ipython_config.py"
        ip.run_line_magic("config", "HolySheepMagics.attempts = 2")
        assert (magics.model, magics.history_turns) == ("from-the-file", 7)
    finally:
        ip.run_line_magic("unload_ext", "hs_notebook")


def test_a_real_ipython_config_py(tmp_path: Path) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c = get_config()\nc.HolySheepMagics.model = 'from-ipython'\n")
    code = "%load_ext hs_notebook\n%config HolySheepMagics.model"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "-c", code],
        env=os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "from-ipython" in done.stdout


def test_loading_reads_no_project_s_file(made: Made) -> None:
    shell = made("model = 'from-the-file'")
    assert shell.magics.model == "gpt-4.1"
    assert shell.magics.project is None
