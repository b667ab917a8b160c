"""`python -m hs_notebook.relay.simulation`, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from hs_notebook.relay import EmbeddedRelay

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "hs_notebook.relay.simulation"]
ENDLESS = {
    "model": "gpt-4.1",
    "messages": [{"role": "user", "content": "[simulate tokens=100000]"}],
    "stream": True,
}


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A relay process and its port."""
    command = [*COMMAND, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, port_in(process.stdout.readline())
        finally:
            process.kill()


def port_in(line: str) -> int:
    match = re.fullmatch(r"simulated relay on http://127\.0\.0\.1:(\d+)/v1\n", line)
    assert match is not None, line
    return int(match[1])


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def is_gone_within(seconds: float, port: int) -> bool:
    deadline = time.monotonic() + seconds
    while is_served(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_at_once_and_quietly(number: signal.Signals) -> None:
    with running() as (process, port):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with httpx.stream("POST", url, json=ENDLESS, headers={"x-api-key": "k"}, trust_env=False) as reply:
            assert reply.status_code == 200
            start = time.perf_counter()
            process.send_signal(number)
            assert process.wait(5) == 0
            assert time.perf_counter() - start < 1.5
        assert process.communicate() == ("", "")


def test_it_takes_the_port_and_the_speed_it_is_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running("--port", str(port), "--speed", "inf") as (_, found):
        assert found == port
        question = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "[simulate tokens=1000]"}]}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        start = time.perf_counter()
        assert httpx.post(url, json=question, headers={"x-api-key": "k"}, trust_env=False).status_code == 200
        assert time.perf_counter() - start < 2  # fifteen seconds at its own pace


def test_it_listens_on_loopback_alone() -> None:
    with EmbeddedRelay() as relay, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", relay.port), timeout=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speed", "0"], "speed must be above 0"),
        (["--port", "70000"], "0-65535"),
        (["--port", "x"], "invalid int"),
    ],
)
def test_a_bad_option_is_one_message(options: list[str], said: str) -> None:
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_one_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND, "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_ends_with_its_parent() -> None:
    """The parent starts it, hands its line on and dies without a word."""
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(\n"
        "    [sys.executable, '-m', 'hs_notebook.relay.simulation', '--parent', str(os.getpid())],\n"
        "    stdout=subprocess.PIPE,\n"
        ")\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        port = port_in(parent.stdout.readline())
        time.sleep(0.6)
        assert is_served(port)  # it lives while its parent does
        parent.stdin.close()
        assert is_gone_within(3, port)


def test_it_ends_with_a_process_that_is_not_its_parent() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
        running("--parent", str(other.pid)) as (process, port),
    ):
        time.sleep(0.6)
        assert is_served(port)
        other.communicate()
        assert process.wait(3) == 0


def test_importing_the_package_loads_no_server() -> None:
    code = "import sys, hs_notebook.relay; sys.exit('starlette' in sys.modules or 'uvicorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
