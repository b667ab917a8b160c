"""Every reader of streams against the HTML standard: ours, the page's, the relay's, and those of our peers.

All read the same bytes, whole and cut in two at every place; ours also byte by byte, and cut in three.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from event_streams import CASES, Event

from hs_notebook.relay.resume.numbering import Numbering
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PAGE = Path(__file__).parent.parent / "hs_notebook" / "frontend" / "src" / "relay" / "sse.ts"
SHORT = 70  # bytes; longer ones are not cut in three


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


def splits(data: bytes) -> list[list[bytes]]:
    """The whole, and every way to cut it in two."""
    return [[data], *(cut(data, [place]) for place in range(1, len(data)))]


# --- ours ----------------------------------------------------------------------------------------


def ours(pieces: Iterable[bytes]) -> list[Event]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [Event(event.data, event.event, event.id, event.retry) for event in events]


@pytest.mark.parametrize("name", CASES)
def test_ours_is_the_standard_s_however_it_is_cut(name: str) -> None:
    case = CASES[name]
    expected, data = list(case.events), case.data
    decoder = SSEDecoder()
    decoder.feed(data)
    assert decoder.last_event_id == case.last_id
    single = [data[place : place + 1] for place in range(len(data))]
    assert ours(single) == expected
    assert ours(piece for byte in single for piece in (b"", byte, b"")) == expected
    for pieces in splits(data):
        assert ours(pieces) == expected, pieces
    for places in combinations(range(len(data) + 1), 2) if len(data) <= SHORT else ():
        assert ours(cut(data, places)) == expected, places


@pytest.mark.parametrize("name", CASES)
def test_the_relay_s_numbers_change_nothing_else(name: str) -> None:
    case = CASES[name]
    expected = [(event.data, event.type, str(number)) for number, event in enumerate(case.events, 1)]
    for pieces in splits(case.data):
        numbering = Numbering()
        numbered = b"".join(event for piece in pieces for event in numbering.feed(piece))
        assert [event[:3] for event in ours([numbered])] == expected, pieces


# --- all, side by side ---------------------------------------------------------------------------


def read_httpx_sse(pieces: Sequence[bytes]) -> Iterable[Event]:
    """As its user reads a response of httpx."""
    import httpx
    import httpx_sse

    kind = {"content-type": "text/event-stream"}
    source = httpx_sse.EventSource(httpx.Response(200, headers=kind, content=iter(pieces)))
    for event in source.iter_sse():
        yield Event(event.data, event.event, event.id, event.retry)


def read_openai(pieces: Sequence[bytes]) -> Iterable[Event]:
    """As its `Stream` reads the bytes of a response; no event is named `None` there, no id too."""
    from openai._streaming import SSEDecoder as Decoder

    for event in Decoder().iter_bytes(iter(pieces)):
        yield Event(event.data, event.event or "message", event.id or "", event.retry)


def verdicts(read: Callable[[Sequence[bytes]], Iterable[Event]]) -> dict[str, tuple[bool, bool]]:
    """By case: whether it is read as it should be whole, and at every split."""
    found = {}
    for name, case in CASES.items():
        passed = [_agrees(read, pieces, case.events) for pieces in splits(case.data)]
        found[name] = passed[0], all(passed)
    return found


def _agrees(
    read: Callable[[Sequence[bytes]], Iterable[Event]], pieces: Sequence[bytes], events: tuple[Event, ...]
) -> bool:
    try:
        return tuple(read(pieces)) == events
    except Exception:  # noqa: BLE001 - that of another library, on a stream that is none of its errors
        return False


def row(decoder: str, release: str, found: dict[str, tuple[bool, bool]]) -> dict[str, Any]:
    missed = Counter(CASES[name].family for name, (_, everywhere) in found.items() if not everywhere)
    return {
        "decoder": decoder,
        "version": release,
        "whole": f"{sum(whole for whole, _ in found.values())} of {len(found)}",
        "every_split": f"{sum(everywhere for _, everywhere in found.values())} of {len(found)}",
        "what_it_misses": ", ".join(f"{name} ({count})" for name, count in missed.most_common()) or "nothing",
    }


def test_ours_reads_all_of_them(publish: Callable[..., None]) -> None:
    assert len(CASES) >= 133
    found = verdicts(ours)
    publish("conformance", **row("hs_notebook", version("hs-notebook"), found))
    assert [name for name, passed in found.items() if not all(passed)] == []


IN_NODE = """
import { readFileSync } from "node:fs";
const { EventReader } = await import(process.argv[1]);
const cases = JSON.parse(readFileSync(0, "utf8"));
const read = (pieces) => {
  const reader = new EventReader();
  return JSON.stringify(pieces.flatMap((piece) => reader.push(piece)).map((e) => [e.data, e.type, e.id]));
};
const found = {};
for (const [name, [data, events]] of Object.entries(cases)) {
  const bytes = new Uint8Array(Buffer.from(data, "base64")), expected = JSON.stringify(events);
  const agrees = (at) => read([bytes.slice(0, at), bytes.slice(at)]) === expected;
  const whole = read([bytes]) === expected;
  let everywhere = whole;
  for (let at = 1; at < bytes.length; at++) everywhere = agrees(at) && everywhere;
  found[name] = [whole, everywhere];
}
console.log(JSON.stringify(found));
"""


def test_the_page_s_reads_all_of_them(publish: Callable[..., None]) -> None:
    """The page has no use for a reconnection time and does not tell it."""
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if node is None:
        pytest.skip("there is no Node to read with")
    cases = {
        name: (base64.b64encode(case.data).decode(), [event[:3] for event in case.events])
        for name, case in CASES.items()
    }
    done = subprocess.run(
        [node, "--no-warnings", "--input-type=module", "--eval", IN_NODE, PAGE.as_uri()],
        input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name: (whole, everywhere) for name, (whole, everywhere) in json.loads(done.stdout).items()}
    publish("conformance", **row("the relay's page (TypeScript)", version("hs-notebook"), found))
    assert [name for name, passed in found.items() if not all(passed)] == []


@pytest.mark.parametrize(("peer", "read"), [("httpx-sse", read_httpx_sse), ("openai", read_openai)])
def test_what_the_peers_make_of_them(
    peer: str, read: Callable[[Sequence[bytes]], Iterable[Event]], publish: Callable[..., None]
) -> None:
    if find_spec(peer.replace("-", "_")) is None:
        pytest.skip(f"{peer} is not installed (group dev)")
    found = verdicts(read)
    publish("conformance", **row(peer, version(peer), found))
    # Nothing is claimed about them but what is measured; a release that reads nothing is read wrongly here.
    assert found["messages: one event"] == (True, True)
    assert sum(whole for whole, _ in found.values()) > len(found) // 2
