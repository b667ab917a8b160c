"""Write docs/reliability.md from what the tests found: `python tests/published.py REPORT.xml …`.

Of several reports, as where the hour of soak ran by itself, a later one counts for the tests that it holds.
A test that takes the fixture `publish` says its rows there; pytest puts them into its report. Nothing is
written after a run in which a test failed, or that left out one of the tables.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLACE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
MARK = "reliability: "
#: The tables in their order: its name as tests say it, its title, what it tells and which tests make it.
TABLES: tuple[tuple[str, str, str], ...] = (
    (
        "faults",
        "Faults on the way, and what comes of each",
        (
            "A server on a raw socket does it, down to the byte; `client.ask` goes through it with a real "
            "ledger. Asserted are the state, the text, the error's class and words, the requests at the "
            "server (where there is none, the attempts to reach it), the time between them, the receipt and "
            "its price, the one row of the ledger, the time, where a "
            "fault has no end the memory, and that the connection is closed; waits and time-outs may come "
            "0.5 s late at most. HOST stands for the server's address. A name's look-up alone is stood "
            "in for. `tests/chaos.py` is the table; `tests/test_chaos.py` also takes it through an iterated "
            "stream, a cell, and our own relay server between the two. By `make test`."
        ),
    ),
    (
        "ledger",
        "Troubles of the ledger's file",
        (
            "Real processes, a real file system and real signals. What was kept must be there afterwards and "
            "the file sound; where nothing can be written, answers arrive as ever and one line says why. "
            "`tests/test_ledger_processes.py`, by `make test`; the full file system needs root, and is left "
            "out elsewhere."
        ),
    ),
    (
        "conformance",
        "Readers of event streams against the HTML standard",
        (
            "Streams written after the rules of section 9.2.6 and what implementations get wrong, read whole "
            "and cut in two at every place. Compared are data, type, last event id and the reconnection time "
            "of a block (which the page does not tell), each library fed as its own client feeds it. That "
            "peers give an event for a block without data, or refuse what is no UTF-8, may be meant so; the "
            "standard says otherwise. `tests/test_conformance.py`, by `make test`."
        ),
    ),
    (
        "fuzzing",
        "Any bytes",
        (
            "Functions that raise where an invariant breaks, given bytes nearly right by hypothesis, "
            "and all that a coverage-guided run found worth keeping. `tests/test_fuzzing.py`, by "
            "`make test`; `make fuzz TARGET=decoder SECONDS=600` searches on."
        ),
    ),
    (
        "fork, sleep, clock",
        "A process that forks, sleeps, or whose clock jumps in mid-answer",
        (
            "A forked child asks, reads, closes and ends while its parent's answer arrives; a client is "
            "stopped for longer than its time-outs and goes on; the clock of a client is set a day forward "
            "and back. Asserted are the answers of all, their connections and the ledger. "
            "`tests/test_fork_sleep_clock.py`, by `make test`."
        ),
    ),
    (
        "dialects",
        "Two readers of Markdown",
        (
            "Documents made of what readers of Markdown disagree about (fences in lists and quotes, "
            "entities, mathematics beside money, half-open links, tabs, control characters). The live view "
            "and the final picture must give the same HTML byte for byte, colours of code aside, and a text "
            "that grows from pieces must end as in one go. `tests/test_dialects.py`, by `make test`, which "
            "takes fewer documents."
        ),
    ),
    (
        "interrupts",
        "An answer that is ended, at every stage and in every way",
        (
            "A cell is interrupted, stopped, cancelled, restarted or killed at each stage of its answer, in "
            "each ipykernel. Asserted are the text kept and shown, with which the relay's words begin, the "
            "one line of the error, what later cells do, the ledger, its tokens and its next start, no task "
            "or thread left over, and a connection that the relay sees closed within 0.3 s (after a restart "
            "or SIGKILL within 3 s). Other ways to ask are ended in mid-stream on the newest. The figure is "
            "the slowest of the kernels; two of them are either restarted or killed at a stage by `make "
            "test`, and both by `make reliability`. `tests/test_interrupts.py`, by `make test`."
        ),
    ),
    (
        "interrupts in a row",
        "Interrupts at random moments, one after another",
        (
            "Cells of six kinds are interrupted at random moments once they run; a short one also before "
            "its first line and after its last, and one by ten interrupts at once. After each the kernel "
            "must answer `1 + 1`, the relay serve nobody, no call be pending, the ledger be free, and a "
            "text that had come be kept as the relay said it; at most one reply in 40 may be lost. Beside "
            "it cells that only sleep: ipykernel itself loses a cell's reply where an interrupt meets its "
            "own steps at the cell's end. Threads, memory and our objects but for the answers that are kept "
            "are counted after each kind was interrupted twice, and at the end. `tests/test_interrupts.py`, "
            "60 rounds on one kernel by `make test`, 1,000 on each by `make reliability`."
        ),
    ),
    (
        "the key",
        "Where the key was looked for",
        (
            "A server says the user's key in its answer, whole or in pieces, and in its errors, headers and "
            "status line; what users call fails in every way, in each of IPython's modes; or it is typed at "
            "the hidden prompt. The key in small and capital letters, pieces of it, how JSON, a URL, HTML "
            "and Markdown may write it, and its Base64 and hexadecimal forms are looked for in all that the "
            "kernel says (messages to the page, standard output, logs at DEBUG), in the text the page "
            "paints at each moment, in the chunks a program reads, in the kept answer, its pickle and its "
            "copy, in the values of every frame of every error, in a saved notebook, its widgets and its "
            "exports, and in the files that are written. The same is done with the commands of the command "
            "line, and with our relay server, for its upstream's key and a client's: in replies, logs, "
            "figures, ledger, a Redis, and what the system tells of its processes. `tests/test_canary.py`, "
            "`test_canary_cli.py` and `test_canary_relay.py`, by `make test`."
        ),
    ),
    (
        "hostile",
        "Hostile answers in the terminal, and what drawing a huge one costs",
        (
            "A corpus of scripts, links, images, escape sequences, hidden characters, bombs of Markdown and "
            "mathematics, on a real terminal, cut at every place of an escape; and huge answers as the "
            "final picture, by the processor's time. That JupyterLab in Chromium runs and requests nothing, "
            "live, final and opened again, `tests/browser/test_hostile.py` asserts over the corpus's small "
            "ones, and `tests/browser/test_hostile_elsewhere.py` in Notebook 7, in a notebook "
            "without trust, and in nbconvert's page. `tests/test_hostile.py`, by `make test`."
        ),
    ),
    (
        "standstill",
        "How long a huge hostile answer holds JupyterLab's page",
        (
            "Answers arrive in pieces of 64 KiB, 20 a second. The longest task of the page's main thread "
            "while the answer is live, and when JupyterLab puts the final picture in its place; of tasks "
            "below 50 ms Chromium tells nothing. The goal of 100 ms is missed where a figure is above it. "
            "Prose of the same length is the yardstick, and the same text by `print`, as JupyterLab shows it "
            "without us. What is over the test's bound is tried up to three times. "
            "`tests/browser/test_hostile_large.py`, the dearest answers of 600 kB, by `make test`."
        ),
    ),
    (
        "soak",
        "A long run of everything at once",
        (
            "A client (blocking, async, cells, interrupts, map, replay) before a relay server, whose "
            "connections are cut at random, before an upstream with every fault. After each round both are "
            "asked what they hold; a line is fitted after Theil and Sen, the warm-up left out, and its "
            "upper end must stay under the bound. Each kind of work must end as it should, and the ledgers "
            "must add up. `tests/test_soak.py`, 40 s by `make test`, an hour by `make reliability`."
        ),
    ),
)


def rows_of(report: ET.Element) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table, in the order of the tests; a test that was tried again counts once."""
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for case in report.iter("testcase"):
        test = (str(case.get("classname")), str(case.get("name")))
        said: dict[str, list[dict[str, Any]]] = {}
        for entry in case.iter("property"):
            name = str(entry.get("name"))
            if name.startswith(MARK):
                said.setdefault(name.removeprefix(MARK), []).append(json.loads(str(entry.get("value"))))
        for table, rows in said.items():
            found.setdefault(table, {})[test] = rows
    return {table: [row for rows in tests.values() for row in rows] for table, tests in found.items()}


