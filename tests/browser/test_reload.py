"""The page is loaded again while an answer arrives: no text is lost."""

from __future__ import annotations

from browser.answers import BODY, WORDS, asking, spoken

LAST = "%holysheep last"


def test_the_whole_text_comes_back_after_a_reload(open_asking, relay):
    notebook = open_asking([asking(WORDS, "tps=90"), LAST])
    notebook.start(1)
    notebook.wait_for_text(1, "word30 ")
    notebook.save()  # as the autosave does: so the page knows of the view
    notebook.reload()
    assert relay.stats.active_streams == 1, "the reload came too late to be one in mid-stream"
    notebook.wait_for_text(1, "word299")
    assert spoken(notebook.text(1, BODY)) == spoken(WORDS)
    assert relay.stats.requests == 1
    assert relay.stats.cancelled == 0
    notebook.wait_until_idle()
    notebook.run(2)
    assert spoken(notebook.text(2, BODY)) == spoken(WORDS)
    assert notebook.outputs(2)[0]["data"]["text/plain"] == WORDS


def test_last_shows_an_answer_whose_cell_was_never_saved(open_asking, relay):
    notebook = open_asking([asking(WORDS, "tps=90"), LAST])
    notebook.start(1)
    notebook.wait_for_text(1, "word30 ")
    notebook.reload()
    assert relay.stats.active_streams == 1, "the reload came too late to be one in mid-stream"
    notebook.wait_until_idle()
    notebook.run(2)
    assert spoken(notebook.text(2, BODY)) == spoken(WORDS)
    assert notebook.outputs(2)[0].metadata.holysheep["state"] == "complete"


def test_a_view_whose_answer_is_over_costs_nothing(open_asking):
    notebook = open_asking([asking(WORDS, "tps=90")])
    notebook.count_timers()
    notebook.start(1)
    notebook.wait_for_text(1, "word30 ")
    notebook.save()
    notebook.reload()  # so the view stays when its answer is over
    notebook.output(1).locator(".hs-live[data-state=complete]").wait_for()
    notebook.page.wait_for_timeout(500)
    fired = notebook.timers_fired()
    assert fired > 0, "it was painted"
    notebook.page.wait_for_timeout(2000)
    assert notebook.timers_fired() == fired
