"""How late a token is: from the server's write to the line of Python that gets it.

    python benchmarks/latency.py [--seconds 4] [--rounds 3] [--check] [--no-peers]

A server stamps each frame with the time at which it leaves, 200 a second and stream; each contestant reads 1,
10 and 100 of its streams at a time, in a fresh process, in turn. Its own CPU is given as a share of a core.
What a raw socket takes is what the machine takes. The first text is that of a whole call, from the question
on: of a client that has a connection, of a new client, and of the first in a process, imports included.
`--check` fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PACE = 200.0  # tokens a second
STREAMS = (1, 10, 100)
CALLS = 30  # for the first text
MESSAGES: Any = upstream.question(0, 0)["messages"]


def since(stamp: str | bytes) -> float:
    """Return the ms that have passed since a stamp."""
    return (time.monotonic_ns() - int(stamp)) / 1e6


# --- the contestants: each gives a new client, which yields the wait of each token in ms -----------


class Contestant:
    """A client; `waits` reads one stream, `close` frees it."""

    needs = ""
    blocking = False

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self.begin()

    def begin(self) -> None:
        """Make the client."""

    def waits(self, tokens: int, pace: float) -> AsyncIterator[float]:
        raise NotImplementedError

    async def close(self) -> None:
        """Free what it holds."""


class RawSocket(Contestant):
    def begin(self) -> None:
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def waits(self, tokens: int, pace: float) -> AsyncIterator[float]:
        free = self.free
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps(upstream.question(tokens, pace)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            rest += await reader.read(65536)
            for stamp in (stamps := list(upstream.STAMP.finditer(rest))):
                yield since(stamp[1])
            rest = rest[stamps[-1].end() :] if stamps else rest
        free.append((reader, writer))

    async def close(self) -> None:
        for _, writer in self.free:
            writer.close()


class HttpxRaw(Contestant):
    def begin(self) -> None:
        import httpx

        self.client = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))

    async def waits(self, tokens: int, pace: float) -> AsyncIterator[float]:
        body = upstream.question(tokens, pace)
        async with self.client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
            async for data in response.aiter_raw():
                for stamp in upstream.STAMP.findall(data):
                    yield since(stamp)

    async def close(self) -> None:
        await self.client.aclose()


class Aiohttp(Contestant):
    needs = "aiohttp"

    def begin(self) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def waits(self, tokens: int, pace: float) -> AsyncIterator[float]:
        body = upstream.question(tokens, pace)
        async with self.session.post(f"{self.url}/chat/completions", json=body) as response:
            async for data in response.content.iter_any():
                for stamp in upstream.STAMP.findall(data):
                    yield since(stamp)

    async def close(self) -> None:
        await self.session.close()


def stamp_of(chunk: Any) -> str:
    content = chunk.choices[0].delta.content if chunk.choices else None
    return content[6:-1] if content else ""


class OpenAI(Contestant):
    needs = "openai"

    def begin(self) -> None:
        import openai

        self.client: Any = openai.AsyncOpenAI(api_key="cr_bench", base_url=self.url)

    async def waits(self, tokens: int, pace: float) -> AsyncIterator[float]:
        stream = await self.client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, stream=True, max_tokens=tokens, temperature=pace
        )
        async for chunk in stream:
            if stamp := stamp_of(chunk):
                yield since(stamp)

    async def close(self) -> None:
        await self.client.close()


class Ours(OpenAI):
    needs = ""

    def begin(self) -> None:
        from hs_notebook import AsyncHolySheep

        self.client = AsyncHolySheep(
            "cr_bench", base_url=self.url, requests_per_minute=100_000, concurrent_streams=100
        )


class OursBlocking(Contestant):
    """Iterated in a thread for each stream, as a script would."""

    blocking = True

    def begin(self) -> None:
        from hs_notebook import HolySheep

        self.client = HolySheep(
            "cr_bench", base_url=self.url, requests_per_minute=100_000, concurrent_streams=100
        )

    def read(self, tokens: int, pace: float) -> list[float]:
        stream = self.client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, stream=True, max_tokens=tokens, temperature=pace
        )
        return [since(stamp) for chunk in stream if (stamp := stamp_of(chunk))]

    async def close(self) -> None:
        self.client.close()


CONTESTANTS: dict[str, type[Contestant]] = {
    "raw socket, asyncio": RawSocket,
    "httpx aiter_raw": HttpxRaw,
    "aiohttp": Aiohttp,
    "hs_notebook, async": Ours,
    "hs_notebook, blocking": OursBlocking,
    "openai, async": OpenAI,
}
LIMIT, MINE = "raw socket, asyncio", "hs_notebook, async"


# --- measuring: in a fresh process for each --------------------------------------------------------


async def arriving(kind: type[Contestant], port: int, streams: int, tokens: int) -> dict[str, float]:
    """Read so many streams at a time, which begin spread over the time of a token."""
    contestant = kind(port)
    read = contestant.read if isinstance(contestant, OursBlocking) else None

    async def one(number: int, tokens: int, pace: float) -> list[float]:
        await asyncio.sleep(number / streams / PACE)
        if read is not None:
            return await in_thread(lambda: read(tokens, pace))
        return [wait async for wait in contestant.waits(tokens, pace)]

    await asyncio.gather(*(one(number, 3, 0) for number in range(streams)))  # all is imported and connected
    started, cpu = time.monotonic(), time.process_time()
    found = await asyncio.gather(*(one(number, tokens, PACE) for number in range(streams)))
    share = (time.process_time() - cpu) / (time.monotonic() - started)
    await contestant.close()
    waits = sorted(wait for stream in found for wait in stream)
    if len(waits) < 0.98 * streams * tokens:  # raw readers miss a stamp that is cut in two
        raise SystemExit(f"{len(waits)} of {streams * tokens} tokens came")
    return {"p50": waits[len(waits) // 2], "p99": waits[int(len(waits) * 0.99)], "share": share}


async def in_thread(work: Callable[[], list[float]]) -> list[float]:
    """Like `asyncio.to_thread`, with as many threads as there are streams."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[float]] = loop.create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set_result, work()), daemon=True)
    thread.start()
    return await done


