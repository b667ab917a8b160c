"""An answer goes on arriving in its own cell while the notebook goes on, and is kept there."""

from __future__ import annotations

import pytest

from browser.answers import BODY, WORDS, asking, receipt, spoken

COMPUTE = "import time\nuntil = time.time() + 3\nwhile time.time() < until: pass\nprint('computed')"


def in_background(text: str, how: str) -> str:
    return asking(text, how).replace(" --raw", " --raw --bg -o later")


@pytest.mark.kernels
def test_it_grows_while_another_cell_computes(open_asking, relay, kernel):
    notebook = open_asking([in_background(WORDS, "tps=200"), COMPUTE, "later.wait().state"], kernel=kernel)
    notebook.run(1)  # returns at once
    notebook.start(2)
    notebook.wait_for_text(1, "word20 ")
    assert relay.stats.active_streams == 1
    notebook.record(1, BODY)
    notebook.wait_until_done()
    seen = [sample for sample in notebook.stop_recording(1) if sample.live]
    assert notebook.text(2) == "computed", "nothing of the answer lands in another cell"
    assert len(seen[-1].text) > len(seen[0].text) + 100
    notebook.run(3)
    assert notebook.text(3).endswith("'complete'")
    notebook.wait_until("the final picture", lambda: "text/html" in notebook.outputs(1)[0].get("data", {}))
    assert spoken(notebook.text(1, BODY)) == spoken(WORDS)
    assert notebook.outputs(1)[0]["data"]["text/plain"] == WORDS
    assert receipt(notebook, 1)["state"] == "complete"
    assert "widgets" not in notebook.save().metadata


@pytest.mark.kernels
def test_its_own_button_stops_it_while_another_cell_computes(open_asking, relay, kernel):
    notebook = open_asking([in_background(WORDS, "tps=60"), COMPUTE], kernel=kernel)
    notebook.run(1)
    notebook.start(2)
    notebook.wait_for_text(1, "word9 ")
    notebook.output(1).get_by_role("button", name="Stop").click()
    notebook.wait_until("the connection to be closed", lambda: relay.stats.cancelled == 1, 5)
    notebook.wait_until_done()
    notebook.wait_until("the final picture", lambda: "text/html" in notebook.outputs(1)[0].get("data", {}))
    assert receipt(notebook, 1)["state"] == "stopped"
    kept = notebook.outputs(1)[0]["data"]["text/plain"]
    assert kept == WORDS[: len(kept)]
    assert spoken(notebook.text(1, BODY)) == spoken(kept)
