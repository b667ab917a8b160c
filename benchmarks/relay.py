"""What the relay server costs: latency per token, CPU per chunk and memory per stream (Linux).

    python benchmarks/relay.py [--streams 50] [--seconds 10] [--rounds 3] [--hold 500] [--check]

Four processes on one machine: an upstream that stamps each frame with the time, what stands between (nothing,
a bare pass-through of httpx and uvicorn, the relay, the relay with numbered events), a client that reads raw
sockets, and this one. In turn, in one run: latency beside the direct connection, CPU beside the bare
pass-through. Then `--hold` streams are held at once: none may break, and memory must be flat. `--check`
fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import upstream

BETWEEN = ("direct", "bare", "relay", "relay, resumable")
GOALS = {"p50_ms": 1.0, "p99_ms": 10.0, "cpu": 2.0, "memory_kb": 200.0}
KEY_FILE = "keys.jsonl"


# --- what stands between -----------------------------------------------------------------------


def bare(url: str) -> Any:
    """Return the least that hands a stream on with httpx and uvicorn."""
    import httpx

    client = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        async with client.stream("POST", url + scope["path"].removeprefix("/v1"), content=body) as response:
            kind = response.headers["content-type"].encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            async for data in response.aiter_raw():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def relay(url: str, folder: Path) -> Any:
    from hs_notebook.ledger import Ledger
    from hs_notebook.prices import load_book
    from hs_notebook.relay.app import create_app
    from hs_notebook.relay.server import build
    from hs_notebook.relay.settings import RelaySettings

    settings = RelaySettings(upstream=url, key="cr_bench_upstream", keys=folder / KEY_FILE, connections=0)
    return create_app(build(settings, ledger=Ledger(folder / "ledger.db"), prices=load_book()))


def between(kind: str, url: str, folder: Path) -> None:
    import uvicorn

    from hs_notebook.relay.serving import configuration, listen

    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    app = bare(url) if kind == "bare" else relay(url, folder)
    config = configuration(app, lifespan="off" if kind == "bare" else "on")
    uvicorn.Server(config).run(sockets=[listener])


# --- the client: raw sockets, so that it costs little ----------------------------------------------


class Reading:
    """What one client saw: waits of each stamp in ms, and how many streams came whole."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.whole = 0

    async def read(self, port: int, tokens: int, pace: float, headers: str, delay: float) -> None:
        await asyncio.sleep(delay)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        body = json.dumps(upstream.question(tokens, pace)).encode()
        line = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        writer.write(f"{line}{headers}content-length: {len(body)}\r\n\r\n".encode() + body)
        rest = b""
        while data := await reader.read(65536):
            now, seen = time.monotonic_ns(), rest + data
            # A stamp that a chunk's boundary cuts in two is left out.
            self.waits += [(now - int(stamp)) / 1e6 for stamp in upstream.STAMP.findall(seen)]
            rest = seen[seen.rfind(b";") + 1 :][-256:]
            if b"[DONE]" in seen:
                self.whole += 1
                break
        writer.close()


