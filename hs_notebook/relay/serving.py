"""Running an ASGI application: the listening socket, uvicorn's settings, and a server beside other code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from hs_notebook.relay.protocol import KEEP_ALIVE, protocol_for
from hs_notebook.relay.settings import LARGEST_HEAD

if TYPE_CHECKING:
    from types import TracebackType

    from hs_notebook.relay.settings import RelaySettings

_PATIENCE = 10.0  # seconds for a start or a stop
_BACKLOG = 1024


class Embedded:
    """A server in a daemon thread, a context manager: `port` is known at once and served from `start()`.

    `stop()` may be called again. Raises `OSError` where the port is taken.
    """

    def __init__(self, app: Any, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> None:
        self._socket = listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"http://{host}:{self.port}/v1"
        self._server = uvicorn.Server(configuration(app, **settings))
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> Self:
        """Start serving; return when requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("The relay did not start.")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Break off what is under way, close every connection and wait for the thread."""
        self._server.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self.break_off)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE)
        self._socket.close()

    def break_off(self) -> None:
        """End the answers under way; called on the server's loop."""

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


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `OSError`."""
    # asyncio switches Nagle's algorithm off only where the protocol is named, which `create_server` does not.
    # With it on, a token may wait 40 ms for the acknowledgement of the one before.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def configuration(
    app: Any,
    relay: RelaySettings | None = None,
    *,
    kind: type[uvicorn.Config] = uvicorn.Config,
    **settings: Any,
) -> uvicorn.Config:
    """Return what uvicorn is told: the bounds of `relay`, where it is one, and `settings` on top."""
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(_worth_logging)
    plain: dict[str, Any] = {
        "http": "h11",
        "ws": "none",
        "loop": "asyncio",
        "lifespan": "off",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": 1,
    }
    if relay is not None:
        plain |= {
            "http": protocol_for(relay),
            "h11_max_incomplete_event_size": LARGEST_HEAD,
            "headers": [("x-content-type-options", "nosniff")],  # no answer is a page, whatever is in it
        }
    return kind(app, **(plain | settings))


def _worth_logging(record: logging.LogRecord) -> bool:
    """Leave out replies that were dropped or cut, which here is always meant, and what strangers cause."""
    if record.exc_info and record.exc_info[0] is asyncio.CancelledError:
        return False
    return record.msg not in {
        "ASGI callable returned without completing response.",
        "Invalid HTTP request received.",
        "socket.send() raised exception.",
    }
