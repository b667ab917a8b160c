"""The ledger as a file and as a table: complete, exact, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json
import os
import sys
import tracemalloc
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.ledger import Ledger, Opening, Outcome, export, to_dataframe
from hs_notebook.ledger.moments import now
from hs_notebook.ledger.schema import COLUMNS, TEXTS


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three calls: one that is old, one of another notebook, one on its way."""
    ledger = Ledger(tmp_path / "ledger.db", keep_text=True)
    old = Opening(model="gpt-4.1", notebook="é 中.ipynb", prompt="=1+1", started_at=now() - timedelta(days=9))
    outcome = Outcome(
        state="complete",
        finish_reasons=("stop", "length"),
        input_tokens=1000,
        cost=Decimal("0.00280000000000000000000000001"),
        duration=1.5,
        answer='Say "a,b"\r\nand\nthat',
    )
    ledger.settle(ledger.begin(old), outcome)
    other = Opening(model="=HYPERLINK(1)", notebook="@b.ipynb", temperature=-1.0)
    ledger.settle(
        ledger.begin(other), Outcome(state="error", error_type="APIError", known_cost=Decimal("1E-9"))
    )
    ledger.begin(Opening(model="gpt-4.1", simulated=True))
    return ledger


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "calls.JSON"
    assert export(ledger, path) == 3
    rows = json.loads(path.read_text("utf-8"))
    assert rows == list(ledger.rows())
    assert [list(row) for row in rows] == [list(COLUMNS)] * 3
    assert rows[0]["cost_usd"] == "0.00280000000000000000000000001"
    assert rows[1]["cost_known_usd"] == "0.000000001"
    assert rows[0]["gen_ai_response_finish_reasons"] == ["stop", "length"]
    assert (rows[2]["simulated"], rows[2]["cost_usd"]) == (True, None)
    assert "é 中" in path.read_text("utf-8")
    assert export(ledger, path, text=True) == 3
    assert json.loads(path.read_text("utf-8"))[0]["answer"] == 'Say "a,b"\r\nand\nthat'


