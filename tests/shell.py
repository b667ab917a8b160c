"""Shells to try the magics in: IPython's own in this process, and real kernels in processes of their own."""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from kernels import JUPYTER_PATH
from traitlets.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hs_notebook.relay import EmbeddedRelay

KEY = "cr_test_0123456789abcdef"
WIDGET = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    """`text` without its colours."""
    return _ANSI.sub("", text)


def settings(base_url: str, key: str = KEY) -> dict[str, str]:
    """What the environment must say for answers to come from `base_url`."""
    return {"HOLYSHEEP_BASE_URL": base_url, "HOLYSHEEP_API_KEY": key}


def until_closed(relay: EmbeddedRelay) -> float:
    """Wait until the relay has seen the client go, and return when that was."""
    deadline = time.monotonic() + 5
    while relay.stats.last_cancelled_monotonic is None:
        assert time.monotonic() < deadline, "the connection was not closed"
        time.sleep(0.005)
    return relay.stats.last_cancelled_monotonic


# --- in this process -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a cell left: standard output (errors too, as IPython prints them there) and standard error."""

    out: str
    err: str
    error: BaseException | None
    result: Any


class Shell:
    """An IPython shell whose front end is plain text, with the extension loaded."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        self.ip = InteractiveShell(config=config)
        assert self.run("%load_ext hs_notebook").out == ""
        self.ip.run_line_magic("config", "HolySheepMagics.requests_per_minute = 6000")
        self.ip.run_line_magic("config", "HolySheepMagics.attempts = 1")

    @property
    def names(self) -> dict[str, Any]:
        return self.ip.user_ns

    @property
    def magics(self) -> Any:
        return self.ip.magics_manager.registry["HolySheepMagics"]

    def run(self, code: str) -> Ran:
        with capture_output() as captured:
            done = self.ip.run_cell(code, store_history=True)
        error = done.error_before_exec or done.error_in_exec
        return Ran(out=plain(captured.stdout), err=captured.stderr, error=error, result=done.result)

    def close(self) -> None:
        self.ip.run_line_magic("unload_ext", "hs_notebook")
        self.ip.restore_sys_module_state()
        # Else each waits for the end of the process, to collect garbage there for a good part of a second.
        atexit.unregister(self.ip.atexit_operations)


# --- kernels -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message of a kernel: when it was sent (`time.time()`), how long it is as JSON, what it says."""

    kind: str
    content: dict[str, Any]
    at: float
    size: int

    @property
    def custom(self) -> dict[str, Any]:
        """What a widget sends to its page, or nothing."""
        data = self.content.get("data", {})
        return data.get("content", {}) if self.kind == "comm_msg" and data.get("method") == "custom" else {}


@dataclass(kw_only=True)
class Cell:
    """A cell that runs or ran: what the kernel said for it, and how it answered."""

    msg_id: str
    said: list[Said] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    ended: float = 0.0

    @property
    def status(self) -> str:
        return str(self.reply["status"])

    @property
    def printed(self) -> str:
        return "".join(said.content["text"] for said in self.said if said.kind == "stream")

    @property
    def errors(self) -> list[str]:
        """The lines of the tracebacks, without colours."""
        found = (said.content["traceback"] for said in self.said if said.kind == "error")
        return [plain(line) for lines in found for line in "\n".join(lines).splitlines()]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Contents of all displays and updates, in order."""
        return [said.content for said in self.said if said.kind in {"display_data", "update_display_data"}]

    @property
    def custom(self) -> list[dict[str, Any]]:
        return [said.custom for said in self.said if said.custom]

    @property
    def stream_id(self) -> str:
        """The live view's id, empty while there is none."""
        for said in self.said:
            state = said.content.get("data", {}).get("state", {}) if said.kind == "comm_open" else {}
            if "stream_id" in state:
                return str(state["stream_id"])
        return ""

    @property
    def painted(self) -> str:
        """What a page that holds to the protocol has painted."""
        text = b""
        for message in self.custom:
            new = message.get("text", "").encode("utf-16-le", "surrogatepass")
            if message["type"] == "snapshot":
                text = new
            elif message["type"] == "delta":
                have = len(text) // 2
                assert message["offset"] <= have, f"a gap at {have}: {message['offset']}"
                text += new[2 * (have - message["offset"]) :]
        return text.decode("utf-16-le", "surrogatepass")


def manager(name: str) -> KernelManager:
    """What starts one of the tests' kernels."""
    specs = KernelSpecManager(kernel_dirs=[os.fspath(JUPYTER_PATH / "kernels")])
    return KernelManager(kernel_name=name, kernel_spec_manager=specs)