def problems(report: ET.Element, tables: Iterable[str]) -> list[str]:
    """Return why a report must not be published."""
    cases = {(case.get("classname"), case.get("name")): case for case in report.iter("testcase")}.values()
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    known = {name for name, *_ in TABLES}
    return [
        *(f"{case.get('classname')}::{case.get('name')} failed" for case in bad),
        *(f"no test told anything for the table {name!r}" for name in sorted(known - set(tables))),
        *(
            f"the table {name!r} has no title in {Path(__file__).name}"
            for name in sorted(set(tables) - known)
        ),
    ]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as a Markdown table; the columns are those of the first row and what others add."""
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [
        columns,
        ["---"] * len(columns),
        *([cell(row.get(name, "")) for name in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("|", "\\|").replace("\n", " ")


def page(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the whole page."""
    sections = [f"## {title}\n\n{text}\n\n{table(found[name])}\n" for name, title, text in TABLES]
    return "\n".join([HEAD.format(machine=machine()), *sections])


HEAD = """# Reliability: what was tried, and what came of it

Every row was found by a test on real parts, on {machine}.
`make reliability` runs them all again, an hour of soak and 1,000 interrupts included, and writes this page;
`make test` runs the same tests for a minute and with fewer rounds. How long a long one ran stands in its row.
"""


def machine() -> str:
    parts = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d} ({parts}, httpx {version('httpx')}, IPython {version('ipython')})"


def main() -> None:
    report = ET.Element("reports")
    report.extend(ET.parse(name).getroot() for name in sys.argv[1:])
    found = rows_of(report)
    if wrong := problems(report, found):
        sys.exit("Nothing was written:\n  " + "\n  ".join(wrong))
    PLACE.write_text(page(found), encoding="utf-8")
    print(f"{PLACE} is written: {sum(map(len, found.values()))} rows.")  # noqa: T201


if __name__ == "__main__":
    main()
