"""Running the simulated relay: beside other code in a thread, or in the foreground."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from hs_notebook.relay.serving import Embedded
from hs_notebook.relay.simulation.answering import Simulation
from hs_notebook.relay.simulation.app import create_app

if TYPE_CHECKING:
    from hs_notebook.relay.simulation.stats import Stats
    from hs_notebook.relay.simulation.stream import Performances


class EmbeddedRelay(Embedded):
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
        app = create_app(simulation)
        super().__init__(app, port=port)
        self.stats: Stats = app.state.stats
        self._performances: Performances = app.state.performances

    def break_off(self) -> None:
        """Drop every answer under way; called on the server's loop."""
        self._performances.close()


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
