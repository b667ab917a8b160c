"""Terminal IPython on a real pseudo-terminal, as somebody who types sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

import pytest
from shell import plain, settings, until_closed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

_CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")


class Terminal:
    """A program on a pseudo-terminal; `reads` holds what came, with the time of each."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=folder,
            start_new_session=True,
            # Ctrl-C goes to whoever has the terminal for its own.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads of ours hold locks
        )
        os.close(slave)
        self.reads: list[tuple[float, str]] = []

    @property
    def seen(self) -> str:
        return "".join(text for _, text in self.reads)

    def type(self, text: str) -> int:
        """Send keys; return how many reads there were before."""
        os.write(self._master, text.encode())
        return len(self.reads)

    def until(self, pattern: str, since: int, *, timeout: float = 15) -> str:
        """Read until what came after read number `since` matches; return that, without colours."""
        deadline = time.monotonic() + timeout
        while True:
            text = plain("".join(text for _, text in self.reads[since:])).replace("\r\n", "\n")
            if re.search(pattern, text, re.DOTALL):
                return text
            assert time.monotonic() < deadline, f"{pattern!r} did not come: {text!r}"
            if select.select([self._master], [], [], 0.05)[0]:
                data = os.read(self._master, 65536)
                self.reads.append((time.monotonic(), data.decode(errors="replace")))
                if b"\x1b[6n" in data:  # prompt_toolkit asks where the cursor is
                    os.write(self._master, b"\x1b[1;1R")

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


PROMPT = r"In \[\d+\]: $"


@pytest.fixture
def terminal(relay: EmbeddedRelay, tmp_path: Path) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"]
    environment = os.environ | settings(relay.base_url) | {"TERM": "xterm"}
    with Terminal(command, environment, tmp_path) as running:
        running.until(PROMPT, 0)
        running.until(PROMPT, running.type("%load_ext hs_notebook\n"))
        yield running


def ask(terminal: Terminal, prompt: str, line: str = "%%holysheep gpt-4.1") -> int:
    """Type a cell as one does: its line, the prompt, and empty lines."""
    start = terminal.type(line + "\n")
    terminal.until(r"\.\.\.: $", start)
    for text in (prompt, ""):
        start = terminal.type(text + "\n")
        terminal.until(r"\.\.\.: $", start)
    return terminal.type("\n")


def test_the_text_streams_and_ends_with_a_receipt(terminal: Terminal) -> None:
    start = ask(terminal, "[simulate tokens=60 tps=60 ttft=100]")
    text = terminal.until(PROMPT, start)
    pieces = [(at, text) for at, text in terminal.reads[start:] if text.strip()]
    assert len(pieces) > 5
    assert pieces[-1][0] - pieces[0][0] > 0.5
    receipt = text.splitlines()[-3]
    assert receipt.startswith("gpt-4.1 · ")
    assert receipt.endswith("$0.0004800 (output only, input unknown) · simulated")
    assert "\x1b[2mgpt-4.1" in terminal.seen  # quiet, where there are colours


def test_ctrl_c_keeps_what_came_and_gives_the_prompt_back(terminal: Terminal, relay: EmbeddedRelay) -> None:
    start = ask(terminal, "[simulate tokens=5000 tps=60 ttft=100]", "%%holysheep gpt-4.1 -o answer")
    terminal.until(r"Simulated answer", start)
    pressed = time.monotonic()
    terminal.type("\x03")
    text = terminal.until(PROMPT, start)
    assert time.monotonic() - pressed < 2
    assert until_closed(relay) - pressed < 0.3
    shown, receipt, error = re.split(r"\nstopped: (gpt-4.1 .*)\n", text, maxsplit=1)
    assert "(estimated ±" in receipt
    assert error.strip().splitlines()[0] == "Interrupted: The answer stops here; its text is kept."
    assert "Traceback" not in text
    start = terminal.type("print(answer.state, len(answer), sep='|')\n")
    state, length = re.findall(r"\n(\w+)\|(\d+)", terminal.until(PROMPT, start))[0]
    assert state == "stopped"
    assert 0 < int(length) <= len(shown)
    text = terminal.until(PROMPT, terminal.type("%holysheep last\n"))
    assert "stopped: gpt-4.1" in text


def test_an_answer_cannot_paint_the_terminal(terminal: Terminal) -> None:
    evil = "\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07 \\u202eabc \\x9b2J \\U000e0041"
    terminal.until(PROMPT, terminal.type(f"evil = '{evil}'\n"))
    known = len(terminal.seen)
    text = terminal.until(PROMPT, ask(terminal, "[simulate text tps=30 ttft=10] {evil}"))
    assert "⟦U+001B⟧[31mred⟦U+001B⟧[0m ⟦U+001B⟧]0;title⟦U+0007⟧ ⟦U+202E⟧abc ⟦U+009B⟧2J ⟦U+E0041⟧" in text
    came = terminal.seen[known:]
    assert "\x1b[31m" not in came
    assert not set("\x07\x9b\u202e\U000e0041") & set(came)


def test_an_error_is_one_line(terminal: Terminal) -> None:
    text = terminal.until(PROMPT, ask(terminal, "[simulate fault=401]"))
    lines = [line for line in text.splitlines() if line.strip()][:-1]
    assert len(lines) == 1
    assert lines[0].startswith("AuthenticationError: 401: ")


def test_help_needs_no_prompt(terminal: Terminal) -> None:
    for text in ("%%holysheep --help", ""):
        start = terminal.type(text + "\n")
        terminal.until(r"\.\.\.: $", start)
    assert "usage: %%holysheep" in terminal.until(PROMPT, terminal.type("\n"))


def test_a_key_is_asked_for_and_not_shown(terminal: Terminal) -> None:
    terminal.until(PROMPT, terminal.type("import os; del os.environ['HOLYSHEEP_API_KEY']\n"))
    start = ask(terminal, "[simulate tokens=5 speed=inf]")
    terminal.until(r"Key for http://127\.0\.0\.1:\d+/v1 \(it stays hidden\): $", start)
    text = terminal.until(PROMPT, terminal.type("cr_typed_at_the_terminal\n"))
    assert "simulated" in text
    assert "typed" not in terminal.seen
    assert "from the prompt" in terminal.until(PROMPT, terminal.type("%holysheep\n"))


def test_nested_loops_are_no_matter_in_a_terminal(terminal: Terminal) -> None:
    terminal.until(PROMPT, terminal.type("%config HolySheepMagics.nest_asyncio = True\n"))
    text = terminal.until(PROMPT, ask(terminal, "[simulate tokens=5 speed=inf]"))
    assert text.splitlines()[-3].endswith("simulated")


def test_the_full_screen_prompt_takes_a_cell(relay: EmbeddedRelay, tmp_path: Path) -> None:
    """IPython's usual prompt, of prompt_toolkit, decides by itself when a cell is complete."""
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "--ext", "hs_notebook"]
    environment = os.environ | settings(relay.base_url) | {"TERM": "xterm"}
    with Terminal(command, environment, tmp_path) as running:
        running.until(r"In \[1\]:", 0)
        running.type("%%holysheep gpt-4.1\r")
        running.until(r"\.\.\.:", 0)
        assert relay.stats.requests == 0
        running.type("[simulate text speed=inf] It arrives.\r")
        running.type("\r")
        start = running.type("\r")
        shown = _CURSOR.sub("", running.until(r"input unknown", start))
        assert "It arrives." in shown
        assert relay.stats.requests == 1
