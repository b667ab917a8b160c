"""One key goes through everything a user may do; afterwards it must be nowhere."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import nbformat
import pytest
from canary import GROWING, WRITTEN, Canary, everything, in_pieces
from kernels import DEFAULT_KERNEL
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter, PythonExporter
from shell import Cell, Kernel, Reply, Server, kernel, manager, said, settings, sse

from hs_notebook.relay import EmbeddedRelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = Canary("cr_Canary_7f3d+5A91/c2e84b60")

START = """
import asyncio, logging, sys, pickle, copy
from hs_notebook import AsyncHolySheep, HolySheep
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
for name in ("", "httpx", "httpcore", "hs_notebook", "asyncio"):
    logging.getLogger(name).setLevel(logging.DEBUG)
asyncio.get_running_loop().set_debug(True)
from hs_notebook.wire.retry import RetryPolicy
many = dict(requests_per_minute=6000, retry=RetryPolicy(attempts=1))
client = HolySheep(**many)
aclient = AsyncHolySheep(**many)
WORDS = [{"role": "user", "content": "[simulate tokens=5000 tps=50 ttft=50]"}]
LONG = WORDS[0]["content"]
"""

# Each fails at once.
FAILING = [
    "client.ask('[simulate fault=401]', model='gpt-4.1')",
    "client.ask('[simulate fault=400]', model='gpt-4.1')",
    "client.ask('[simulate fault=html]', model='gpt-4.1')",
    "client.ask('[simulate fault=errorframe speed=inf]', model='gpt-4.1')",
    "client.ask('[simulate fault=redirect]', model='gpt-4.1', stream=False)",
    "client.ask('', model='gpt-4.1')",
    "client.ask('Hello', model='gpt-4.1', temperature=float('nan'))",
    "client.ask('Hello', model='gpt-4.1', user=object())",
    "client.chat.completions.create(model='', messages=WORDS)",
    "client.chat.completions.create(model='nope', messages=WORDS)",
    "list(client.chat.completions.create(model='gpt-4.1', messages=WORDS, stream=True, max_tokens=-1))",
    (
        "list(client.chat.completions.create(model='gpt-4.1', stream=True,\n"
        "     messages=[{'role': 'user', 'content': '[simulate fault=cut speed=inf]'}]))"
    ),
    "await aclient.ask('[simulate fault=401]', model='gpt-4.1')",
    "await aclient.ask('Hello', model='nope')",
    "HolySheep(auth='basic')",
    "HolySheep(base_url='http://remote.example')",
    "HolySheep(base_url='ftp://remote.example')",
    "HolySheep(base_url='https://remote.example')",
    "%%holysheep\n[simulate fault=401]",
    "%%holysheep nope\nHello",
    "%%holysheep --base-url https://remote.example\nHello",
    "%%holysheep --key abc\nHello",
    "pickle.dumps(client)",
    "pickle.dumps(aclient.credentials)",
    "pickle.dumps(get_ipython().magics_manager.registry['HolySheepMagics'].session)",
    "copy.deepcopy(client.asynchronous.credentials)",
    """
task = asyncio.ensure_future(aclient.ask(LONG, model='gpt-4.1'))
await asyncio.sleep(0.1)
task.cancel()
await task
""",
    """
async def first():
    async for chunk in await aclient.chat.completions.create(model='gpt-4.1', messages=WORDS, stream=True):
        raise RuntimeError("of the user's own")
await first()
""",
]

# Each is interrupted when it has printed.
INTERRUPTED = [
    "print('on', flush=True)\nclient.ask(LONG, model='gpt-4.1')",
    (
        "for chunk in client.chat.completions.create(model='gpt-4.1', messages=WORDS, stream=True):\n"
        "    print('on', flush=True)"
    ),
    "print('on', flush=True)\nclient.chat.completions.create(model='gpt-4.1', messages=WORDS)",
    "print('on', flush=True)\nawait aclient.ask(LONG, model='gpt-4.1')",
    (
        "stream = await aclient.chat.completions.create(model='gpt-4.1', messages=WORDS, stream=True)\n"
        "async for chunk in stream:\n    print('on', flush=True)"
    ),
]

# What a tool for crash reports collects: the values of every frame of every error, plain containers opened.
WALK = """
import inspect, traceback
def opened(value, depth=0):
    yield repr(value)[:20000]
    if isinstance(value, (dict, list, tuple, set)) and depth < 4:
        for inner in ([*value, *value.values()] if isinstance(value, dict) else list(value)):
            yield from opened(inner, depth + 1)

