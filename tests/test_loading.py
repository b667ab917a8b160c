"""``%load_ext hs_notebook`` in a process of its own: silent, fast, and nothing touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LOADING = """
import json, os, sys, time

def writes(mode, flags):
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

touched = []
recording = False

def audit(event, args):
    if not recording:
        return
    if event == "open" and isinstance(args[0], str | bytes) and writes(args[1], args[2]):
        touched.append(f"wrote {args[0]}")
    elif event.split(".")[0] in {"socket", "subprocess", "sqlite3", "shutil", "tempfile", "http", "urllib"}:
        touched.append(event)
    elif event in {"os.mkdir", "os.rename", "os.remove", "os.fork", "os.exec", "os.posix_spawn", "os.system"}:
        touched.append(event)

sys.addaudithook(audit)
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell(config=config)
known = set(sys.modules)
with capture_output() as captured:
    recording, wall, cpu = True, time.perf_counter(), time.process_time()
    done = shell.run_cell("%load_ext hs_notebook")
    wall, cpu, recording = time.perf_counter() - wall, time.process_time() - cpu, False
import threading
print(json.dumps({
    "error": repr(done.error_in_exec or done.error_before_exec),
    "printed": captured.stdout + captured.stderr,
    "shown": len(captured.outputs),
    "wall": wall,
    "cpu": cpu,
    "touched": touched,
    "new": sorted(set(sys.modules) - known),
    "threads": [thread.name for thread in threading.enumerate()],
}))
"""


def load(home: Path, environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", LOADING],
        env=os.environ | environment,
        cwd=home,
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fresh")


@pytest.fixture(scope="module")
def loaded(home: Path) -> dict[str, Any]:
    """What loading did. The key and the relay are named: none of them must be used."""
    environment = {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    relay = {"HOLYSHEEP_API_KEY": "cr_test", "HOLYSHEEP_BASE_URL": "http://127.0.0.1:9/v1"}
    load(home, environment)  # IPython's own files, and the cache of the disk
    before = files(home)
    runs = [load(home, environment | relay) for _ in range(3)]
    return {**runs[0], "wall": min(run["wall"] for run in runs), "files": files(home) - before}


def test_silent(loaded: dict[str, Any]) -> None:
    assert (loaded["error"], loaded["printed"], loaded["shown"]) == ("None", "", 0)


def test_under_three_tenths_of_a_second(loaded: dict[str, Any]) -> None:
    assert loaded["wall"] < 0.3  # the best of three: the machine has other work too


def test_no_network_no_file_no_process(loaded: dict[str, Any]) -> None:
    assert loaded["touched"] == []
    assert loaded["files"] == set()


def test_no_thread(loaded: dict[str, Any]) -> None:
    assert [name for name in loaded["threads"] if "hs_notebook" in name] == []


@pytest.mark.parametrize(
    "package",
    [
        "jupyterlab",
        "jupyter_server",
        "ipykernel",
        "starlette",
        "uvicorn",
        "numpy",
        "pandas",
        "httpx",
        "httpcore",
        "openai",
        "anywidget",
        "ipywidgets",
        "nest_asyncio",
        "markdown_it",
        "keyring",
    ],
)
def test_what_is_not_needed_yet_is_not_imported(package: str, loaded: dict[str, Any]) -> None:
    assert [name for name in loaded["new"] if name.partition(".")[0] == package] == []
    assert "hs_notebook.magics.magic" in loaded["new"]


def test_the_relay_is_not_imported(loaded: dict[str, Any]) -> None:
    assert [name for name in loaded["new"] if name.startswith("hs_notebook.relay")] == []
