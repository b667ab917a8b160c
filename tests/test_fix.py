"""`%holysheep fix`: what is sent, what is offered, and what is not."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from kernels import KERNEL_NAMES
from shell import KEY, Server, kernel, said, settings
from test_terminal import PROMPT, Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shell import Shell


__all__ = ["terminal"]  # the fixture

CORRECTED = "There is no x.\n\n```text\nnot this\n```\n\n```python\nx = 1\nprint(x)\n```\n"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> Iterator[Server]:  # noqa: ARG001 - made first
    """A server whose model corrects the cell; the shell asks it."""
    with Server([said(CORRECTED)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        yield server


def sent(model: Server) -> str:
    (asked,) = model.asked
    (message,) = asked.json["messages"]
    return str(message["content"])


def test_explains_and_offers_the_corrected_cell_and_runs_nothing(model: Server, shell: Shell) -> None:
    shell.run("print(x)")
    ran = shell.run("%holysheep fix")
    assert len(model.asked) == 1
    assert ran.error is None
    assert ran.out.count("There is no x.") == 1  # shown as it came, and not again at the end
    assert shell.ip.rl_next_input == "x = 1\nprint(x)"
    assert "x" not in shell.names
    assert ran.result.text == CORRECTED


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("A typo.\n```python\nprint(1)\n```\nIt prints:\n```\n1\n```\n", "print(1)"),
        ("```\n1\n```\n```Py\nprint(2)\n```\n```json\n{}\n```\n", "print(2)"),
        ("```\nold\n```\nand\n```\nnew\n```\n```bash\nls\n```\n", "new"),
    ],
)
def test_of_several_blocks_the_one_that_is_python_is_offered(
    text: str, offered: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server([said(text)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        shell.run("prnt(1)")
        shell.run("%holysheep fix")
        assert shell.ip.rl_next_input == offered


def test_what_is_sent(model: Server, shell: Shell) -> None:
    shell.run("secret = 'the value of a variable'\ndef half(number):\n    return number / 0")
    shell.run("# this cell\nhalf(secret)\n")
    shell.run("%holysheep fix")
    text = sent(model)
    assert "```python\n# this cell\nhalf(secret)\n```" in text
    assert re.search(r'File "Cell In\[(\d+)\]", line 2, in <module>', text)
    assert re.search(r'File "Cell In\[(\d+)\]", line 3, in half', text)
    assert "TypeError: unsupported operand" in text
    assert "the value of a variable" not in text
    assert "interactiveshell" not in text


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("x = = 1", ["x = = 1", "SyntaxError: invalid syntax"]),
        ("import json\njson.loads('{')", ["JSONDecodeError: Expecting property name"]),
        (
            "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('{In} {x}') from e",
            ["ZeroDivisionError: division by zero", "direct cause", "ValueError: {In} {x}"],
        ),
        ("%no_such_magic_at_all_x = 1\nundefined", ["undefined"]),
        ("def f(n):\n    return f(n - 1) if n else [].x\nf(99)", ["AttributeError", "in f"]),
        ("class E(Exception):\n    def __str__(self): raise SystemError\nraise E", ["raise E"]),
        ("raise ExceptionGroup('many', [ValueError(1), TypeError(2)])", ["ValueError: 1", "TypeError: 2"]),
    ],
)
def test_errors_of_all_kinds(cell: str, told: list[str], model: Server, shell: Shell) -> None:
    shell.run(cell)
    assert shell.run("%holysheep fix").error is None
    assert all(part in sent(model) for part in told)


def test_it_is_bounded(model: Server, shell: Shell) -> None:
    shell.run("def f(n):\n    raise ValueError('x' * 10**6) if n == 0 else f(n - 1)")
    shell.run("\n".join(f"number_{n} = {n}" for n in range(5000)) + "\nraise ValueError('y' * 10**6)")
    shell.run("%holysheep fix")
    assert len(sent(model)) < 20_000
    assert "characters left out" in sent(model)


def test_the_last_error_counts_also_after_cells_that_went_well(model: Server, shell: Shell) -> None:
    shell.run("first_error")
    shell.run("second_error")
    shell.run("y = 1")
    shell.run("%holysheep fix --no-such-option")
    shell.run("%holysheep fix")
    assert "NameError: name 'second_error'" in sent(model)
    assert "first_error" not in sent(model)


def test_no_error_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_exc", "last_value"):
        monkeypatch.delattr(sys, name, raising=False)
    ran = shell.run("%holysheep fix")
    assert ran.out == "UsageError: There is no error to explain. Run the cell that fails, then this.\n"
    shell.run("raise KeyboardInterrupt")
    monkeypatch.delattr(sys, "last_value", raising=False)
    assert "no error to explain" in shell.run("%holysheep fix").out


def test_our_own_errors_are_explained_by_their_hint(model: Server, shell: Shell) -> None:
    shell.run("%%holysheep gpt-4.1 --tempratur 1\nhello")
    ran = shell.run("%holysheep fix")
    assert "UsageError: There is no option --tempratur. Did you mean --temperature?" in ran.out
    assert model.asked == []


def test_from_before_the_magics_were_loaded(model: Server, shell: Shell) -> None:
    shell.run("%unload_ext hs_notebook")
    shell.run("1\nearly_error")
    shell.run("%load_ext hs_notebook")
    shell.run("%holysheep fix")
    assert "```python\n1\nearly_error\n```" in sent(model)
    assert "NameError: name 'early_error'" in sent(model)


def test_the_options_of_a_call(model: Server, shell: Shell) -> None:
    shell.run("print(x)")
    ran = shell.run("%holysheep fix deepseek-v3.2 --dry-run")
    assert ran.out.partition("to     ")[2].startswith("deepseek-v3.2 at ")
    assert "print(x)" in ran.out
    assert "BudgetError" in shell.run("%holysheep fix --max-cost 0.0000001").out
    assert model.asked == []
    shell.run("%holysheep fix -m deepseek-v3.2 -t 0 -o answer -s 'Be brief.'")
    assert model.asked[0].json["model"] == "deepseek-v3.2"
    assert model.asked[0].json["temperature"] == 0
    assert [turn["role"] for turn in model.asked[0].json["messages"]] == ["system", "user"]
    assert shell.names["answer"].text == CORRECTED
    assert "--tempratur" in shell.run("%holysheep fix --tempratur").out
    assert "takes a model and options" in shell.run("%holysheep fix a b").out


def test_the_key_is_never_sent(model: Server, shell: Shell) -> None:
    shell.run(f"raise ValueError('{KEY}')")
    ran = shell.run("%holysheep fix")
    assert "holds your key; nothing was sent" in ran.out
    assert model.asked == []


@pytest.mark.parametrize("text", ["No code here.", "```bash\npip install x\n```", "```python\n```", ""])
def test_without_code_no_cell_is_offered(text: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([said(text)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        shell.run("print(x)")
        shell.run("%holysheep fix")
    assert not getattr(shell.ip, "rl_next_input", None)


def test_unloading_forgets(shell: Shell) -> None:
    known = len(shell.ip.events.callbacks["post_run_cell"])
    shell.run("%unload_ext hs_notebook")
    assert len(shell.ip.events.callbacks["post_run_cell"]) == known - 1
    shell.run("%load_ext hs_notebook")


@pytest.mark.kernels
@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_a_kernel_offers_a_new_cell(name: str, tmp_path: Path) -> None:
    with (
        Server([said(CORRECTED)]) as server,
        kernel(name, tmp_path, settings(server.base_url)) as running,
    ):
        running.run("print(x)", fails=True)
        cell = running.run("%holysheep fix")
        assert cell.reply["payload"] == [
            {"source": "set_next_input", "text": "x = 1\nprint(x)", "replace": False}
        ]
        assert "Cell In[" in sent(server)
        assert "ipykernel" not in sent(server)


def test_a_terminal(terminal: Terminal) -> None:
    terminal.until(PROMPT, terminal.type("print(undefined_name)\n"))
    text = terminal.until(PROMPT, terminal.type("%holysheep fix --dry-run\n"))
    assert "NameError: name 'undefined_name' is not defined" in text
    assert "print(undefined_name)" in text.partition("The cell:")[2]
