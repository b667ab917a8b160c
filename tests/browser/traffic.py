"""What a page does besides painting: requests, dialogs, errors, and frames from the kernel."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, ConsoleMessage, Dialog, Page, Request, WebSocket


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelMessage:
    """One message that the page got from its kernel: `at` in seconds of the browser, `size` in bytes."""

    at: float
    size: int
    channel: str
    type: str
    content: dict[str, Any]


@dataclass
class Traffic:
    """Everything a page asked for, showed or logged since it was opened."""

    origin: str
    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    messages: list[KernelMessage] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", self._note_request)
        page.on("websocket", self._note_socket)
        page.on("dialog", self._note_dialog)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def watch_kernel(self, cdp: CDPSession) -> None:
        """Decode the frames of the kernel's socket too; costs time, hence only where a test wants it."""
        cdp.send("Network.enable")
        cdp.on("Network.webSocketFrameReceived", self._note_frame)

    @property
    def foreign(self) -> list[str]:
        """Requests and sockets to anywhere but the server under test."""
        socket_origin = self.origin.replace("http", "ws", 1)
        return [url for url in self.requests if not url.startswith((self.origin, "data:", "blob:"))] + [
            url for url in self.sockets if not url.startswith(socket_origin)
        ]

    def comm_messages(self) -> list[KernelMessage]:
        return [message for message in self.messages if message.type == "comm_msg"]

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)

    def _note_dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(f"{dialog.type}: {dialog.message}")
        # Leaving a page with unsaved cells asks; everything else is refused.
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            dialog.dismiss()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _note_frame(self, event: dict[str, Any]) -> None:
        response = event["response"]
        if response["opcode"] == 2:
            raw = base64.b64decode(response["payloadData"])
            self.messages.append(decode_kernel_message(event["timestamp"], raw))


def decode_kernel_message(at: float, raw: bytes) -> KernelMessage:
    """Take apart a frame of Jupyter's `v1.kernel.websocket.jupyter.org` protocol."""
    (count,) = struct.unpack_from("<Q", raw)
    offsets = struct.unpack_from(f"<{count}Q", raw, 8)
    parts = [raw[start:end] for start, end in pairwise(offsets)]
    channel, header, _parent, _metadata, content = parts[:5]
    return KernelMessage(
        at=at,
        size=len(raw),
        channel=channel.decode(),
        type=json.loads(header)["msg_type"],
        content=json.loads(content),
    )
