"""The ledger: a row for each call, whatever becomes of the call, and of the file."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.ledger import Ledger, Opening, Outcome, notebook_name, parse_since
from hs_notebook.ledger.entries import plain
from hs_notebook.ledger.schema import COLUMNS, STEPS, upgrade, version_of
from hs_notebook.pricing.names import plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL = Opening(model="gpt-4.1", notebook="work/a.ipynb")
DONE = Outcome(state="complete", input_tokens=1000, output_tokens=500, cost=Decimal("0.006"))
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "new" / "folder" / "ledger.db")


def only(ledger: Ledger, *, text: bool = False) -> dict[str, Any]:
    (row,) = ledger.rows(text=text)
    return row


def test_a_call_is_pending_then_settled(ledger: Ledger) -> None:
    opening = Opening(
        model="gpt-4.1",
        provider="holysheep",
        server_address="api.example",
        max_tokens=800,
        temperature=0.2,
        seller="HolySheep",
        notebook="work/a.ipynb",
        charge=Decimal("0.0084"),
        started_at=NOW,
    )
    row = ledger.begin(opening)
    pending = only(ledger)
    assert pending == dict.fromkeys(COLUMNS) | {
        "id": row,
        "started_at": "2026-11-24T12:30:00.000Z",
        "state": "pending",
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "holysheep",
        "gen_ai_request_model": "gpt-4.1",
        "gen_ai_request_max_tokens": 800,
        "gen_ai_request_temperature": 0.2,
        "gen_ai_response_finish_reasons": [],
        "usage_estimated": False,
        "charged_usd": "0.0084",
        "seller": "HolySheep",
        "simulated": False,
        "server_address": "api.example",
        "notebook": "work/a.ipynb",
        "user_name": "",
        "host_name": pending["host_name"],
        "process_id": os.getpid(),
    }
    outcome = Outcome(
        state="truncated",
        response_model="gpt-4.1-2025-04-14",
        response_id="chatcmpl-1",
        finish_reasons=("length",),
        input_tokens=1000,
        output_tokens=500,
        cached_tokens=200,
        written_tokens=100,
        reasoning_tokens=50,
        estimated=True,
        cost=Decimal("0.0060"),
        ttft=0.25,
        duration=4.5,
        error_type="StreamTruncatedError",
        ended_at=NOW + timedelta(seconds=4.5),
    )
    assert ledger.settle(row, outcome)
    assert only(ledger) == pending | {
        "ended_at": "2026-11-24T12:30:04.500Z",
        "state": "truncated",
        "gen_ai_response_model": "gpt-4.1-2025-04-14",
        "gen_ai_response_id": "chatcmpl-1",
        "gen_ai_response_finish_reasons": ["length"],
        "gen_ai_usage_input_tokens": 1000,
        "gen_ai_usage_output_tokens": 500,
        "gen_ai_usage_cache_read_input_tokens": 200,
        "gen_ai_usage_cache_creation_input_tokens": 100,
        "gen_ai_usage_reasoning_output_tokens": 50,
        "usage_estimated": True,
        "cost_usd": "0.0060",
        "charged_usd": "0.0060",
        "time_to_first_token": 0.25,
        "duration": 4.5,
        "error_type": "StreamTruncatedError",
    }


def test_what_is_unknown_is_null(ledger: Ledger) -> None:
    ledger.settle(ledger.begin(CALL), Outcome(state="complete", known_cost=Decimal("0.004")))
    row = only(ledger)
    assert (row["cost_usd"], row["cost_known_usd"]) == (None, "0.004")
    assert row["duration"] is row["time_to_first_token"] is row["gen_ai_usage_input_tokens"] is None


def test_a_call_is_settled_once(ledger: Ledger) -> None:
    row = ledger.begin(CALL)
    assert ledger.settle(row, DONE)
    assert not ledger.fail(row, "APIError")
    assert only(ledger)["state"] == "complete"
    assert not ledger.settle(row and row + 1, DONE)
    assert not ledger.settle(None, DONE)
    assert ledger.warning() is None


def test_a_call_that_brought_nothing(ledger: Ledger) -> None:
    ledger.fail(ledger.begin(CALL), "RateLimitError")
    row = only(ledger)
    assert (row["state"], row["error_type"], row["cost_usd"]) == ("error", "RateLimitError", None)


def test_what_is_once_simulated_stays_so(ledger: Ledger) -> None:
    ledger.settle(ledger.begin(msgspec.structs.replace(CALL, simulated=True, seller="Nobody")), DONE)
    assert only(ledger)["simulated"] is True
    assert only(ledger)["seller"] == "Nobody"


def test_the_default_is_the_user_s_own_data_folder() -> None:
    path = Ledger().path
    assert path.parts[-2:] == ("hs_notebook", "ledger.db")
    assert path.is_relative_to(Path.home())


def test_the_folder_is_the_user_s_alone(ledger: Ledger) -> None:
    ledger.begin(CALL)
    assert ledger.path.parent.stat().st_mode & 0o077 == 0


CANARY = "canary-9c1b7e0d"


def everywhere(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_text_unless_asked(tmp_path: Path) -> None:
    opening = msgspec.structs.replace(CALL, prompt=CANARY)
    outcome = msgspec.structs.replace(DONE, answer=CANARY)
    silent = Ledger(tmp_path / "silent.db")
    silent.settle(silent.begin(opening), outcome)
    silent.settle(None, outcome, opening=opening)
    assert b"gpt-4.1" in everywhere(tmp_path)
    assert CANARY.encode() not in everywhere(tmp_path)
    assert [(row["prompt"], row["answer"]) for row in silent.rows(text=True)] == [(None, None)] * 2

    keeping = Ledger(tmp_path / "keeping.db", keep_text=True)
    keeping.settle(keeping.begin(opening), outcome)
    assert CANARY.encode() in everywhere(tmp_path)
    row = only(keeping, text=True)
    assert (row["prompt"], row["answer"]) == (CANARY, CANARY)
    assert "prompt" not in only(keeping)


def test_an_answer_is_kept_without_its_prompt(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", keep_text=True)
    ledger.settle(ledger.begin(CALL), msgspec.structs.replace(DONE, answer="Half \ud83d of it"))
    row = only(ledger, text=True)
    assert (row["prompt"], row["answer"]) == (None, "Half \\ud83d of it")


ANY_TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "'; DROP TABLE calls; --",
        '" OR 1=1',
        "a\x00b",
        "%s :model ?1 $x",
        "=1+1",
        "\ud800",
        "",
        " ",
        "x" * 5000,
    ]
)
ANY_NUMBER = st.none() | st.integers() | st.floats() | st.booleans()
ANY_MONEY = (
    st.none() | st.decimals() | st.sampled_from(["1E+999999", "1E-999999", "-1", "0", "sNaN"]).map(Decimal)
)


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A ledger that has seen much."""
    return Ledger(tmp_path_factory.mktemp("worn") / "ledger.db", keep_text=True)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.tuples(*[ANY_TEXT] * 8),
    numbers=st.tuples(*[ANY_NUMBER] * 9),
    costs=st.tuples(ANY_MONEY, ANY_MONEY),
)
def test_whatever_it_is_told_comes_back(
    worn: Ledger, names: tuple[str, ...], numbers: tuple[Any, ...], costs: tuple[Decimal | None, ...]
) -> None:
    model, notebook, provider, seller, answered, response, reason, text = names
    opening = Opening(
        model=model,
        notebook=notebook,
        provider=provider,
        seller=seller,
        max_tokens=numbers[0],
        temperature=numbers[1],
        prompt=text,
    )
    outcome = Outcome(
        state="complete",
        response_model=answered,
        response_id=response,
        finish_reasons=(reason,),
        input_tokens=numbers[2],
        output_tokens=numbers[3],
        cached_tokens=numbers[4],
        reasoning_tokens=numbers[5],
        ttft=math.nan if numbers[6] is None else numbers[6],
        duration=math.inf if numbers[7] is None else numbers[7],
        cost=costs[0],
        known_cost=costs[1],
        error_type=reason,
        answer=text,
    )
    row = worn.begin(opening)
    assert worn.settle(row, outcome), worn.warning()
    found = next(kept for kept in worn.rows(text=True, notebook=notebook) if kept["id"] == row)
    assert found["gen_ai_request_model"] == plain(model)
    assert found["gen_ai_response_finish_reasons"] == [plain(reason)]
    assert (found["seller"] or "", found["error_type"] or "") == (plain(seller), plain(reason))
    assert found["answer"] == found["prompt"] == text.encode("utf-8", "backslashreplace").decode()
    if text.isprintable():
        assert found["answer"] == text
    shown = {plain_name(known.name) or known.name for known in worn.spending("model").rows}
    assert (plain_name(plain(answered or model)) or plain(answered or model)) in shown
    assert plain(notebook) in {known.name for known in worn.spending("notebook").rows}
    assert worn.spent(notebook=notebook).calls >= 1
    for column, cost in zip(("cost_usd", "cost_known_usd"), costs, strict=True):
        if found[column] is not None:
            assert Decimal(found[column]) == cost
    if costs[0] is not None and costs[0].is_finite() and 0 <= costs[0] < 10**12:
        assert found["cost_usd"] is not None or int(costs[0].as_tuple().exponent) < -100


