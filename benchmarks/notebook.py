"""What showing an answer costs in JupyterLab: the page's main thread, the kernel's processor, bytes.

    python benchmarks/notebook.py [--tokens 1000 10000 50000] [--pace 500] [--check]

A real JupyterLab in a headless Chromium; the simulated relay writes the same answer (prose, lists, tables,
code, about four characters a token; no mathematics, so that all of it is drawn) at the same pace for each way
of showing it, each in a notebook of its own. `stdout` prints what has gathered twenty times a second, as the
live view paints; `Markdown` is `update_display` with the whole text so far. Late is the last text on the
screen after the last token was written. A way that falls behind, or is not done in four times the time, is
not tried at greater lengths. Bursts have 2,000 chunks at once, and the kernel's processor time is a median of
five. `--check` fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import chromium
from browser.lab import lab_server
from browser.notebook import Notebook, write_notebook
from environment import private_environment
from playwright.sync_api import Error, sync_playwright

from hs_notebook.display.fold import fold
from hs_notebook.relay import EmbeddedRelay
from hs_notebook.relay.simulation.article import tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import LabServer
    from playwright.sync_api import BrowserContext

SET_UP = """
import os, time
os.environ |= {{"HOLYSHEEP_API_KEY": "cr_bench", "HOLYSHEEP_BASE_URL": "{url}"}}
%load_ext hs_notebook
from IPython.display import Markdown, display
from hs_notebook import HolySheep

client, cpu = HolySheep(), [-time.process_time()]
prompt = "[simulate tokens=5 speed=inf]"
get_ipython().events.register("pre_run_cell", lambda info: cpu.append(-time.process_time()))
get_ipython().events.register("post_run_cell", lambda result: cpu.append(cpu.pop() + time.process_time()))

def tokens(prompt):
    asked = [{{"role": "user", "content": prompt}}]
    for chunk in client.chat.completions.create(model="gpt-4.1", messages=asked, stream=True):
        yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

def stdout(prompt, every):
    gathered, due = "", 0.0
    for text in tokens(prompt):
        gathered += text
        if time.monotonic() >= due:
            print(gathered, end="", flush=True)
            gathered, due = "", time.monotonic() + every
    print(gathered, flush=True)

def markdown(prompt, every):
    whole, due, shown = "", 0.0, display(Markdown(""), display_id=True)
    for text in tokens(prompt):
        whole += text
        if time.monotonic() >= due:
            shown.update(Markdown(whole))
            due = time.monotonic() + every
    shown.update(Markdown(whole))
"""
LIVE, STDOUT = "hs_notebook, live", "stdout, 20 a second"
WAYS = {
    STDOUT: "stdout(prompt, 0.05)",
    LIVE: "get_ipython().run_cell_magic('holysheep', 'gpt-4.1 --raw', prompt)",
    "Markdown, 10 a second": "markdown(prompt, 0.1)",
    "Markdown, each token": "markdown(prompt, 0)",
}
SECTION = """
## How a cache is measured

Ask for what is there, and for what is not: the two times have little to do with each other, and their mean
says nothing about either. A *warm* cache answers in some microseconds; a cold one asks `the store` behind it,
and waits. Whoever reports **one** figure has mixed them, in a proportion that nobody told him.

- Fill it with as much as it holds, and read all of that twice.
- Take the second reading alone, key by key.
  - A key that is gone was evicted, which is a third time to report.

| kind | keys | median | worst |
|------|-----:|-------:|------:|
| warm | 1000 | 12 us  | 80 us |
| cold | 1000 | 4 ms   | 95 ms |

