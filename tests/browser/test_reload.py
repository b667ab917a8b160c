"""The page is loaded again while an answer arrives: no text is lost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from loopback import END, FINISH, SSE, Connection, Loopback, frame

from browser.answers import BODY, WORDS, spoken
from browser.conftest import loading_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.notebook import Notebook

ASKING = "%%holysheep gpt-4.1 --raw\nGo on."
LAST = "%holysheep last"
HALF = WORDS.index("word150 ")


@dataclass
class Teller:
    """A relay that tells half of an answer, and the rest once it is let: a page may take long to load."""

    told: int = 0  # whole answers
    letting: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: Connection, server: Loopback) -> None:
        while server.ask(connection):
            connection.send(SSE)
            connection.events(frame(WORDS[:HALF]))
            assert self.letting.wait(50)
            connection.events(*map(frame, WORDS[HALF:].splitlines(keepends=True)), FINISH, "[DONE]")
            connection.send(END)
            self.told += 1


@pytest.fixture
def teller() -> Iterator[Teller]:
    teller = Teller()
    yield teller
    teller.letting.set()


@pytest.fixture
def open_asking(open_notebook: Callable[..., Notebook], teller: Teller) -> Iterator[Callable[..., Notebook]]:
    """As the other one, with the teller as the relay."""
    with Loopback(teller.serve) as server:

        def open_one() -> Notebook:
            notebook = open_notebook([loading_cell(server.base_url), ASKING, LAST])
            notebook.run(0)
            return notebook

        yield open_one


def test_the_whole_text_comes_back_after_a_reload(open_asking, teller):
    notebook = open_asking()
    notebook.start(1)
    notebook.wait_for_text(1, "word149")
    notebook.save()  # as the autosave does: so the page knows of the view
    notebook.reload()
    teller.letting.set()
    notebook.wait_for_text(1, "word299")
    assert spoken(notebook.text(1, BODY)) == spoken(WORDS)
    notebook.wait_until_idle()
    assert teller.told == 1
    notebook.run(2)
    assert spoken(notebook.text(2, BODY)) == spoken(WORDS)
    assert notebook.outputs(2)[0]["data"]["text/plain"] == WORDS


def test_last_shows_an_answer_whose_cell_was_never_saved(open_asking, teller):
    notebook = open_asking()
    notebook.start(1)
    notebook.wait_for_text(1, "word149")
    notebook.reload()
    teller.letting.set()
    notebook.wait_until_idle()
    notebook.run(2)
    assert spoken(notebook.text(2, BODY)) == spoken(WORDS)
    assert notebook.outputs(2)[0].metadata.holysheep["state"] == "complete"


def test_a_view_whose_answer_is_over_costs_nothing(open_asking, teller):
    notebook = open_asking()
    notebook.count_timers()
    notebook.start(1)
    notebook.wait_for_text(1, "word149")
    notebook.save()
    notebook.reload()  # so the view stays when its answer is over
    teller.letting.set()
    notebook.output(1).locator(".hs-live[data-state=complete]").wait_for()
    notebook.page.wait_for_timeout(500)
    fired = notebook.timers_fired()
    assert fired > 0, "it was painted"
    notebook.page.wait_for_timeout(2000)
    assert notebook.timers_fired() == fired