def threads(number: int, work: Any) -> None:
    started = [threading.Thread(target=work) for _ in range(number)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "a ledger each"])
def test_threads(tmp_path: Path, *, shared: bool) -> None:
    common = Ledger(tmp_path / "ledger.db")

    def work() -> None:
        ledger = common if shared else Ledger(common.path)
        for _ in range(20):
            assert ledger.settle(ledger.begin(CALL), DONE)

    threads(8, work)
    assert common.spent().calls == 160
    assert common.spent().pending == 0


# What can be wrong with the file.


def under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "ledger.db"


def a_folder(folder: Path) -> Path:
    (folder / "ledger.db").mkdir()
    return folder / "ledger.db"


def no_such_disk(_folder: Path) -> Path:
    return Path("/proc/hs_notebook/ledger.db")


def garbage(folder: Path) -> Path:
    (folder / "ledger.db").write_bytes(b"not what it seems " * 500)
    return folder / "ledger.db"


def torn(folder: Path) -> Path:
    ledger = Ledger(folder / "ledger.db")
    for _ in range(50):
        ledger.settle(ledger.begin(CALL), DONE)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[: len(whole) // 2])
    return ledger.path


def scribbled_on(folder: Path) -> Path:
    path = torn(folder)
    good = path.read_bytes()
    path.write_bytes(good[:4096] + b"\xaa" * (len(good) - 4096))
    return path


def of_the_future(folder: Path) -> Path:
    Ledger(folder / "ledger.db").begin(CALL)
    with sqlite3.connect(folder / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    return folder / "ledger.db"


def another_s(folder: Path) -> Path:
    with sqlite3.connect(folder / "ledger.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    return folder / "ledger.db"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (under_a_file, "cannot be written (its folder is a file). Calls go on"),
        (a_folder, "cannot be opened. Calls go on"),
        (no_such_disk, "cannot be written (No such file or directory)"),
        (garbage, "is damaged or no ledger. Calls go on, but are not recorded. Move it away"),
        (torn, "is damaged or no ledger."),
        (scribbled_on, "is damaged or no ledger."),
        (of_the_future, "is of a later version of hs_notebook. Calls go on"),
        (another_s, "is another program's database. Calls go on"),
    ],
)
def test_the_call_goes_on_and_one_warning_says_why(make: Any, says: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    before = path.read_bytes() if path.is_file() else None
    ledger = Ledger(path)
    assert ledger.warning() is None
    for _ in range(3):
        assert ledger.begin(CALL) is None
        assert not ledger.settle(None, DONE, opening=CALL)
    warning = ledger.warning()
    assert warning is not None
    assert says in warning
    assert str(path) in warning
    assert "\n" not in warning
    assert ledger.begin(CALL) is None
    assert ledger.warning() is None
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("make", [a_folder, garbage, torn, scribbled_on, of_the_future, another_s])
def test_what_cannot_be_read_is_one_line(make: Any, tmp_path: Path) -> None:
    ledger = Ledger(make(tmp_path))
    for read in (
        ledger.spending,
        ledger.spent,
        ledger.usage_of,
        ledger.unsettled,
        lambda: list(ledger.rows()),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert str(ledger.path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_where_there_is_no_file_nothing_was_spent(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "ledger.db", tmp_path / "empty.db"):
        ledger = Ledger(path)
        if path.parent.exists():
            path.touch()
        assert ledger.spending().rows == ()
        assert ledger.spent().calls == 0
        assert ledger.usage_of("a.ipynb") is None
        assert ledger.unsettled() == ()
        assert list(ledger.rows()) == []
    assert not (tmp_path / "none").exists()
    assert ledger.begin(CALL) == 1


def test_it_tries_again(tmp_path: Path) -> None:
    path = under_a_file(tmp_path)
    ledger = Ledger(path)
    row = ledger.begin(CALL)
    assert row is None
    path.parent.unlink()
    # The disk is back before the answer is whole: nothing is lost.
    assert ledger.settle(row, DONE, opening=msgspec.structs.replace(CALL, started_at=NOW))
    kept = only(ledger)
    assert (kept["state"], kept["started_at"]) == ("complete", "2026-11-24T12:30:00.000Z")
    assert ledger.warning() is not None
    path.unlink()
    path.mkdir()
    assert ledger.begin(CALL) is None
    assert ledger.warning() is None


def test_odd_paths(tmp_path: Path) -> None:
    for name in ("a b?mode=memory&x#y%41.db", "é 中.db", "file:x.db", os.fsdecode(b"\xff.db")):
        ledger = Ledger(tmp_path / name)
        assert ledger.begin(CALL) == 1, ledger.warning()
        assert (tmp_path / name).stat().st_size
        assert ledger.spent().calls == 1


def test_a_path_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Ledger(Path("ledger.db")).begin(CALL) == 1
    assert (tmp_path / "ledger.db").exists()


# Versions.


def test_a_file_of_an_older_version_is_brought_up(ledger: Ledger) -> None:
    ledger.settle(ledger.begin(CALL), DONE)
    later = (*STEPS, ("ALTER TABLE calls ADD COLUMN mood TEXT", "UPDATE calls SET mood = 'good'"))
    with sqlite3.connect(ledger.path) as connection:
        upgrade(connection, later)
        upgrade(connection, later)
        assert version_of(connection) == len(later)
        assert connection.execute("SELECT cost_usd, mood FROM calls").fetchall() == [("0.006", "good")]
    connection.close()


def test_a_file_of_before_there_was_a_relay(ledger: Ledger, tmp_path: Path) -> None:
    ledger.path.parent.mkdir(parents=True)
    with sqlite3.connect(ledger.path) as connection:
        upgrade(connection, STEPS[:1])
        connection.execute(
            "INSERT INTO calls (started_at, local_day, state, gen_ai_request_model, cost_usd, cost_pico,"
            " notebook, process_id) VALUES ('2026-11-24T12:00:00.000Z', '2026-11-24', 'complete', 'gpt-4.1',"
            " '0.5', 500000000000, 'a.ipynb', 1)"
        )
        assert version_of(connection) == 1
    connection.close()
    before = ledger.path.read_bytes()
    assert only(ledger)["user_name"] == ""
    assert ledger.spent().cost == Decimal("0.5")
    ledger.settle(ledger.begin(Opening(model="m", user="ann")), DONE)
    assert [row["user_name"] for row in ledger.rows()] == ["", "ann"]

    other = Ledger(tmp_path / "written.db")
    other.path.write_bytes(before)
    assert other.begin(CALL) == 2
    assert [row["gen_ai_request_model"] for row in other.rows()] == ["gpt-4.1", "gpt-4.1"]


def test_a_step_that_fails_changes_nothing(ledger: Ledger) -> None:
    ledger.begin(CALL)
    broken = (*STEPS, ("DROP TABLE texts", "no such statement"))
    connection = sqlite3.connect(ledger.path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        upgrade(connection, broken)
    connection.close()
    assert len(list(ledger.rows(text=True))) == 1
    assert ledger.begin(CALL) == 2


# Names and moments.


@pytest.mark.parametrize(
    ("environ", "namespace", "name"),
    [
        ({"JPY_SESSION_NAME": "/home/u/a.ipynb"}, {"get_ipython": len}, "/home/u/a.ipynb"),
        ({}, {"__vsc_ipynb_file__": "/home/u/b.ipynb", "get_ipython": len}, "/home/u/b.ipynb"),
        (
            {"JPY_SESSION_NAME": "b-jvsc-1234.ipynb"},
            {"__vsc_ipynb_file__": "/home/u/b.ipynb"},
            "/home/u/b.ipynb",
        ),
        ({}, {"__file__": "train.py", "get_ipython": len}, "train.py"),
        ({}, {"get_ipython": len}, "IPython"),
        ({"JPY_SESSION_NAME": " "}, {"__vsc_ipynb_file__": 5, "__file__": None}, ""),
        ({}, {}, ""),
    ],
)
def test_notebook_name(environ: Mapping[str, str], namespace: Mapping[str, Any], name: str) -> None:
    assert notebook_name(environ, namespace) == name


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", "2026-11-23T12:30:00Z"),
        ("7d", "2026-11-17T12:30:00Z"),
        (" 2 W ", "2026-11-10T12:30:00Z"),
        ("0d", "2026-11-24T12:30:00Z"),
        ("2026-11-01", "2026-11-01T04:00:00Z"),  # the clocks go back later that day
        ("2026-11-02", "2026-11-02T05:00:00Z"),
        ("2026-11-24T07:00", "2026-11-24T12:00:00Z"),
        ("2026-11-24T07:00+00:00", "2026-11-24T07:00:00Z"),
    ],
)
def test_since(text: str, moment: str) -> None:
    assert parse_since(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7x", "-7d", "7.5d", "999999w", "1e3d", "yesterday", "2026-13-01", "2026-11-31",
     "0001-01-01T00:00+23:00",     "9999-12-31", "2026-11-25", "٣x", "x" * 1000, "7d\n8d"],
)  # fmt: skip
def test_no_since(text: str) -> None:
    with pytest.raises(UsageError, match=r"(names no moment|is yet to come)\. Write 24h, 7d, 2w") as caught:
        parse_since(text, NOW)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 150
