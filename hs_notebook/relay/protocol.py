"""HTTP as uvicorn speaks it, with bounds on what a client may leave undone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from hs_notebook.relay.addresses import address_of
from hs_notebook.relay.replies import error
from hs_notebook.relay.settings import LARGEST_HEAD

if TYPE_CHECKING:
    import asyncio

    from hs_notebook.relay.settings import RelaySettings

KEEP_ALIVE = 75  # seconds; longer than clients and proxies keep one, so that none is cut as it is used

_PIPELINED = 64 * 1024  # bytes that a client may send ahead while it is answered
# A proxy on this machine calls from here for everybody: it has to count his clients itself.
_PROXIES = frozenset({"127.0.0.1", "::1"})


@dataclass(kw_only=True, slots=True)
class Bounds:
    """`head`, `body` and `stall` are seconds, `connections` those of one address, 0 any number."""

    head: float
    body: float
    stall: float
    connections: int
    open: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> bool:
        """Count a connection, unless it is one too many."""
        if self.connections and self.open[address] >= self.connections and address not in _PROXIES:
            return False
        self.open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count it no more."""
        self.open[address] -= 1
        if self.open[address] <= 0:
            del self.open[address]


def protocol_for(settings: RelaySettings) -> type[BoundedProtocol]:
    """Return the class for uvicorn; its connections are counted together."""
    bounds = Bounds(
        head=settings.headers, body=settings.body, stall=settings.stall, connections=settings.connections
    )
    return type("RelayProtocol", (BoundedProtocol,), {"bounds": bounds})


def _caller(client: tuple[str, int] | None) -> str:
    if client is None:
        return "a socket of this machine"
    return str(address_of(client[0]) or client[0])


class BoundedProtocol(H11Protocol):
    """Closes a connection whose client does not send what it began, or does not read what it asked for.

    Nothing of this runs while a stream flows: only data from the client and full buffers set a timer.
    """

    bounds: Bounds
    _address: str | None = None
    _awaited: str = ""  # what of the client: "head", "rest" of a body that nobody reads
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state["tasks"] = self.tasks  # what the end of the server waits for
        address = _caller(self.client)
        if not self.bounds.enter(address):
            self._refuse(503, "There are too many connections from your address.", "too_many_connections")
            return
        self._address = address
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the connection broke
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        if self._address is not None:
            self.bounds.leave(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.read_paused and self.conn.their_state is h11.DONE and self._ahead < _PIPELINED:
            self.flow.resume_reading()  # who reads no more does not see the client go away
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        self._close_in_time()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._close_in_time()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.bounds.stall, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._close_in_time()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state is h11.IDLE and self._ahead > LARGEST_HEAD:
            self._refuse(431, "The headers are too large.", "headers_too_large")
        else:
            self._refuse(400, msg, "bad_request")

    def _unsupported_upgrade_warning(self) -> None:
        """No client is to fill the log."""

    @property
    def _ahead(self) -> int:
        return len(self.conn.trailing_data[0])

    def _watch(self) -> None:
        """Set the time for what is awaited of the client; what is awaited already gets no more of it."""
        awaited = self._awaits()
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if awaited:
            patience = self.bounds.head if awaited == "head" else self.bounds.body
            self._deadline = self.loop.call_later(patience, self._too_late)

    def _awaits(self) -> str:
        if self.transport.is_closing():
            return ""
        if self.conn.their_state is h11.IDLE:
            between = self.timeout_keep_alive_task is not None and not self._ahead
            return "" if between else "head"
        answered = self.conn.our_state in {h11.DONE, h11.MUST_CLOSE}
        return "rest" if answered and self.conn.their_state is h11.SEND_BODY else ""

    def _too_late(self) -> None:
        if self._awaited == "head" and self._ahead:
            self._refuse(408, "The headers did not come in time.", "header_timeout")
        else:
            self.transport.close()
            self._close_in_time()

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer in the application's place where nothing was answered yet, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what it still says must not be mixed with this
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            kind = "server_error" if status >= 500 else "invalid_request_error"
            headers = {"connection": "close"} | ({"retry-after": "1"} if status == 503 else {})
            reply = error(status, message, kind=kind, code=code, headers=headers)
            fields = [*self.server_state.default_headers, *reply.raw_headers]
            head = h11.Response(status_code=status, headers=fields, reason=STATUS_PHRASES[status])
            for event in (head, h11.Data(data=bytes(reply.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._close_in_time()

    def _close_in_time(self) -> None:
        """A connection that is closed but for what the client has not read is not kept for ever."""
        closing = self.transport.is_closing() and self.transport.get_write_buffer_size()
        if closing and self._stalled is None:
            self._stalled = self.loop.call_later(self.bounds.stall, self.transport.abort)
