"""What the benchmarks read from: a server that stamps each frame with the time at which it leaves."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STAMP = re.compile(rb"stamp:(\d+);")
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def frame(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": finish}
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
    whole = common | {"model": "gpt-4.1", "system_fingerprint": "simulated", "choices": [choice]}
    text = json.dumps(whole, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


END = http_chunk(frame("", "stop")) + http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def question(tokens: int, pace: float) -> dict[str, object]:
    """Return the body that asks for so many tokens, so many a second (0: all at once)."""
    return {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "count"}],
        "stream": True,
        "max_tokens": tokens,
        "temperature": pace,
    }


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request after another with frames that hold the time at which they left."""
    while head := await next_head(reader):
        lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        asked = json.loads(await reader.readexactly(int(lines[b"content-length"])))
        await send(writer, int(asked["max_tokens"]), float(asked["temperature"]))
    writer.close()


async def next_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def send(writer: asyncio.StreamWriter, count: int, pace: float) -> None:
    writer.write(HEAD)
    started = time.monotonic()
    for index in range(count):
        if pace and (wait := started + index / pace - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        writer.write(http_chunk(frame(f"stamp:{time.monotonic_ns()};")))
        if index % 64 == 0:
            await writer.drain()
    writer.write(END)
    await writer.drain()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def started(script: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of a script that prints its port, and the port, when it can be reached."""
    command = [sys.executable, script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(process.stdout.readline())
        for _ in range(200):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