```python
def timed(read, keys):
    began = time.perf_counter()
    for key in keys:
        read(key)
    return (time.perf_counter() - began) / len(keys)
```
"""
BURST = "[simulate tokens=2000 speed=inf] Go on."
FIRST = (
    "[simulate text tps=20]\nThe first word comes alone, and the others follow it one by one, a long time."
)
BEHIND = 1.0  # seconds late: this way is not tried at greater lengths
MAIN_THREAD, LINEAR, BURST_CPU, FIRST_TEXT = 1.2, 6.0, 0.1, 0.030


class Bench:
    """A browser, a JupyterLab and a relay; each measure has a notebook of its own."""

    def __init__(self, context: BrowserContext, lab: LabServer, relay: EmbeddedRelay) -> None:
        self.context, self.lab, self.relay = context, lab, relay
        self.made = 0

    @contextmanager
    def notebook(self, *cells: str) -> Iterator[Notebook]:
        """A notebook whose cell 0 has been run, and whose last cell tells the CPU seconds of all."""
        self.made += 1
        name = f"bench-{self.made}.ipynb"
        set_up = SET_UP.format(url=self.relay.base_url)
        write_notebook(
            self.lab.notebooks / name, [set_up, *cells, "import json; print(json.dumps(cpu))"], "python3"
        )
        opened = Notebook(self.context, self.lab, name)
        opened.count_timers()
        try:
            opened.open().run(0)
            yield opened
        finally:
            opened.close()

    def shown(self, way: str, tokens: int, pace: float) -> dict[str, float]:
        """Show one answer; return what that cost."""
        prompt = self.lab.notebooks / "prompt.txt"
        prompt.write_text(f"[simulate text tps={pace:g} ttft=200]\n{answer(tokens)}", encoding="utf-8")
        with self.notebook(WAYS[way], f"prompt = open({str(prompt)!r}).read()", WAYS[way]) as notebook:
            notebook.run(1)  # the view's code travels once a page
            notebook.run(2)
            frames: list[int] = []
            notebook.cdp.send("Network.enable")
            notebook.cdp.on(
                "Network.webSocketFrameReceived",
                lambda event: frames.append(len(event["response"]["payloadData"]) * 3 // 4),
            )
            busy = notebook.main_thread_seconds()
            notebook.record(3, how="none")
            notebook.run(3, timeout=4 * tokens / pace + 120)
            notebook.page.wait_for_timeout(500)
            samples = notebook.stop_recording(3)
            if (sent := self.relay.stats.last_stream.tokens_sent) < 0.99 * tokens:
                raise SystemExit(f"{way}: the relay wrote {sent:,} of {tokens:,} tokens")
            text = [sample for sample in samples if sample.live] or samples
            late = text[-1].at - self.relay.stats.last_stream.last_token_epoch
            busy = notebook.main_thread_seconds() - busy
            for output in notebook.outputs(3):
                if output.output_type == "error":
                    raise SystemExit(f"{way}: {output.ename}: {output.evalue}")
            found = {"busy": busy, "late": late, "messages": len(frames), "mb": sum(frames) / 1e6}
            return found | {"cpu": cpu_of(notebook, 4)[3]}

    def bursts(self, way: str) -> float:
        """Return the kernel's CPU seconds for a burst that is shown."""
        with self.notebook(f"prompt = {BURST!r}", *[WAYS[way]] * 6) as notebook:
            for number in range(1, 8):
                notebook.run(number)
            return statistics.median(cpu_of(notebook, 8)[3:8])

    def first_texts(self) -> list[float]:
        """Return the seconds from the relay's first write to the paint, of eleven answers."""
        with self.notebook(f"prompt = {FIRST!r}", WAYS[LIVE]) as notebook:
            notebook.run(1)
            notebook.run(2)
            delays = []
            for _ in range(11):
                notebook.record(2, ".hs-body")
                notebook.run(2)
                painted = next(s.at for s in notebook.stop_recording(2) if s.live and s.text.strip())
                delays.append(painted - self.relay.stats.last_stream.first_token_epoch)
            return sorted(delays)

    def timers(self) -> tuple[int, int]:
        """Return how many timers and frames of the view fired: during an answer, and in 2 s after it."""
        with self.notebook("prompt = '[simulate tokens=400 tps=200] Go on.'", WAYS[LIVE]) as notebook:
            notebook.run(1)
            notebook.run(2)
            notebook.page.wait_for_timeout(1000)
            during = notebook.timers_fired()
            notebook.page.wait_for_timeout(2000)
            return during, notebook.timers_fired() - during


def answer(tokens: int) -> str:
    """Return an answer of so many tokens, all of which is drawn."""
    text = "".join(islice(cycle(tokenize(SECTION)), tokens)).strip()
    if fold(text) != text:
        raise SystemExit(f"The live view would not draw all of {tokens:,} tokens.")
    return text


