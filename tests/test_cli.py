"""The command line: each command as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from hs_notebook.cli import piped
from hs_notebook.errors import UsageError
from hs_notebook.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

KEY = "cr_0123456789abcdef"
COMMAND = [sys.executable, "-m", "hs_notebook.cli"]
PATIENCE = 60  # seconds; JupyterLab takes about five to start


def run(*words: str, cwd: Path, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        input=text,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def settings(relay: EmbeddedRelay) -> dict[str, str]:
    return {"HOLYSHEEP_API_KEY": KEY, "HOLYSHEEP_BASE_URL": relay.base_url}


@contextmanager
def started(*words: str, cwd: Path, log: Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, *words], cwd=cwd, env={**os.environ, **environ}, stdout=file, stderr=file
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def wait_for(pattern: str, log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(pattern, log.read_text())):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return found[1]


def test_ask_sends_what_it_is_told(relay: EmbeddedRelay, tmp_path: Path) -> None:
    words = ("ask", "gpt-4.1", "-t", "0.5", "--max-tokens", "3", "[simulate tokens=12 speed=inf]")
    done = run(*words, cwd=tmp_path, **settings(relay))
    assert (done.returncode, "truncated" in done.stdout + done.stderr) == (0, True)
    sent = json.loads(relay.stats.seen[-1].body)
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 3)
    for wrong in (("-t", "3"), ("--max-tokens", "0")):
        refused = run("ask", "gpt-4.1", *wrong, "Hello", cwd=tmp_path, **settings(relay))
        assert refused.returncode == 2
        assert wrong[1] in refused.stderr


RECEIPT = r"gpt-4\.1 · \d+ in, 12 out · .* · \$0\.0000960+ \(output only, input unknown\) · simulated\n"


def test_a_file_gets_the_answer_alone_and_the_receipt_is_told(relay: EmbeddedRelay, tmp_path: Path) -> None:
    words = ("ask", "gpt-4.1", "-s", "Be brief.", "[simulate tokens=12 speed=inf]")
    done = run(*words, cwd=tmp_path, **settings(relay))
    assert done.returncode == 0
    assert done.stdout.startswith("> **Simulated answer")
    assert done.stdout.endswith("\n")
    assert "gpt-4.1 · " not in done.stdout
    assert re.fullmatch(RECEIPT, done.stderr)
    assert b'"system"' in relay.stats.seen[-1].body


def test_the_question_may_come_on_standard_input(relay: EmbeddedRelay, tmp_path: Path) -> None:
    done = run("ask", "gpt-4.1", cwd=tmp_path, text="[simulate text]\nfrom a pipe", **settings(relay))
    assert done.stdout.startswith("from a pipe\n")


def asked(relay: EmbeddedRelay) -> str:
    content: str = json.loads(relay.stats.seen[-1].body)["messages"][-1]["content"]
    return content


def test_a_question_may_begin_as_a_list_does(relay: EmbeddedRelay, tmp_path: Path) -> None:
    words = ("ask", "gpt-4.1", "-t", "0", "- [simulate tokens=3 speed=inf] rivers")
    assert run(*words, cwd=tmp_path, **settings(relay)).returncode == 0
    assert asked(relay) == words[-1]


QUESTION = "[simulate tokens=3 speed=inf] Sum this up"


def test_what_is_piped_goes_below_the_question(relay: EmbeddedRelay, tmp_path: Path) -> None:
    words = ("ask", "gpt-4.1", QUESTION)
    assert run(*words, cwd=tmp_path, text="The document.\n", **settings(relay)).returncode == 0
    assert asked(relay) == f"{QUESTION}\n\nThe document.\n"
    assert run(*words, cwd=tmp_path, text="\n", **settings(relay)).returncode == 0
    assert asked(relay) == QUESTION


@pytest.mark.skipif(os.name != "posix", reason="redirections of a shell")
@pytest.mark.parametrize(
    ("source", "below"), [("< notes.md", "\n\nNotes."), ("< /dev/null", ""), ("<&-", "")]
)
def test_a_file_goes_below_the_question_and_nothing_else(
    source: str, below: str, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("Notes.")
    line = f"{shlex.join([*COMMAND, 'ask', 'gpt-4.1', QUESTION])} {source}"
    environ = {**os.environ, **settings(relay)}
    subprocess.run(line, shell=True, cwd=tmp_path, env=environ, check=True, timeout=PATIENCE)
    assert asked(relay) == f"{QUESTION}{below}"


@pytest.mark.skipif(os.name != "posix", reason="a pipe that nobody writes to")
def test_a_pipe_that_nobody_writes_to_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as writer:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(
            UsageError, match=r"Nothing came on standard input in 0\.2 s; nothing was asked\."
        ):
            piped._brought(0.1, 0.2)
        assert capsys.readouterr().err.startswith("Waiting for standard input. It can be closed: < /dev/null")
        threading.Timer(0.2, lambda: (writer.write("late"), writer.close())).start()
        assert piped._brought(0.1, 60) == "late"


@pytest.mark.skipif(os.name != "posix", reason="a pipe whose reader goes away")
def test_a_reader_that_goes_away_ends_it_quietly(relay: EmbeddedRelay, tmp_path: Path) -> None:
    words = [*COMMAND, "ask", "gpt-4.1", "[simulate tokens=20000 tps=100 ttft=1]"]
    environ = {**os.environ, **settings(relay), "XDG_DATA_HOME": os.fspath(tmp_path)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"> **Simulated answer")
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(PATIENCE), said) == (141, b"")
    (row,) = Ledger(next(tmp_path.rglob("*.db"))).rows()
    assert row["state"] == "stopped"
    assert row["gen_ai_usage_output_tokens"] > 0


def test_what_the_terminal_cannot_show_costs_no_answer(relay: EmbeddedRelay, tmp_path: Path) -> None:
    environ = settings(relay) | {"PYTHONIOENCODING": "ascii"}
    done = run("ask", "gpt-4.1", "[simulate text speed=inf]\nna\u00efve", cwd=tmp_path, **environ)
    assert (done.returncode, done.stdout) == (0, "na?ve\n")
    assert " in, " in done.stderr
    done = run("ask", "gpt-4.1", cwd=tmp_path, text="na\u00efve", **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "UsageError: Standard input is no ascii. Set PYTHONIOENCODING to what it is.\n"


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (("ask", "gpt-4.1", "Hello"), "MissingKeyError: No key for https://api.holysheep.ai/v1.", 1),
        (("ask", "gpt-4.1"), "UsageError: The prompt is empty.", 1),
        (("ask", "gpt-4.1", "--brief", "Hello"), "There is no --brief here.", 2),
        (("bench", "gpt-4.1", "--request", "3"), "There is no --request here; did you mean --requests?", 2),
        (("spend", "--by", "hour"), "hs-notebook spend: argument --by: invalid choice: 'hour'", 2),
        (("lab", "--speed", "0"), "hs-notebook lab: argument --speed: '0' is not a speed above 0", 2),
        (("lab", "nowhere"), "UsageError: There is no nowhere.", 1),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], said: str, status: int, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(relay: EmbeddedRelay, tmp_path: Path) -> None:
    done = run("relay", "--port", str(relay.port), "--upstream", "simulated", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"ConfigurationError: Port {relay.port} cannot be used: Address already in use.\n"


def test_lab_without_a_key_opens_on_a_simulated_relay_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    log = tmp_path / "log"
    with started("lab", "--no-browser", "--ServerApp.port=0", cwd=tmp_path, log=log):
        relay = wait_for(r"No key was found: answers are simulated, by a relay on (\S+)\.", log)
        wait_for(r"Serving notebooks from local directory: \S+(/notebooks)", log)
        headers = {"Authorization": "Bearer simulated"}
        assert httpx.get(f"{relay}/models", headers=headers).json()["data"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{relay}/models", headers=headers)


def test_lab_with_a_key_starts_no_relay(relay: EmbeddedRelay, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ("lab", str(tmp_path), "--no-browser", "--ServerApp.port=0")
    with started(*words, cwd=tmp_path, log=log, **settings(relay)):
        wait_for(r"(Serving notebooks)", log)
    said = log.read_text()
    assert f"Answers come from {relay.base_url}; the key is from the environment" in said
    assert "simulated" not in said
    assert KEY not in said
