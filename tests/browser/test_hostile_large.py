"""A huge hostile answer does not freeze the page: the longest task, live and when its final picture comes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hostile.large import LARGE, TEX
from loopback import END, FINISH, SSE, Connection, Loopback, frame

from browser.conftest import loading_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.notebook import Notebook

SIZE = int(os.environ.get("HOSTILE_SIZE", "600000"))
PIECE = 65_536
INTERVAL = 0.05  # seconds between two pieces: the kernel's flushes
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds at all.\n"
PROSE = (SENTENCE * 8 + "\n") * (SIZE // (8 * len(SENTENCE)) + 1)

PRINTING = f"""import time
text = open("printed.txt", encoding="utf-8").read()
for at in range(0, len(text), {PIECE}):
    print(text[at : at + {PIECE}], end="", flush=True)
    time.sleep({INTERVAL})"""


@dataclass
class Teller:
    """A relay that tells one text in pieces of 64 KiB, and ends the answer when it is let."""

    text: str = ""
    ending: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(SSE)
            for at in range(0, len(self.text), PIECE):
                connection.events(frame(self.text[at : at + PIECE]))
                self.ending.wait(INTERVAL)
            assert self.ending.wait(600)
            connection.events(FINISH, "[DONE]")
            connection.send(END)


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def notebook(teller, open_notebook) -> Iterator[Notebook]:
    with Loopback(teller.serve) as server:
        cells = [loading_cell(server.base_url), "%%holysheep gpt-4.1 --raw\nGo on.", PRINTING]
        notebook = open_notebook(cells)
        notebook.run(0)
        yield notebook
        notebook.close()


def longest_tasks(notebook: Notebook, teller: Teller, text: str) -> tuple[float, float]:
    """Milliseconds of the longest task while an answer is live, and when its final picture comes."""
    teller.text = text
    teller.ending.clear()
    notebook.watch_tasks(1)
    notebook.start(1)
    notebook.wait_for_text(1, "characters are drawn", timeout=300)
    notebook.quiet()
    teller.ending.set()
    notebook.wait_until_done(120)
    return notebook.longest_tasks()


def longest_task_of_print(notebook: Notebook, text: str) -> float:
    """Milliseconds of the longest task while the same text is printed in the same pieces."""
    notebook.path.with_name("printed.txt").write_text(text, encoding="utf-8")
    notebook.watch_tasks(2)
    notebook.run(2, timeout=900)
    return notebook.longest_tasks()[0]


#: What took the page longest in each family, of all of the corpus; all of it where a size is given.
DEAREST = (
    "letters", "emoji", "combining marks", "lines of quotes", "a long table", "short rows", "many formulas",
    "fractions as deep as may be", "accents within accents", "sums as long as may be", "an open formula",
    "fences", "headings", "items", "all at once",
)  # fmt: skip
#: Milliseconds in which JupyterLab itself shows prose of this size, drawn or printed, on a quiet machine.
USUAL = 60
#: For the longest task live and final, on such a machine; JupyterLab typesets all formulas in one task.
BOUNDS = (150, 250)
BOUNDS_OF_FORMULAS = (150, 450)


@pytest.mark.timeout(3600)
def test_no_huge_answer_freezes_the_page(notebook, teller, publish: Callable[..., None]) -> None:
    longest_tasks(notebook, teller, PROSE)  # the view's code travels once a page
    prose = longest_tasks(notebook, teller, PROSE)
    publish("standstill", answer="harmless prose", characters=len(PROSE), **columns(*prose))
    printed = longest_task_of_print(notebook, PROSE)
    publish("standstill", answer="the same by `print`, without us", characters=len(PROSE), **columns(printed))
    slower = max(1, *(task / USUAL for task in (*prose, printed)))
    for name in LARGE if "HOSTILE_SIZE" in os.environ else DEAREST:
        text = LARGE[name].text(SIZE)
        holds_formulas = LARGE[name].family == TEX or name == "all at once"
        bounds = BOUNDS_OF_FORMULAS if holds_formulas else BOUNDS
        for _ in range(3):  # the machine is shared: one bad moment is no verdict
            found = longest_tasks(notebook, teller, text)
            if all(task <= slower * bound for task, bound in zip(found, bounds, strict=True)):
                break
        else:
            pytest.fail(f"{name}: {found} ms, where prose takes {prose}")
        publish("standstill", answer=name, characters=len(text), **columns(*found))


def columns(*tasks: float) -> dict[str, str]:
    """Of a task below 50 ms the browser tells nothing."""
    shown = [f"{task:.0f}" if task > 50 else "at most 50" for task in tasks]
    return dict(zip(("live,_ms", "final_picture,_ms"), shown, strict=False))
