"""The manual, `--help`, and what `%config HolySheepMagics` says of itself and of mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hs_notebook.magics.commands import COMMANDS
from hs_notebook.magics.magic import HolySheepMagics
from hs_notebook.magics.manual import manual
from hs_notebook.magics.parser import parser

if TYPE_CHECKING:
    from shell import Shell

TRAITS = HolySheepMagics.class_traits(config=True)


@pytest.mark.parametrize("question", ["%%holysheep?", "%holysheep?", "?%%holysheep"])
def test_a_question_mark_shows_the_manual(question: str, shell: Shell) -> None:
    out = shell.run(question).out
    examples, _, rest = out.partition("usage: ")
    assert examples.count("holysheep ") == 3
    options = {name for action in parser()._actions for name in action.option_strings}
    assert all(name in rest for name in options)
    assert all(f"%holysheep {name}" in rest or f"%holysheep [{name}]" in rest for name in COMMANDS)


def test_the_examples_of_the_manual_are_understood(shell: Shell) -> None:
    shell.run("df = 'figures'")
    examples = manual().partition("usage: ")[0].split("\n\n")[1:]
    cells = ["\n".join(line.strip() for line in example.splitlines()) for example in examples]
    for cell in filter(None, cells):
        head, _, prompt = cell.partition("\n")
        ran = shell.run(f"{head} --dry-run\n{prompt}" if head.startswith("%%") else f"{head} --dry-run")
        assert ran.error is None, ran.out
        assert "Dry run" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, shell: Shell) -> None:
    ran = shell.run(f"%holysheep {name} --help")
    assert ran.error is None
    assert ran.out.startswith(f"usage: %holysheep {name}")
    assert "--help" in ran.out


@pytest.mark.parametrize("name", TRAITS)
def test_each_setting_says_what_it_is_for_its_default_and_its_value(name: str, shell: Shell) -> None:
    assert len(TRAITS[name].help) > 10
    assert TRAITS[name].help.endswith(".")
    shown = shell.run("%config HolySheepMagics").out
    part = shown.partition(f"HolySheepMagics.{name}=")[2].partition("\nHolySheepMagics.")[0]
    assert TRAITS[name].help.split()[0] in part
    assert f"Default: {TRAITS[name].default_value_repr()}" in part
    assert f"Current: {getattr(shell.magics, name)!r} (" in part


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("modle = 'x'", "There is no setting modle. Did you mean model?"),
        ("zzz = 1", "There is no setting zzz. %config HolySheepMagics lists them."),
        ("attempts = 'x'", "attempts must be a whole number, at least 1."),
        ("display = 'tv'", "display must be auto or widget or page or text."),
        ("budget_usd = -1", "budget_usd must be a number, at least 0 or None."),
        ("chat = 3", "chat must be text or None."),
    ],
)
def test_a_mistaken_setting_is_one_line_and_changes_nothing(line: str, said: str, shell: Shell) -> None:
    before = {name: getattr(shell.magics, name) for name in TRAITS}
    ran = shell.run(f"%config HolySheepMagics.{line}")
    assert ran.out + ran.err == f"HolySheepMagics: {said} Nothing was changed.\n"
    assert {name: getattr(shell.magics, name) for name in TRAITS} == before
    assert shell.run("%config HolySheepMagics.attempts = 2").err == ""
    assert shell.magics.attempts == 2


@pytest.mark.parametrize("name", TRAITS)
def test_no_setting_takes_what_it_is_not(name: str, shell: Shell) -> None:
    ran = shell.run(f"%config HolySheepMagics.{name} = object()")
    assert ran.err.startswith(f"HolySheepMagics: {name} must be ")
    assert ran.err.count("\n") == 1
