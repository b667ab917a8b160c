"""A relay in the foreground: in this process, or in several workers that share one socket."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from hs_notebook.errors import HolySheepError
from hs_notebook.relay.metrics import shared_by_workers
from hs_notebook.relay.serving import configuration

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp

    from hs_notebook.relay.settings import RelaySettings

_INTERRUPTED = 130  # what shells report for an interrupt
_END = {signal.SIGINT, signal.SIGTERM}


class Application(Protocol):
    """Makes the application in the process that serves it. It is sent to workers, so it holds no key."""

    @property
    def settings(self) -> RelaySettings:
        """The settings without the key."""

    def __call__(self) -> ASGIApp:
        """Return the application."""


def run(
    application: Application,
    listener: socket.socket,
    *,
    workers: int,
    grace: float,
    ready: Callable[[], None],
) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status; for the main thread.

    Then nothing new is accepted, streams may end for `grace` seconds, and are cut. A second signal ends at
    once. `ready` is called when connections are served. A worker that dies is replaced.
    """
    config = _configured(application, workers, grace)
    if workers > 1:
        supervisor = _Supervisor(config, [listener], ready)
        with shared_by_workers():
            supervisor.run()
        return supervisor.status
    server = _Server(config, ready)
    server.run([listener])
    return _INTERRUPTED if server.force_exit else 0


class _Configuration(uvicorn.Config):
    """What each worker makes for itself: the class of its connections cannot be sent to it."""

    def __reduce__(self) -> tuple[Any, ...]:
        assert isinstance(self.app, _Worker)  # noqa: S101 - made below
        return _configured, (self.app.application, self.workers, self.timeout_graceful_shutdown)


def _configured(application: Application, workers: int, grace: float) -> uvicorn.Config:
    return configuration(
        _Worker(application),
        application.settings,
        kind=_Configuration,
        factory=True,
        lifespan="on",
        workers=workers,
        timeout_graceful_shutdown=grace,
    )


@dataclass(frozen=True, slots=True)
class _Worker:
    application: Application

    def __call__(self) -> ASGIApp:
        parent = multiprocessing.parent_process()
        if parent is not None:
            threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
        try:
            return self.application()
        except HolySheepError as error:  # of a key or a file that was there when the relay began
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.exit(STARTUP_FAILURE)


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    """End this worker when its parent was killed: nobody would end it any more."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


class _Server(uvicorn.Server):
    """Says when it serves; being told to end is no failure."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # what was cut is still written down

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own
        self.force_exit = self.should_exit
        self.should_exit = True
        if self.force_exit:
            for connection in list(self.server_state.connections):
                connection.transport.abort()


class _Supervisor(Multiprocess):
    """The same for several workers. `status` is what to exit with."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._ready = ready
        self.status = 1  # until somebody asks for the end

    def init_processes(self) -> None:
        super().init_processes()
        self._ready()

    def handle_int(self) -> None:
        self.status = 0
        super().handle_int()

    def handle_term(self) -> None:
        self.status = 0
        super().handle_term()

    def join_all(self) -> None:
        for process in self.processes:
            while process.process.is_alive():
                if _END & set(self.signal_queue):
                    self.status = _INTERRUPTED
                    process.kill()
                process.process.join(0.1)