def errors_of(error, seen):
    if error is not None and error not in seen:
        seen.append(error)
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            errors_of(other, seen)
    return seen

async def walk(code):
    try:
        done = eval(code)
        if inspect.isawaitable(done):
            await done
    except BaseException as error:
        print(*traceback.TracebackException.from_exception(error, capture_locals=True).format())
        frames = 0
        for one in errors_of(error, []):
            print(*opened(vars(one)), *opened(one.args))
            for frame, _ in traceback.walk_tb(one.__traceback__):
                frames += 1
                for value in list(frame.f_locals.values()):
                    print(*opened(value))
        print("FRAMES", frames)
"""

# What a curious user looks at.
LOOKING = r"""
magics = get_ipython().magics_manager.registry["HolySheepMagics"]
seen = set()
def look(thing, depth=0):
    if id(thing) in seen or depth > 12 or isinstance(thing, (type, type(sys))) or thing is get_ipython():
        return
    seen.add(id(thing))
    print(repr(thing)[:20000], str(thing)[:20000])
    if isinstance(thing, dict):
        inside = [*thing, *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inside = list(thing)
    else:
        inside = list(getattr(thing, "__dict__", {}).values())
        fields = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        inside += [getattr(thing, name, None) for name in fields if isinstance(name, str)]
    for other in inside:
        look(other, depth + 1)
for thing in (client, aclient, magics.session, aclient.credentials, magics.trait_values(), magics.client()):
    look(thing)
print(len(seen))
%whos
%config HolySheepMagics
%holysheep
%holysheep models
%holysheep last
client?
aclient.credentials?
print(vars(client), vars(aclient), vars(magics.session), dir(aclient.credentials.key))
print(f"{aclient.credentials.key} {aclient.credentials.key!r} %s" % aclient.credentials.key)
"""


@pytest.fixture(scope="module")
def relay() -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay() as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary")


@pytest.fixture(scope="module")
def running(relay: EmbeddedRelay, home: Path) -> Iterator[Kernel]:
    environment = settings(relay.base_url, CANARY.key) | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
    }
    with kernel(DEFAULT_KERNEL, home, environment) as started:
        started.run(START)
        started.run("%config HolySheepMagics.keep_text = True")
        started.run(f"%config HolySheepMagics.ledger = {os.fspath(home / 'ledger.db')!r}")
        started.run("%%holysheep gpt-4.1 -o answer\n[simulate tokens=20 speed=inf]")
        yield started


@pytest.mark.parametrize("way", WRITTEN)
def test_the_search_finds_each_way_to_write_it(way: str) -> None:
    for form in (*CANARY.pieces, *CANARY.dumped):
        assert CANARY.found_in(f"It is {form}.")
    written = WRITTEN[way](CANARY.key)
    for text in (written, json.dumps(written), json.dumps(json.dumps(written))):
        assert CANARY.found_in(text)


MODES = ("Verbose", "Context", "Plain", "Minimal", "Docs", "Doctest")


def test_no_mode_is_left_out(running: Kernel) -> None:
    modes = running.run("print(*sorted(get_ipython().InteractiveTB.valid_modes))").printed
    assert " ".join(sorted(MODES)) in modes


@pytest.mark.parametrize("mode", MODES)
def test_tracebacks_of_what_fails(mode: str, running: Kernel) -> None:
    running.run(f"%xmode {mode}")
    for code in FAILING:
        cell = running.run(code, fails=True)
        CANARY.is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
        assert cell.errors, code


def test_the_values_in_every_frame_of_what_fails(running: Kernel, publish: Callable[..., None]) -> None:
    running.run(WALK)
    searched = frames = 0
    codes = [code.removeprefix("await ") for code in FAILING if not code.startswith(("%", "\n"))]
    for code in codes:
        cell = running.run(f"await walk({code!r})")
        searched += CANARY.is_clean(cell.printed) + CANARY.is_clean(
            everything([vars(said) for said in cell.said])
        )
        found = re.findall(r"FRAMES (\d+)", cell.printed)
        assert found, code
        frames += int(found[0])
    assert frames > 5 * len(codes)
    publish(
        "the key",
        looked_for=f"{len(codes)} errors, the values of their {frames:,} frames",
        said_in_pieces_of="–",
        searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
        found=0,
    )


@pytest.mark.parametrize("mode", MODES)
def test_tracebacks_of_what_is_interrupted(mode: str, running: Kernel) -> None:
    running.run(f"%xmode {mode}")
    for code in INTERRUPTED:
        cell = running.start(code)
        running.until(cell, lambda cell: "on\n" in cell.printed)
        running.rest(cell, 0.15)
        running.interrupt()
        running.wait(cell)
        CANARY.is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
        assert cell.status == "error", code


def test_what_a_curious_user_looks_at(running: Kernel) -> None:
    cell = running.run(LOOKING)
    CANARY.is_clean(everything([vars(said) for said in cell.said]))
    assert "Secret('…')" in cell.printed
    assert "HOLYSHEEP_API_KEY" in cell.printed  # where it came from is said


ECHO = json.dumps({"error": {"message": "The key KEY is wrong.", "param": "KEY", "code": "KEY"}})
ECHOES = {
    "401": Reply(status=401, body=ECHO),
    "400": Reply(status=400, body=ECHO),
    "404": Reply(status=404, body=ECHO),
    "500": Reply(status=500, body=ECHO),
    "page": Reply(status=502, kind="text/html", body="<html><h1>Bad KEY</h1>KEY</html>"),
    "200 with a page": Reply(kind="text/html", body="<html><h1>Welcome KEY</h1></html>"),
    "200 with an error": Reply(body=ECHO),
    "an odd type": Reply(kind="text/KEY", body="KEY"),
    "an odd encoding": Reply(kind="text/event-stream", body="x", headers={"content-encoding": "KEY"}),
    "no JSON": Reply(body="KEY"),
    "an error frame": sse(json.loads(ECHO)),
    "a broken frame": Reply(kind="text/event-stream", body='data: {"choices": "KEY"}\n\n'),
    "an error in mid-answer": sse({"choices": [{"index": 0, "delta": {"content": "So"}}]}, json.loads(ECHO)),
    "a status and headers": Reply(
        status=400, reason="KEY", body=ECHO, headers={"x-request-id": "KEY", "retry-after": "KEY"}
    ),
    "no status": Reply(status=799, reason="KEY", kind="KEY"),
    "a kind in capitals": Reply(kind=f"text/{CANARY.key.upper()}", body="x"),
    **{
        f"an error {way}": Reply(status=400, body=ECHO.replace("KEY", write(CANARY.key)))
        for way, write in WRITTEN.items()
    },
    **{
        f"a page {way}": Reply(status=502, kind="text/html", body=f"<p>{write(CANARY.key)} is no key")
        for way, write in WRITTEN.items()
    },
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_server_that_echoes_the_key(name: str, running: Kernel, relay: EmbeddedRelay) -> None:
    running.run("%xmode Verbose")
    running.run(f"MESSAGES = {[{'role': 'user', 'content': 'Hello'}]}")
    asking = (
        "%%holysheep\nHello",
        "%%holysheep --no-stream\nHello",
        "%holysheep models",
        "HolySheep(**many).ask('Hello', model='m')",
        "list(HolySheep(**many).chat.completions.create(model='m', messages=MESSAGES, stream=True))",
    )
    with Server([ECHOES[name]]) as server:
        running.run(f"import os; os.environ['HOLYSHEEP_BASE_URL'] = {server.base_url!r}")
        try:
            for code in asking:
                cell = running.wait(running.start(code))
                CANARY.is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
                assert cell.status == "error"
        finally:
            running.run(f"os.environ['HOLYSHEEP_BASE_URL'] = {relay.base_url!r}")


@contextmanager
def asking(running: Kernel, relay: EmbeddedRelay, *replies: Reply) -> Iterator[Server]:
    """Let the kernel ask a server that gives these replies."""
    with Server(replies) as server:
        running.run(f"import os; os.environ['HOLYSHEEP_BASE_URL'] = {server.base_url!r}")
        try:
            yield server
        finally:
            running.run(f"os.environ['HOLYSHEEP_BASE_URL'] = {relay.base_url!r}")


@pytest.mark.parametrize(
    ("size", "way"),
    [*((size, "as it is") for size in (1, 7, len(CANARY.key), 100)), *((5, way) for way in WRITTEN)],
)
def test_an_answer_that_says_the_key(
    size: int, way: str, running: Kernel, relay: EmbeddedRelay, publish: Callable[..., None]
) -> None:
    """In the live view's messages, in the picture, in what is printed, in copies of what is kept."""
    faces = {
        "live view and picture": "%%holysheep m -o answer\nHello",
        "without a stream": "%%holysheep m -o answer --no-stream\nHello",
        "printed and copied": (
            "answer = HolySheep(**many).ask('Hello', model='m')\n"
            "print(answer, repr(answer), pickle.dumps(answer), copy.deepcopy(answer))"
        ),
    }
    reply = sse(*in_pieces("said", f"It is {WRITTEN[way](CANARY.key)} indeed.", size))
    with asking(running, relay, reply):
        for face, code in faces.items():
            searched = searched_in(running.run(code))
            shown = running.run("print(answer)").printed
            searched += CANARY.is_clean(shown)
            assert shown.count("It is [key] indeed.\n") == 1
            publish(
                "the key",
                looked_for=face,
                said_in_pieces_of=f"{size} characters, {way}",
                searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
                found=0,
            )


def searched_in(cell: Cell) -> int:
    """Search all that a cell said, and what is painted after each message; return how much that was."""
    searched = CANARY.is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
    return searched + sum(map(CANARY.is_clean, moments(cell)))


def moments(cell: Cell) -> Iterator[str]:
    """What stands in a live view, or a column of one, after each message that changes it."""
    texts: dict[int, str] = {}
    for message in cell.custom:
        for part in message.get("parts", [message]):
            if part["type"] in {"snapshot", "delta"}:
                column = part.get("column", 0)
                texts[column] = texts.get(column, "")[: part.get("offset", 0)] + part["text"]
                yield texts[column]


READ_CHUNKS = """
texts = {}
for chunk in HolySheep(**many).chat.completions.create(model='m', messages=WORDS, stream=True):
    print(chunk)
    for choice in chunk.choices:
        delta = choice.delta
        called = "".join(call.function.arguments or "" for call in delta.tool_calls or ())
        for kind, new in enumerate((delta.content or delta.refusal, delta.reasoning_content, called)):
            texts[choice.index, kind] = texts.get((choice.index, kind), "") + (new or "")
    print(texts)
"""
ALL_OF_IT = "print(answer.text, answer.reasoning, answer.tool_calls, answer.alternatives, answer.messages)"


@pytest.mark.parametrize("part", GROWING)
@pytest.mark.parametrize("size", [1, 7])
def test_what_is_told_while_a_key_arrives_in_pieces(
    part: str, size: int, running: Kernel, relay: EmbeddedRelay, publish: Callable[..., None]
) -> None:
    """At each moment, in the page, to a program that reads the chunks, and to a tool that is called."""
    running.run("def look(at):\n    return f'Seen: {at}'")
    frames = in_pieces(part, json.dumps({"at": f"It is {CANARY.key} indeed."}), size)
    reply = sse(*frames, pause=0.06 if size > 1 else 0)  # the view is painted twenty times a second
    with asking(running, relay, reply):
        searched = searched_in(running.run("%%holysheep m -p n=2 -o answer\nHello"))
        kept = running.run(ALL_OF_IT)
        read = running.run(READ_CHUNKS)
    assert "It is [key] indeed." in kept.printed
    assert "It is [key] indeed." in read.printed
    with asking(running, relay, reply, said("It is done.")) as server:
        tools = running.run("%%holysheep m --tools look --allow-tools\nHello")
        assert (len(server.asked) == 2) is (part == "called")
        sent = "".join(asked.body.decode() for asked in server.asked)
    assert ("Seen: It is [key] indeed." in sent) is (part == "called")
    searched += sum(map(searched_in, (kept, read, tools))) + CANARY.is_clean(sent)
    publish(
        "the key",
        looked_for=f"an answer while it arrives: what is {part}",
        said_in_pieces_of=f"{size} characters",
        searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
        found=0,
    )


# What else asks a model; each leaves what it showed.
FACES = {
    "several models": "%%holysheep m,n -o several\nHello",
    "in the background": "%%holysheep m --bg -o later\nHello",
    "waited for": "try:\n    print(later.wait())\nexcept Exception as error:\n    print(repr(error))",
    "map": (
        "import hs_notebook\n"
        "mapped = hs_notebook.map(['a', 'b'], 'Hello {row}', model='m', client=HolySheep(**many))\n"
        "print(list(mapped), mapped.errors)\nmapped"
    ),
    "bench": "%holysheep bench m --requests 2 --warmup 0 --parallel 2 --tokens 20",
    "fix": "%holysheep fix",
    "doctor": "%holysheep doctor m",
}
LIVE = ("several models", "in the background", "fix")
SAYING = sse(*in_pieces("said", f"It is {CANARY.key} indeed.", 5), pause=0.06)
ASKED_AGAIN = {
    "an answer in pieces": SAYING,
    **{
        name: ECHOES[name]
        for name in ("401", "an error in mid-answer", "a status and headers", "a page in HTML")
    },
}


@pytest.mark.parametrize("name", ASKED_AGAIN)
def test_what_else_asks_a_server_that_says_the_key(
    name: str, running: Kernel, relay: EmbeddedRelay, publish: Callable[..., None]
) -> None:
    running.run("%xmode Verbose")
    searched = 0
    for face, code in FACES.items():
        with asking(running, relay, ASKED_AGAIN[name]) as server:
            running.run("1 / 0", fails=True)
            cell = running.wait(running.start(code))
            if face == "in the background":
                running.until(cell, lambda cell: "text/html" in cell.shown[-1]["data"])
            searched += searched_in(cell)
            assert server.asked or face == "waited for"
            assert len(list(moments(cell))) > 3 or name != "an answer in pieces" or face not in LIVE
            assert "[key]" in everything([vars(said) for said in cell.said]) or face in {"bench", "doctor"}
    publish(
        "the key",
        looked_for=f"several models, --bg, map, bench, fix and doctor: {name}",
        said_in_pieces_of="5 characters" if "pieces" in name else "–",
        searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
        found=0,
    )


def test_a_key_that_is_typed(relay: EmbeddedRelay, tmp_path: Path, publish: Callable[..., None]) -> None:
    """At the hidden prompt: it is in no message, in no traceback, and in nothing that is written."""
    environment = {
        "HOLYSHEEP_BASE_URL": relay.base_url,
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "i"),
    }
    with kernel(DEFAULT_KERNEL, tmp_path, environment) as typing:
        typing.run(f"%config HolySheepMagics.ledger = {os.fspath(tmp_path / 'ledger.db')!r}")
        typing.run("%config HolySheepMagics.keep_text = True")
        typing.run("%xmode Verbose")
        asked, cell = typing.answer_prompt("%%holysheep -o answer\n[simulate tokens=5 speed=inf]", CANARY.key)
        assert (asked["password"], cell.status) == (True, "ok")
        looking = ("%holysheep", "%whos", "%history", "print(In, Out, dir())")
        cells = [cell, *map(typing.run, looking), typing.run("%%holysheep\n[simulate fault=401]", fails=True)]
        assert "from the prompt" in cells[1].printed
        searched = sum(map(searched_in, cells)) + CANARY.is_clean(everything(asked))
        typing.run("get_ipython().history_manager.writeout_cache()")
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        searched += CANARY.are_clean(files)
    names = {path.name for path in files}
    assert {"history.sqlite", "ledger.db", typing.log.name} <= names
    publish(
        "the key",
        looked_for=f"a key that is typed at the prompt: messages, and {len(files)} files",
        said_in_pieces_of="–",
        searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
        found=0,
    )


