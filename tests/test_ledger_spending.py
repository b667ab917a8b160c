"""What was spent: exact to the last digit, quick, and honest about what nobody knows."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_notebook.errors import UsageError
from hs_notebook.ledger import Ledger, Opening, Outcome, Spent
from hs_notebook.ledger.moments import now
from hs_notebook.ledger.spending import By

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAYS: tuple[By, ...] = get_args(By)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def call(
    ledger: Ledger,
    model: str = "gpt-4.1",
    *,
    notebook: str = "a.ipynb",
    at: datetime | None = None,
    state: Any = "complete",
    may_cost: Decimal | None = None,
    user: str = "",
    **outcome: Any,
) -> None:
    opening = Opening(model=model, notebook=notebook, user=user, started_at=at or now(), charge=may_cost)
    row = ledger.begin(opening)
    if state != "pending":
        ledger.settle(row, Outcome(state=state, **outcome))


def test_nothing_is_mixed_up(ledger: Ledger) -> None:
    cost: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 100, "cost": Decimal("0.0028")}
    call(ledger, **cost, cached_tokens=400)
    call(ledger, **cost, state="stopped", estimated=True)
    call(ledger, state="truncated", input_tokens=10, output_tokens=5, known_cost=Decimal("0.00004"))
    call(ledger, input_tokens=10, output_tokens=5, estimated=True)
    call(ledger, state="error", error_type="RateLimitError")
    call(ledger, state="pending")
    call(ledger, **cost, simulated=True)
    call(ledger, **cost, simulated=True, state="stopped", estimated=True)
    (row,) = ledger.spending("model").rows
    assert row == Spent(
        name="gpt-4.1",
        calls=6,
        pending=1,
        errors=1,
        input_tokens=2020,
        output_tokens=210,
        cached_tokens=400,
        cost=Decimal("0.00564"),
        unknown=2,
        estimated=1,
        charged=Decimal("0.00564"),
        simulated=2,
        simulated_cost=Decimal("0.0056"),
    )
    assert ledger.spent() == Spent(
        **{name: getattr(row, name) for name in row.__struct_fields__ if name != "name"}
    )


def test_an_error_that_was_billed_counts(ledger: Ledger) -> None:
    call(ledger, state="error", input_tokens=10, output_tokens=0, cost=Decimal("0.00002"))
    spent = ledger.spent()
    assert (spent.errors, spent.cost, spent.unknown) == (1, Decimal("0.00002"), 0)


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize(
    ("outcome", "unknown"),
    [
        ({}, False),
        ({"error_type": "RateLimitError"}, False),
        ({"input_tokens": 10, "output_tokens": 2, "cost": Decimal("0.00002")}, False),
        ({"input_tokens": 10, "output_tokens": 2, "known_cost": Decimal("0.000016")}, True),
        ({"output_tokens": 2}, True),
        ({"input_tokens": 0}, True),
        ({"known_cost": Decimal("0.000016")}, True),
    ],
)
def test_an_error_after_a_part_of_an_answer_costs_what_is_unknown(
    ledger: Ledger, outcome: dict[str, Any], *, unknown: bool, simulated: bool
) -> None:
    call(ledger, state="error", simulated=simulated, **outcome)
    spent = ledger.spent()
    assert (spent.unknown, spent.simulated_unknown) == (unknown and not simulated, unknown and simulated)


def test_a_free_call_is_not_an_unknown_one(ledger: Ledger) -> None:
    call(ledger, cost=Decimal(0))
    assert ledger.spent().unknown == 0


SEVENTH = Decimal(1) / 7  # no whole number of 1e-12


@pytest.mark.parametrize("may_cost", [None, Decimal("0.5"), SEVENTH])
@pytest.mark.parametrize(
    ("outcome", "charged"),
    [
        ({"cost": Decimal("0.02")}, "0.02"),
        ({"known_cost": Decimal("0.01")}, "0.01"),
        ({"cost": SEVENTH}, str(SEVENTH)),
        ({"cost": Decimal("0.02"), "charge": Decimal("0.03")}, "0.03"),
        ({"cost": Decimal("0.02"), "charge": Decimal(0)}, "0"),
        ({"cost": Decimal("0.02"), "charge": SEVENTH}, str(SEVENTH)),
        ({"cost": SEVENTH, "charge": Decimal("0.03")}, "0.03"),
        ({"known_cost": Decimal("0.01"), "charge": Decimal("0.4")}, "0.4"),
        ({"charge": Decimal("0.4")}, "0.4"),
        ({"cost": Decimal("0.02"), "charge": Decimal("NaN")}, "0.02"),
        ({}, None),
        ({"state": "error"}, None),
        ({"state": "error", "charge": Decimal("0.1")}, "0.1"),
        ({"state": "error", "cost": Decimal("0.02")}, "0.02"),
    ],
)
def test_what_counts_against_a_budget(
    ledger: Ledger, outcome: dict[str, Any], charged: str | None, may_cost: Decimal | None
) -> None:
    call(ledger, may_cost=may_cost, state="pending")
    call(ledger, may_cost=may_cost, **outcome)
    call(ledger, may_cost=may_cost, **outcome, simulated=True)
    rows = [row["charged_usd"] for row in ledger.rows()]
    assert rows[:2] == [None if may_cost is None else str(may_cost), charged]
    whole = Fraction(may_cost or 0) + Fraction(charged or 0)
    for by in WAYS:
        assert Fraction(ledger.spending(by).total.charged) == whole
    assert Fraction(ledger.spent(notebook="a.ipynb").charged) == whole


def test_by_model_it_is_the_one_that_answered(ledger: Ledger) -> None:
    call(ledger, "gpt-4.1", response_model="gpt-5.5", cost=Decimal(1))
    call(ledger, "gpt-4.1", cost=Decimal(2))
    call(ledger, "newest", response_model="gpt-4.1", cost=Decimal(3))
    call(ledger, "z-free", cost=Decimal(0))
    call(ledger, "a-free", cost=Decimal(0))
    spending = ledger.spending("model")
    assert [(row.name, int(row.cost), row.calls) for row in spending.rows] == [
        ("gpt-4.1", 5, 2),
        ("gpt-5.5", 1, 1),
        ("a-free", 0, 1),
        ("z-free", 0, 1),
    ]
    assert spending.total.cost == 6


def test_spellings_of_a_model_are_one(ledger: Ledger) -> None:
    call(ledger, "claude-sonnet-4-5", cost=Decimal(1))
    call(ledger, "anthropic/claude-sonnet-4.5", cost=Decimal(2))
    for simulated in (False, True):
        call(ledger, "claude-sonnet-4.5", cost=Decimal("0.25"), simulated=simulated)
    call(ledger, "claude-sonnet-4", cost=Decimal(4))
    call(ledger, "b/")  # nothing is left of these two without what vendors add
    call(ledger, "a/")
    assert [(row.name, row.calls, row.simulated, row.cost) for row in ledger.spending().rows] == [
        ("claude-sonnet-4", 1, 0, 4),
        ("claude-sonnet-4.5", 3, 1, Decimal("3.25")),
        ("a/", 1, 0, 0),
        ("b/", 1, 0, 0),
    ]
    assert [row.name for row in ledger.spending("notebook").rows] == ["a.ipynb"]


def test_of_spellings_used_alike_the_shortest_is_shown(ledger: Ledger) -> None:
    for model in ("openai/gpt-4.1", "gpt-4.1-2025-04-14", "gpt-4.1", "gpt-4-1"):
        call(ledger, model, cost=Decimal(1))
    assert [(row.name, row.calls) for row in ledger.spending().rows] == [("gpt-4-1", 4)]


def test_by_notebook_and_of_one(ledger: Ledger) -> None:
    for notebook, cost in (("a.ipynb", 1), ("b.ipynb", 2), ("b.ipynb", 3), ("", 4)):
        call(ledger, notebook=notebook, cost=Decimal(cost))
    assert [(row.name, int(row.cost)) for row in ledger.spending("notebook").rows] == [
        ("b.ipynb", 5),
        ("", 4),
        ("a.ipynb", 1),
    ]
    assert ledger.spent(notebook="b.ipynb").cost == 5
    assert ledger.spent(notebook="").cost == 4
    assert ledger.spent(notebook="b") == Spent()
    for by in WAYS:
        assert ledger.spending(by, notebook="b.ipynb").total.cost == 5


@pytest.mark.usefixtures("tokyo")
def test_days_are_the_user_s_own(ledger: Ledger) -> None:
    for hour in (14, 15, 16):  # midnight in Tokyo is at 15:00 UTC
        call(ledger, at=datetime(2026, 11, 20, hour, tzinfo=UTC), cost=Decimal(hour))
    call(ledger, at=datetime(2026, 11, 19, 23, tzinfo=UTC), cost=Decimal(1))
    assert [(row.name, int(row.cost)) for row in ledger.spending("day").rows] == [
        ("2026-11-20", 15),
        ("2026-11-21", 31),
    ]


@pytest.mark.parametrize("by", WAYS)
def test_since(ledger: Ledger, by: By) -> None:
    for days in (0, 3, 10):
        call(ledger, at=now() - timedelta(days=days), cost=Decimal(10**days))
        call(ledger, at=now() - timedelta(days=days), cost=Decimal(10**days) / 7)
    for since, cost in ((timedelta(days=1), 1), (timedelta(days=7), 1001), (None, 10000001001)):
        whole = ledger.spending(by, since=since).total.cost
        assert round(whole) == cost + round(cost / 7)
        assert ledger.spending(by, since=None if since is None else now() - since).total.cost == whole
    assert ledger.spending(by, since=timedelta(days=-1)).rows == ()


def test_by_something_else(ledger: Ledger) -> None:
    with pytest.raises(
        UsageError, match=r"Spending is not told by 'id; DROP TABLE calls'\. Ask by model, day"
    ):
        ledger.spending("id; DROP TABLE calls")  # type: ignore[arg-type]


MONEY = (
    st.integers(0, 10**9).map(lambda millionths: Decimal(millionths) / 10**8)
    | st.decimals(0, 10**11, places=20, allow_nan=False)
    | st.sampled_from(["0", "9223372.036854775807", "9223372.036854775808", f"{10**12 - 1}.{'9' * 24}"])
    .map(Decimal)
    | st.integers(1, 10**9).map(lambda cents: Decimal(cents) / 73)
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sums")


@settings(max_examples=60, deadline=None)
@given(costs=st.lists(st.tuples(MONEY, MONEY, st.booleans(), st.booleans()), max_size=12))
def test_sums_are_exact(folder: Path, costs: list[tuple[Decimal, Decimal, bool, bool]]) -> None:
    ledger = Ledger(folder / "ledger.db")
    ledger.path.unlink(missing_ok=True)
    for cost, charge, whole, simulated in costs:
        if whole:
            call(ledger, simulated=simulated, cost=cost, charge=charge)
        else:
            call(ledger, simulated=simulated, known_cost=cost, charge=charge)
    real = [(cost, charge, whole) for cost, charge, whole, simulated in costs if not simulated]
    for by in WAYS:
        total = ledger.spending(by).total
        assert Fraction(total.cost) == sum(Fraction(cost) for cost, _, _ in real)
        assert Fraction(total.charged) == sum(Fraction(charge) for _, charge, _ in real)
        assert Fraction(total.simulated_cost) == sum(
            Fraction(cost) for cost, _, _, simulated in costs if simulated
        )
        assert total.unknown == sum(not whole for _, _, whole in real)
        assert (total.calls, total.simulated) == (len(real), len(costs) - len(real))


def test_no_sum_overflows(ledger: Ledger) -> None:
    most = Decimal("9223372.036854775807")  # the largest that 64 bits hold in 1e-12 USD
    for _ in range(50):
        call(ledger, cost=most, input_tokens=2**70, output_tokens=2**63, cached_tokens=-5)
    spent = ledger.spent()
    assert spent.cost == spent.charged == 50 * most
    assert (spent.input_tokens, spent.output_tokens, spent.cached_tokens) == (50 * 10**12, 50 * 10**12, 0)


ROWS = 100_000
# Row n costs n µ$, but every 50th of it a seventh that no whole number of 1e-12 is.
FILL = """
WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 100000)
INSERT INTO calls (
    started_at, ended_at, local_day, state, gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model,
    gen_ai_response_model, gen_ai_response_id, gen_ai_usage_input_tokens, gen_ai_usage_output_tokens,
    gen_ai_usage_cache_read_input_tokens, cost_usd, cost_pico, charged_usd, charged_pico, simulated,
    server_address, notebook, process_id
)
SELECT strftime('%Y-%m-%dT%H:%M:%S.000Z', 1764000000 + n * 300, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%S.000Z', 1764000000 + n * 300, 'unixepoch'),
    date(1764000000 + n * 300, 'unixepoch'), 'complete', 'chat', 'holysheep', 'model-' || (n % 4),
    'model-' || (n % 4),    'chatcmpl-' || hex(n * 123456789), n, 500, 100,
    CASE WHEN n % 50 THEN printf('%d.%06d', n / 1000000, n % 1000000) ELSE '0.0000000000001' END,
    CASE WHEN n % 50 THEN n * 1000000 ELSE -1 END, printf('%d.%06d', n / 500000, n * 2 % 1000000),
    n * 2000000, n % 10 = 0, 'api.example',
    '/home/user/projects/notebook-' || (n % 40) || '.ipynb', 4711
FROM counted
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A ledger of a hundred thousand calls, a call every five minutes."""
    ledger = Ledger(tmp_path_factory.mktemp("full") / "ledger.db")
    ledger.settle(ledger.begin(Opening(model="model-0")), Outcome(state="error"))
    connection = sqlite3.connect(ledger.path)
    with connection:
        connection.execute("DELETE FROM calls")
        connection.execute(FILL)
    connection.close()
    return ledger


@pytest.mark.parametrize("by", WAYS)
def test_a_hundred_thousand_calls_add_up_at_once(full: Ledger, by: By) -> None:
    times = []
    for _ in range(5):
        start = time.process_time()
        spending = full.spending(by)
        times.append(time.process_time() - start)
    assert min(times) < 0.2
    real = [n for n in range(1, ROWS + 1) if n % 10]
    assert spending.total.calls == len(real)
    assert spending.total.input_tokens == sum(real)
    assert spending.total.cost == spending.total.charged / 2 == Decimal(sum(real)).scaleb(-6)
    odd = Decimal("0.0000000000001") * (ROWS // 50)
    pretended = Decimal(sum(n for n in range(10, ROWS + 1, 10) if n % 50)).scaleb(-6)
    assert spending.total.simulated_cost == pretended + odd
    assert len(spending.rows) == {"model": 4, "day": 348, "notebook": 40, "user": 1}[by]


def test_the_status_line_is_quick(full: Ledger) -> None:
    times = []
    for _ in range(5):
        start = time.process_time()
        spent = full.spent(notebook="/home/user/projects/notebook-7.ipynb", since=timedelta(days=3650))
        times.append(time.process_time() - start)
    assert min(times) < 0.03
    assert spent.calls == ROWS // 40


@pytest.mark.parametrize("by", WAYS)
def test_no_row_is_looked_at_to_add_up(full: Ledger, by: By) -> None:
    """What makes it quick, whatever the machine: an index in the grouping's order, of all that is summed."""
    from hs_notebook.ledger import spending

    connection = sqlite3.connect(full.path)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    spending.spending(connection, by)
    connection.set_trace_callback(None)
    plans = [connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall() for query in asked]
    connection.close()
    assert len(plans) == 2
    for plan in plans:
        assert "COVERING INDEX" in plan[0][3]
        assert not any("TEMP B-TREE" in step[3] for step in plan)


def test_no_call_had_more_from_a_cache_than_it_sent(ledger: Ledger) -> None:
    call(ledger, "gpt-4.1", input_tokens=10, output_tokens=1, cached_tokens=50, written_tokens=50)
    call(ledger, "gpt-4.1", input_tokens=30, output_tokens=1, cached_tokens=10, written_tokens=50)
    usual = ledger.usage_of()
    assert usual is not None
    assert (usual.cached_share, usual.written_share) == (0.5, 0.5)


def test_usage_of_a_notebook(ledger: Ledger) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    used: dict[str, Any] = {
        "input_tokens": 1000,
        "output_tokens": 200,
        "cached_tokens": 500,
        "written_tokens": 100,
    }
    for day, model in enumerate(("gpt-4.1", "gpt-4.1", "deepseek-v3.2")):
        call(ledger, model, at=at + timedelta(days=day), **used)
    call(
        ledger,
        "gpt-4.1",
        at=at + timedelta(days=9),
        input_tokens=3000,
        output_tokens=0,
        state="stopped",
        estimated=True,
    )
    call(
        ledger,
        "x",
        response_model="deepseek-v3.2",
        state="truncated",
        input_tokens=0,
        output_tokens=0,
        simulated=True,
    )
    call(ledger, "gpt-4.1", state="error", input_tokens=10**6, output_tokens=10**6)
    call(ledger, "gpt-4.1", state="pending")
    call(ledger, "gpt-4.1", input_tokens=10**6)  # its output is unknown
    call(ledger, "gpt-4.1", notebook="b.ipynb", input_tokens=7, output_tokens=7)
    usual = ledger.usage_of("a.ipynb")
    assert usual is not None
    assert (usual.calls, usual.simulated, usual.estimated) == (5, 1, 1)
    assert (usual.input_tokens, usual.output_tokens) == (1200, 120)
    assert (usual.cached_share, usual.written_share) == (0.25, 0.05)
    assert list(usual.models.items()) == [("gpt-4.1", 0.6), ("deepseek-v3.2", 0.4)]
    assert usual.first == at
    assert now() - usual.last < timedelta(minutes=1)
    everything = ledger.usage_of()
    assert everything is not None
    assert everything.calls == 6
    assert ledger.usage_of("c.ipynb") is None


def test_usage_of_a_call_through_one_s_own_relay_is_that_of_one(ledger: Ledger) -> None:
    call(ledger, input_tokens=100, output_tokens=10)
    call(ledger, notebook="(relay)", user="laptop", input_tokens=100, output_tokens=10)
    usual = ledger.usage_of()
    assert usual is not None
    assert usual.calls == 1
    assert ledger.usage_of("(relay)") is None


def test_usage_without_input(ledger: Ledger) -> None:
    call(ledger, input_tokens=0, output_tokens=3)
    usual = ledger.usage_of("a.ipynb")
    assert usual is not None
    assert (usual.cached_share, usual.written_share) == (0, 0)
