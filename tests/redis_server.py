"""A real Redis for the tests, on loopback.

`python tests/redis_server.py` installs one where the system has none and its package manager may be asked;
where it may not, that says so, and the tests that need one are skipped.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from system_packages import install

if TYPE_CHECKING:
    from types import TracebackType

NONE_TO_BE_HAD = "there is no redis-server, and the system's package manager could not install one"

_DATABASES = 512
_PATIENCE = 20.0  # seconds for a start
_TRIES = 5  # at a free port, which another program may take before the Redis does


class RedisServer:
    """A redis-server of its own that keeps nothing: a context manager.

    `port` stays, so that clients find it there again after `stop()` and `start()`; so does `socket`.
    """

    def __init__(self) -> None:
        self.port = 0  # until it began
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self.socket = f"{self._folder.name}/redis.sock"
        self._log = Path(self._folder.name, "redis.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = iter(range(1, _DATABASES))

    def database(self) -> str:
        """Return the URL of a database that nobody has used."""
        return f"redis://127.0.0.1:{self.port}/{next(self._databases)}"

    def start(self) -> None:
        """Start, and return when it answers."""
        ports = [self.port] if self.port else (free_port() for _ in range(_TRIES))
        assert any(self._serves(port) for port in ports), f"redis-server did not start: {self._said()}"

    def _serves(self, port: int) -> bool:
        """Start it on a port; return whether it could have it."""
        program = shutil.which("redis-server")
        assert program, NONE_TO_BE_HAD
        self.port = port
        options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        options |= {"databases": _DATABASES, "dir": self._folder.name, "unixsocket": self.socket}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        # Where the tests are killed it dies with them.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*leash, program, *words], stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"redis-server does not answer: {self._said()}"
            time.sleep(0.01)
        return True

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")[-2000:]

    def stop(self) -> None:
        """End it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:  # at the port another's may answer
                connection.settimeout(1)
                connection.connect(self.socket)
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def free_port() -> int:
    """Return a port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def find() -> str | None:
    """Where the system's redis-server is."""
    return shutil.which("redis-server")


def main() -> None:
    if find() is None:
        install("redis-server")
    if find() is None:
        print(f"Tests with a Redis are skipped: {NONE_TO_BE_HAD}.", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
