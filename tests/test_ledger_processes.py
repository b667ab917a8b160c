"""The ledger among processes: many at once, killed ones, forked ones, and one that holds the file."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hs_notebook import HolySheep
from hs_notebook.ledger import Ledger, Opening, Outcome
from hs_notebook.ledger.moments import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hs_notebook.relay import EmbeddedRelay

KEY = "cr_test_0123456789abcdef"
CALL = Opening(model="gpt-4.1", notebook="a.ipynb")
DONE = Outcome(state="complete", input_tokens=10, output_tokens=5)

START = """
import sys
from decimal import Decimal
from pathlib import Path
from hs_notebook.ledger import Ledger, Opening, Outcome
ledger = Ledger(Path(sys.argv[1]))
def begin(**more):
    return ledger.begin(Opening(model="gpt-4.1", notebook="b.ipynb", **more))
def settle(row, **more):
    return ledger.settle(row, Outcome(state="complete", input_tokens=10, output_tokens=5, **more))
def say(*words):
    print(*words, flush=True)
"""


def process(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a Python that has a ledger at the path which is its first argument."""
    command = [sys.executable, "-c", START + script, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, **options
    )


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def tell(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    running.stdin.write("\n")
    running.stdin.flush()


def end(running: subprocess.Popen[str]) -> str:
    try:
        said, _ = running.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # and the children it may have
    assert running.returncode == 0
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


def is_sound(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        connection.close()


def test_six_processes_at_once(path: Path, publish: Any) -> None:
    """All begin on a file that is not there yet, so that they make it together, too."""
    script = """
say("ready")
sys.stdin.readline()
settled = sum(settle(begin(), cost=Decimal("0.001")) for _ in range(200))
say(settled, ledger.warning())
"""
    running = [process(script, path) for _ in range(6)]
    assert [line(one) for one in running] == ["ready"] * 6
    for one in running:
        tell(one)
    assert [end(one) for one in running] == ["200 None\n"] * 6
    spent = Ledger(path).spent()
    assert (spent.calls, spent.pending, str(spent.cost)) == (1200, 0, "1.2")
    assert len({row["process_id"] for row in Ledger(path).rows()}) == 6
    assert is_sound(path)
    publish("ledger", trouble="six processes at once, on a file that is not there yet", kept="1,200 of 1,200")


def test_no_committed_row_is_lost_by_a_kill(path: Path, publish: Any) -> None:
    """Twenty processes die by SIGKILL in the middle of their work; what they said was kept is there."""
    script = """
while True:
    row = begin()
    say("pending", row)
    if settle(row):
        say("complete", row)
"""
    moment = random.Random(3)
    kept: dict[int, str] = {}
    for _ in range(20):
        running = process(script, path)
        said = [line(running) for _ in range(8)]
        time.sleep(moment.uniform(0, 0.05))
        running.send_signal(signal.SIGKILL)
        rest, _ = running.communicate(timeout=30)
        assert running.returncode == -signal.SIGKILL
        said += rest.rpartition("\n")[0].splitlines()  # the last line may be half a one
        kept.update((int(row), state) for state, row in map(str.split, said))
    found = {row["id"]: row["state"] for row in Ledger(path).rows()}
    assert len(kept) > 70
    assert {row: found.get(row) for row, state in kept.items() if state == "complete"} == {
        row: state for row, state in kept.items() if state == "complete"
    }
    assert set(kept) <= set(found)
    assert len(found) - len(kept) <= 20  # those that died between keeping a row and saying so
    assert is_sound(path)
    assert Ledger(path).begin(CALL) == max(found) + 1
    publish("ledger", trouble="twenty processes killed as they write", kept=f"{len(kept):,} of {len(kept):,}")


def test_a_killed_kernel_leaves_its_call_pending(path: Path, publish: Any) -> None:
    running = process("say(begin()); sys.stdin.readline()", path)
    ledger = Ledger(path)
    row = int(line(running))
    assert ledger.unsettled() == ()  # it is on its way
    running.kill()
    running.communicate(timeout=30)
    ledger.begin(CALL)  # ours is on its way, too
    (lost,) = ledger.unsettled(since=timedelta(days=1))
    assert (lost.id, lost.model, lost.notebook) == (row, "gpt-4.1", "b.ipynb")
    assert lost.note == "outcome unknown: the kernel ended before the answer did"
    publish("ledger", trouble="a kernel killed in mid-answer", kept="the call, as pending", told=lost.note)
    assert abs(now() - lost.started_at) < timedelta(minutes=1)
    assert ledger.unsettled(since=now()) == ()
    assert ledger.spent().pending == 2
    assert not ledger.settle(row, DONE)  # another process's call is not ours to settle
    assert ledger.spent().pending == 2


@pytest.mark.parametrize(
    ("age", "changed", "gone"),
    [
        ("1 minute", "", False),
        ("1 minute", "host_name = 'elsewhere'", False),
        ("25 hours", "host_name = 'elsewhere'", True),
        ("25 hours", "", True),
        ("2 hours", "", True),  # before this process was: the same number in a new container
        ("2 hours", "process_id = 1", False),
        ("1 minute", "process_id = 99999999", True),
        ("1 minute", "process_id = 99999999999999", False),
    ],
)
def test_whose_process_is_gone(path: Path, age: str, changed: str, *, gone: bool) -> None:
    number, unit = age.split()
    span = timedelta(hours=int(number)) if unit == "hours" else timedelta(0)
    ledger = Ledger(path)
    ledger.begin(Opening(model="gpt-4.1", started_at=now() - span))
    if changed:
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE calls SET {changed}")
        connection.close()
    assert ledger.unsettled() == () or changed  # who began it knows better, whatever the clock says
    assert bool(Ledger(path).unsettled()) is gone


HOLDING = """
import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
say("held")
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
say("free")
"""


def test_a_file_that_another_program_holds(path: Path) -> None:
    ledger = Ledger(path, timeout=0.6)
    assert ledger.begin(CALL) == 1
    holding = process(HOLDING, path)
    assert line(holding) == "held"
    waits = []
    for _ in range(2):
        start = time.monotonic()
        assert ledger.begin(CALL) is None
        waits.append(time.monotonic() - start)
    assert waits[0] >= 0.5
    assert waits[1] < waits[0]  # a lock that lasts delays no further call as long
    warning = ledger.warning()
    assert warning is not None
    assert "is locked by another program. Calls go on, but are not recorded. Close the one" in warning
    tell(holding)
    assert line(holding) == "free"
    end(holding)
    assert ledger.begin(CALL) == 2
    assert ledger.warning() is None


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_who_waits_long_enough_loses_nothing(path: Path, seconds: float) -> None:
    ledger = Ledger(path)
    ledger.begin(CALL)
    holding = process(HOLDING, path)
    assert line(holding) == "held"
    threading.Timer(seconds, tell, [holding]).start()
    start = time.monotonic()
    assert ledger.begin(CALL) == 2
    assert time.monotonic() - start > 0.9 * seconds
    end(holding)


def test_a_reader_waits_for_no_export(path: Path) -> None:
    """Who reads the rows one by one holds nothing: other processes write meanwhile."""
    ledger = Ledger(path, timeout=0.5)
    for _ in range(3):
        ledger.begin(CALL)
    rows = ledger.rows()
    next(rows)
    assert end(process("say(begin())", path)) == "4\n"
    assert len(list(rows)) == 2


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user may enter: pytest's own are closed to all but one."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def in_a_child(work: Any, *, anybody: bool = False) -> str:
    """Do `work` in a forked child and return what it says; as `anybody`, who may not write where root may."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            if anybody and os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(write, work().encode())
        except BaseException as error:  # noqa: BLE001 - a child must not go on with the tests
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, encoding="utf-8") as said:
        return said.read()


@pytest.mark.parametrize("there", [True, False], ids=["with a ledger", "empty"])
def test_a_folder_that_is_read_only(shared_folder: Path, publish: Any, *, there: bool) -> None:
    ledger = Ledger(shared_folder / "ledger.db")
    if there:
        ledger.begin(CALL)
    shared_folder.chmod(0o555)
    if there:
        ledger.path.chmod(0o444)

    def work() -> str:
        return f"{ledger.begin(CALL)} {ledger.spent().calls} {ledger.warning()} {ledger.warning()}"

    what = "is read-only" if there else "cannot be opened"
    assert in_a_child(work, anybody=True) == (
        f"None {int(there)} The ledger {ledger.path} {what}. Calls go on, but are not recorded. "
        "Name a file in a folder that can be written. None"
    )
    publish(
        "ledger", trouble=f"a folder that is read-only, {'with' if there else 'without'} a ledger",
        kept="what was there", told=f"The ledger … {what}. Calls go on, but are not recorded. …",
    )  # fmt: skip


def test_a_folder_that_cannot_be_entered(shared_folder: Path) -> None:
    ledger = Ledger(shared_folder / "closed" / "ledger.db")
    ledger.begin(CALL)
    ledger.path.parent.chmod(0)

    def work() -> str:
        try:
            ledger.spent()
        except Exception as error:  # noqa: BLE001 - whichever it is
            return f"{ledger.begin(CALL)} {type(error).__name__} {error}"
        return "it can be read"

    said = in_a_child(work, anybody=True)
    ledger.path.parent.chmod(0o755)
    assert said.startswith(f"None ConfigurationError The ledger {ledger.path} cannot be")


FILLING = """
import resource
sys.stdin.readline()
rows = 0
while (row := begin(prompt=None, provider="x" * 4000)) is not None:
    rows = row
    if rows > 5000:
        break
say(rows, ledger.warning())
say(ledger.spent().calls, begin(), ledger.warning())
"""


def test_a_file_that_may_not_grow(path: Path, publish: Any) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    running = process(FILLING, path, preexec_fn=limit)
    said = running.communicate("\n", timeout=60)[0].splitlines()
    rows, _, warning = said[0].partition(" ")
    assert int(rows) > 10
    assert "cannot be written" in warning or "has no room" in warning
    # What was kept before is there still, and the process goes on.
    assert said[1].split()[0] == rows
    assert Ledger(path).spent().calls >= int(rows)
    assert is_sound(path)
    publish("ledger", trouble="a file that may not grow (RLIMIT_FSIZE)", kept=f"{rows} of {rows} before it",
            told=warning.replace(str(path), "…"))  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.getuid() or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def one_warning(path: Path, relay: EmbeddedRelay, says: str) -> str:
    """Ask twice where nothing can be recorded: the answers are there, and one warning, which is returned."""
    with (
        HolySheep(KEY, base_url=relay.base_url, ledger=Ledger(path)) as client,
        pytest.warns(UserWarning, match=says) as told,
    ):
        answers = [client.ask("[simulate tokens=5]", model="gpt-4.1") for _ in range(2)]
    assert [answer.state for answer in answers] == ["complete"] * 2
    (warning,) = told
    return str(warning.message)


def test_a_full_disk(small_disk: Path, relay: EmbeddedRelay, publish: Any) -> None:
    path = small_disk / "ledger.db"
    running = process(FILLING, path)
    said = running.communicate("\n", timeout=60)[0].splitlines()
    rows, _, warning = said[0].partition(" ")
    assert int(rows) > 10
    assert warning == (
        f"The ledger {path} has no room on its disk. Calls go on, but are not recorded. "
        "Make room, or name a file on another disk."
    )
    assert said[1].split()[0] == rows
    assert is_sound(path)
    with (small_disk / "rest").open("wb", buffering=0) as rest, suppress(OSError):
        while rest.write(b"x" * 512):
            pass
    one_warning(path, relay, "has no room on its disk")
    publish("ledger", trouble="a file system of 256 KiB that is full", kept=f"{rows} of {rows} before it",
            told=warning.replace(str(path), "…"))  # fmt: skip


def test_a_disk_that_is_read_only(small_disk: Path, relay: EmbeddedRelay, publish: Any) -> None:
    """As root finds it, too, who may write whatever its mode says."""
    path = small_disk / "ledger.db"
    assert Ledger(path).begin(CALL) == 1
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    warning = one_warning(path, relay, "is read-only")
    assert Ledger(path).spent().calls == 1
    publish("ledger", trouble="a file system that is mounted read-only", kept="what was there",
            told=warning.replace(str(path), "…"))  # fmt: skip


#: Stands before the C library as a file system that does not lock, or does not sync.
REMOTE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

static int controlled(const char *name, int file, int command, void *more)
{
    int (*real)(int, int, void *) = dlsym(RTLD_NEXT, name);
    if (command == F_SETLK && getenv("LOCKING")) {
        errno = atoi(getenv("LOCKING"));
        return -1;
    }
    return real(file, command, more);
}

#define CONTROL(name)                                \
    int name(int file, int command, ...)             \
    {                                                \
        va_list rest;                                \
        va_start(rest, command);                     \
        void *more = va_arg(rest, void *);           \
        va_end(rest);                                \
        return controlled(#name, file, command, more); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

#define SYNC(name)                                   \
    int name(int file)                               \
    {                                                \
        int (*real)(int) = dlsym(RTLD_NEXT, #name);  \
        if (getenv("SYNCING")) {                     \
            errno = atoi(getenv("SYNCING"));         \
            return -1;                               \
        }                                            \
        return real(file);                           \
    }
SYNC(fsync)
SYNC(fdatasync)
"""
ASKING = """
import warnings
from hs_notebook import HolySheep
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    ledger = Ledger(Path(sys.argv[1]), timeout=0.3)
    with HolySheep("cr_test_0123456789abcdef", base_url=sys.argv[2], ledger=ledger) as client:
        say(*(client.ask("[simulate tokens=5]", model="gpt-4.1").state for _ in range(2)))
for warning in told:
    say(warning.message)
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to make a file system with that fails")
    source = tmp_path_factory.mktemp("remote") / "remote.c"
    source.write_text(REMOTE)
    library = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


@pytest.mark.parametrize(
    ("what", "fails", "error", "told"),
    [
        ("locks nothing", "LOCKING", errno.ENOLCK, "is locked by another program"),
        ("cannot lock", "LOCKING", errno.EOPNOTSUPP, "cannot be written (disk I/O error)"),
        ("has lost its server", "LOCKING", errno.EIO, "cannot be written (disk I/O error)"),
        ("does not sync", "SYNCING", errno.EIO, "cannot be written (disk I/O error)"),
        ("works", "NOTHING", 0, ""),
    ],
)
def test_a_network_disk(
    path: Path,
    remote: Path,
    relay: EmbeddedRelay,
    publish: Any,
    *,
    what: str,
    fails: str,
    error: int,
    told: str,
) -> None:
    """Its answers to system calls are stood in for: SQLite, and all that is ours, is real."""
    environ = {**os.environ, "LD_PRELOAD": str(remote), fails: str(error)}
    states, *warnings = end(process(ASKING, path, relay.base_url, env=environ)).splitlines()
    assert states == "complete complete"
    if not told:
        assert warnings == []
        assert Ledger(path).spent().simulated == 2
        return
    (warning,) = warnings
    assert warning.startswith(f"The ledger {path} {told}. Calls go on, but are not recorded. ")
    publish("ledger", trouble=f"a file system that {what} ({errno.errorcode[error]})", kept="the answers",
            told=warning.replace(str(path), "…"))  # fmt: skip


def test_a_forked_child_has_a_ledger_of_its_own(path: Path) -> None:
    """Forks fall into the middle of another thread's work, where SQLite's own notes on its locks are."""
    script = """
import os, threading, time
going, kept = True, []
def work():
    while going:
        kept.append(settle(begin()))
        time.sleep(0.0005)
thread = threading.Thread(target=work)
thread.start()
children = 0
for _ in range(60):
    child = os.fork()
    if not child:
        os._exit(0 if settle(begin()) else 1)
    children += os.waitpid(child, 0)[1] == 0
going = False
thread.join()
say(children, all(kept), len(kept), ledger.warning())
"""
    said = end(process(script, path)).split()
    assert said[:2] == ["60", "True"]
    assert said[3] == "None"
    spent = Ledger(path).spent()
    assert (spent.calls, spent.pending) == (60 + int(said[2]), 0)
    assert is_sound(path)


def test_a_child_does_not_settle_its_parent_s_call(path: Path) -> None:
    ledger = Ledger(path)
    row = ledger.begin(CALL)
    assert in_a_child(lambda: str(ledger.settle(row, DONE))) == "False"
    assert ledger.settle(row, DONE)