def cpu_of(notebook: Notebook, n: int) -> list[float]:
    """Return the kernel's CPU seconds of each cell so far, told by cell `n`."""
    notebook.run(n)
    seconds: list[float] = json.loads(notebook.text(n))
    return seconds


@contextmanager
def bench() -> Iterator[Bench]:
    executable = chromium.find()
    if executable is None:
        raise SystemExit(chromium.NONE_TO_BE_HAD)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRelay() as relay:
        environment = private_environment(Path(folder) / "home", os.environ)
        with lab_server(Path(folder) / "lab", environment) as lab, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
            context = browser.new_context(viewport={"width": 1200, "height": 1000})
            context.set_default_timeout(120_000)
            yield Bench(context, lab, relay)
            browser.close()


def compare(it: Bench, lengths: list[int], pace: float) -> dict[tuple[str, int], dict[str, float]]:
    found: dict[tuple[str, int], dict[str, float]] = {}
    behind: set[str] = set()
    for tokens in sorted(lengths):
        for way in WAYS:
            if way in behind:
                continue
            try:
                figures = found[way, tokens] = it.shown(way, tokens, pace)
            except Error as error:
                print(f"{way}, {tokens:,} tokens: {error.message.splitlines()[0]}", file=sys.stderr)
            else:
                print(way, tokens, figures, file=sys.stderr)
            if (way, tokens) not in found or figures["late"] > BEHIND:
                behind.add(way)
    return found


def table(found: dict[tuple[str, int], dict[str, float]], pace: float) -> str:
    columns = ("tokens", "main thread s", "times stdout", "late ms", "kernel CPU s", "messages", "MB")
    lines = [f"| {pace:g} tokens a second | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for (way, tokens), f in found.items():
        times = f["busy"] / found[STDOUT, tokens]["busy"]
        shown = f"{f['busy']:.1f} | {times:.2f} | {1000 * f['late']:,.0f} | {f['cpu']:.2f}"
        lines.append(f"| {way} | {tokens:,} | {shown} | {f['messages']:,.0f} | {f['mb']:.2f} |")
    return "\n".join(lines)


def missed(found: dict[tuple[str, int], dict[str, float]], figures: dict[str, float]) -> list[str]:
    """Say for each goal that is missed by how much."""
    lengths = sorted({tokens for _, tokens in found})
    longest = lengths[-1]
    over = found[LIVE, longest]["busy"] / found[STDOUT, longest]["busy"]
    goals = [
        (f"main thread for {longest:,} tokens, times stdout", over, MAIN_THREAD),
        ("CPU s for a burst", figures[LIVE], BURST_CPU),
        ("first text, s", figures["first"], FIRST_TEXT),
        ("timers of an idle view", figures["idle"], 0),
    ]
    if {10_000, 50_000} <= set(lengths):
        growth = found[LIVE, 50_000]["busy"] / found[LIVE, 10_000]["busy"]
        goals.append(("main thread for 50,000 tokens, times 10,000", growth, LINEAR))
    return [f"- {what}: {value:.3g}, goal {goal:g}" for what, value, goal in goals if value > goal]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--pace", type=float, default=500)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with bench() as it:
        found = compare(it, options.tokens, options.pace)
        figures |= {way: it.bursts(way) for way in WAYS}
        delays = it.first_texts()
        during, figures["idle"] = it.timers()
    figures["first"] = statistics.median(delays)
    print(table(found, options.pace))
    print("\n| a burst of 2,000 chunks | kernel CPU s | times stdout |\n|---|---|---|")
    for way in WAYS:
        print(f"| {way} | {figures[way]:.3f} | {figures[way] / figures[STDOUT]:.1f} |")
    print(
        f"\nFirst text on the screen after the relay's write: median {1000 * figures['first']:.0f} ms,"
        f" {1000 * delays[0]:.0f} to {1000 * delays[-1]:.0f} ms in eleven answers. Timers and frames of"
        f" the view that fired: {during} during an answer, {figures['idle']} in two seconds after it."
    )
    faults = missed(found, figures)
    print("", *faults, sep="\n")
    return bool(options.check and faults)


if __name__ == "__main__":
    sys.exit(main())
