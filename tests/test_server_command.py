"""`hs-notebook relay`, as processes of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from edge import within

from hs_notebook.cli import main
from hs_notebook.ledger import Ledger, Opening, Outcome
from hs_notebook.relay import EmbeddedRelay
from hs_notebook.relay.keys import KeyFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis_server import RedisServer

KEY = "cr_canary_0123456789abcdef"
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and modes of POSIX")


@dataclass(frozen=True)
class Running:
    """A relay, what it writes to `out` and `err`, and its files below `home`."""

    process: subprocess.Popen[bytes]
    home: Path
    out: Path
    err: Path

    def said(self, pattern: str) -> str:
        """Wait until it has written that, and return the group in it."""
        assert within(PATIENCE, lambda: re.search(pattern, self.out.read_text()) or self.over), (
            self.err.read_text()
        )
        found = re.search(pattern, self.out.read_text())
        assert found, self.err.read_text()
        return found[1]

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def base_url(self) -> str:
        port = self.said(r"^relay on http://[0-9.]+:(\d+)/v1, for ")
        return f"http://127.0.0.1:{port}/v1"

    @property
    def keys(self) -> KeyFile:
        return KeyFile(self.home / "config/hs_notebook/relay-keys.jsonl")

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home / "data/hs_notebook/ledger.db")

    def workers(self) -> list[int]:
        """The processes that it started to serve, by their numbers."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


@contextmanager
def started(home: Path, *words: str, **environ: str) -> Iterator[Running]:
    """A relay on a free port, in a home of its own."""
    command = [sys.executable, "-m", "hs_notebook.cli", "relay", "--port", "0", *words]
    places = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}
    out, err = home / "out", home / "err"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            command, cwd=home, env={**os.environ, **places, **environ}, stdout=to_out, stderr=to_err
        )
    running = Running(process, home, out, err)
    try:
        yield running
    finally:
        if not running.over:
            process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)


@contextmanager
def reading(running: Running, key: str, prompt: str) -> Iterator[httpx.Response]:
    """A stream that has begun."""
    body: dict[str, Any] = {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
    }
    with (
        httpx.Client(trust_env=False, timeout=PATIENCE) as client,
        client.stream(
            "POST", f"{running.base_url}/chat/completions", json=body, headers={"x-api-key": key}
        ) as reply,
    ):
        assert reply.status_code == 200
        yield reply


def models(running: Running, key: str) -> int:
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        return client.get(f"{running.base_url}/models", headers={"x-api-key": key}).status_code


def states(running: Running) -> list[str]:
    return [row["state"] for row in running.ledger.rows()]


def test_it_serves_until_it_is_told_to_stop_and_lets_streams_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path, "--upstream", "simulated") as running:
        where = running.base_url
        file = str(running.keys.path)
        assert running.out.read_text() == f"relay on {where}, for simulated answers; keys in {file}\n"
        assert within(
            PATIENCE,
            lambda: "No key was given out yet: hs-notebook relay keys add" in running.err.read_text(),
        )

        monkeypatch.setenv("HOLYSHEEP_RELAY_KEYS", file)
        assert main(["relay", "keys", "add", "ann", "--budget", "3", "--per-minute", "9"]) == 0
        said = capsys.readouterr()
        key = said.out.strip()
        assert said.out == f"{key}\n"
        assert said.err == f"The key of ann is shown this once: {file} keeps no more than its hash.\n"
        assert models(running, key) == 200
        assert models(running, "sk-hs-wrong") == 401

        with reading(running, key, "[simulate tokens=60 tps=60 ttft=1]") as reply:
            pieces = reply.iter_raw()
            first = next(pieces)
            running.process.send_signal(signal.SIGTERM)
            assert within(PATIENCE, lambda: not listens(where))
            whole = first + b"".join(pieces)
        assert whole.endswith(b"data: [DONE]\n\n")
        assert running.process.wait(PATIENCE) == 0
    assert states(running) == ["complete"]
    assert key not in running.err.read_text() + running.out.read_text()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes(), path


def listens(base_url: str) -> bool:
    url = httpx.URL(base_url)
    try:
        socket.create_connection((url.host, url.port or 0), 1).close()
    except OSError:
        return False
    return True


ENDLESS = "[simulate tokens=100000 tps=200 ttft=1]"


