"""What consuming a stream costs: CPU per chunk, its growth, memory; beside httpx itself and the peers.

    python benchmarks/client.py [--chunks 200000] [--rounds 3] [--check] [--no-peers]

Every contestant reads the same bytes, one HTTP chunk a frame, from one server process, each in a fresh
interpreter, in turn. Only CPU time of the reading process counts, imports left out. The absolute figures of
a busy machine move; so each run is compared with one of httpx just before it, and the median of the rounds is
shown. Growth is a chunk's cost in the long stream over that in one of 2,000; memory is what the long one adds
to the peak. `ask` also assembles, prices and times its answer, as chatlas and litellm do. Slow peers read a
tenth of the chunks. `--check` fails where a goal is missed, or a peer that it needs is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from upstream import END, HEAD, frame, http_chunk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WORDS = (" word", " text", " line", " note")  # litellm gives up where all are the same
FRAMES = b"".join(http_chunk(frame(word)) for word in WORDS)
SMALL = 2_000
MESSAGES = [{"role": "user", "content": "count"}]


# --- the server --------------------------------------------------------------------------------


def serve() -> None:
    """Answer each request with as many frames as its `max_tokens` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        while body := read_request(connection):
            frames = int(json.loads(body)["max_tokens"])
            block = FRAMES * 125
            connection.sendall(HEAD)
            for _ in range(frames // 500):
                connection.sendall(block)
            connection.sendall(END)


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (data := connection.recv(65536)):
            return b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(lines[b"content-length"]):
        body += connection.recv(65536)
    return body


# --- the contestants: each returns a function that reads `chunks` frames and returns how many ------


def httpx_raw(url: str) -> Callable[[int], int]:
    import httpx

    client = httpx.Client(timeout=None)

    def read(chunks: int) -> int:
        body = {"model": "gpt-4.1", "max_tokens": chunks, "stream": True}
        with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            return sum(1 for _ in response.iter_raw()) - 2

    return read


def httpx_raw_async(url: str) -> Callable[[int], Awaitable[int]]:
    import httpx

    client = httpx.AsyncClient(timeout=None)

    async def read(chunks: int) -> int:
        body = {"model": "gpt-4.1", "max_tokens": chunks, "stream": True}
        async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            count = 0
            async for _ in response.aiter_raw():
                count += 1
            return count - 2

    return read


def httpx_sse_json(url: str) -> Callable[[int], int]:
    import httpx
    import httpx_sse

    client = httpx.Client(timeout=None)

    def read(chunks: int) -> int:
        body = {"model": "gpt-4.1", "max_tokens": chunks, "stream": True}
        with httpx_sse.connect_sse(client, "POST", f"{url}/chat/completions", json=body) as source:
            texts = 0
            for event in source.iter_sse():
                if event.data != "[DONE]":
                    texts += bool(json.loads(event.data)["choices"][0]["delta"].get("content"))
            return texts

    return read


def hs_notebook_blocking(url: str) -> Callable[[int], int]:
    from hs_notebook import HolySheep

    client = HolySheep("cr_bench", base_url=url)

    def read(chunks: int) -> int:
        stream = client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, max_tokens=chunks, stream=True
        )
        return sum(1 for chunk in stream if chunk.choices[0].delta.content)

    return read


def hs_notebook_async(url: str) -> Callable[[int], Awaitable[int]]:
    from hs_notebook import AsyncHolySheep

    client = AsyncHolySheep("cr_bench", base_url=url)

    async def read(chunks: int) -> int:
        stream = await client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, max_tokens=chunks, stream=True
        )
        count = 0
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                count += 1
        return count

    return read


def hs_notebook_ask(url: str) -> Callable[[int], int]:
    from hs_notebook import HolySheep

    client = HolySheep("cr_bench", base_url=url)
    return lambda chunks: len(client.ask("count", model="gpt-4.1", max_tokens=chunks).text) // len(WORDS[0])


def openai_blocking(url: str) -> Callable[[int], int]:
    import openai

    client = openai.OpenAI(api_key="cr_bench", base_url=url)

    def read(chunks: int) -> int:
        stream = client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, max_tokens=chunks, stream=True
        )
        return sum(1 for chunk in stream if chunk.choices[0].delta.content)

    return read


def chatlas(url: str) -> Callable[[int], int]:
    from chatlas import ChatOpenAICompletions

    def read(chunks: int) -> int:
        chat = ChatOpenAICompletions(model="gpt-4.1", api_key="cr_bench", base_url=url)
        return sum(1 for text in chat.stream("count", kwargs={"max_tokens": chunks}) if text in WORDS)

    return read


def litellm(url: str) -> Callable[[int], int]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the network
    from litellm import completion

    def read(chunks: int) -> int:
        stream = completion(
            "openai/gpt-4.1", MESSAGES, api_base=url, api_key="cr_bench", max_tokens=chunks, stream=True
        )
        return sum(1 for chunk in stream if chunk.choices[0].delta.content)

    return read


