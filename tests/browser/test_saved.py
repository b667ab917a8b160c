"""What is saved is static, complete and readable without a kernel."""

from __future__ import annotations

import json

from browser.answers import BODY, MARKDOWN, WIDGET, asking, spoken
from browser.notebook import trust


def test_a_saved_answer_is_read_without_a_kernel(open_asking, open_notebook):
    notebook = open_asking(
        [asking(MARKDOWN, "speed=20"), "%%holysheep gpt-4.1\n[simulate speed=20] Tell me."]
    )
    notebook.run_all()
    shown = [notebook.text(n, BODY) for n in (1, 2)]
    saved = notebook.save()
    assert WIDGET not in json.dumps(saved)
    assert "widgets" not in saved.metadata
    (output,) = saved.cells[1].outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert output["data"]["text/plain"] == MARKDOWN
    assert_receipt(output.metadata["holysheep"])

    trust(notebook.path)
    notebook.close()
    reader = open_notebook(None, name=notebook.path.stem, with_kernel=False)
    reader.page.wait_for_timeout(1000)
    assert reader.kernel_status == "none"
    assert [spoken(reader.text(n, BODY)) for n in (1, 2)] == [spoken(text) for text in shown]
    assert "The last words." in reader.text(1)
    assert "simulated" in reader.text(1, ".hs-receipt")
    assert reader.output(2).locator("mjx-container").count() >= 2, "mathematics is typeset"
    assert reader.traffic.foreign == []
    assert reader.traffic.dialogs == []


def assert_receipt(receipt):
    assert receipt["state"] == "complete"
    assert receipt["simulated"] is True
    assert receipt["request_model"] == receipt["response_model"] == "gpt-4.1"
    assert receipt["cost"] is None
    assert 0 < receipt["ttft"] < receipt["duration"]
    assert receipt["tokens_per_second"] > 0
    usage = receipt["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["estimated"] is False


PLACES = """node => {
  const text = node.firstChild;
  const at = (start) => {
    const range = document.createRange();
    range.setStart(text, start);
    range.setEnd(text, start + 1);
    return range.getBoundingClientRect();
  };
  const first = at(0);
  const room = node.getBoundingClientRect().right - first.right;
  return { first: first.left, last: at(text.length - 1).left, room };
}"""


def test_each_paragraph_goes_the_way_of_its_script(open_asking):
    notebook = open_asking([asking("שלום, עולם (אחת).\n\n- פריט: שתיים.\n\nPlain words, to the end.")])
    notebook.run(1)
    body = notebook.output(1).locator(BODY)
    hebrew, item, english = (body.locator(css).evaluate(PLACES) for css in ("p >> nth=0", "li", "p >> nth=1"))
    assert hebrew["first"] > hebrew["last"]
    assert hebrew["room"] < 2, "it begins at the right edge"
    assert item["first"] > item["last"]
    assert item["room"] > 100, "it stands beside its bullet"
    assert english["first"] < english["last"]