@pytest.mark.parametrize(
    ("grace", "host", "signals", "status"),
    [("0.1", "0.0.0.0", [signal.SIGINT], 0), ("600", "127.0.0.1", [signal.SIGTERM, signal.SIGTERM], 130)],
)
def test_what_does_not_end_in_time_is_cut_and_written_down(
    tmp_path: Path, grace: str, host: str, signals: list[signal.Signals], status: int
) -> None:
    with started(tmp_path, "--upstream", "simulated", "--grace", grace, "--host", host) as running:
        where = running.base_url
        with reading(running, running.keys.add("ann"), ENDLESS) as reply:
            pieces = reply.iter_raw()
            next(pieces)
            for number in signals:
                running.process.send_signal(number)
                assert within(PATIENCE, lambda: not listens(where))
            with pytest.raises(httpx.RemoteProtocolError):
                b"".join(pieces)
        assert running.process.wait(PATIENCE) == status
    assert states(running) == ["stopped"]
    said = running.err.read_text()
    assert "Traceback" not in said
    assert ("Other machines can reach it by plain http: put TLS before it" in said) is (host == "0.0.0.0")


def test_several_workers_share_a_port_and_one_that_dies_is_replaced(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """The upstream's key reaches the workers without being seen, and what they share holds for all."""
    with EmbeddedRelay() as upstream:
        environ = {
            "HOLYSHEEP_API_KEY": KEY,
            "HOLYSHEEP_BASE_URL": upstream.base_url,
            "HOLYSHEEP_RELAY_STATE": redis_server.database(),
        }
        with started(tmp_path, "--workers", "2", **environ) as running:
            key = running.keys.add("ann", per_minute=1000, metrics=True)
            assert models(running, key) == 200
            assert within(PATIENCE, lambda: len(running.workers()) == 2)
            first = running.workers()
            listed = subprocess.run(["ps", "axww", "-o", "args="], capture_output=True, text=True, check=True)
            assert KEY not in listed.stdout
            os.kill(first[0], signal.SIGKILL)
            assert within(PATIENCE, lambda: len(set(running.workers()) - set(first)) == 1)
            assert within(PATIENCE, lambda: models(running, key) == 200)
            figures = httpx.get(
                f"{running.base_url.removesuffix('/v1')}/metrics", headers={"x-api-key": key}, trust_env=False
            )
            # Both were served, whoever did it, and whether he lives or not.
            served = re.search(r'requests_total{route="/v1/models",status="200"} (\d+)', figures.text)
            assert served is not None
            assert int(served[1]) >= 2

            with reading(running, key, "[simulate tokens=60 tps=60 ttft=1]") as reply:
                pieces = reply.iter_raw()
                whole = next(pieces)
                running.process.send_signal(signal.SIGTERM)
                whole += b"".join(pieces)
            assert whole.endswith(b"data: [DONE]\n\n")
            assert running.process.wait(PATIENCE) == 0
        assert upstream.stats.completed == 1  # which it would not be without a key
    assert states(running) == ["complete"]
    assert KEY not in running.err.read_text()
    assert '"outcome":"complete","code":"","client":"ann"' in running.err.read_text()


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process in a folder of its own, with settings and data there."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


SIMULATED = ["--upstream", "simulated"]
HAVE_KEY = {"HOLYSHEEP_API_KEY": KEY}
ITSELF = {**HAVE_KEY, "HOLYSHEEP_BASE_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        ([], {}, "MissingKeyError: No key for https://api.holysheep.ai/v1. "),
        (["--upstream", "https://other.example"], HAVE_KEY, "MissingKeyError: There is no key for"),
        (["--upstream", "http://other.example"], {}, "ConfigurationError: http://other.example would send"),
        (["--port", "9"], ITSELF, "ConfigurationError: The upstream http://127.0.0.1:9/v1 would be"),
        ([], {**HAVE_KEY, "ALL_PROXY": "socks5://127.0.0.1:1"}, "ConfigurationError: The proxy that the"),
        (["--speed", "2"], HAVE_KEY, "UsageError: --speed is of simulated answers. Add --upstream"),
        (["--workers", "2"], {}, "UsageError: Several workers must share limits and budgets. Add --state redis://"),
        (["--state", "redis://:pass-word@[", *SIMULATED], {}, "ConfigurationError: The URL of the shared"),
        (["--allow-origin", "*", *SIMULATED], {}, "UsageError: '*' is no origin."),
        (["--allow-host", "a/b", *SIMULATED], {}, "UsageError: 'a/b' is no host name."),
        (["--host", "nowhere.invalid", *SIMULATED], {}, "ConfigurationError: nowhere.invalid:8787 cannot"),
        (["--keys", ".", *SIMULATED], {}, "ConfigurationError: The keys in "),
        (["keys", "revoke", "nobody"], {}, "UsageError: There is no key named 'nobody'."),
        (["keys", "add", "a b"], {}, "UsageError: 'a b' is no name for a key."),
        (["keys", "add", "ann", "--budget", "much"], {}, "UsageError: much is no amount in USD."),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("at_home")
def test_bad_input_is_one_line(
    words: list[str],
    environ: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["relay", *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(said)
    assert printed.err.count("\n") == 1
    assert KEY not in printed.err
    assert "pass-word" not in printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "argument --workers: '0' is no whole number of 1 or more."),
        (["--connections", "-1"], "argument --connections: '-1' is no whole number of 0 or more."),
        (["--port", "65536"], "argument --port: '65536' is no port: it is a whole number from 0 to 65535."),
        (["--grace", "nan"], "argument --grace: 'nan' is not a number of seconds."),
        (["--speed", "0"], "argument --speed: '0' is not a speed above 0."),
        (["keys"], "the following arguments are required: COMMAND."),
        (["keys", "add", "ann", "--concurrent", "0"], "argument --concurrent: '0' is no whole"),
        (["--prot", "1"], "There is no --prot here; did you mean --port?"),
        (["--host=1", "1"], "There is no 1 here. hs-notebook relay --help shows what there is."),
        (["key", "add", "ann"], "There is no key here; did you mean keys?"),
        (["keys", "add", "ann", "--buget=1"], "There is no --buget here; did you mean --budget?"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_read_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["relay", *words])
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n")) == (2, 1)
    assert said in printed


@pytest.mark.usefixtures("at_home")
def test_a_redis_that_is_away_is_named_before_anything_is_announced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        port, redis = taken.getsockname()[1], closed.getsockname()[1]
        state = f"redis://:pass-word@127.0.0.1:{redis}/0"
        assert main(["relay", "--port", str(port), "--state", state, *SIMULATED]) == 1
    absent, failure = capsys.readouterr().err.splitlines()
    assert absent.startswith(f"The Redis at 127.0.0.1:{redis} does not answer (")
    assert absent.endswith("): until it does, every request is refused.")
    assert "pass-word" not in absent
    assert failure.startswith(f"ConfigurationError: Port {port} cannot be used: ")  # it went on


@pytest.mark.usefixtures("at_home")
def test_keys_are_listed_with_what_they_spent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--keys", str(tmp_path / "keys")]
    assert main(["relay", "keys", "list", *file]) == 0
    assert "No key was given out yet: hs-notebook relay keys add NAME." in capsys.readouterr().out
    assert main(["relay", *file, "keys", "add", "ann", "--budget", "$2.50", "--concurrent", "2"]) == 0
    key = capsys.readouterr().out.strip()
    ledger = Ledger(tmp_path / "hs_notebook/ledger.db")
    spend(ledger, "ann", "0.25")
    assert main(["relay", "keys", "add", "bob", *file]) == 0
    capsys.readouterr()
    assert main(["relay", "keys", "list", *file]) == 0
    listed = capsys.readouterr().out
    today = time.strftime("%Y-%m-%d")
    assert re.search(rf"^ann +{today} +60 +2 +1 +\$0\.25 +\$2\.50$", listed, re.MULTILINE)
    assert re.search(rf"^bob +{today} +60 +5 +0 +\$0 +none$", listed, re.MULTILINE)
    assert key not in listed
    assert KeyFile(tmp_path / "keys").clients()[0].sha256 not in listed

    dead = ledger.begin(Opening(model="m", user="ann", charge=Decimal("0.50")))
    with sqlite3.connect(ledger.path) as opened:
        opened.execute("UPDATE calls SET process_id = 2147483647 WHERE id = ?", (dead,))
    opened.close()
    assert main(["relay", "keys", "list", *file]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^ann .* \$0\.75 +\$2\.50$", listed, re.MULTILINE)
    assert "$0.50 of ann are held for calls whose end is unknown" in listed
    assert main(["relay", "keys", "forgive", "ann", *file]) == 0
    assert capsys.readouterr().err.startswith("1 calls of ann whose end is unknown count nothing")
    assert main(["relay", "keys", "list", *file]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^ann .* \$0\.25 +\$2\.50$", listed, re.MULTILINE)
    assert "whose end is unknown" not in listed

    assert main(["spend", "--by", "user"]) == 0
    assert re.search(r"^Relay key .*\n.*\nann +2 ", capsys.readouterr().out, re.MULTILINE)
    assert main(["relay", "keys", "revoke", "ann", *file]) == 0
    ledger.path.write_text("no ledger")
    capsys.readouterr()
    assert main(["relay", "keys", "list", *file]) == 0
    listed = capsys.readouterr().out
    assert "ann" not in listed
    assert re.search(r"^bob .* unknown +unknown +none$", listed, re.MULTILINE)


def spend(ledger: Ledger, user: str, usd: str) -> None:
    row = ledger.begin(Opening(model="m", user=user))
    ledger.settle(row, Outcome(state="complete", cost=Decimal(usd)))
