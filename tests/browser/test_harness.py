"""The harness itself, and the means the product rests on: nothing here runs the product."""

from __future__ import annotations

import pytest

from browser.mechanism import STREAMING
from browser.notebook import trust

PRINTS = "import time\nfor n in range(8):\n    print('line', n, flush=True); time.sleep(0.1)"
PICTURE = """from IPython.display import HTML, display
display(HTML('<img src="http://127.0.0.1:9/spy.png">'
             '<script>alert("ran"); console.error("noise")</script>'))"""


@pytest.mark.kernels
@pytest.mark.parametrize(("way", "waits"), [("control", False), ("comm", True)])
def test_a_click_reaches_a_busy_kernel_by_the_control_channel(open_notebook, kernel, way, waits):
    version = kernel.removeprefix("ipykernel-")
    seconds = 60 if way == "control" else 3
    cells = [
        STREAMING,
        f"print(stream({way!r}, {seconds}))",
        "import ipykernel\nprint(ipykernel.__version__, delay)",
    ]
    notebook = open_notebook(cells, kernel=kernel)
    notebook.run(0)
    notebook.start(1)
    notebook.wait_for_text(1, "token5")
    notebook.output(1).get_by_role("button", name="Stop").click()
    notebook.wait_until_done()
    notebook.run(2)
    running, delay = notebook.text(2).split()
    assert running.startswith(version + ".")
    # A widget's own message waits for the cell, but on 7.0 to 7.3, where it has a thread of its own.
    assert ("ran to its end" in notebook.text(1)) is (waits and version != "7.3")
    assert (float(delay) > 0.5) is (waits and version != "7.3")


def test_what_is_painted_is_measured(open_notebook, tmp_path):
    notebook = open_notebook([PRINTS, "pass"])
    notebook.record(0)
    notebook.record_layout(0)
    notebook.run(0)
    samples, frames = notebook.stop_recording(0), notebook.stop_layout()
    assert len({sample.text for sample in samples}) >= 5
    assert samples[-1].text.strip() == notebook.text(0)
    assert frames[-1].height > frames[0].height
    assert frames[-1].next - frames[0].next > 50

    before = notebook.main_thread_seconds()
    notebook.page.evaluate("() => { const end = performance.now() + 300; while (performance.now() < end); }")
    assert 0.3 <= notebook.main_thread_seconds() - before < 0.6

    notebook.use_theme("JupyterLab Dark")
    notebook.screenshot(tmp_path / "dark.png")
    notebook.use_theme("JupyterLab Light")
    notebook.screenshot(tmp_path / "light.png")
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()


def test_run_all_goes_on_and_halts_at_an_error(open_notebook):
    notebook = open_notebook(["1", "1 / 0", "print('reached')"])
    notebook.run_all()
    assert "ZeroDivisionError" in notebook.text(1)
    assert notebook.outputs(2) == []


def test_interrupt_reaches_the_cell(open_notebook):
    notebook = open_notebook(["print('begun', flush=True)\nimport time; time.sleep(60)", "print('reached')"])
    notebook.start_all()
    notebook.wait_for_text(0, "begun")
    notebook.interrupt()
    notebook.wait_until_done()
    assert "KeyboardInterrupt" in notebook.text(0)
    assert notebook.outputs(1) == []


def test_messages_of_the_kernel_are_counted_and_sized(open_notebook):
    notebook = open_notebook([STREAMING, "stream('control', 1)"])
    notebook.traffic.watch_kernel(notebook.cdp)
    notebook.page.reload()
    notebook.wait_until_ready()
    notebook.run_all()
    texts = [message.content["data"]["content"]["text"] for message in notebook.traffic.comm_messages()]
    assert texts == [f"token{n} " for n in range(20)]
    assert all(message.size > 200 for message in notebook.traffic.comm_messages())


def test_what_a_page_must_not_do_is_noticed_and_a_trusted_notebook_may_do_it(open_notebook):
    first = open_notebook([PICTURE], name="kept")
    first.run(0)
    assert first.traffic.foreign == ["http://127.0.0.1:9/spy.png"]
    assert first.traffic.dialogs == ["alert: ran"]
    assert "noise" in first.traffic.errors
    first.save()
    trust(first.path)
    first.close()

    second = open_notebook(None, name="kept", with_kernel=False)
    second.wait_until("the alert of a trusted output", lambda: second.traffic.dialogs == ["alert: ran"])
    assert second.is_trusted(0)
    assert second.kernel_status == "none"


def test_a_request_that_the_kernel_seems_to_overlook_wakes_it(open_notebook):
    notebook = open_notebook(["import time; time.sleep(3)", "print('reached')"], kernel="ipykernel-7.3")
    notebook.reload()  # the watch begins anew with the page
    notebook.wait_until_idle()
    notebook.run_all()  # the second waits for the first, without a sign of life
    assert notebook.text(1) == "reached"
    assert notebook.page.evaluate("hsTest.woken()") >= 1
