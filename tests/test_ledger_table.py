"""What `spend` shows: no figure without what is not in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from hs_notebook.display.spending import spending_table
from hs_notebook.ledger import Ledger, Opening, Outcome
from hs_notebook.ledger.moments import now

if TYPE_CHECKING:
    from pathlib import Path

    from hs_notebook.display.table import Table

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
WHOLE = {"cost": Decimal("0.02")}
PART = {"known_cost": Decimal("0.01")}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def call(
    ledger: Ledger, outcome: dict[str, Any], *, simulated: bool = False, state: Any = "complete"
) -> None:
    opening = Opening(model="gpt-4.1", started_at=START)
    told = Outcome(state=state, input_tokens=10, output_tokens=2, simulated=simulated, **outcome)
    assert ledger.settle(ledger.begin(opening), told)


def table(ledger: Ledger, since: datetime | None = None) -> Table:
    return spending_table(ledger.spending(since=since), scope="in all", since=since)


def shown(ledger: Ledger, column: str) -> str:
    (row,) = table(ledger).as_dicts()
    return str(row[column])


@pytest.mark.parametrize(
    ("outcomes", "cost"),
    [
        ([WHOLE], "$0.02"),
        ([PART], "at least $0.01"),
        ([WHOLE, PART], "at least $0.03"),
        ([{}], "unknown"),
        ([WHOLE, {}], "at least $0.02"),
    ],
)
@pytest.mark.parametrize("simulated", [False, True])
def test_a_part_is_no_whole(
    ledger: Ledger, outcomes: list[dict[str, Any]], cost: str, *, simulated: bool
) -> None:
    for outcome in outcomes:
        call(ledger, outcome, simulated=simulated)
    assert shown(ledger, "would cost" if simulated else "Cost") == cost


def test_nor_is_that_of_an_error(ledger: Ledger) -> None:
    call(ledger, PART | {"estimated": True}, state="error")
    assert shown(ledger, "Cost") == "at least ≈$0.01"
    note = table(ledger).notes[0]
    assert note.startswith(
        "1 call cost more than is counted here, since a price, or what an answer came to, is"
    )


@pytest.mark.parametrize(
    ("known", "estimated", "shown_as"),
    [
        ("0.016", False, "at least $0.01"),
        ("1.996", False, "at least $1.99"),
        ("1.996", True, "at least ≈$1.99"),
        ("0", True, "unknown"),
    ],
)
def test_what_is_known_is_never_rounded_up(
    ledger: Ledger, known: str, shown_as: str, *, estimated: bool
) -> None:
    call(ledger, {"known_cost": Decimal(known), "estimated": estimated})
    assert shown(ledger, "Cost") == shown_as


def test_a_simulated_call_under_way_may_cost_more(ledger: Ledger) -> None:
    call(ledger, WHOLE, simulated=True)
    ledger.begin(Opening(model="gpt-4.1", simulated=True))
    assert shown(ledger, "would cost") == "at least $0.02"


def test_no_call_since_then(ledger: Ledger) -> None:
    assert table(ledger).notes == ("No call is recorded yet.",)
    call(ledger, WHOLE)
    assert table(ledger).notes == ()
    assert table(ledger, START).notes == ()
    assert table(ledger, START + timedelta(seconds=1)).notes == ("No call since then.",)
    assert table(ledger, now()).notes == ("No call since then.",)
