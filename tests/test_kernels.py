"""Cells in real kernels, each ipykernel for itself: Stop, interrupt, the live view, what is saved."""

from __future__ import annotations

import itertools
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from kernels import DEFAULT_KERNEL, KERNEL_NAMES
from shell import WIDGET, Cell, Kernel, kernel, settings

from hs_notebook.relay import EmbeddedRelay

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernels
#: For what no version of ipykernel has a part in.
on_one_kernel = pytest.mark.parametrize("running", [DEFAULT_KERNEL], indirect=True)

SLOW = "%%holysheep gpt-4.1 -o answer\n[simulate tokens=5000 tps=60 ttft=100]\nTell me."
FINAL = {"text/html", "text/plain"}
RECEIPT = {
    "request_model",
    "response_model",
    "state",
    "usage",
    "ttft",
    "duration",
    "tokens_per_second",
    "cost",
    "costs",
    "finish_reason",
    "simulated",
    "note",
    "response_id",
    "replayed",
}


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay() as running:
        yield running


@pytest.fixture(scope="module", params=KERNEL_NAMES)
def running(
    request: pytest.FixtureRequest, relay: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with kernel(request.param, tmp_path_factory.mktemp("kernel"), settings(relay.base_url)) as started:
        yield started


@pytest.fixture(params=KERNEL_NAMES)
def fresh(request: pytest.FixtureRequest, relay: EmbeddedRelay, tmp_path: object) -> Iterator[Kernel]:
    """A kernel for one test that changes it for good."""
    with kernel(request.param, tmp_path, settings(relay.base_url)) as started:  # type: ignore[arg-type]
        yield started


def begin(running: Kernel, code: str = SLOW, *, pieces: int = 4) -> Cell:
    """Start a cell and wait until some of its answer has been shown."""
    cell = running.start(code)
    running.until(cell, lambda cell: len([said for said in cell.custom if said.get("text")]) >= pieces)
    return cell


def closed_at(relay: EmbeddedRelay, before: int) -> float:
    """Wait until the relay has seen the client go; return when it did."""
    deadline = time.monotonic() + 5
    while relay.stats.cancelled == before:
        assert time.monotonic() < deadline, "the connection was not closed"
        time.sleep(0.005)
    assert relay.stats.last_cancelled_epoch is not None
    return relay.stats.last_cancelled_epoch


def cell_mark() -> str:
    """A prompt that no kernel before has sent: `-once` counts by prompt."""
    return f" {time.time()}"


def types_of(cell: Cell, known: int) -> list[str]:
    return [said.custom.get("type", said.kind) for said in cell.said[known:]]


def is_kept(running: Kernel, cell: Cell, state: str) -> None:
    """The last picture of a cell holds all text that came, and says how it ended."""
    final = cell.shown[-1]
    assert set(final["data"]) == FINAL
    assert final["metadata"]["holysheep"]["state"] == state
    assert final["transient"]["display_id"] == cell.shown[0]["transient"]["display_id"]
    text = final["data"]["text/plain"]
    assert text == cell.painted
    assert len(text) > 20
    assert f'data-state="{state}"' in final["data"]["text/html"]
    assert cell.custom[-1]["type"] == "end"
    assert cell.custom[-1]["state"] == state
    kept = running.run("print(answer.state, len(answer), sep='|')").printed
    assert kept == f"{state}|{len(text)}\n"


@on_one_kernel
def test_only_the_stream_that_is_named_stops(running: Kernel) -> None:
    cell = begin(running, "%%holysheep -o answer\n[simulate tokens=60 tps=60 ttft=50]")
    running.page_says("stop", "somebody-else")
    running.page_says("stop", "")
    running.page_says("dance", cell.stream_id)
    running.wait(cell)
    is_kept(running, cell, "complete")


@on_one_kernel
def test_a_broken_message_of_the_page_harms_nothing(running: Kernel) -> None:
    cell = begin(running)
    for content in ({}, {"action": ["stop"], "stream_id": {"a": 1}}, {"action": "stop"}):
        channel = running._client.control_channel
        channel.send(running._client.session.msg("holysheep_stream", content))
    running.page_says("stop", cell.stream_id)
    running.wait(cell)
    is_kept(running, cell, "stopped")


EMOJI = "Zuerst ASCII, dann 😀🎉 and 漢字, é and e\u0301, 👩‍👩‍👧 families; **Markdown** too.\n\n" * 12


def test_hello_is_answered_while_the_cell_blocks(running: Kernel) -> None:
    cell = begin(running, f"%%holysheep -o answer\n[simulate text tps=150 ttft=100]\n{EMOJI}", pieces=2)
    known = len(cell.said)
    running.page_says("hello", cell.stream_id)
    running.until(
        cell, lambda cell: types_of(cell, known)[-1:] == ["delta"] and "snapshot" in types_of(cell, known)
    )
    assert not cell.ended
    # A page that is reloaded has nothing, and says hello again.
    reloaded = len(cell.said)
    running.page_says("hello", cell.stream_id)
    running.wait(cell, timeout=30)
    assert cell.painted == EMOJI.strip("\n") == cell.shown[-1]["data"]["text/plain"]
    types = types_of(cell, reloaded)
    late = Cell(msg_id="", said=cell.said[reloaded + types.index("snapshot") :])
    assert late.painted == cell.painted
    assert types.count("snapshot") <= 2  # each hello is answered once, and the rest is new text alone
    snapshot = late.custom[0]
    assert 0 < snapshot["elapsed"] < 60
    assert 0 < snapshot["tokens"] < late.custom[-2]["tokens"]


def test_a_page_that_was_reloaded_is_answered_after_the_end(running: Kernel) -> None:
    cell = begin(running, "%%holysheep -o answer\n[simulate tokens=60 tps=100 ttft=50]", pieces=1)
    running.page_says("hello", cell.stream_id)
    running.wait(cell)
    known = len(cell.said)
    running.page_says("hello", cell.stream_id)
    running.until(cell, lambda cell: len(cell.said) >= known + 2)
    again = Cell(msg_id="", said=cell.said[known:])
    assert [said["type"] for said in again.custom] == ["snapshot", "end"]
    assert again.painted == cell.painted
    assert again.custom[-1]["state"] == "complete"


def test_a_view_hears_each_character_once_and_at_most_25_messages_a_second(running: Kernel) -> None:
    cell = running.start("%%holysheep -o answer\n[simulate tokens=800 tps=500 ttft=300]")
    running.until(cell, lambda cell: cell.stream_id)
    running.page_says("hello", cell.stream_id)
    running.wait(cell)
    said = [said for said in cell.said if said.custom]
    deltas = [one.custom for one in said if one.custom["type"] == "delta"]
    assert "".join(delta["text"] for delta in deltas) == cell.painted
    moments = [one.at for one in said]
    busiest = max(sum(at <= other < at + 1 for other in moments) for at in moments)
    assert busiest <= 25
    assert len(deltas) > 10
    assert [delta["tokens"] for delta in deltas] == sorted(delta["tokens"] for delta in deltas)


@on_one_kernel
def test_without_hello_all_text_so_far_is_sent_at_first(running: Kernel) -> None:
    cell = running.run("%%holysheep -o answer\n[simulate tokens=200 tps=100 ttft=0]")
    types = [said["type"] for said in cell.custom if said.get("text")]
    deltas = types.index("delta")
    assert set(types[:deltas]) == {"snapshot"}
    assert set(types[deltas:]) == {"delta"}
    texts = [said["text"] for said in cell.custom if said["type"] == "snapshot"]
    assert all(later.startswith(text) for text, later in itertools.pairwise(texts))
    is_kept(running, cell, "complete")


@on_one_kernel
def test_bytes_to_the_page_grow_with_the_answer(running: Kernel) -> None:
    def sent(tokens: int) -> int:
        cell = running.start(f"%%holysheep -o answer\n[simulate tokens={tokens} tps=25000 ttft=200]")
        running.until(cell, lambda cell: cell.stream_id)
        running.page_says("hello", cell.stream_id)
        running.wait(cell, timeout=60)
        assert cell.painted == cell.shown[-1]["data"]["text/plain"]
        return sum(said.size for said in cell.said if said.custom)

    assert 4.5 < sent(50_000) / sent(10_000) < 5.5


# --- what stays ------------------------------------------------------------------------------------


@on_one_kernel
def test_the_saved_output_is_static_and_complete(running: Kernel) -> None:
    markdown = (
        "# Title\n\n<script>alert(1)</script> costs $5 and $10, \x1b[31mred\x1b[0m\n\n```python\nx = 1\n```"
    )
    cell = running.run(f"%%holysheep gpt-4.1 -o answer\n[simulate text speed=inf]\n{markdown}")
    final = cell.shown[-1]
    assert set(final["data"]) == FINAL
    assert "<script" not in final["data"]["text/html"]
    assert "<h1>Title</h1>" in final["data"]["text/html"]
    assert final["data"]["text/plain"] == markdown.replace("\x1b", "⟦U+001B⟧")
    receipt = final["metadata"]["holysheep"]
    assert set(receipt) == RECEIPT
    assert (receipt["request_model"], receipt["response_model"]) == ("gpt-4.1", "gpt-4.1")
    assert (receipt["simulated"], receipt["cost"], receipt["state"]) == (True, None, "complete")
    assert Decimal(receipt["costs"]["output"]) == receipt["usage"]["completion_tokens"] * Decimal("8e-6")
    assert receipt["usage"]["completion_tokens"] > 0
    assert receipt["usage"]["estimated"] is False
    assert 0 < receipt["ttft"] <= receipt["duration"]
    assert set(final["metadata"]) == {"holysheep"}


@pytest.mark.parametrize("fresh", [DEFAULT_KERNEL], indirect=True)
def test_an_interrupt_in_the_first_moments_leaves_the_conversation_free(fresh: Kernel) -> None:
    slow = "%%holysheep gpt-4.1 --chat tea\n[simulate tokens=5000 tps=60]"
    for seconds in (0.01, 0.03, 0.06, 0.1, 0.2):
        cell = fresh.start(slow)
        fresh.until(cell, lambda cell: cell.said)
        fresh.rest(cell, seconds)
        fresh.interrupt()
        fresh.wait(cell)
        assert cell.reply["ename"] in {"KeyboardInterrupt", "Interrupted"}
        fresh.run("%%holysheep gpt-4.1 --chat tea\n[simulate text speed=inf]\nHere.")


def test_two_cells_in_a_row_and_last(running: Kernel) -> None:
    cells = [running.run(f"%%holysheep -o answer\n[simulate text speed=inf]\nAnswer {n}") for n in (1, 2)]
    assert [cell.shown[-1]["data"]["text/plain"] for cell in cells] == ["Answer 1", "Answer 2"]
    assert len({cell.stream_id for cell in cells}) == 2
    last = running.run("%holysheep last")
    again, final = last.shown[0], cells[1].shown[-1]
    assert (again["data"], again["metadata"]) == (final["data"], final["metadata"])
    shown = running.run("answer")
    result = next(said.content for said in shown.said if said.kind == "execute_result")
    assert (result["data"], result["metadata"]) == (final["data"], final["metadata"])


@on_one_kernel
def test_a_failure_replaces_the_live_view_and_is_one_line(running: Kernel) -> None:
    cell = running.run("%%holysheep\n[simulate fault=400]", fails=True)
    assert len(cell.errors) == 1
    assert cell.errors[0].startswith("BadRequestError: 400: ")
    assert cell.reply["ename"] == "BadRequestError"
    assert cell.custom[-1]["state"] == "error"
    assert set(cell.shown[-1]["data"]) == FINAL
    assert "no answer" in cell.shown[-1]["data"]["text/html"]


@on_one_kernel
def test_a_wait_is_shown(running: Kernel) -> None:
    running.run("%config HolySheepMagics.attempts = 2")
    cell = running.run("%%holysheep -o answer\n[simulate tokens=5 speed=inf fault=429-once]" + cell_mark())
    running.run("%config HolySheepMagics.attempts = 1")
    notices = [said["text"] for said in cell.custom if said["type"] == "notice"]
    assert "trying again in 1 s" in notices[0]
    assert notices[-1] == ""


@on_one_kernel
@pytest.mark.parametrize("setting", ["page", "text"])
def test_other_displays(setting: str, running: Kernel) -> None:
    running.run(f"%config HolySheepMagics.display = {setting!r}")
    try:
        cell = running.run("%%holysheep -o answer\n[simulate tokens=60 tps=60 ttft=50]")
        stopped = running.start(SLOW)
        running.until(stopped, lambda cell: cell.printed.count(" ") > 3 or len(cell.shown) > 2)
        running.interrupt()
        running.wait(stopped)
    finally:
        running.run("%config HolySheepMagics.display = 'auto'")
    assert WIDGET not in str([said.content for said in cell.said])
    assert not any(said.kind.startswith("comm") for said in cell.said)
    if setting == "page":
        pattern = re.compile('<div class="hs-answer[^>]* data-state="([a-z]+)"')
        states = [pattern.findall(one["data"]["text/html"])[0] for one in cell.shown]
        assert states[0] == states[1] == "streaming"
        assert states[-1] == "complete"
        assert stopped.shown[-1]["metadata"]["holysheep"]["state"] == "stopped"
    else:
        assert cell.shown == []
        assert len([said for said in cell.said if said.kind == "stream"]) > 3
        assert cell.printed.splitlines()[-1].endswith("simulated")
        assert stopped.printed.splitlines()[-1].startswith("stopped: gpt-4.1")
    assert stopped.errors == ["Interrupted: The answer stops here; its text is kept."]


@on_one_kernel
def test_a_front_end_without_widgets_sees_pictures_grow(running: Kernel) -> None:
    cell = running.run("%%holysheep -o answer\n[simulate tokens=180 tps=50 ttft=0]")
    pictures = [one["data"]["text/plain"] for one in cell.shown if "text/html" in one["data"]]
    assert len(pictures) >= 3
    assert all(later.startswith(text) for text, later in itertools.pairwise(pictures))


@on_one_kernel
def test_a_view_that_comes_when_pictures_have_begun_does_not_end_them(running: Kernel) -> None:
    """The page has put the first picture in the place of the widget: nobody sees that view."""
    cell = running.start("%%holysheep -o answer\n[simulate tokens=300 tps=50 ttft=0]")
    running.until(cell, lambda cell: any("text/html" in one["data"] for one in cell.shown))
    begun = len(cell.shown)
    running.page_says("hello", cell.stream_id)
    running.wait(cell, timeout=30)
    assert len(cell.shown) >= begun + 3
    is_kept(running, cell, "complete")


@on_one_kernel
def test_a_wait_that_is_over_does_not_stay_in_the_picture(running: Kernel) -> None:
    running.run("%config HolySheepMagics.display = 'page'\n%config HolySheepMagics.attempts = 2")
    try:
        cell = running.run(
            f"%%holysheep -o answer\n[simulate fault=429-once tokens=9 ttft=1500]{cell_mark()}"
        )
    finally:
        running.run("%config HolySheepMagics.display = 'auto'\n%config HolySheepMagics.attempts = 1")
    pictures = [one["data"]["text/html"] for one in cell.shown]
    waits = ["trying again" in one for one in pictures]
    assert True in waits
    assert waits[waits.index(True) :].count(True) == 1
    assert "waiting for gpt-4.1 …" in pictures[waits.index(True) + 1]


def test_the_hidden_prompt_takes_a_key(running: Kernel) -> None:
    running.run("import os; known = os.environ.pop('HOLYSHEEP_API_KEY')")
    try:
        refused = running.wait(running.start("%%holysheep\n[simulate tokens=5 speed=inf]", allow_stdin=False))
        asked, cell = running.answer_prompt("%%holysheep\n[simulate tokens=5 speed=inf]", "cr_typed_by_hand")
        again = running.run("%%holysheep\n[simulate tokens=5 speed=inf]")
        status = running.run("%holysheep")
    finally:
        running.run("os.environ['HOLYSHEEP_API_KEY'] = known")
    assert refused.errors[0].startswith("MissingKeyError: No key for")
    assert asked["password"] is True
    assert "stays hidden" in asked["prompt"]
    assert (cell.status, again.status) == ("ok", "ok")
    assert "from the prompt" in status.printed
    assert "cr_typed" not in str([cell.said, again.said, status.said])


# --- the notebook's own tasks ------------------------------------------------------------------------

TICKING = """
import asyncio
ticks = []
async def tick():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.02)
task = asyncio.get_running_loop().create_task(tick())
def ticks_of(prompt):
    before = len(ticks)
    get_ipython().run_cell_magic("holysheep", "-o answer", prompt)
    return len(ticks) - before
"""


def test_tasks_of_the_notebook_run_meanwhile_if_asked_to(fresh: Kernel, relay: EmbeddedRelay) -> None:
    fresh.run(TICKING)
    count = "print(ticks_of('[simulate tokens=40 tps=40 ttft=0]'))"
    assert fresh.run(count).printed == "0\n"
    fresh.run("%config HolySheepMagics.nest_asyncio = True")
    first = fresh.start(count)
    later = fresh.start("print('later', answer.state)")
    fresh.wait(first)
    fresh.wait(later)
    assert int(first.printed) > 5
    assert later.printed == "later complete\n"
    assert first.ended < later.ended  # the loop that runs meanwhile must not begin the next cell
    before = relay.stats.cancelled
    cell = begin(fresh)
    pressed = fresh.interrupt()
    fresh.wait(cell)
    assert closed_at(relay, before) - pressed < 1
    assert cell.errors == ["Interrupted: The answer stops here; its text is kept."]
    is_kept(fresh, cell, "stopped")
    assert (
        int(fresh.run("import time; n = len(ticks); await asyncio.sleep(0.2); print(len(ticks) - n)").printed)
        > 2
    )


@pytest.mark.parametrize("fresh", [DEFAULT_KERNEL], indirect=True)
def test_unloading_ends_what_is_open(fresh: Kernel) -> None:
    cell = begin(fresh, "%%holysheep\n[simulate tokens=30 tps=100 ttft=50]", pieces=1)
    fresh.page_says("hello", cell.stream_id)
    fresh.wait(cell)
    fresh.run("%unload_ext hs_notebook")
    assert [said.kind for said in cell.said if said.kind == "comm_close"] != []
    handlers = fresh.run("print('holysheep_stream' in get_ipython().kernel.control_handlers)")
    assert handlers.printed == "False\n"