async def first_text(kind: type[Contestant], port: int) -> dict[str, float]:
    """Return the ms to the first token: of the first call ever, of new clients, of a warm one."""
    first = await called(make := lambda: kind(port))
    cold = [await called(make) for _ in range(CALLS)]
    contestant = make()
    warm = [await called(lambda: contestant, close=False) for _ in range(CALLS + 3)][3:]
    await contestant.close()
    return {"first": first, "cold": statistics.median(cold), "warm": statistics.median(warm)}


async def called(make: Callable[[], Contestant], *, close: bool = True) -> float:
    started = time.perf_counter()
    contestant = make()
    if isinstance(contestant, OursBlocking):
        stream = contestant.client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, stream=True, max_tokens=3, temperature=0
        )
        next(iter(chunk for chunk in stream if stamp_of(chunk)))
        took = time.perf_counter() - started
        for _ in stream:
            pass
    else:
        waits = contestant.waits(3, 0)
        await anext(waits)
        took = time.perf_counter() - started
        async for _ in waits:
            pass
    if close:
        await contestant.close()
    return took * 1e3


def measured(name: str, port: int, streams: int, seconds: float) -> dict[str, float]:
    numbers = ["--port", str(port), "--streams", str(streams), "--seconds", str(seconds)]
    command = [sys.executable, __file__, "--measure", name, *numbers]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def rounds(names: list[str], port: int, seconds: float, count: int) -> dict[str, dict[str, float]]:
    """Measure everyone `count` times in turn; return the medians, by name and `streams figure`."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(count):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            run = measured(name, port, 0, seconds)
            for streams in STREAMS:
                found = measured(name, port, streams, seconds)
                run |= {f"{streams} {figure}": value for figure, value in found.items()}
            runs[name].append(run)
    return {
        name: {figure: statistics.median(run[figure] for run in of_one) for figure in of_one[0]}
        for name, of_one in runs.items()
    }


def tables(figures: dict[str, dict[str, float]]) -> str:
    shown = " | ".join(f"{n} stream{'s' * (n > 1)}: p50 | p99 | CPU" for n in STREAMS)
    lines = [f"| ms a token | {shown} |", "|---" * (1 + 3 * len(STREAMS)) + "|"]
    for name, f in figures.items():
        cells = (
            f"{f[f'{n} p50']:.2f} | {f[f'{n} p99']:.1f} | {100 * f[f'{n} share']:.0f} %" for n in STREAMS
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "| ms to the first text | warm client | new client | first in a process |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f['warm']:.2f} | {f['cold']:.1f} | {f['first']:.0f} |" for name, f in figures.items()
    ]
    return "\n".join(lines)


def missed(figures: dict[str, dict[str, float]]) -> list[str]:
    """Say for each goal that is missed by how much."""
    mine, limit = figures[MINE], figures[LIMIT]
    found = (
        ("1 stream, p50 above the raw socket's, ms", mine["1 p50"] - limit["1 p50"], 0.25),
        ("10 streams, p50, ms", mine["10 p50"], 0.6),
        ("10 streams, p99, ms", mine["10 p99"], 3.0),
        ("100 streams, p99, ms", mine["100 p99"], 70.0),
        ("100 streams, share of a core", mine["100 share"], 0.65),
        ("first text of a warm client above the raw socket's, ms", mine["warm"] - limit["warm"], 0.9),
        ("first text of a new client above the raw socket's, ms", mine["cold"] - limit["cold"], 5.0),
    )
    return [f"- {what}: {value:.2f}, goal {goal:g}" for what, value, goal in found if value > goal]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if name := options.measure:
        kind, tokens = CONTESTANTS[name], int(options.seconds * PACE)
        work = (
            arriving(kind, options.port, options.streams, tokens)
            if options.streams
            else first_text(kind, options.port)
        )
        print(json.dumps(asyncio.run(work)))
        return 0
    names = [
        name
        for name, kind in CONTESTANTS.items()
        if not kind.needs or (not options.no_peers and importlib.util.find_spec(kind.needs))
    ]
    with upstream.started(upstream.__file__) as (_, port):
        figures = rounds(names, port, options.seconds, options.rounds)
    print(tables(figures))
    faults = missed(figures)
    print("", *faults, sep="\n")
    return bool(options.check and faults)


if __name__ == "__main__":
    sys.exit(main())
