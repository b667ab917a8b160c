"""The doctor: what it finds, what it says to do, and that it neither bills nor tells the key."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from kernels import DEFAULT_KERNEL
from loopback import Loopback, page, replies
from shell import KEY, Reply, Server, kernel, settings

from hs_notebook.cli import main
from hs_notebook.doctor import _proxy, _spared

if TYPE_CHECKING:
    from pathlib import Path

    from shell import Shell

    from hs_notebook.relay import EmbeddedRelay

    Rows = dict[str, tuple[str, str]]


AGING = {"model", "prices"}  # what may be old or retire on the day on which this runs


def examined(shell: Shell, line: str = "%holysheep doctor") -> tuple[Rows, str]:
    """What was found, by what was looked at, and the last line."""
    ran = shell.run(line)
    assert ran.error is None, ran.out
    rows = {row["what"]: (row["mark"], row["found"]) for row in ran.result.as_dicts()}
    assert KEY not in ran.out + ran.err + ran.result.html()
    assert ran.out.rstrip().splitlines()[-1].strip() in " ".join(ran.result.notes)
    return rows, ran.result.notes[-1]


def listing(*names: str) -> Reply:
    return Reply(body=json.dumps({"data": [{"id": name} for name in names]}))


def test_all_is_well(shell: Shell, relay: EmbeddedRelay) -> None:
    rows, last = examined(shell)
    marks = {what: mark for what, (mark, _) in rows.items()}
    assert {mark for what, mark in marks.items() if what not in AGING} == {"ok"}
    assert (last == "All is well.") is (set(marks.values()) == {"ok"})
    assert rows["key"][1] == "from the environment variable HOLYSHEEP_API_KEY"
    assert rows["base URL"][1] == f"{relay.base_url}, from the environment variable HOLYSHEEP_BASE_URL"
    assert rows["model"][1].startswith("gpt-4.1 ")
    assert rows["models"][1] == "12 listed"
    assert rows["clock"][1].startswith("within ")
    assert rows["ledger"][1].endswith("ledger.db can be written")
    assert "hs_notebook 0" in rows["version"][1]
    assert "ipykernel 7" in rows["packages"][1]


def test_nothing_is_billed_and_one_request_sent(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([listing("gpt-4.1")]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        examined(shell)
        assert [asked.path for asked in server.asked] == ["/v1/models"]


def test_a_model_that_is_not_there(shell: Shell) -> None:
    rows, last = examined(shell, "%holysheep doctor gpt-4.1-mni")
    assert rows["model"] == ("problem", "gpt-4.1-mni is not listed")
    assert last.startswith("Next: Did you mean gpt-4.1-mini")
    assert examined(shell, "%holysheep doctor GPT-4-1")[1] == "Next: Did you mean gpt-4.1?"


def test_a_model_that_retires(shell: Shell) -> None:
    near = (datetime.now(UTC) + timedelta(days=5)).date()
    row = {"model": "gpt-4.1", "output": 1.0, "retires_on": near}
    shell.magics.prices = [row]
    rows, last = examined(shell)
    assert rows["model"] == ("warning", f"gpt-4.1 retires on {near}, in 5 days.")
    assert last.startswith("Next: Choose another model than gpt-4.1")


def test_an_old_price_of_a_model_that_retires_far_away_is_no_reason_for_another(shell: Shell) -> None:
    now = datetime.now(UTC).date()
    old, far = now - timedelta(days=178), now + timedelta(days=300)
    shell.magics.prices = [{"model": "gpt-4.1", "output": 1.0, "retires_on": far, "checked_on": old}]
    rows, last = examined(shell)
    assert rows["model"] == ("ok", "gpt-4.1 is listed")
    assert "Choose another model" not in last


def test_an_environment_s_key_does_not_take_a_file_s_base_url(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server([listing("gpt-4.1")]) as server:
        (tmp_path / ".env").write_text(
            f"HOLYSHEEP_API_KEY=cr_0123456789abcdef0123\nHOLYSHEEP_BASE_URL={server.base_url}\n"
        )
        monkeypatch.delenv("HOLYSHEEP_BASE_URL")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody outside is asked
        rows, _ = examined(shell)
        assert rows["base URL"][1] == "https://api.holysheep.ai/v1, from the default"
        monkeypatch.delenv("HOLYSHEEP_API_KEY")
        rows, _ = examined(shell)
        assert rows["base URL"][1] == f"{server.base_url}, from a .env file"


def test_without_a_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([Reply(status=401, body='{"error": {"message": "no key"}}')]) as server:
        monkeypatch.delenv("HOLYSHEEP_API_KEY")
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        rows, last = examined(shell)
        assert rows["key"] == ("problem", f"No key for {server.base_url}.")
        assert rows["relay"][0] == "ok"
        assert rows["relay"][1].endswith("that it wants a key")
        assert last.startswith("Next: Set HOLYSHEEP_API_KEY in the environment")


def test_a_key_that_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([Reply(status=401, body='{"error": {"message": "bad key KEY"}}')]) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        rows, last = examined(shell)
        assert rows["key"][0] == "problem"
        assert rows["key"][1].startswith("refused; it is from the environment variable")
        assert last.startswith("Next: ")


def test_nobody_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        rows, last = examined(shell)
    assert rows["relay"][0] == "problem"
    assert rows["models"] == ("warning", "not listed")
    assert last.startswith("Next: ")


def test_one_that_accepts_and_is_silent_ends_in_time(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        began = time.monotonic()
        rows, _ = examined(shell)
    assert rows["relay"][0] == "problem"
    assert 4 < time.monotonic() - began < 20


@pytest.mark.parametrize(("hours", "said"), [(-3, "ahead of the server's"), (3, "behind the server's")])
def test_a_clock_that_is_off(hours: int, said: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    body = listing("gpt-4.1").body.encode()
    with Loopback(replies(page("200 OK", body, "application/json", f"date: {date}"))) as server:
        monkeypatch.setenv("HOLYSHEEP_BASE_URL", server.base_url)
        rows, last = examined(shell)
    assert rows["clock"][0] == "warning"
    assert rows["clock"][1].endswith(said)
    assert last == "Next: Set this machine's clock." or rows["model"][0] == "warning"


def test_a_ledger_that_cannot_be_written(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shell.magics.ledger = str(tmp_path / "file" / "ledger.db")
    rows, last = examined(shell)
    assert rows["ledger"][0] == "problem"
    assert last.startswith("Next: ")
    shell.magics.ledger = "off"
    assert examined(shell)[0]["ledger"] == ("ok", "off: calls are not recorded")


def test_a_price_file_that_is_not_there(shell: Shell) -> None:
    shell.magics.prices_file = "no-such-file.toml"
    rows, last = examined(shell)
    assert rows["prices"][0] == "problem"
    assert "no-such-file.toml" in last


def test_settings_and_the_base_url_of_a_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relay: EmbeddedRelay
) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(f"[tool.hs_notebook]\nbase_url = '{relay.base_url}'\n")
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    rows, _ = examined(shell)
    assert rows["base URL"][1] == f"{relay.base_url}, from {file}"
    assert rows["settings"][1] == f"base_url from {file}"
    assert rows["key"][0] == "problem"  # it belongs to the relay's own host


@pytest.mark.parametrize(
    ("environment", "url", "said"),
    [
        ({}, "https://api.example/v1", "none"),
        (
            {"HTTPS_PROXY": "http://me:pass@proxy.example:3128"},
            "https://api.example/v1",
            "http://proxy.example:3128",
        ),
        ({"ALL_PROXY": "proxy.example:3128"}, "https://api.example/v1", "http://proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, "https://api.example/v1", "none"),
        (
            {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "other, api.example"},
            "https://api.example/v1",
            "none: NO_PROXY names the host",
        ),
        (
            {"HTTPS_PROXY": "http://proxy.example:3128"},
            "http://127.0.0.1:80/v1",
            "none: this machine is reached directly",
        ),
    ],
)
def test_the_proxy(environment: dict[str, str], url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _proxy(url) == said


@pytest.mark.parametrize(
    "names", ["", "*", "api.example", "example", ".example", "other", "pi.example", "api.example:80"]
)
@pytest.mark.parametrize("host", ["api.example", "example"])
def test_no_proxy_is_read_as_httpx_reads_it(names: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", names)
    with httpx.Client() as client:
        direct = client._transport_for_url(httpx.URL(f"https://{host}/v1")) is client._transport
    assert _spared(host, names) is direct


# --- elsewhere -------------------------------------------------------------------------------------


def test_the_command_line(
    relay: EmbeddedRelay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 0
    assert "gpt-4.1" in capsys.readouterr().out
    assert main(["doctor", "no-such-model"]) == 1
    assert "no-such-model is not listed" in capsys.readouterr().out
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "Next: Set HOLYSHEEP_API_KEY" in out
    assert KEY not in out


def test_a_kernel(relay: EmbeddedRelay, tmp_path: Path) -> None:
    with kernel(DEFAULT_KERNEL, tmp_path, settings(relay.base_url)) as running:
        cell = running.run("%holysheep doctor")
        (result,) = [said.content for said in cell.said if said.kind == "execute_result"]
        assert "answers in " in result["data"]["text/html"]
        text = result["data"]["text/plain"]
        assert "Stop by the control channel" in text
        assert "no page has shown a live answer yet" in text
        assert "ipykernel 7.4.0" in text
        answer = running.start("%%holysheep gpt-4.1\n[simulate tokens=30 tps=30]")
        running.until(answer, lambda cell: cell.stream_id)
        running.page_says("hello", answer.stream_id)
        running.wait(answer)
        again = running.run("%holysheep doctor")
        assert any("a page has shown a live answer" in str(said.content) for said in again.said)
