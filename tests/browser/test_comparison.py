"""Several models side by side in JupyterLab: live, stopped, reloaded, saved."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

import psutil
import pytest

#: What is promised: frames a second, seconds of lag of 95 words in 100, the kernel's share of a core.
FRAMES, LAG, CPU = 50, 0.150, 0.25
#: What a machine that others use meanwhile must reach in one of so many attempts.
ATTEMPTS, NOISE = 3, 1.4
#: Seconds of the processor that `slowness` takes where this was promised: reckoned, as httpx's own loop takes
#: 7.2 us a chunk there, and 16.9 where it takes 0.105 s.
USUAL = 0.045
TEN = (
    "gpt-4.1,claude-sonnet-4.5,gemini-2.5-flash,deepseek-v3.2,gpt-4.1-mini,gpt-5.4,gpt-5.5,"
    "claude-haiku-4-5,claude-sonnet-4-6,gemini-2.5-pro"
)
#: Each word is one token of the simulated relay, and each empty line.
PARAGRAPH = 15
TPS = 200


def numbered(words: int) -> str:
    lines = [
        " ".join(f"w{n:04}" for n in range(start, start + PARAGRAPH)) for start in range(0, words, PARAGRAPH)
    ]
    return "\n\n".join(lines)


@pytest.mark.timeout(240)
def test_ten_models_at_200_tokens_a_second(open_asking, relay, record_property):
    words = 1500
    text = numbered(words)
    cells = ["import os; print(os.getpid())", "%config HolySheepMagics.concurrent_streams = 10"]
    asking = f"%%holysheep {TEN} --raw\n[simulate text tps={TPS} ttft=300]\n{text}"
    notebook = open_asking([*cells, asking, "print('below')"])
    notebook.run(1)
    notebook.run(2)
    kernel = psutil.Process(int(notebook.text(1)))
    measured = []
    while len(measured) < ATTEMPTS and not any(reached(one) for one in measured):
        measured.append(measure(notebook, relay, kernel, words))
    found = [described(*one) for one in measured]
    for one in found:
        record_property("ten side by side", one)
    slow = slowness()
    assert any(reached(one, slow, NOISE) for one in measured), (slow, *found)
    assert notebook.outputs(3)[0]["data"]["text/plain"].count(text) == 10


def described(frames, lags, cpu):
    p50, p95, worst = (
        round(1000 * lag) for lag in (statistics.median(lags), lags[int(0.95 * len(lags))], lags[-1])
    )
    late = f"lag p50 {p50} ms, p95 {p95} ms, most {worst} ms"
    return f"{frames:.0f} frames/s, {late}, kernel {cpu:.0%} of a core"


def reached(measured, slow=1.0, noise=1.0):
    frames, lags, cpu = measured
    late = slow * noise
    return frames >= FRAMES / late and lags[int(0.95 * len(lags))] <= LAG * late and cpu < CPU * slow


def slowness() -> float:
    """How many times the usual time this machine takes."""
    began = time.process_time()
    sum(len(str(number)) for number in range(500_000))
    return max(1.0, (time.process_time() - began) / USUAL)


def measure(notebook, relay, kernel, words):
    """Run the cell: frames a second, all words' lags in seconds, sorted, and the kernel's share of a core."""
    relay.stats.streams.clear()
    notebook.record(3, how="ends")
    notebook.start(3)
    notebook.wait_until("all streams", lambda: len(relay.stats.streams) == 10)
    notebook.wait_until("text", lambda: relay.stats.streams[-1].tokens_sent > TPS / 2)
    before, began, cpu = notebook.frames_painted(3), now(notebook), busy(kernel)
    notebook.page.wait_for_timeout(5000)
    frames, ended, cpu = notebook.frames_painted(3) - before, now(notebook), busy(kernel) - cpu
    notebook.wait_until_done(60)
    live = [sample for sample in notebook.stop_recording(3) if sample.live]
    lags = [lag for column in range(10) for lag in lags_of(column, live, relay.stats.streams[column], words)]
    return frames / (ended - began), sorted(lags), cpu / (ended - began)


def lags_of(column, samples, stream, words):
    """Seconds from the writing of each word to the frame that shows it; fails where one is never shown."""
    last = words + words // PARAGRAPH - 2  # the number of the last token
    spacing = (stream.last_token_epoch - stream.first_token_epoch) / last
    shown = [(sample.at, number(sample.text.split("|")[column])) for sample in samples if sample.text]
    assert all(one <= other for (_, one), (_, other) in pairwise(shown)), "text went away"
    word = 0
    for at, most in shown:
        while word <= most:
            yield at - (stream.first_token_epoch + spacing * (word + word // PARAGRAPH))
            word += 1
    assert word == words, "the live view did not show all of it"


def number(end):
    return int(end) if end else -1


def now(notebook):
    return notebook.page.evaluate("hsTest.now()")


def busy(process):
    times = process.cpu_times()
    return times.user + times.system


# --- what the reader does --------------------------------------------------------------------------

THREE = "gpt-4.1,claude-sonnet-4.5,deepseek-v3.2"
NEXT = "print('the next cell ran')"


def slow(models=THREE, words=600, how="tps=100 ttft=100"):
    return f"%%holysheep {models} --raw\n[simulate text {how}]\n{numbered(words)}"


def column(notebook, model, n=1):
    return notebook.output(n).locator(".hs-column").filter(has=notebook.page.get_by_text(model, exact=True))


def states(notebook, n=1):
    """The states of the receipts that are saved, in the order of the models."""
    return [receipt["state"] for receipt in notebook.outputs(n)[0].metadata.holysheep]


def wait_for_text(notebook):
    notebook.wait_until(
        "text in all columns", lambda: notebook.output(1).locator(".hs-body:has-text('w0009')").count() == 3
    )


def test_a_column_stops_by_its_own_button_and_all_by_one(open_asking, relay):
    notebook = open_asking([slow(words=6000), NEXT])
    notebook.start_all()
    wait_for_text(notebook)
    column(notebook, "claude-sonnet-4.5").get_by_role("button", name="Stop", exact=True).click()
    column(notebook, "claude-sonnet-4.5").get_by_text("stopped", exact=True).wait_for()
    assert (relay.stats.cancelled, relay.stats.active_streams) == (1, 2)
    assert "2 of 3" in notebook.text(1, ".hs-all")
    notebook.output(1).get_by_role("button", name="Stop all").click()
    notebook.wait_until_done(timeout=5)
    assert relay.stats.cancelled == 3
    assert states(notebook) == ["stopped"] * 3
    assert notebook.text(2) == "the next cell ran", "Run All goes on after Stop"
    plain = notebook.outputs(1)[0]["data"]["text/plain"]
    assert plain.count("## ") == plain.count("w0009") == 3

    notebook.start(1)
    wait_for_text(notebook)
    column(notebook, "gpt-4.1").get_by_role("button", name="Stop", exact=True).focus()
    notebook.page.keyboard.press("Escape")
    notebook.wait_until_done(timeout=5)
    assert relay.stats.cancelled == 6


def test_a_failing_model_leaves_the_others_and_what_is_saved_is_static(open_asking, open_notebook):
    notebook = open_asking([slow("gpt-4.1,nonsense-9,deepseek-v3.2", how="tps=150 ttft=100"), NEXT])
    notebook.start_all()
    notebook.wait_for_text(1, "w0030")
    error = column(notebook, "nonsense-9").inner_text()
    assert "NotFoundError: 404" in error
    assert notebook.output(1).locator(".hs-comparison").count() == 1, "this was the live view"
    notebook.wait_until_done()
    assert notebook.text(2) == "the next cell ran"
    assert states(notebook) == ["complete", "error", "complete"]
    saved = notebook.save()
    (output,) = saved.cells[1].outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "widgets" not in saved.metadata
    assert output["data"]["text/plain"].count(numbered(600)) == 2
    shown = notebook.text(1)
    notebook.close()

    reader = open_notebook(None, name=notebook.path.stem, with_kernel=False)
    reader.output(1).locator(".hs-table").wait_for()
    assert reader.kernel_status == "none"
    assert reader.text(1).split() == shown.split()
    assert "cheapest 1.0×" in reader.text(1, ".hs-table")
    assert "NotFoundError: 404" in column(reader, "nonsense-9").inner_text()
    assert reader.traffic.foreign == []


def test_the_texts_come_back_after_a_reload(open_asking, relay):
    notebook = open_asking([slow(words=600, how="tps=90 ttft=100"), "%holysheep last"])
    notebook.start(1)
    wait_for_text(notebook)
    notebook.save()
    notebook.reload()
    assert relay.stats.active_streams == 3, "the reload came too late to be one in mid-stream"
    notebook.wait_until(
        "all the text", lambda: notebook.output(1).locator(".hs-body:has-text('w0599')").count() == 3
    )
    words = numbered(600).split()
    assert [body.split() for body in notebook.output(1).locator(".hs-body").all_inner_texts()] == [words] * 3
    assert (relay.stats.requests, relay.stats.cancelled) == (3, 0)
    notebook.wait_until_idle()
    notebook.run(2)
    assert notebook.outputs(2)[0]["data"]["text/plain"].count(numbered(600)) == 3


PLACES = """() => {
  const output = hsTest.outputNode(1);
  const origin = output.getBoundingClientRect();
  return [...output.querySelectorAll(".hs-heading, .hs-body, .hs-body p")].map((node) => {
    const box = node.getBoundingClientRect();
    return [box.left - origin.left, box.top - origin.top, box.width, box.height];
  });
}"""


def test_the_columns_stay_where_they_are_when_the_answers_end(open_asking):
    notebook = open_asking([slow(words=150, how="speed=inf fault=stall after=100000"), NEXT])
    notebook.hide_sidebar()
    notebook.start(1)
    notebook.wait_until(
        "all the text", lambda: notebook.output(1).locator(".hs-body:has-text('w0149')").count() == 3
    )
    notebook.page.wait_for_timeout(300)
    before = notebook.page.evaluate(PLACES)
    notebook.record_layout(1)
    notebook.output(1).get_by_role("button", name="Stop all").dispatch_event("click")
    notebook.wait_until_done()
    notebook.page.wait_for_timeout(800)
    frames, after = notebook.stop_layout(), notebook.page.evaluate(PLACES)
    assert (frames[0].live, frames[-1].live) == (True, False)
    assert len(before) == len(after) > 30
    assert [place for pair in zip(before, after, strict=True) for place in differing(*pair)] == []
    heights = [frame.height for frame in frames]
    assert all(later > earlier - 1 for earlier, later in pairwise(heights)), "the page jumped up"


def differing(before, after):
    return [(before, after)] if any(abs(a - b) > 1 for a, b in zip(before, after, strict=True)) else []
