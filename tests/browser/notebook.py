"""One notebook open in JupyterLab: run its cells, watch them being painted, read what is saved."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import nbformat
from nbformat.sign import NotebookNotary

from browser.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from playwright.sync_api import BrowserContext, CDPSession, Locator

    from browser.lab import LabServer

DRIVER = Path(__file__).with_name("driver.js")
TIMERS = Path(__file__).with_name("timers.js")
#: Seconds. A cell that streams for longer says so where it waits.
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was on the screen after one frame; `at` in seconds since the epoch, `live`: was it the widget."""

    at: float
    live: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a cell's output stood in one frame, in pixels; `next` is the top of the cell below it.

    `live` tells whether the output was a widget in that frame.
    """

    at: float
    live: bool
    height: float
    top: float
    next: float | None


def write_notebook(path: Path, cells: Sequence[str], kernel: str) -> None:
    """A notebook of code cells; the same cells make the same file, byte by byte."""
    made = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(cells)]
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec}), path)


def trust(path: Path) -> None:
    """Sign the notebook as its owner does with `jupyter trust`, so that JupyterLab trusts its outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookNotary().sign(notebook)


class Notebook:
    """A notebook in a page of its own. Cells and their outputs are counted from 0."""

    def __init__(self, context: BrowserContext, server: LabServer, name: str) -> None:
        self.path = server.notebooks / name
        self.page = context.new_page()
        self.traffic = Traffic(server.url.rstrip("/"))
        self.traffic.watch(self.page)
        self.cdp: CDPSession = context.new_cdp_session(self.page)
        # A layout of its own: JupyterLab would restore, or share, one that had the same name before.
        self._workspace = f"{server.url}lab/workspaces/{uuid.uuid4().hex}"
        self.page.add_init_script(path=DRIVER)

    def open(self, *, with_kernel: bool = True) -> Self:
        """Load the page; with a kernel, wait until it is idle."""
        if with_kernel:
            self.page.goto(f"{self._workspace}/tree/{quote(self.path.name)}")
            self.wait_until_ready()
            return self
        self.page.goto(self._workspace)
        self._call("until('the app', () => hsTest.app()?.docRegistry?.getWidgetFactory('Notebook'))")
        self._call("withoutKernel()")
        self._call(
            "app().commands.execute('docmanager:open', {path: given, factory: 'Notebook'})", self.path.name
        )
        self._call("ready()")
        return self

    def open_in_notebook_7(self, url: str) -> Self:
        """Load the page in Notebook 7 of the server at `url`."""
        self.page.goto(f"{url}notebooks/{quote(self.path.name)}")
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        self._call("ready()")
        self.wait_until_idle()

    def reload(self) -> None:
        """Load the page again, as F5 does; returns once the notebook is shown.

        While a cell runs, the new page knows neither that nor the kernel: its status is "unknown" until
        the end.
        """
        self.page.reload()
        self._call("ready()")

    def close(self) -> None:
        """Shut the kernel down and close the page."""
        if self.page.is_closed():
            return
        self._call("shutDown()")
        self.page.close(run_before_unload=False)

    # Running

    def start(self, n: int) -> None:
        """Run a cell without waiting for it."""
        self._call("run(given)", n)

    def start_all(self) -> None:
        self._call("runAll()")

    def run(self, n: int, timeout: float = TIMEOUT) -> None:
        self.start(n)
        self.wait_until_done(timeout)

    def run_all(self, timeout: float = TIMEOUT) -> None:
        self.start_all()
        self.wait_until_done(timeout)

    def wait_until_done(self, timeout: float = TIMEOUT) -> None:
        """Wait until what was started has ended, whatever its outcome, and the kernel is idle.

        The kernel's status alone would lie: a message on the control channel makes it "idle" beneath a
        running cell.
        """
        self._call("until('the cells to end', () => !hsTest.isRunning(), given)", timeout * 1000)
        self.wait_until_idle()

    def wait_until_idle(self, timeout: float = TIMEOUT) -> None:
        self._call("idle(given)", timeout * 1000)

    def wait_until(self, what: str, condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        """Ask again and again, from here; for what the page cannot tell by itself."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            self.page.wait_for_timeout(20)

    def wait_for_text(self, n: int, text: str, timeout: float = TIMEOUT) -> None:
        """Wait until a cell's output shows this text."""
        given = {"n": n, "text": text, "timeout": timeout * 1000}
        condition = "() => hsTest.outputNode(given.n).textContent.includes(given.text)"
        self._call(f"until('text in the output', {condition}, given.timeout)", given)

    def interrupt(self) -> float:
        """Interrupt the kernel as the toolbar does; returns when that was asked for."""
        return float(self._call("interrupt()"))

    def last_click(self) -> float:
        """When the page heard the last button pressed, in seconds since the epoch."""
        return float(self._call("clicks.at(-1)"))

    @property
    def kernel_status(self) -> str:
        return str(self._call("kernelStatus()"))

    def prompt(self, n: int) -> str:
        """What stands beside a cell: `[3]:`, `[*]:` while it runs or waits, `[ ]:` when it did not."""
        return self.page.locator(".jp-Notebook .jp-Cell .jp-InputPrompt").nth(n).inner_text()

    # What is on the screen

    def output(self, n: int) -> Locator:
        """A cell's output area, for Playwright's own means."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(n).locator(".jp-Cell-outputArea")

    def text(self, n: int, selector: str | None = None) -> str:
        """The text that a reader sees in a cell's output, or in the first element there that fits."""
        place = self.output(n) if selector is None else self.output(n).locator(selector).first
        return place.inner_text().strip()

    def record(self, n: int, selector: str | None = None, *, how: str = "text") -> None:
        """Note, after every frame painted, the text shown.

        `how` is text, tail (its last 200 characters, cheap), ends (the last four of each answer in it) or
        none (the time alone).
        """
        given = {"n": n, "selector": selector, "how": how}
        self._call("record(given.n, given.selector, given.how)", given)

    def frames_painted(self, n: int) -> int:
        """How many frames there were since the recording began."""
        return int(self._call("framesPainted(given)", n))

    def stop_recording(self, n: int) -> list[Sample]:
        return [Sample(**sample) for sample in self._call("stopRecording(given)", n)]

    def record_layout(self, n: int) -> None:
        """Note in every frame where the output and the cell below it stand."""
        self._call("recordLayout(given)", n)

    def stop_layout(self) -> list[Frame]:
        return [Frame(**frame) for frame in self._call("stopLayout()")]

    def use_theme(self, name: str) -> None:
        """Such as `JupyterLab Dark`."""
        self._call("app().commands.execute('apputils:change-theme', {theme: given})", name)
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{light}'")

    def hide_sidebar(self) -> None:
        """Give the notebook the width of the page."""
        self._call("app().commands.execute('application:toggle-left-area')")
        self.page.wait_for_function("document.querySelector('#jp-left-stack').offsetWidth === 0")

    def screenshot(self, path: Path) -> None:
        self.page.screenshot(path=path)

    def is_trusted(self, n: int) -> bool:
        """Whether JupyterLab trusts the outputs of a cell, and so would run the scripts in them."""
        return bool(self._call("cell(given).model.trusted", n))

    # What it costs

    def main_thread_seconds(self) -> float:
        """How long the page's main thread has been busy since it was loaded."""
        self.cdp.send("Performance.enable")
        metrics = self.cdp.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    def watch_tasks(self, n: int) -> None:
        """Note from now on how long the page stands still, before and after cell n's final picture."""
        self._call("watchTasks(given)", n)

    def quiet(self) -> None:
        """Wait until it stands still no more."""
        self._call("quiet()")

    def longest_tasks(self) -> tuple[float, float]:
        """The longest task while the answer was live and from its final picture on, in milliseconds.

        50 is the least that the browser tells.
        """
        found = self._call("longestTasks()")
        return float(found["live"]), float(found["final"])

    def count_timers(self) -> None:
        """Count what fires for our code, from the next loading of the page on."""
        self.page.add_init_script(path=TIMERS)

    def timers_fired(self) -> int:
        """How many timers and animation frames of our code have fired since the page was loaded."""
        return int(self.page.evaluate("window.hsTimers.fired"))

    # What is kept

    def save(self) -> nbformat.NotebookNode:
        """Save as the user does, and read the file."""
        self._call("panel().context.save()")
        return nbformat.read(self.path, as_version=4)

    def outputs(self, n: int) -> list[Any]:
        """The outputs of a cell as they are saved."""
        return list(self.save().cells[n].outputs)

    def _call(self, expression: str, given: object = None) -> Any:
        """Evaluate `hsTest.<expression>` in the page, awaiting a promise; `given` is the argument there."""
        return self.page.evaluate(f"async (given) => await hsTest.{expression}", given)
