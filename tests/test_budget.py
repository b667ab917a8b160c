"""Money is checked before it is spent: limits on a call and on the notebook, over a real relay."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from shell import KEY, Reply, Server, Shell, sse, until_closed

from hs_notebook.errors import BudgetError, ConfigurationError
from hs_notebook.ledger import Ledger, Opening, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

LONG = "[simulate tokens=2000 tps=2000]"
SHORT = "[simulate text speed=inf] Yes."


@pytest.fixture(autouse=True)
def _price_of_the_input(shell: Shell) -> None:
    shell.magics.prices = [{"model": "gpt-4.1", "input": 2.0}]


def ledger(shell: Shell) -> Ledger:
    found = shell.magics.purse.ledger
    assert isinstance(found, Ledger)
    return found


def billed(prompt_tokens: int, *, said: int = 1, model: str = "gpt-4.1") -> Reply:
    """A reply of a word with this usage, of a relay that is not simulated."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": said, "total_tokens": prompt_tokens + said}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    return sse({"model": model, "choices": [choice]}, {"choices": [], "usage": usage})


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


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("JPY_SESSION_NAME", "work/a.ipynb")
    return "work/a.ipynb"


def test_the_notebook_s_budget(shell: Shell, notebook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([billed(500_000)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        shell.run("%config HolySheepMagics.budget_usd = 2")
        assert shell.run("%%holysheep\nHello").error is None
        assert "$1.00 of a budget of $2.00 are counted" in shell.run("%holysheep").out
        shell.run("%%holysheep\nHello")
        ran = shell.run("%%holysheep\nHello")
        assert isinstance(ran.error, BudgetError)
        assert ran.out.startswith("BudgetError: The notebook's budget of $2.00 is spent. Raise it with")
        assert len(server.asked) == 2
        shell.run("%config HolySheepMagics.budget_usd = None")
        assert shell.run("%%holysheep\nHello").error is None
    assert ledger(shell).spent(notebook=notebook).charged > 3


@pytest.fixture
def _somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A terminal to sit before: else the background is waited for."""
    master, slave = os.openpty()
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        yield
    os.close(master)


def test_what_is_not_yet_written_down_counts_beside_what_was_before(
    shell: Shell, notebook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = Opening(model="gpt-4.1", notebook=notebook)
    ledger(shell).settle(ledger(shell).begin(opening), Outcome(state="complete", cost=Decimal(5)))
    with Server([billed(500_000)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        assert shell.run("%%holysheep\nHello").error is None
        assert 6 <= shell.magics.purse.spent() < Decimal("6.01")
        shell.magics.session.count(Decimal(2))  # as of a call whose row is still to come
        assert 8 <= shell.magics.purse.spent() < Decimal("8.01")


@pytest.mark.usefixtures("_somebody_is_there")
def test_what_is_held_for_an_answer_is_not_spent(shell: Shell) -> None:
    shell.magics.budget_usd = 0.05
    shell.run("%%holysheep --bg -o later\n[simulate tokens=6000 tps=100 ttft=1]")
    assert shell.names["later"].state == "streaming"
    assert shell.run(f"%%holysheep\n{SHORT}").out == (
        "BudgetError: The rest of the notebook's budget of $0.05 is held for an answer still arriving. "
        "Wait for it, or give it --max-tokens.\n"
    )
    shell.names["later"].stop()
    assert shell.run(f"%%holysheep\n{SHORT}").error is None


@pytest.mark.usefixtures("_somebody_is_there")
def test_no_more_is_held_than_the_model_can_say(shell: Shell) -> None:
    shell.magics.budget_usd = 1  # the longest answer is $0.27
    shell.run("%%holysheep --bg -o later\n[simulate tokens=6000 tps=100 ttft=1]")
    assert shell.run(f"%%holysheep\n{SHORT}").error is None
    shell.names["later"].stop()


def test_the_limit_is_named_in_a_later_round(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([billed(4000)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        told = shell.run("%%holysheep -f json --repair --max-cost 0.0081\nHello").out
    assert len(server.asked) == 1
    assert re.search(r"above the \$0\.0000\d+ left of the limit of \$0\.0081; nothing was sent\.", told)


def test_the_budget_outlives_the_kernel(shell: Shell, notebook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the price of the input is unknown, and counts at the maker's list."""
    shell.magics.prices = []
    with Server([billed(500_000)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        shell.run("%%holysheep\nHello")
        path, asked = shell.magics.ledger, len(server.asked)
        shell.run("%reload_ext hs_notebook")
        shell.magics.ledger, shell.magics.budget_usd = path, 1.0
        assert "budget of $1.00 is spent" in shell.run("%%holysheep\nHello").out
        assert len(server.asked) == asked
    assert notebook in shell.run("%holysheep spend --by notebook").out + str(shell.run("%holysheep").out)


def test_an_answer_of_a_model_without_a_price_counts_as_the_one_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server([billed(500_000, model="never-heard-of")]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        assert "cost unknown" in shell.run("%%holysheep\nHello").out
    assert shell.magics.session.charged > 1


def test_what_simulated_answers_would_cost_is_not_spent(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.budget_usd = 1")
    shell.run("%%holysheep\n[simulate tokens=20 speed=inf]")
    assert shell.magics.purse.spent() == 0
    assert "$0 of a budget of $1.00 are counted" in shell.run("%holysheep").out


def test_what_came_unseen_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([billed(10, said=500_000)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        out = shell.run("%%holysheep --max-cost 0.001\nHello").out
    assert "came to $4.00, above the limit of $0.001: what is not streamed" in out


@pytest.mark.parametrize("budget", ["float('inf')", "float('nan')", "1e30"])
def test_a_budget_that_cannot_be(budget: str, shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%config HolySheepMagics.budget_usd = {budget}")
    ran = shell.run(f"%%holysheep\n{SHORT}")
    assert "is no amount in USD" in ran.out
    assert ran.out.count("\n") == 1
    assert relay.stats.requests == 0


def test_a_wrong_price_is_told_before_anything_is_sent(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run('%config HolySheepMagics.prices = [{"model": "gpt-4.1", "input": -2}]')
    ran = shell.run(f"%%holysheep\n{SHORT}")
    assert isinstance(ran.error, ConfigurationError)
    assert ran.out.startswith(
        "ConfigurationError: %config HolySheepMagics.prices: price 1 (gpt-4.1): input = -2"
    )
    assert ran.out.count("\n") == 1
    assert relay.stats.requests == 0


def test_a_price_file_that_is_named_wins_over_one_that_is_not_there(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[price]]\nmodel = "gpt-5.5"\ninput = 5\noutput = 30.0\n')
    monkeypatch.setenv("HOLYSHEEP_PRICES", str(tmp_path / "missing.toml"))
    assert "missing.toml" in shell.run(f"%%holysheep\n{SHORT}").out
    shell.run(f"%config HolySheepMagics.prices_file = {str(file)!r}")
    assert shell.run(f"%%holysheep\n{SHORT}").error is None
    shell.run("%config HolySheepMagics.replay = 'record'")
    shell.run(f"%%holysheep\n{SHORT}")
    shell.run("%config HolySheepMagics.replay = 'replay'")
    assert shell.run(f"%%holysheep\n{SHORT}").error is None


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


def test_a_dry_run_looks_at_what_is_kept(shell: Shell) -> None:
    shell.run(f"%%holysheep --cache\n{SHORT}")
    assert "price  " in shell.run(f"%%holysheep --dry-run\n{SHORT}").out
    told = shell.run(f"%%holysheep --dry-run --cache --max-cost 0\n{SHORT}").out
    assert "\ncost   $0, answered from answers.jsonl\n\n[user]" in told
    shell.magics.replay = "record"
    assert "\nprice  " in shell.run(f"%%holysheep --dry-run --no-cache\n{SHORT}").out
    assert "\nprice  " in shell.run("%%holysheep --dry-run\nHello").out
    shell.magics.replay = "replay"
    told = shell.run("%%holysheep --dry-run\nHello").out
    assert "\ncost   $0: answers.jsonl has no answer, and nothing is asked in the mode replay\n\n" in told


def test_a_dry_run_names_what_it_does_not_know(shell: Shell) -> None:
    out = shell.run("%%holysheep gpt-5.5 --dry-run\nHello").out
    assert "cost   unknown\nprice  unknown at HolySheep\n" in out
    shell.magics.prices = []
    out = shell.run("%%holysheep gpt-4.1 --dry-run\nHello").out
    assert "cost   input unknown; at the maker's list, as limits count it, ≈$0.00" in out
    assert "; output at most $0.27 (32,768 tokens, the model's longest answer)\n" in out
    out = shell.run("%%holysheep gpt-4.1 --dry-run --base-url https://elsewhere.example/v1\nHello").out
    assert "price  unknown at elsewhere.example" in out
    out = shell.run("%%holysheep gpt-4.1 --dry-run --max-cost 0.0000001\nHello").out
    assert "limit  it would be refused: The call may cost" in out
    assert (
        "limit  the limit of $1.00 has room for" in shell.run("%%holysheep --dry-run --max-cost 1\nHello").out
    )


def test_a_dry_run_shows_no_key(shell: Shell) -> None:
    shell.names["k"] = KEY
    ran = shell.run("%%holysheep gpt-4.1 --dry-run\nIs it {k}?")
    assert ran.out == "UsageError: The prompt or an option holds your key; nothing was sent. Take it out.\n"


def test_a_price_at_a_host_of_one_s_own(shell: Shell) -> None:
    line = "%%holysheep gpt-4.1 --dry-run --max-cost 1 --base-url https://elsewhere.example/v1\nHello"
    assert "with seller 'elsewhere.example'" in shell.run(line).out
    shell.magics.prices = [{"model": "gpt-4.1", "seller": "elsewhere.example", "input": 1, "output": 1}]
    assert "has room for" in shell.run(line).out


def test_a_ledger_stays_where_it_was_named(shell: Shell, tmp_path: Path) -> None:
    shell.run("%config HolySheepMagics.ledger = 'calls.db'")
    shell.run(f"%%holysheep\n{SHORT}")
    shell.run("import os; os.mkdir('below'); os.chdir('below')")
    shell.run(f"%%holysheep\n{SHORT}")
    assert len(list(Ledger(tmp_path / "calls.db").rows())) == 2
    assert (
        "There is no home folder for"
        in shell.run("%config HolySheepMagics.ledger = '~nobody-here/x'\n%holysheep").out
    )


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


def test_what_is_sent_beside_the_text_is_no_over_billing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "one two three four five six seven eight nine ten " * 10
    tool = {"type": "function", "function": {"name": "look", "description": "looks " * 90}}
    with Server([billed(400)]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        told = [shell.run(f"%%holysheep gpt-4.1 -p tools={json.dumps([tool])!r}\n{prompt}") for _ in range(8)]
    assert all(ran.error is None for ran in told)
    assert "billed above" not in "".join(ran.out for ran in told)
    line = "%%holysheep gpt-4.1 --dry-run"
    told = [shell.run(f"{line}{more}\n{prompt}") for more in ("", f" -p tools={json.dumps([tool])!r}")]
    bare, more = (int(re.findall(r"input  ≈(\d+) tokens", ran.out)[0]) for ran in told)
    assert 100 < bare < 120
    assert more > bare + 100


def test_another_seller_s_prices(shell: Shell) -> None:
    """With the extra [prices]: a model that our book lacks, at a host that is not the relay's."""
    out = shell.run("%%holysheep gpt-4.1-mini --dry-run --base-url https://api.openai.com/v1\nHello").out
    assert "(OpenAI: third party, genai-prices " in out
    out = shell.run("%%holysheep gpt-4.1-mini --dry-run\nHello").out
    assert "price  unknown at HolySheep" in out
