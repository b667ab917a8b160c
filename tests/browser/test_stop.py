"""Stop and interrupt close the connection at once and keep the text, on every kernel."""

from __future__ import annotations

import pytest

from browser.answers import BODY, WORDS, asking, receipt, spoken

#: Seconds from the click to the end of the connection, as the relay sees it.
PROMPTLY = 0.3
LONG = asking(WORDS * 10, "tps=100")
NEXT = "print('the next cell ran')"


def stop_button(notebook, n):
    return notebook.output(n).get_by_role("button", name="Stop")


def assert_text_is_kept(notebook, state):
    kept = notebook.outputs(1)[0]["data"]["text/plain"]
    assert kept.startswith("word0 word1 ")
    assert kept == (WORDS * 10)[: len(kept)]
    assert spoken(notebook.text(1, BODY)) == spoken(kept)
    assert receipt(notebook, 1)["state"] == state


@pytest.mark.kernels
def test_stop_and_interrupt_close_the_connection_at_once(open_asking, relay, kernel, record_property):
    notebook = open_asking([LONG, NEXT], kernel=kernel)

    start_and_wait(notebook)
    stop_button(notebook, 1).click()
    notebook.wait_until_done()
    assert relay.stats.cancelled == 1
    stopped = relay.stats.last_cancelled_epoch - notebook.last_click()
    assert_text_is_kept(notebook, "stopped")
    assert notebook.text(2) == "the next cell ran", "Run All goes on after Stop"

    start_and_wait(notebook)
    asked = notebook.interrupt()
    notebook.wait_until_done()
    assert relay.stats.cancelled == 2
    interrupted = relay.stats.last_cancelled_epoch - asked
    assert_text_is_kept(notebook, "stopped")
    (problem,) = [output for output in notebook.outputs(1) if output.output_type == "error"]
    assert len(problem.traceback) == 1, "one line, no traceback"
    assert notebook.prompt(2) == "[ ]:", "Run All halts after an interrupt"

    record_property("closed after Stop, ms", round(1000 * stopped))
    record_property("closed after an interrupt, ms", round(1000 * interrupted))
    assert 0 < stopped <= PROMPTLY
    assert 0 < interrupted <= PROMPTLY


def start_and_wait(notebook):
    notebook.start_all()
    notebook.wait_for_text(1, "word9 ")


def test_stop_before_the_first_token(open_asking, relay):
    notebook = open_asking([asking(WORDS, "ttft=30000"), NEXT])
    notebook.start_all()
    notebook.wait_until("the request is at the relay", lambda: relay.stats.active_streams == 1)
    stop_button(notebook, 1).click()
    notebook.wait_until_done()
    assert 0 < relay.stats.last_cancelled_epoch - notebook.last_click() <= PROMPTLY
    assert receipt(notebook, 1)["state"] == "stopped"
    assert notebook.text(2) == "the next cell ran"


def test_stop_by_the_keyboard(open_asking, relay):
    notebook = open_asking([LONG])
    for count, key in enumerate(["Enter", "Space", "Escape"], start=1):
        notebook.start(1)
        notebook.wait_for_text(1, "word9 ")
        stop_button(notebook, 1).focus()
        notebook.page.keyboard.press(key)
        notebook.wait_until_done(timeout=5)
        assert relay.stats.cancelled == count, key
        # From the page's body the notebook's shortcuts would not be heard.
        assert notebook.page.evaluate("document.activeElement.closest('.jp-Cell') !== null"), key
        assert_text_is_kept(notebook, "stopped")
