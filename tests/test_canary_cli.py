"""Every command of the command line, before a server that says the key wherever it can."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from canary import WRITTEN, Canary, in_pieces
from shell import Reply, Server, settings, sse
from test_canary_relay import family, told_by_the_system
from test_cli import PATIENCE, run, started, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

CANARY = Canary("cr_Linnet_52e8+7B1d/f4a90c36")
KEY = CANARY.key
ERROR = json.dumps({"error": {"message": f"The key {KEY} is wrong.", "param": KEY, "code": KEY}})
MODELS = json.dumps({"data": [{"id": name, "owned_by": KEY} for name in (KEY, f"gpt-{KEY}", "gpt-4.1")]})
HEADERS = {"x-request-id": KEY, "retry-after": KEY, "set-cookie": KEY}

#: What a server says to everything.
SERVERS: dict[str, Reply] = {
    "an answer in pieces": sse(*in_pieces("said", f"It is {KEY} indeed.", 5)),
    "an answer in a model's name": sse({"model": KEY, "id": KEY, "system_fingerprint": KEY, "choices": []}),
    "models": Reply(body=MODELS, headers=HEADERS),
    "a refusal": Reply(status=401, body=ERROR, headers=HEADERS),
    "a bad request": Reply(status=400, reason="KEY", body=ERROR, headers=HEADERS),
    "an unknown model": Reply(status=404, body=ERROR, headers=HEADERS),
    "a page": Reply(
        status=500, kind="text/html", body=f"<p>{WRITTEN['in HTML'](KEY)} is no key", headers=HEADERS
    ),
    "a kind": Reply(kind=f"text/{KEY}", body=KEY),
    "an error in the middle": sse(*in_pieces("said", f"It is {KEY} indeed.", 5)[:-1], json.loads(ERROR)),
}
BENCH = ("bench", "gpt-4.1", "--requests", "2", "--parallel", "2", "--warmup", "0", "--tokens", "20")
COMMANDS: dict[str, tuple[str, ...]] = {
    "ask": ("ask", "gpt-4.1", "Hello"),
    "ask a model": ("ask", "gpt-9", "Hello", "--max-cost", "1"),
    "doctor": ("doctor",),
    "doctor of a model": ("doctor", "gpt-9"),
    "bench": (*BENCH, "--save", "run"),
    "bench in JSON": (*BENCH, "--json", "--save", "run.json"),
    "spend": ("spend",),
    "spend in CSV": ("spend", "--export", "calls.csv"),
    "spend in JSON": ("spend", "--export", "calls.json"),
    "prices": ("prices",),
}
#: Where somebody may put his key by mistake.
MISTAKES = (
    ("ask", "gpt-4.1", KEY),
    ("ask", KEY, "Hello"),
    ("ask", "gpt-4.1", "Hello", "--system", KEY),
    ("ask", "gpt-4.1", "--key", KEY, "Hello"),
    ("ask", "gpt-4.1", f"--api-key={KEY}", "Hello"),
    ("ask", "gpt-4.1", "Hello", "--base-url", KEY),
    ("ask", "gpt-4.1", "Hello", "--base-url", f"https://{KEY}@api.example/v1"),
    ("ask", "gpt-4.1", "Hello", "--base-url", f"https://api.example/{KEY}"),
    ("ask", "gpt-4.1", "Hello", "--max-cost", KEY),
    ("doctor", KEY),
    ("doctor", "gpt-4.1", KEY),
    ("doctor", "--base-url", KEY),
    ("prices", KEY),
    ("prices", "--seller", KEY),
    ("bench", KEY, "--dry-run"),
    ("bench", "gpt-4.1", "--prompt", KEY, "--dry-run"),
    ("bench", "gpt-4.1", "--compare", KEY),
    ("bench", "gpt-4.1", "--requests", KEY),
    ("spend", "--since", KEY),
    ("spend", "--by", KEY),
    ("relay", "--upstream", KEY, "--port", "0"),
    ("relay", "--port", KEY),
    ("relay", "--state", KEY, "--upstream", "simulated", "--port", "0"),
    ("relay", "--allow-host", KEY, "--upstream", "simulated", "--port", "0"),
    ("relay", "--allow-origin", KEY, "--upstream", "simulated", "--port", "0"),
    ("relay", "keys", "revoke", KEY),
    ("relay", "keys", "forgive", KEY),
    ("lab", KEY),
    (KEY,),
    ("--key", KEY),
)
HELP = (
    (),
    ("ask",),
    ("doctor",),
    ("bench",),
    ("spend",),
    ("prices",),
    ("lab",),
    ("relay",),
    ("relay", "keys"),
)


def written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_says_the_key(name: str, tmp_path: Path, publish: Callable[..., None]) -> None:
    """In what each command prints, its exit status, and all files that it leaves."""
    searched = 0
    with Server([SERVERS[name]]) as server:
        environ = settings(server.base_url, KEY) | {"XDG_DATA_HOME": os.fspath(tmp_path / "data")}
        for command, words in COMMANDS.items():
            done = run(*words, cwd=tmp_path, **environ)
            assert "Traceback" not in done.stderr, (command, done.stderr)
            searched += CANARY.is_clean(done.stdout) + CANARY.is_clean(done.stderr)
            if command == "ask":
                assert done.returncode == (0 if name == "an answer in pieces" else 1)
                assert "[key]" in done.stdout + done.stderr or name in {
                    "models",
                    "an answer in a model's name",
                }
    files = written(tmp_path)
    assert {"ledger.db", "calls.csv", "calls.json"} <= {path.name for path in files}
    searched += CANARY.are_clean(files)
    publish(
        "the key",
        looked_for=f"{len(COMMANDS)} commands of the command line and {len(files)} files: {name}",
        said_in_pieces_of="5 characters" if "pieces" in name or "middle" in name else "–",
        searched=f"{searched:,} bytes for {len(CANARY.forms)} forms of it",
        found=0,
    )


def test_a_key_that_is_typed_in_the_wrong_place(
    relay: EmbeddedRelay, tmp_path: Path, publish: Callable[..., None]
) -> None:
    """Who typed it sees it above; who reads the log of what ran does not."""
    searched = 0
    environ = settings(relay.base_url, KEY) | {"XDG_DATA_HOME": os.fspath(tmp_path / "data")}
    said = {words: run(*words, cwd=tmp_path, **environ) for words in MISTAKES}
    leaks = [words for words, done in said.items() if CANARY.found_in(done.stdout + done.stderr)]
    assert leaks == []
    for words, done in said.items():
        assert done.returncode != 0, (words, done)
        searched += len(done.stdout + done.stderr)
    searched += CANARY.are_clean(written(tmp_path))
    publish(
        "the key",
        looked_for=f"what {len(MISTAKES)} commands say that have it in the wrong place",
        said_in_pieces_of="–",
        searched=f"{searched:,} bytes for {len(CANARY.forms)} forms of it",
        found=0,
    )


def test_help_does_not_show_what_is_set(tmp_path: Path) -> None:
    for words in HELP:
        done = run(*words, "--help", cwd=tmp_path, **settings("http://127.0.0.1:9/v1", KEY))
        assert done.returncode == 0
        assert CANARY.is_clean(done.stdout + done.stderr) > 200


def test_lab_hands_no_key_to_what_it_starts(
    relay: EmbeddedRelay, tmp_path: Path, publish: Callable[..., None]
) -> None:
    """A key from a file is on no command line and in no environment, of the kernel neither."""
    (tmp_path / ".env").write_text(f"HOLYSHEEP_API_KEY={KEY}\nHOLYSHEEP_BASE_URL={relay.base_url}\n")
    log = tmp_path / "log"
    words = ("lab", str(tmp_path), "--no-browser", "--ServerApp.port=0", "--IdentityProvider.token=open")
    with started(*words, cwd=tmp_path, log=log) as process:
        url = wait_for(r"(http://127\.0\.0\.1:\d+/)lab", log)
        begun = httpx.post(f"{url}api/kernels", params={"token": "open"}, timeout=PATIENCE, trust_env=False)
        assert begun.status_code == 201
        deadline = time.monotonic() + PATIENCE
        told: list[str] = []
        while not any("ipykernel" in text for text in told):  # until then it is a copy of its parent
            assert time.monotonic() < deadline
            time.sleep(0.1)
            processes = family(process.pid)
            told = [told_by_the_system(pid, name) for pid in processes for name in ("cmdline", "environ")]
    assert len(processes) >= 3  # the command, JupyterLab, the kernel
    searched = sum(map(CANARY.is_clean, told)) + CANARY.are_clean(
        path for path in written(tmp_path) if path.name != ".env"
    )
    publish(
        "the key",
        looked_for=f"JupyterLab and its kernel: what is told of {len(processes)} processes, and their files",
        said_in_pieces_of="–",
        searched=f"{searched:,} bytes for {len(CANARY.forms)} forms of it",
        found=0,
    )
