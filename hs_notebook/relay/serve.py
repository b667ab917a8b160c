"""Running the simulated relay: beside other code in a thread, or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

import uvicorn

from hs_notebook.relay.app import create_app
from hs_notebook.relay.simulated import Simulation

if TYPE_CHECKING:
    from types import TracebackType

    from hs_notebook.relay.stats import Stats

_HOST = "127.0.0.1"
_PATIENCE = 10.0  # seconds for a start or a stop


class EmbeddedRelay:
    """A simulated relay on a loopback port, in a daemon thread: a context manager.

    ::

        with EmbeddedRelay(Simulation(speed=10)) as relay:
            relay.base_url  # "http://127.0.0.1:PORT/v1"
            relay.stats     # what it saw, see `Stats`

    `port` 0 takes a free one; another that is taken raises `OSError`. The port is known from the
    beginning and served from `start()` to `stop()`, which drops the connections still open and may be
    called again.
    """

    def __init__(self, simulation: Simulation | None = None, *, port: int = 0) -> None:
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"http://{_HOST}:{self.port}/v1"
        self._app = create_app(simulation)
        self.stats: Stats = self._app.state.stats
        self._server = uvicorn.Server(_config(self._app))
        self._thread = threading.Thread(target=self._run, name="simulated-relay", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> Self:
        """Start serving; return when requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("The simulated relay did not start.")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Break off the answers under way, close every connection and wait for the thread."""
        self._server.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._app.state.performances.close)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


def run(port: int = 0, speed: float = 1.0, *, parent: int | None = None) -> int:
    """Run a relay in the foreground until SIGINT or SIGTERM, or until the process `parent` is gone.

    Prints one line with the address. For the main thread. Returns the exit status; raises `OSError`
    where the port is taken, `ValueError` for a speed not above 0.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), EmbeddedRelay(Simulation(speed=speed), port=port) as relay:
        print(f"simulated relay on {relay.base_url}", flush=True)  # noqa: T201 - the line that callers read
        try:
            _wait_for_end(parent)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):  # a second one must not break the stop
                signal.signal(number, signal.SIG_IGN)
    return 0


def _wait_for_end(parent: int | None) -> None:
    child = parent == os.getppid()
    while parent is None or _alive(parent, child=child):
        time.sleep(0.25)


def _alive(parent: int, *, child: bool) -> bool:
    if child:  # also right while a dead parent still waits to be buried
        return os.getppid() == parent
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _listen(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol is named, which `create_server` does not.
    # With it on, a token may wait 40 ms for the acknowledgement of the one before.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _config(app: object) -> uvicorn.Config:
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(_worth_logging)
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def _worth_logging(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's complaint about a reply that was dropped: here that is always meant."""
    return record.msg != "ASGI callable returned without completing response."