def test_csv(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    assert export(ledger, path, text=True) == 3
    rows = read_csv(path)
    assert [list(row) for row in rows] == [[*COLUMNS, *TEXTS]] * 3
    assert rows[0]["answer"] == 'Say "a,b"\r\nand\nthat'
    assert rows[0]["gen_ai_response_finish_reasons"] == "stop;length"
    assert rows[0]["cost_usd"] == "0.00280000000000000000000000001"
    assert (rows[2]["cost_usd"], rows[2]["simulated"]) == ("", "True")
    assert (rows[1]["gen_ai_request_model"], rows[1]["notebook"]) == ("'=HYPERLINK(1)", "'@b.ipynb")
    assert (rows[0]["prompt"], rows[1]["gen_ai_request_temperature"]) == ("'=1+1", "-1.0")
    assert not set(TEXTS) & set(read_csv_of(ledger, tmp_path)[0])


def read_csv_of(ledger: Ledger, folder: Path) -> list[dict[str, str]]:
    export(ledger, folder / "again.csv")
    return read_csv(folder / "again.csv")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        ('"=1"', '"=1"'),
        (",=1", ",=1"),
        ("gpt-4.1", "gpt-4.1"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_no_cell_is_a_formula(tmp_path: Path, name: str, cell: str) -> None:
    ledger = Ledger(tmp_path / "ledger.db", keep_text=True)
    outcome = Outcome(
        state="complete",
        response_model=name,
        response_id=name,
        finish_reasons=(name,),
        seller=name,
        error_type=name,
        answer=name,
    )
    opening = Opening(
        model=name, notebook=name, provider=name, server_address=name, operation=name, prompt=name
    )
    ledger.settle(ledger.begin(opening), outcome)
    export(ledger, tmp_path / "calls.csv", text=True)
    (row,) = read_csv(tmp_path / "calls.csv")
    assert [column for column, value in row.items() if value == cell] == [
        column for column, value in next(ledger.rows(text=True)).items() if value in (name, [name])
    ]


def test_what_is_wanted_of_it(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    for wanted, rows in (
        ({"since": timedelta(days=7)}, [2, 3]),
        ({"notebook": "@b.ipynb"}, [2]),
        ({"notebook": "x"}, []),
    ):
        assert export(ledger, path, **wanted) == len(rows)
        assert [row["id"] for row in json.loads(path.read_text("utf-8"))] == rows
    assert export(ledger, tmp_path / "calls.txt", form="csv") == 3
    assert len(read_csv(tmp_path / "calls.txt")) == 3


def test_an_empty_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "none.db")
    assert export(ledger, tmp_path / "calls.json") == export(ledger, tmp_path / "calls.csv") == 0
    assert json.loads((tmp_path / "calls.json").read_text("utf-8")) == []
    assert (tmp_path / "calls.csv").read_text("utf-8") == ",".join(COLUMNS) + "\n"
    frame = to_dataframe(ledger)
    assert list(frame.columns) == list(COLUMNS)
    assert str(frame.dtypes["started_at"]).endswith("UTC]")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("calls", UsageError, "What to write into calls is not clear. End its name in .csv or .json."),
        ("calls.xlsx", UsageError, "What to write into calls.xlsx is not clear."),
        ("none/calls.csv", ConfigurationError, "cannot be written (No such file or directory). Name another"),
        ("folder.csv", ConfigurationError, "folder.csv cannot be written (Is a directory)."),
        ("ledger.db/calls.csv", ConfigurationError, "cannot be written (Not a directory)."),
    ],
)
def test_where_it_cannot_go(ledger: Ledger, tmp_path: Path, name: str, error: Any, says: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    before = names(tmp_path)
    with pytest.raises(error) as caught:
        export(ledger, tmp_path / name)
    assert says in str(caught.value)
    assert names(tmp_path) == before


def test_the_ledger_is_not_written_over(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.csv").symlink_to(ledger.path)
    for path in (ledger.path, Path("ledger.db"), Path("link.csv"), tmp_path / "." / "x" / ".." / "ledger.db"):
        with pytest.raises(UsageError, match=r"is the ledger itself\. Name another file\."):
            export(ledger, path, form="csv")
    assert ledger.spent().simulated == 1


def test_whole_or_not_at_all(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("what was there before")
    ledger.path.write_bytes(b"damaged" * 1000)
    with pytest.raises(ConfigurationError, match="is damaged"):
        export(ledger, path)
    assert path.read_text() == "what was there before"
    assert names(tmp_path) == ["calls.csv", "ledger.db", "ledger.db-journal"]


@pytest.mark.parametrize(("text", "mode"), [(True, 0o600), (False, 0o644)])
@pytest.mark.parametrize("name", ["calls.csv", "calls.json"])
def test_what_was_written_is_the_user_s_alone(
    ledger: Ledger, tmp_path: Path, name: str, mode: int, *, text: bool
) -> None:
    path = tmp_path / name
    path.write_text("what all could read before")
    path.chmod(0o644)
    before = os.umask(0o022)
    try:
        export(ledger, path, text=text)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_many_rows_in_little_memory(tmp_path: Path) -> None:
    """More than a page of them, in their order, and no more than a page in memory."""
    ledger = Ledger(tmp_path / "ledger.db", keep_text=True)
    with ledger._file.writing() as connection:
        for number in range(4500):
            ledger._insert(connection, Opening(model=f"model-{number}", prompt="x" * 5000))
    tracemalloc.start()
    assert export(ledger, tmp_path / "calls.json", text=True) == 4500
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16e6  # the file has 25 MB
    rows = json.loads((tmp_path / "calls.json").read_text("utf-8"))
    assert [row["gen_ai_request_model"] for row in rows] == [f"model-{number}" for number in range(4500)]


def test_dataframe(ledger: Ledger) -> None:
    frame = to_dataframe(ledger)
    assert len(frame) == 3
    kinds = {column: str(kind) for column, kind in frame.dtypes.items()}
    assert kinds["started_at"].startswith("datetime64[")
    assert kinds["started_at"].endswith(", UTC]")
    assert kinds["ended_at"] == kinds["started_at"]
    assert {column for column, kind in kinds.items() if kind == "Int64"} == {
        "id",
        "process_id",
        *(column for column in COLUMNS if column.endswith("_tokens")),
    }
    assert {column for column, kind in kinds.items() if kind == "float64"} == {
        "cost_usd",
        "cost_known_usd",
        "charged_usd",
        "duration",
        "time_to_first_token",
        "gen_ai_request_temperature",
    }
    assert {column for column, kind in kinds.items() if kind == "bool"} == {"simulated", "usage_estimated"}
    assert frame["cost_usd"].tolist()[0] == 0.0028
    assert frame["cost_usd"].isna().tolist() == [False, True, True]
    assert frame["gen_ai_usage_input_tokens"].sum() == 1000
    assert frame["started_at"].is_monotonic_increasing
    assert frame.groupby("gen_ai_request_model")["cost_usd"].sum()["gpt-4.1"] == 0.0028
    assert "answer" in to_dataframe(ledger, text=True)
    assert len(to_dataframe(ledger, since=timedelta(days=7))) == 2


def test_without_pandas(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(UsageError, match=r"A DataFrame needs pandas\. Install it with %pip install pandas\."):
        to_dataframe(ledger)
