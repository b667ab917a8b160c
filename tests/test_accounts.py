"""`%holysheep prices`, `spend` and `roi`, and the same from a terminal."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell, settings

from hs_notebook import roi
from hs_notebook.calculator import own_calls, shares
from hs_notebook.ledger import Ledger, Opening, Outcome, Usual
from hs_notebook.pricing.files import builtin

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay


def spent(ledger: Ledger, model: str, cost: str | None, **more: Any) -> None:
    row = ledger.begin(Opening(model=model, notebook=more.pop("notebook", "a.ipynb")))
    outcome = {"state": "complete", "input_tokens": 100, "output_tokens": 50} | more
    assert ledger.settle(row, Outcome(cost=None if cost is None else Decimal(cost), **outcome))


# --- prices --------------------------------------------------------------------------------------


def test_prices(shell: Shell, relay: EmbeddedRelay) -> None:
    table = shell.run("%holysheep prices").result
    rows = table.as_dicts()
    assert {row["seller"] for row in rows} >= {"HolySheep", "OpenAI", "Anthropic", "Google", "DeepSeek"}
    assert set(table._repr_mimebundle_()) == {"text/html", "text/plain"}
    assert relay.stats.requests == 0


def test_prices_of_some_models_and_sellers(shell: Shell) -> None:
    rows = shell.run("%holysheep prices GPT-4-1 --seller HolySheep").result.as_dicts()
    assert [(row["model"], row["seller"], row["output"]) for row in rows] == [
        ("gpt-4.1", "HolySheep", Decimal("8.00"))
    ]


def test_prices_of_one_s_own_come_first(shell: Shell) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "input": 1.5}]
    rows = shell.run("%holysheep prices gpt-4.1 --seller HolySheep").result.as_dicts()
    assert (rows[0]["input"], rows[0]["kind"]) == (Decimal("1.5"), "yours")


# --- spend ---------------------------------------------------------------------------------------


def test_spend_of_answers(shell: Shell) -> None:
    assert "No call is recorded yet." in str(shell.run("%holysheep spend").result)
    shell.run("%%holysheep gpt-4.1\n[simulate tokens=20 speed=inf]")
    table = shell.run("%holysheep spend").result
    (row,) = table.as_dicts()
    assert (row["Model"], row["Calls"], row["Simulated"], str(row["would cost"])) == (
        "gpt-4.1",
        0,
        1,
        "at least $0.0001600",
    )
    assert "were not billed" in str(table)


def test_spend_adds_up_and_says_what_it_does_not_know(shell: Shell) -> None:
    ledger = shell.magics.purse.ledger
    spent(ledger, "gpt-4.1", "0.25")
    spent(ledger, "gpt-4.1", "0.50", estimated=True)
    spent(ledger, "gpt-5.5", None, known_cost=Decimal("0.125"), notebook="b.ipynb")
    ledger.fail(ledger.begin(Opening(model="gpt-5.5", notebook="b.ipynb")), "RateLimitError")
    table = shell.run("%holysheep spend").result
    assert [(row["Model"], row["Calls"], row["Failed"], str(row["Cost"])) for row in table.as_dicts()] == [
        ("gpt-4.1", 2, 0, "≈$0.75"),
        ("gpt-5.5", 2, 1, "at least $0.12"),
        ("all", 4, 1, "at least ≈$0.87"),
    ]
    assert len(table.notes) == 2
    assert "; ≈$0.88 (besides: 1 of unknown cost) in all" in shell.run("%holysheep").out
    by_notebook = shell.run("%holysheep spend --by notebook").result
    assert [row["Notebook"] for row in by_notebook.as_dicts()] == ["a.ipynb", "b.ipynb", "all"]
    assert shell.run("%holysheep spend --since 24h").result.rows == table.rows


def test_spend_of_a_relay_here_is_another_sum(shell: Shell, tmp_path: Path) -> None:
    """A call through a relay on this machine stands in the ledger twice: for who asked, and for the relay."""
    ledger = shell.magics.purse.ledger
    spent(ledger, "gpt-4.1", "0.25")
    for user, cost in (("laptop", "0.25"), ("=ann", "1")):
        opening = Opening(model="gpt-4.1", user=user, notebook="(relay)")
        ledger.settle(ledger.begin(opening), Outcome(state="complete", cost=Decimal(cost)))
    ledger.begin(Opening(model="gpt-4.1", user="laptop", notebook="(relay)"))
    (row,) = shell.run("%holysheep spend").result.as_dicts()
    assert (row["Calls"], str(row["Cost"])) == (1, "$0.25")
    assert "$0.25 in all" in shell.run("%holysheep").out
    table = shell.run("%holysheep spend --by user").result
    assert [(row["Relay key"], row["Calls"], str(row["Cost"])) for row in table.as_dicts()] == [
        ("=ann", 1, "$1.00"),
        ("laptop", 2, "at least $0.25"),
        ("all", 3, "at least $1.25"),
    ]
    assert table.title == "Spent by the keys of the relay"
    (row,) = shell.run("%holysheep spend --relay").result.as_dicts()
    assert (row["Model"], row["Calls"]) == ("gpt-4.1", 3)
    shell.run("%holysheep spend --export calls.csv")
    with (tmp_path / "calls.csv").open(newline="") as file:
        assert [row["user_name"] for row in csv.DictReader(file)] == ["", "laptop", "'=ann", "laptop"]


def test_spend_of_this_notebook_alone(shell: Shell) -> None:
    ledger = shell.magics.purse.ledger
    spent(ledger, "gpt-4.1", "0.25")
    spent(ledger, "gpt-4.1", "1", notebook=shell.magics.purse.notebook)
    (row,) = shell.run("%holysheep spend --here").result.as_dicts()
    assert str(row["Cost"]) == "$1.00"
    assert "$1.00 in this notebook" in shell.run("%holysheep").out
    assert "; $1.25 in all" in shell.run("%holysheep").out


def test_a_call_without_outcome_is_told(shell: Shell) -> None:
    script = (
        "import os, sys; from pathlib import Path; from hs_notebook.ledger import Ledger, Opening\n"
        "Ledger(Path(sys.argv[1])).begin(Opening(model='gpt-4.1')); os.kill(os.getpid(), 9)"
    )
    path = str(shell.magics.purse.ledger.path)
    subprocess.run([sys.executable, "-c", script, path], check=False, timeout=30)
    table = shell.run("%holysheep spend").result
    assert "1 call without outcome: the kernel ended before the answer did." in table.notes
    assert "1 without outcome" in shell.run("%holysheep").out


def test_spend_into_files(shell: Shell, tmp_path: Path) -> None:
    ledger = shell.magics.purse.ledger
    spent(ledger, "=cmd()", "0.1")
    spent(ledger, "gpt-4.1", "0.2")
    assert shell.run("%holysheep spend --export calls.csv").out == "2 calls written to calls.csv.\n"
    with (tmp_path / "calls.csv").open(newline="") as file:
        assert [row["gen_ai_request_model"] for row in csv.DictReader(file)] == ["'=cmd()", "gpt-4.1"]
    shell.run("%holysheep spend --export 'my calls.json'")
    rows = json.loads((tmp_path / "my calls.json").read_text())
    assert [row["cost_usd"] for row in rows] == ["0.1", "0.2"]
    (tmp_path / "calls.csv").unlink()
    for more in ("", " --export calls.csv"):
        frame = shell.run(f"%holysheep spend --dataframe{more}").result
        assert list(frame["cost_usd"]) == [0.1, 0.2]
    assert (tmp_path / "calls.csv").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("spend --by hour", "invalid choice: 'hour'"),
        ("spend --since tomorrow", "'tomorrow' names no moment. Write 24h, 7d"),
        ("spend --sinse 7d", "There is no option --sinse. Did you mean --since?"),
        ("spend --relay --export calls.csv", "--relay is for the table alone. Elsewhere user_name tells"),
        ("spend please", "%holysheep spend takes nothing more. %holysheep spend --help shows how."),
        ("spend --export calls.xlsx", "End its name in .csv or .json."),
        ("spend --export ~nobody-here/calls.csv", "There is no home folder for '~nobody-here/calls.csv'."),
        ("prices gtp-4.1", "Did you mean gpt-4.1?"),
        ("prices 'gpt", "A quotation mark is not closed."),
        ("roi nothing", "There is no preset nothing. There are article, chat,"),
        ("roi --calls 5", "There is no option --calls."),
    ],
)
def test_what_is_mistyped_is_one_line(line: str, said: str, shell: Shell) -> None:
    ran = shell.run(f"%holysheep {line}")
    assert said in ran.out
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize("command", ["prices", "spend", "roi"])
def test_help(command: str, shell: Shell) -> None:
    ran = shell.run(f"%holysheep {command} --help")
    assert ran.error is None
    assert ran.out.startswith(f"usage: %holysheep {command}")


def test_without_a_ledger(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.ledger = 'off'")
    assert "No ledger is kept." in shell.run("%holysheep spend").out
    assert "nothing is recorded" in shell.run("%holysheep").out
    assert shell.run("%%holysheep -o reply\n[simulate text speed=inf] Yes.").error is None


# --- the calculator ------------------------------------------------------------------------------


def test_roi_as_text(shell: Shell) -> None:
    out = shell.run("%holysheep roi article").out
    assert out.startswith("infeasible: 193 streams needed, 5 allowed\nSaves $158,000.00 a month (79.00 %)")
    assert "$1,896,000.00 a year" in out
    assert out == f"{roi('article')}\n"


def test_roi_of_this_notebook_s_own_calls(shell: Shell) -> None:
    assert "notebook" not in shell.run("%holysheep roi --help").out.partition("where to begin")[2]
    for model in ("gpt-4.1", "gpt-4.1", "deepseek-v3.2", "never-heard-of"):
        spent(shell.magics.purse.ledger, model, None, notebook=shell.magics.purse.notebook)
    out = shell.run("%holysheep roi notebook").out
    assert "67 % gpt-4.1 + 33 % deepseek-v3.2 at HolySheep" in out.replace("\n      ", " ")


def test_an_absurd_reply_breaks_no_calculator(shell: Shell) -> None:
    notebook = shell.magics.purse.notebook
    spent(shell.magics.purse.ledger, "gpt-4.1", None, notebook=notebook, input_tokens=10, cached_tokens=50)
    assert shell.run("%holysheep roi notebook").error is None
    spent(shell.magics.purse.ledger, "gpt-4.1", None, notebook=notebook, output_tokens=10**10)
    assert shell.run("%holysheep roi").error is None
    assert "There is no preset notebook." in shell.run("%holysheep roi notebook").out


def usual(**more: Any) -> Usual:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    fields: dict[str, Any] = {
        "calls": 4,
        "input_tokens": 1000.4,
        "output_tokens": 200,
        "cached_share": 0.0,
        "written_share": 0.0,
        "models": {"gpt-4.1": 1.0},
        "first": at,
        "last": at,
    }
    return Usual(**fields | more)


AT = date(2026, 11, 24)


def test_two_rounded_shares_are_no_more_than_all() -> None:
    preset = own_calls(usual(cached_share=0.00625, written_share=0.99375), builtin(), AT)
    assert preset is not None
    assert preset.inputs["cached_share"] + preset.inputs["cache_write_share"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("models", "title", "calls", "now"),
    [
        ({"gpt-4.1": 1.0}, "(4 so far)", 4, {"gpt-4.1": 1}),
        ({"openai/gpt-4-1": 0.5, "gpt-4.1": 0.5}, "(4 so far)", 4, {"gpt-4.1": 1}),
        ({"gpt-4.1": 0.75, "mine": 0.25}, "(3 of 4: no list has the others)", 3, {"gpt-4.1": 1}),
        (
            {"gpt-4.1": 0.5, "deepseek-chat": 0.5},
            "(4 so far)",
            4,
            {"gpt-4.1": 0.5, "deepseek-v3.2": 0.5},
        ),
    ],
)
def test_own_calls_say_how_many_are_meant(
    models: dict[str, float], title: str, calls: int, now: dict[str, float]
) -> None:
    preset = own_calls(usual(models=models), builtin(), AT)
    assert preset is not None
    assert preset.title == f"This notebook's own calls {title}, as if made each month"
    assert (preset.inputs["calls"], preset.inputs["now"]) == (calls, now)


def test_no_own_calls_where_there_can_be_none() -> None:
    assert own_calls(usual(models={"mine": 1.0}), builtin(), AT) is None
    assert own_calls(usual(input_tokens=1e9), builtin(), AT) is None


@given(st.dictionaries(st.text(min_size=1), st.floats(0.001, 1), min_size=1, max_size=20))
def test_shares_sum_to_one(parts: dict[str, float]) -> None:
    found = shares(parts)
    assert sum(Decimal(str(share)) for share in found.values()) == 1
    assert set(found) <= set(parts)


def test_the_public_function_gives_the_same_numbers() -> None:
    found = roi(now={"gpt-4.1": 1}, then={"deepseek-v3.2": 1}, seller="official")
    assert (found.month_now, found.month_then, found.saving) == (600, 49, 551)
    assert str(found.saving) == "551"
    assert str(roi(seller="official", top_up=True, growth=0.05).year_now) == str(roi(growth=0.05).year_now)
    assert found.as_python() == "roi(seller='official')"


# --- from a terminal -----------------------------------------------------------------------------


def cli(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hs_notebook.cli", *words]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=60, check=False)


def test_prices_and_spend_from_a_terminal(
    relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    assert "HolySheep" in cli("prices", "gpt-4.1", home=tmp_path).stdout
    assert "No call is recorded yet." in cli("spend", home=tmp_path).stdout
    dear = cli("ask", "--max-cost", "0.00001", "gpt-4.1", "[simulate speed=inf]", home=tmp_path)
    assert (dear.returncode, dear.stderr.count("\n")) == (1, 1)
    assert dear.stderr.startswith("BudgetError: ")
    cli("ask", "gpt-4.1", "[simulate tokens=20 speed=inf]", home=tmp_path)
    assert "$0.0001600" in cli("spend", home=tmp_path).stdout
    assert cli("spend", "--export", "x.json", home=tmp_path).stdout == "1 call written to x.json.\n"
    for mistyped in (("--since", "never"), ("--relay", "--export", "y.json")):
        wrong = cli("spend", *mistyped, home=tmp_path)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("UsageError: --relay is for the table alone. Elsewhere user_name tells")
    assert not (tmp_path / "y.json").exists()