async def client(port: int, streams: int, tokens: int, pace: float, headers: str) -> None:
    reading, spread = Reading(), (1 / pace if pace else 0)
    await asyncio.gather(
        *(reading.read(port, tokens, pace, headers, index * spread / streams) for index in range(streams))
    )
    waits = sorted(reading.waits)
    figures = {"whole": reading.whole, "tokens": len(waits), "p50": waits[len(waits) // 2]}
    print(json.dumps(figures | {"p99": waits[int(len(waits) * 0.99)]}))


# --- measuring ---------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS"))


class Bench:
    """The upstream's port, and a key for the relay."""

    def __init__(self, port: int, folder: Path) -> None:
        from hs_notebook.relay.keys import KeyFile

        self.url = f"http://127.0.0.1:{port}/v1"
        self.port = port
        self.folder = folder
        key = KeyFile(folder / KEY_FILE).add("bench", per_minute=10**6, concurrent=10**4)
        self.headers = f"authorization: Bearer {key}\r\n"

    def run(self, kind: str, streams: int, tokens: int, pace: float) -> dict[str, float]:
        """Read so many streams through one kind; return the client's figures, and CPU µs a chunk."""
        if kind == "direct":
            return self.read(kind, self.port, streams, tokens, pace)
        with self.standing(kind) as (process, port):
            self.read(kind, port, 2, 50, 0)  # warm
            before = cpu_seconds(process.pid)
            figures = self.read(kind, port, streams, tokens, pace)
            spent = cpu_seconds(process.pid) - before
        return figures | {"cpu_us": spent / (streams * tokens) * 1e6}

    def hold(self, kind: str, streams: int, seconds: int, pace: float = 4.0) -> dict[str, float]:
        """Hold streams open; return those that broke, and kB a stream, a third in and at the end."""
        with self.standing(kind) as (process, port):
            self.read(kind, port, 2, 50, 0)
            empty = resident_kb(process.pid)
            reading = self.reader(kind, port, streams, int(seconds * pace), pace)
            time.sleep(max(3.0, seconds / 3))
            early = resident_kb(process.pid)
            late = early
            while reading.poll() is None:
                late = resident_kb(process.pid)
                time.sleep(0.25)
            figures = json.loads(reading.stdout.read())
        return {
            "broken": streams - figures["whole"],
            "early_kb": (early - empty) / streams,
            "late_kb": (late - empty) / streams,
        }

    def standing(self, kind: str) -> Any:
        return upstream.started(__file__, "--between", kind, "--url", self.url, "--folder", str(self.folder))

    def reader(self, kind: str, port: int, streams: int, tokens: int, pace: float) -> subprocess.Popen[str]:
        headers = self.headers + ("x-stream-resume: 1\r\n" if "resumable" in kind else "")
        numbers = [str(port), str(streams), str(tokens), str(pace), headers]
        return subprocess.Popen(
            [sys.executable, __file__, "--client", *numbers], stdout=subprocess.PIPE, text=True
        )

    def read(self, kind: str, port: int, streams: int, tokens: int, pace: float) -> dict[str, float]:
        figures: dict[str, float] = json.loads(
            self.reader(kind, port, streams, tokens, pace).communicate()[0]
        )
        if figures["whole"] != streams:
            raise SystemExit(f"{kind}: {figures['whole']} of {streams} streams came whole")
        return figures


def compare(bench: Bench, streams: int, seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of the rounds: latency above the direct connection's, CPU over the bare pass-through's."""
    seen: dict[str, list[dict[str, float]]] = {kind: [] for kind in BETWEEN}
    for _ in range(rounds):
        paced = {kind: bench.run(kind, streams, seconds * 50, 50) for kind in BETWEEN}
        burst = {kind: bench.run(kind, 10, 5000, 0) for kind in BETWEEN if kind != "direct"}
        for kind, figures in paced.items():
            row = {name: figures[name] - paced["direct"][name] for name in ("p50", "p99")}
            if kind != "direct":
                row["cpu_us"] = figures["cpu_us"]
                row["cpu"] = figures["cpu_us"] / paced["bare"]["cpu_us"]
                row["burst_us"] = burst[kind]["cpu_us"]
                row["burst"] = burst[kind]["cpu_us"] / burst["bare"]["cpu_us"]
            seen[kind].append(row)
    return {
        kind: {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        for kind, rows in seen.items()
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        "| between | p50 ms | p99 ms | CPU µs a chunk | × bare | in a burst, µs | × bare |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, f in figures.items():
        if kind != "direct":
            cpu = f"{f['cpu_us']:.0f} | {f['cpu']:.2f} | {f['burst_us']:.0f} | {f['burst']:.2f}"
            rows.append(f"| {kind} | {f['p50']:+.2f} | {f['p99']:+.2f} | {cpu} |")
    return "\n".join(rows)


def missed(figures: dict[str, dict[str, float]], held: dict[str, dict[str, float]]) -> list[str]:
    """Say for each goal that is missed by how much."""
    mine = figures["relay"]
    found = {"p50_ms": mine["p50"], "p99_ms": mine["p99"], "cpu": max(mine["cpu"], mine["burst"])}
    faults = [
        f"- {name}: {value:.2f}, goal {GOALS[name]}" for name, value in found.items() if value > GOALS[name]
    ]
    for kind, figure in held.items():
        if figure["broken"]:
            faults.append(f"- {kind}: {figure['broken']:.0f} streams broke")
        if figure["late_kb"] > GOALS["memory_kb"]:
            faults.append(f"- {kind}: {figure['late_kb']:.0f} kB a stream, goal {GOALS['memory_kb']:.0f}")
    return faults


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hold", type=int, default=500, help="streams held at once; 0 leaves it out")
    parser.add_argument("--hold-seconds", type=int, default=60)
    parser.add_argument("--check", action="store_true")
    for hidden in ("--between", "--url"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.between:
        between(options.between, options.url, options.folder)
        return 0
    if options.client:
        port, streams, tokens, pace, headers = options.client
        asyncio.run(client(int(port), int(streams), int(tokens), float(pace), headers))
        return 0
    with tempfile.TemporaryDirectory() as folder, upstream.started(upstream.__file__) as (_, port):
        bench = Bench(port, Path(folder))
        figures = compare(bench, options.streams, options.seconds, options.rounds)
        print(f"{options.streams} streams of 50 tokens/s:", table(figures), sep="\n\n")
        held = {}
        for kind in ("relay", "relay, resumable") if options.hold else ():
            held[kind] = bench.hold(kind, options.hold, options.hold_seconds)
            words = "{broken:.0f} broken, {early_kb:.0f} kB a stream a third in, {late_kb:.0f} kB at the end"
            print(
                f"\n{options.hold} streams for {options.hold_seconds} s, {kind}:", words.format(**held[kind])
            )
    faults = missed(figures, held)
    print("", *faults, sep="\n")
    return bool(options.check and faults)


if __name__ == "__main__":
    sys.exit(main())
