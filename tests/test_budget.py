"""Money is checked before it is spent: limits on a call and on the notebook, over a real relay."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from shell import Reply, Server, Shell, sse, until_closed

from hs_notebook.errors import BudgetError, ConfigurationError
from hs_notebook.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.relay.serve import EmbeddedRelay

LONG = "[simulate tokens=2000 tps=2000]"
SHORT = "[simulate text speed=inf] Yes."


@pytest.fixture(autouse=True)
def _price_of_the_input(shell: Shell) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "input": 2.0}]


def ledger(shell: Shell) -> Ledger:
    found = shell.magics.purse.ledger
    assert isinstance(found, Ledger)
    return found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gpt-4.1 --max-cost 0.0001 --max-tokens 100", "BudgetError: The call may cost $0.0008"),
        ("gpt-4.1 --max-cost 0", "above the limit of $0; nothing was sent."),
        (
            "gpt-4.1 --max-cost 0.1 --no-stream",
            "BudgetError: The call may cost $0.27, above the limit of $0.10;",
        ),
        (
            "gpt-5.5 --max-cost 1",
            "BudgetError: The price of gpt-5.5 at HolySheep is unknown, so the limit of $1.00",
        ),
        ("gpt-4.1 --max-cost five", "UsageError: Argument --max-cost: five is no amount in USD. "),
        ("gpt-4.1 --max-cost -1", "UsageError: Argument --max-cost"),
    ],
)
def test_what_is_too_dear_is_not_sent(line: str, said: str, shell: Shell, relay: EmbeddedRelay) -> None:
    ran = shell.run(f"%%holysheep {line}\n{SHORT}")
    assert said in ran.out
    assert ran.out.count("\n") == 1
    assert relay.stats.requests == 0
    assert list(ledger(shell).rows()) == []


def test_an_answer_that_reaches_its_limit_is_stopped_kept_and_priced(
    shell: Shell, relay: EmbeddedRelay
) -> None:
    ran = shell.run(f"%%holysheep gpt-4.1 --max-cost 0.001 -o answer\n{LONG}")
    assert ran.error is None
    until_closed(relay)
    answer = shell.names["answer"]
    assert answer.state == "stopped"
    assert answer.text
    assert "stopped at the limit of $0.001" in ran.out
    assert Decimal("0.0003") < answer.cost <= Decimal("0.001")
    assert answer.usage.completion_tokens < 150
    (row,) = ledger(shell).rows()
    assert (row["state"], row["usage_estimated"], Decimal(row["cost_usd"])) == ("stopped", True, answer.cost)


def test_one_that_stays_below_is_whole(shell: Shell) -> None:
    ran = shell.run("%%holysheep gpt-4.1 --max-cost 0.001 -o answer\n[simulate tokens=50 speed=inf]")
    assert shell.names["answer"].state == "complete"
    assert "stopped at" not in ran.out
    assert shell.names["answer"].usage.estimated is False


def test_the_makers_input_price_guards_where_the_relay_s_is_unknown(
    shell: Shell, relay: EmbeddedRelay
) -> None:
    shell.magics.prices = []
    words = "word " * 2000  # of input, at $2 a million tokens
    assert "may cost $0.00" in shell.run(f"%%holysheep gpt-4.1 --max-cost 0.002\n{words}").out
    assert relay.stats.requests == 0
    shell.run(f"%%holysheep gpt-4.1 --max-cost 0.01 -o answer\n{SHORT}")
    assert shell.names["answer"].cost is None


def test_the_notebook_s_budget(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.budget_usd = 0.001")
    shell.run(f"%%holysheep -o first\n{LONG}")
    assert shell.names["first"].state == "stopped"
    assert "the rest of the notebook's budget of $0.001" in shell.names["first"].receipt.note
    until_closed(relay)
    seen = relay.stats.requests
    shell.run("%config HolySheepMagics.budget_usd = 0.0002")
    ran = shell.run(f"%%holysheep\n{SHORT}")
    assert isinstance(ran.error, BudgetError)
    assert ran.out.startswith("BudgetError: The notebook's budget of $0.0002 is spent. Raise it with")
    assert relay.stats.requests == seen
    shell.run("%config HolySheepMagics.budget_usd = None")
    assert shell.run(f"%%holysheep\n{SHORT}").error is None


def test_the_budget_outlives_the_kernel(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.budget_usd = 1")
    notebook = shell.magics.purse.notebook
    spent_before(ledger(shell), notebook, Decimal("0.75"))
    assert shell.magics.purse.spent() == Decimal("0.75")
    spent_before(ledger(shell), notebook, Decimal("0.30"))
    spent_before(ledger(shell), "another.ipynb", Decimal(5))
    assert "budget of $1.00 is spent" in shell.run(f"%%holysheep\n{SHORT}").out


def spent_before(kept: Ledger, notebook: str, cost: Decimal) -> None:
    from hs_notebook.ledger import Opening, Outcome

    row = kept.begin(Opening(model="gpt-4.1", notebook=notebook))
    assert kept.settle(row, Outcome(state="complete", cost=cost))


def test_a_wrong_price_is_told_before_anything_is_sent(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run('%config HolySheepMagics.prices = [{"model": "gpt-4.1", "input": -2}]')
    ran = shell.run(f"%%holysheep\n{SHORT}")
    assert isinstance(ran.error, ConfigurationError)
    assert ran.out.startswith(
        "ConfigurationError: %config HolySheepMagics.prices: price 1 (gpt-4.1): input = -2"
    )
    assert ran.out.count("\n") == 1
    assert relay.stats.requests == 0


def test_a_price_file_of_one_s_own(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[price]]\nmodel = "gpt-5.5"\ninput = 5\noutput = 30.0\n')
    shell.run(f"%config HolySheepMagics.prices_file = {str(file)!r}")
    shell.run("%%holysheep gpt-5.5 -o answer\n[simulate tokens=10 speed=inf]")
    usage = shell.names["answer"].usage
    assert shell.names["answer"].cost == (usage.prompt_tokens * 5 + 10 * 30) / Decimal(1_000_000)
    file.write_text("[[price]]\nmodel = ")
    assert shell.run(f"%%holysheep\n{SHORT}").out.startswith("ConfigurationError: mine.toml is no TOML: ")
    file.unlink()
    assert f"There is no price file {file}." in shell.run(f"%%holysheep\n{SHORT}").out


# --- dry runs ------------------------------------------------------------------------------------


def test_a_dry_run_sends_nothing(shell: Shell, relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    shell.names["name"] = "world"
    ran = shell.run("%%holysheep gpt-4.1 --dry-run --max-tokens 100 -t 0 -s 'Be brief.'\nHello {name}")
    assert ran.error is None
    head, *messages = ran.out.split("\n\n")
    assert [line.split()[0] for line in head.splitlines()] == ["Dry", "to", "with", "input", "cost", "price"]
    assert f"gpt-4.1 at {relay.base_url}" in head
    assert '{"temperature": 0.0, "max_tokens": 100}' in head
    assert "tokens (estimated: " in head
    assert "output at most $0.0008000 (100 tokens)" in head
    assert "input 2.0, output 8.00 USD per million tokens (HolySheep: yours" in head
    assert [message.strip() for message in messages] == ["[system]\nBe brief.", "[user]\nHello world"]
    assert relay.stats.requests == 0
    assert list(ledger(shell).rows()) == []


def test_a_dry_run_names_what_it_does_not_know(shell: Shell) -> None:
    out = shell.run("%%holysheep gpt-5.5 --dry-run\nHello").out
    assert "cost   unknown\nprice  unknown at HolySheep\n" in out
    shell.magics.prices = []
    out = shell.run("%%holysheep gpt-4.1 --dry-run\nHello").out
    assert "cost   input unknown; output at most $0.27 (32,768 tokens, the model's longest answer)\n" in out
    out = shell.run("%%holysheep gpt-4.1 --dry-run --base-url https://elsewhere.example/v1\nHello").out
    assert "price  unknown at this relay" in out


# --- warnings ------------------------------------------------------------------------------------


def test_a_model_near_its_end_is_told_once(shell: Shell) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "output": 8, "retires_on": "2000-01-01"}]
    first = shell.run(f"%%holysheep\n{SHORT}")
    assert "gpt-4.1 was to retire on 2000-01-01: who answers now may cost something else." in first.out
    assert "was to retire" not in shell.run(f"%%holysheep\n{SHORT}").out


def test_a_ledger_that_cannot_be_written_costs_no_answer(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shell.magics.ledger = str(tmp_path / "file" / "ledger.db")
    first = shell.run(f"%%holysheep -o answer\n{SHORT}")
    assert shell.names["answer"].text.strip() == "Yes."
    assert first.error is None
    assert first.err.count("\n") == 1
    assert "Calls go on, but are not recorded." in first.err
    assert shell.run(f"%%holysheep\n{SHORT}").err == ""
    assert shell.run("%holysheep").error is None


# --- what was billed teaches ---------------------------------------------------------------------


def billed(prompt_tokens: int) -> Reply:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1, "total_tokens": prompt_tokens + 1}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    return sse({"model": "gpt-4.1", "choices": [choice]}, {"choices": [], "usage": usage})


def test_over_billing_is_told_once_and_corrects_estimates(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "one two three four five six seven eight nine ten " * 10
    with Server([billed(400)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        told = [shell.run(f"%%holysheep gpt-4.1\n{prompt}").out for _ in range(8)]
        dry = shell.run(f"%%holysheep gpt-4.1 --dry-run\n{prompt}").out
    assert [out.count("billed above what their text can have") for out in told] == [0, 0, 0, 0, 0, 1, 0, 0]
    assert "≈400 tokens (estimated: " in dry


def test_another_seller_s_prices(shell: Shell) -> None:
    """With the extra [prices]: a model that our book lacks, at a host that is not the relay's."""
    out = shell.run("%%holysheep gpt-4.1-mini --dry-run --base-url https://api.openai.com/v1\nHello").out
    assert "(OpenAI: third party, genai-prices " in out
    out = shell.run("%%holysheep gpt-4.1-mini --dry-run\nHello").out
    assert "price  unknown at HolySheep" in out
