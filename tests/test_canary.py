"""One key goes through everything a user may do; afterwards it must be nowhere."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING

import nbformat
import pytest
from kernels import DEFAULT_KERNEL
from nbclient import NotebookClient
from shell import Kernel, Reply, Server, kernel, manager, settings, sse

from hs_notebook.relay import EmbeddedRelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "cr_canary_7f3d5a91c2e84b60"

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
    environment = settings(relay.base_url, CANARY) | {"HOME": str(home), "IPYTHONDIR": str(home / ".ipython")}
    with kernel(DEFAULT_KERNEL, home, environment) as started:
        started.run(START)
        started.run("%config HolySheepMagics.keep_text = True")
        started.run(f"%config HolySheepMagics.ledger = {os.fspath(home / 'ledger.db')!r}")
        started.run("%%holysheep gpt-4.1 -o answer\n[simulate tokens=20 speed=inf]")
        yield started


def everything(cell: object) -> str:
    return json.dumps(cell, default=lambda thing: getattr(thing, "__dict__", None) or str(thing))


#: The key, nine characters of each third of it, and how it would stand in a header or a dump of bytes.
FORMS = (
    CANARY,
    *(CANARY[start : start + 9] for start in (3, 10, len(CANARY) - 9)),
    *(base64.b64encode(before + CANARY.encode())[4:-4].decode() for before in (b"", b"a", b"ab")),
    CANARY.encode().hex(),
)


def is_clean(text: str) -> int:
    """Assert that no form of the key is in a text, and return how many characters were searched."""
    for form in FORMS:
        where = text.find(form)
        assert where < 0, f"the key is there: {text[max(0, where - 400) : where + 100]}"
    return len(text)


def test_the_search_finds_each_form() -> None:
    for form in FORMS:
        with pytest.raises(AssertionError):
            is_clean(f"It is {form}.")


MODES = ("Verbose", "Context", "Plain", "Minimal")


@pytest.mark.parametrize("mode", MODES)
def test_tracebacks_of_what_fails(mode: str, running: Kernel) -> None:
    running.run(f"%xmode {mode}")
    for code in FAILING:
        cell = running.run(code, fails=True)
        is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
        assert cell.errors, code


def test_the_values_in_every_frame_of_what_fails(running: Kernel, publish: Callable[..., None]) -> None:
    running.run(WALK)
    searched = frames = 0
    codes = [code.removeprefix("await ") for code in FAILING if not code.startswith(("%", "\n"))]
    for code in codes:
        cell = running.run(f"await walk({code!r})")
        searched += is_clean(cell.printed) + is_clean(everything([vars(said) for said in cell.said]))
        found = re.findall(r"FRAMES (\d+)", cell.printed)
        assert found, code
        frames += int(found[0])
    assert frames > 5 * len(codes)
    publish(
        "the key",
        looked_for=f"{len(codes)} errors, the values of their {frames:,} frames",
        said_in_pieces_of="–",
        searched=f"{searched:,} characters for {len(FORMS)} forms of it",
        found=0,
    )


@pytest.mark.parametrize("mode", ["Verbose", "Context"])
def test_tracebacks_of_what_is_interrupted(mode: str, running: Kernel) -> None:
    running.run(f"%xmode {mode}")
    for code in INTERRUPTED:
        cell = running.start(code)
        running.until(cell, lambda cell: "on\n" in cell.printed)
        running.rest(cell, 0.15)
        running.interrupt()
        running.wait(cell)
        is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
        assert cell.status == "error", code


def test_what_a_curious_user_looks_at(running: Kernel) -> None:
    cell = running.run(LOOKING)
    is_clean(everything([vars(said) for said in cell.said]))
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
                is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
                assert cell.status == "error"
        finally:
            running.run(f"os.environ['HOLYSHEEP_BASE_URL'] = {relay.base_url!r}")


def pieces_of_the_key(size: int) -> Reply:
    """An answer that says the key, `size` characters at a time."""
    words = f"It is {CANARY} indeed."
    pieces = [words[start : start + size] for start in range(0, len(words), size)]
    frames = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return sse(*frames, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("size", [1, 7, len(CANARY), 100])
def test_an_answer_that_says_the_key(
    size: int, running: Kernel, relay: EmbeddedRelay, publish: Callable[..., None]
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
    with Server([pieces_of_the_key(size)]) as server:
        running.run(f"import os; os.environ['HOLYSHEEP_BASE_URL'] = {server.base_url!r}")
        try:
            for face, code in faces.items():
                cell = running.run(code)
                searched = is_clean(everything([vars(said) for said in cell.said] + [cell.reply]))
                searched += is_clean(cell.painted)  # the messages in one: each alone may hold too little
                shown = running.run("print(answer)").printed
                assert shown.count("It is [key] indeed.\n") == 1
                publish(
                    "the key",
                    looked_for=face,
                    said_in_pieces_of=f"{size} characters",
                    searched=f"{searched + len(shown):,} characters for {len(FORMS)} forms of it",
                    found=sum(shown.count(form) for form in FORMS),
                )
        finally:
            running.run(f"os.environ['HOLYSHEEP_BASE_URL'] = {relay.base_url!r}")


def test_afterwards_no_file_holds_it(running: Kernel, home: Path, publish: Callable[..., None]) -> None:
    """The history, the ledger and its exports, the kernel's log, whatever was written; runs last here."""
    running.run("get_ipython().history_manager.writeout_cache()")
    running.run(f"%holysheep spend --export {home / 'calls.csv'}")
    running.run(f"%holysheep spend --export {home / 'calls.json'}")
    files = [path for path in home.rglob("*") if path.is_file()]
    assert home / ".ipython/profile_default/history.sqlite" in files
    assert {running.log, home / "ledger.db", home / "calls.csv", home / "calls.json"} <= set(files)
    written = {path: path.read_bytes() for path in files}
    holding = [path for path, data in written.items() if any(form.encode() in data for form in FORMS)]
    assert holding == []
    size = sum(map(len, written.values()))
    publish(
        "the key",
        looked_for=f"{len(files)} files that were written: history, ledger, exports, logs",
        said_in_pieces_of="–",
        searched=f"{size:,} bytes for {len(FORMS)} forms of it",
        found=len(holding),
    )


def test_the_saved_notebook(relay: EmbeddedRelay, home: Path) -> None:
    cells = [
        "%load_ext hs_notebook",
        "%%holysheep gpt-4.1 -o answer\n[simulate tokens=2000 tps=2000]",
        "answer",
        "%holysheep last",
        "%holysheep",
        "from hs_notebook import HolySheep\nclient = HolySheep()\nclient",
        "%%holysheep\n[simulate fault=401]",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    environment = os.environ | settings(relay.base_url, CANARY) | {"IPYTHONDIR": str(home / ".ipython")}
    client = NotebookClient(notebook, km=manager(DEFAULT_KERNEL), allow_errors=True, timeout=60)
    client.execute(env=environment, cwd=str(home))
    saved = nbformat.writes(notebook)
    is_clean(saved)
    assert '"simulated": true' in saved
    assert "AuthenticationError" in saved
    widgets = json.dumps(notebook.metadata.get("widgets", {}))
    assert notebook.cells[1].outputs[0].data["text/plain"][200:260] not in widgets
    assert len(widgets) < 2 * 5_000  # two answers; nbclient saves the widgets of both
    assert [sorted(output.data) for output in notebook.cells[1].outputs] == [["text/html", "text/plain"]]