def test_afterwards_no_file_holds_it(running: Kernel, home: Path, publish: Callable[..., None]) -> None:
    """The history, the ledger and its exports, the kernel's log, whatever was written; runs last here."""
    running.run("get_ipython().history_manager.writeout_cache()")
    running.run(f"%holysheep spend --export {home / 'calls.csv'}")
    running.run(f"%holysheep spend --export {home / 'calls.json'}")
    files = [path for path in home.rglob("*") if path.is_file()]
    assert home / ".ipython/profile_default/history.sqlite" in files
    assert {running.log, home / "ledger.db", home / "calls.csv", home / "calls.json"} <= set(files)
    size = CANARY.are_clean(files)
    publish(
        "the key",
        looked_for=f"{len(files)} files that were written: history, ledger, exports, logs",
        said_in_pieces_of="–",
        searched=f"{size:,} bytes for {len(CANARY.forms)} forms of it",
        found=0,
    )


def saved(cells: list[str], home: Path, base_url: str) -> nbformat.NotebookNode:
    """A notebook that was run by a tool, with the widgets that it is not shown unless it is told to."""
    cells = ["%load_ext hs_notebook\n%config HolySheepMagics.display = 'widget'", *cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    environment = os.environ | settings(base_url, CANARY.key) | {"IPYTHONDIR": str(home / ".ipython")}
    client = NotebookClient(notebook, km=manager(DEFAULT_KERNEL), allow_errors=True, timeout=60)
    client.execute(env=environment, cwd=str(home))
    return notebook


def test_the_saved_notebook(relay: EmbeddedRelay, home: Path) -> None:
    cells = [
        "%%holysheep gpt-4.1 -o answer\n[simulate tokens=2000 tps=2000]",
        "answer",
        "%holysheep last",
        "%holysheep",
        "from hs_notebook import HolySheep\nclient = HolySheep()\nclient",
        "%%holysheep\n[simulate fault=401]",
    ]
    notebook = saved(cells, home, relay.base_url)
    written = nbformat.writes(notebook)
    CANARY.is_clean(written)
    assert '"simulated": true' in written
    assert "AuthenticationError" in written
    widgets = json.dumps(notebook.metadata["widgets"])
    assert notebook.cells[1].outputs[0].data["text/plain"][200:260] not in widgets
    assert len(widgets) < 2 * 5_000  # two answers; nbclient saves the widgets of both
    assert [sorted(output.data) for output in notebook.cells[1].outputs] == [["text/html", "text/plain"]]


SHOWN_LIVE = ("stream.Stream", "comparison.Comparison", "calculator.Calculator")


def test_a_saved_notebook_whose_server_says_the_key(home: Path, publish: Callable[..., None]) -> None:
    """Answers, a comparison, a calculator and errors, as saved and as nbconvert exports them."""
    with Server([SAYING]) as says, Server([ECHOES["401"]]) as refuses:
        cells = [
            "%%holysheep m -o answer\nHello",
            "%%holysheep m,n -o several\nHello",
            "%%holysheep m --bg -o later\nHello",
            "answer",
            "several",
            "%holysheep roi",
            "%holysheep bench m --requests 2 --warmup 0 --parallel 2 --tokens 20",
            f"import os; os.environ['HOLYSHEEP_BASE_URL'] = {refuses.base_url!r}",
            "%%holysheep m\nHello",
            "%%holysheep m,n\nHello",
        ]
        notebook = saved(cells, home, says.base_url)
    written = nbformat.writes(notebook)
    searched = CANARY.is_clean(written)
    assert "AuthenticationError" in written
    views = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    kinds = {view["state"].get("_anywidget_id") for view in views}
    assert kinds >= {f"hs_notebook.widgets.{name}View" for name in SHOWN_LIVE}
    for exporter in (HTMLExporter, MarkdownExporter, PythonExporter):
        body, resources = exporter().from_notebook_node(notebook)
        searched += CANARY.is_clean(body) + CANARY.is_clean(str(resources))
        assert exporter is PythonExporter or body.count("It is [key] indeed.") >= 5
    publish(
        "the key",
        looked_for="a saved notebook, its widgets, and what nbconvert makes of it: page, Markdown, script",
        said_in_pieces_of="5 characters",
        searched=f"{searched:,} characters for {len(CANARY.forms)} forms of it",
        found=0,
    )