class Kernel:
    """A kernel, and a client of it that behaves as a page does."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._manager = manager(name)
        self.log = folder / "kernel.log"  # what the process itself writes
        with self.log.open("ab") as log:
            place = os.fspath(folder)
            self._manager.start_kernel(env={**os.environ, **environment}, cwd=place, stdout=log, stderr=log)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._cells: dict[str, Cell] = {}
        self._places: dict[str, Cell] = {}  # by comm or display id, as a page finds them again

    def run(self, code: str, *, timeout: float = 30, fails: bool = False) -> Cell:
        """Run a cell to its end; unless it `fails` it must not."""
        cell = self.wait(self.start(code), timeout=timeout)
        assert (cell.status == "error") is fails, cell.errors or cell.printed
        return cell

    def answer_prompt(self, code: str, typed: str) -> tuple[dict[str, Any], Cell]:
        """Run a cell that asks the user for something; return what it asked, and the cell."""
        cell = self.start(code, allow_stdin=True)
        asked = self._client.get_stdin_msg(timeout=30)["content"]
        self._client.input(typed)
        return asked, self.wait(cell)

    def start(self, code: str, *, stop_on_error: bool = False, allow_stdin: bool = True) -> Cell:
        """Run a cell; unless it may ask for input, as a tool that runs notebooks does."""
        msg_id = self._client.execute(code, allow_stdin=allow_stdin, stop_on_error=stop_on_error)
        self._cells[msg_id] = Cell(msg_id=msg_id)
        return self._cells[msg_id]

    def until(self, cell: Cell, condition: Callable[[Cell], Any], *, timeout: float = 30) -> None:
        """Listen until `condition(cell)` holds."""
        deadline = time.monotonic() + timeout
        while not condition(cell):
            assert time.monotonic() < deadline, f"not within {timeout} s; said: {[s.kind for s in cell.said]}"
            self._decline()
            self._hear(cell)

    def wait(self, cell: Cell, *, timeout: float = 30) -> Cell:
        """Listen until the cell has ended and all it said is heard."""
        self.until(cell, lambda cell: cell.ended, timeout=timeout)
        while not cell.reply:
            reply = self._client.get_shell_msg(timeout=timeout)
            if answered := self._cells.get(reply["parent_header"]["msg_id"]):
                answered.reply = reply["content"]
        return cell

    def rest(self, cell: Cell, seconds: float) -> None:
        """Listen for a while, also after the cell's end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._hear(cell)

    def _decline(self) -> None:
        """Answer nothing to what a cell asks the user, unless a test does."""
        stdin = self._client.stdin_channel
        if stdin.msg_ready():
            stdin.get_msg()
            self._client.input("")

    def _hear(self, cell: Cell) -> None:
        """Take one message; what answers the page and not a cell counts as said by `cell`."""
        try:
            message = self._client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            return
        kind, content = message["msg_type"], message["content"]
        parent = self._cells.get(message["parent_header"].get("msg_id"))
        place = content.get("comm_id") or content.get("transient", {}).get("display_id")
        if place is not None:
            parent = self._places.setdefault(place, parent or cell)
        if kind == "status":
            if content["execution_state"] == "idle" and parent is not None:
                parent.ended = message["header"]["date"].timestamp()
            return
        size = len(json.dumps([message["header"], message["parent_header"], content], default=str))
        at = message["header"]["date"].timestamp()
        (parent or cell).said.append(Said(kind=kind, content=content, at=at, size=size))

    def complete(self, code: str) -> dict[str, Any]:
        """Return what TAB offers at the end of a cell."""
        reply: dict[str, Any] = self._client.complete(code, reply=True, timeout=30)["content"]
        return reply

    def page_says(self, action: str, stream_id: str) -> float:
        """Send what a live view sends; return the time."""
        content = {"action": action, "stream_id": stream_id}
        channel = self._client.control_channel
        now = time.time()
        channel.send(self._client.session.msg("holysheep_stream", content))
        return now

    def in_subshell(self, code: str) -> None:
        """Run code in a subshell of its own, as a console beside a busy notebook does; do not wait for it."""
        session = self._client.session
        control = self._client.control_channel
        control.send(session.msg("create_subshell_request", {}))
        while (reply := control.get_msg(timeout=10))["msg_type"] != "create_subshell_reply":
            pass
        message = session.msg("execute_request", {"code": code, "silent": False, "allow_stdin": False})
        message["header"]["subshell_id"] = reply["content"]["subshell_id"]
        self._client.shell_channel.send(message)

    def interrupt(self) -> float:
        """Interrupt as the toolbar does; return the time."""
        now = time.time()
        self._manager.interrupt_kernel()
        return now

    def restart(self, *, kill: bool) -> float:
        """Restart as the menu does, or `kill` the process and start another; return when it was asked for."""
        now = time.time()
        with self.log.open("ab") as log:
            self._manager.restart_kernel(now=kill, stdout=log, stderr=log)
        self._client.stop_channels()
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        return now

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextmanager
def kernel(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Kernel]:
    """A kernel with the extension loaded, that may ask as often as it likes."""
    running = Kernel(name, folder, environment)
    try:
        running.run("%load_ext hs_notebook\n%config HolySheepMagics.requests_per_minute = 6000")
        running.run("%config HolySheepMagics.attempts = 1")
        yield running
    finally:
        running.close()


# --- a server that answers what it is told to ----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP reply; in all of its texts `KEY` stands for the key that came with the request.

    `pause` is the time between its events, in seconds.
    """

    body: str = ""
    status: int = 200
    reason: str | None = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


def sse(*frames: object, pause: float = 0.0) -> Reply:
    """A reply that streams `frames`, and `[DONE]`."""
    lines = [f"data: {json.dumps(frame)}\n\n" for frame in frames]
    return Reply(body="".join(lines) + "data: [DONE]\n\n", kind="text/event-stream", pause=pause)


def said(text: str) -> Reply:
    """A reply that streams `text` in one frame."""
    return sse({"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})


class Server:
    """A loopback server that gives `replies` in turn, the last of them again and again."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.asked: list[Asked] = []
        self._replies = list(replies)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.asked.append(
                    Asked(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
                )
                outer._answer(self)

            do_GET = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        key = handler.headers.get("authorization", "").removeprefix("Bearer ") or handler.headers.get(
            "x-api-key", ""
        )
        body = reply.body.replace("KEY", key).encode()
        handler.send_response(reply.status, reply.reason and reply.reason.replace("KEY", key))
        for name, value in {
            "content-type": reply.kind,
            "content-length": str(len(body)),
            **reply.headers,
        }.items():
            handler.send_header(name, value.replace("KEY", key))
        handler.end_headers()
        for event in re.split(rb"(?<=\n\n)", body) if reply.pause else [body]:
            handler.wfile.write(event)
            time.sleep(reply.pause)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
