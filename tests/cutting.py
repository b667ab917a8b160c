"""A TCP proxy on loopback that breaks its connections where it is told to, and can hold them up."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESET = b"\1\0\0\0\0\0\0\0"


class CuttingProxy:
    """Hands each connection on to the next of `ports`, and the replies back.

    Each connection takes the next of `cuts`: after so many bytes of replies it is broken, by FIN and RST in
    turn. When they are used up, nothing is broken any more. `passing` may be cleared: nothing gets through.
    """

    def __init__(self, ports: Iterable[int], cuts: Iterable[int] = ()) -> None:
        self.made = 0  # cuts
        self.passing = threading.Event()
        self.passing.set()
        self._ports = itertools.cycle(ports)
        self._cuts = iter(cuts)
        self._hard = itertools.cycle((False, True))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", next(self._ports)))
            except OSError:
                return
            self._open += [client, server]
            cut = next(self._cuts, None)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._replies, args=(client, server, cut), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.passing.wait()
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _replies(self, client: socket.socket, server: socket.socket, cut: int | None) -> None:
        sent = 0
        with suppress(OSError):
            while data := server.recv(65536):
                self.passing.wait()
                if cut is not None and sent + len(data) >= cut:
                    client.sendall(data[: cut - sent])
                    self._break(client)
                    break
                client.sendall(data)
                sent += len(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _break(self, client: socket.socket) -> None:
        self.made += 1
        if next(self._hard):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.shutdown(socket.SHUT_RD)  # else nothing is sent while the other thread still receives
            client.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.passing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