CONTESTANTS = {
    "httpx iter_raw": httpx_raw,
    "httpx aiter_raw": httpx_raw_async,
    "httpx-sse + json": httpx_sse_json,
    "hs_notebook, blocking": hs_notebook_blocking,
    "hs_notebook, async": hs_notebook_async,
    "hs_notebook, ask": hs_notebook_ask,
    "openai": openai_blocking,
    "chatlas": chatlas,
    "litellm": litellm,
}
NEEDS = {"httpx-sse + json": "httpx_sse", "openai": "openai", "chatlas": "chatlas", "litellm": "litellm"}
SLOW = ("chatlas", "litellm")  # read a tenth of the chunks
LIMIT = "httpx iter_raw"
GOALS = {"hs_notebook, blocking": 1.5, "hs_notebook, async": 1.45}  # times httpx iter_raw
PEER_GOALS = {"openai": 10.0, "chatlas": 15.0, "litellm": 50.0}  # their cost over ours, at least
GROWTH_GOAL = 1.3  # cost of a chunk among 200,000 over one among 2,000, repeated
MEMORY_GOAL = 2.0  # MiB


# --- measuring ---------------------------------------------------------------------------------


def measure(name: str, url: str, chunks: int) -> dict[str, float]:
    """Run in a fresh process: a warm-up, then small streams repeated, then the long one."""
    read = CONTESTANTS[name](url)
    loop = asyncio.new_event_loop()

    def run(count: int) -> float:
        started = time.process_time()
        result = read(count)
        got = result if isinstance(result, int) else loop.run_until_complete(result)
        if got != count and not (name.startswith("httpx ") and got > count):  # a read may end inside a chunk
            raise SystemExit(f"{name} read {got} of {count} chunks")
        return (time.process_time() - started) / count * 1e6

    for _ in range(3):
        run(SMALL)
    small = statistics.median(run(SMALL) for _ in range(3 if name in SLOW else 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = run(chunks)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"cpu_us": large, "growth": large / small, "memory_mib": grown}


def rounds(names: list[str], url: str, chunks: int, count: int) -> dict[str, dict[str, float]]:
    """Measure everyone `count` times in turn, from another one on in each round; return medians."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(count):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            limit = measured(LIMIT, url, chunks)
            run = limit if name == LIMIT else measured(name, url, chunks // 10 if name in SLOW else chunks)
            runs[name].append({**run, "ratio": run["cpu_us"] / limit["cpu_us"]})
    return {
        name: {figure: statistics.median(run[figure] for run in of_one) for figure in of_one[0]}
        for name, of_one in runs.items()
    }


def measured(name: str, url: str, chunks: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", name, "--url", url, "--chunks", str(chunks)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        "| consuming a stream | CPU µs a chunk | times httpx | growth | memory MiB |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {name} | {f['cpu_us']:.1f} | {f['ratio']:.2f} | {f['growth']:.2f} | {f['memory_mib']:.1f} |"
        for name, f in figures.items()
    ]
    return "\n".join(rows)


def missed(figures: dict[str, dict[str, float]]) -> list[str]:
    """Say for each goal that is missed by how much."""
    faults = [f"- {peer} is not here to be compared with" for peer in PEER_GOALS if peer not in figures]
    for name, goal in GOALS.items():
        mine = figures[name]
        if mine["ratio"] > goal:
            faults.append(f"- {name}: {mine['ratio']:.2f} times httpx, goal {goal}")
        dearer = {peer: figures[peer]["ratio"] / mine["ratio"] for peer in PEER_GOALS if peer in figures}
        faults += [
            f"- {peer} costs {times:.1f} times {name}, goal {PEER_GOALS[peer]:g}"
            for peer, times in dearer.items()
            if times < PEER_GOALS[peer]
        ]
        if mine["growth"] > GROWTH_GOAL:
            faults.append(
                f"- {name}: a chunk of a long stream costs {mine['growth']:.2f} times one of a short"
            )
        if mine["memory_mib"] > MEMORY_GOAL:
            faults.append(f"- {name}: {mine['memory_mib']:.1f} MiB more at the peak, goal {MEMORY_GOAL}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--no-peers", action="store_true", help="leave out the peers, which take long")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    if options.measure:
        print(json.dumps(measure(options.measure, options.url, options.chunks)))
        return 0
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        peers = {} if options.no_peers else NEEDS
        names = [
            name
            for name in CONTESTANTS
            if name not in NEEDS or (name in peers and importlib.util.find_spec(peers[name]))
        ]
        figures = rounds(names, url, options.chunks, options.rounds)
    finally:
        server.terminate()
        server.wait()
    print(table(figures))
    faults = missed(figures)
    print("", *faults, sep="\n")
    return bool(options.check and faults)


if __name__ == "__main__":
    sys.exit(main())
