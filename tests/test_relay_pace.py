"""The speeds that the simulated relay replays, measured from another process."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.simulation.models import find

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = {"authorization": "Bearer any"}

# The vendor's table: milliseconds to the first token, tokens per second.
TABLE = {
    "gpt-4.1": (420, 68),
    "claude-sonnet-4.5": (380, 72),
    "gemini-2.5-flash": (180, 145),
    "deepseek-v3.2": (95, 198),
}
LATE = 0.025  # seconds that a busy machine of two cores may add to the first token


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    command = [sys.executable, "-m", "hs_notebook.relay.simulation"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.fullmatch(
                r"simulated relay on (http://127\.0\.0\.1:\d+/v1)\n", process.stdout.readline()
            )
            assert match is not None
            yield match[1]
        finally:
            process.terminate()


def body(prompt: str, model: str = "deepseek-v3.2", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}


@dataclass(frozen=True, kw_only=True)
class Run:
    ttft: float
    rate: float


def request(prompt: str, model: str = "deepseek-v3.2") -> bytes:
    """The bytes of a request for a stream."""
    content = json.dumps(body(prompt, model, stream=True))
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nconnection: close\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n{content}".encode()


async def run(base_url: str, prompt: str, model: str) -> Run:
    """Note when the first and the last token come, with a client so bare that it is not what is measured."""
    url = httpx.URL(base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    sent = request(prompt, model)
    start = time.perf_counter()
    writer.write(sent)
    times = [time.perf_counter() async for line in reader if b'"delta":{"content":' in line]
    writer.close()
    return Run(ttft=times[0] - start, rate=(len(times) - 1) / (times[-1] - times[0]))


async def runs(base_url: str, prompt: str, models: list[str]) -> list[Run]:
    """Ask all at once."""
    return await asyncio.gather(*(run(base_url, f"{prompt} {i}", model) for i, model in enumerate(models)))


def is_on_pace(found: list[Run], model: str) -> bool:
    """Whether these runs, in the middle, are as fast as the table says."""
    ttft, rate = TABLE[model]
    late = median(one.ttft for one in found) - ttft / 1000
    return late < LATE and median(one.rate for one in found) == pytest.approx(rate, rel=0.03)


def test_each_model_comes_back_at_the_speed_of_the_table(base_url: str) -> None:
    """Another process may steal a processor for a while: of three rounds one must be right for each model."""
    left = set(TABLE)
    for _ in range(3):
        models = sorted(left)
        found = asyncio.run(runs(base_url, "[simulate tokens=150]", models * 3))
        for index, model in enumerate(models):
            mine = found[index :: len(models)]
            assert all(one.ttft >= TABLE[model][0] / 1000 - 0.001 for one in mine)  # never too early
            left -= {model} if is_on_pace(mine, model) else set()
        if not left:
            break
    assert left == set()


def test_ten_parallel_streams_keep_the_pace(base_url: str) -> None:
    rounds = (asyncio.run(runs(base_url, "[simulate tokens=300]", ["deepseek-v3.2"] * 10)) for _ in range(3))
    assert any(is_on_pace(found, "deepseek-v3.2") for found in rounds)


def test_small_writes_do_not_wait_for_each_other(base_url: str) -> None:
    """With Nagle's algorithm on, each of these takes 40 ms."""
    with httpx.Client(base_url=base_url, headers=KEY, trust_env=False) as client:
        taken = []
        for _ in range(21):
            start = time.perf_counter()
            client.post("/chat/completions", json=body("[simulate tokens=3 speed=inf]", stream=True))
            taken.append(time.perf_counter() - start)
    assert min(taken) < 0.03  # another process may delay some of them, but Nagle spares none


def test_an_unmeasured_model_has_the_documented_default() -> None:
    model = find("gemini-2.5-pro")
    assert model is not None
    assert (model.ttft, model.tps, model.error_rate) == (0.3, 100, 0)


@pytest.mark.parametrize(
    ("directive", "expected"),
    [("tokens=40", 0.095 + 39 / 198), ("tokens=40 speed=0.5", 0.19 + 39 / 99), ("tokens=1 ttft=250", 0.25),
     ("tokens=21 ttft=0 tps=50", 0.4)],
)  # fmt: skip
@pytest.mark.parametrize("stream", [True, False])
def test_the_whole_answer_takes_its_time(
    base_url: str, directive: str, expected: float, stream: bool
) -> None:
    with httpx.Client(base_url=base_url, headers=KEY, trust_env=False) as client:
        client.get("/models")
        for _ in range(5):
            start = time.perf_counter()
            client.post("/chat/completions", json=body(f"[simulate {directive}]", stream=stream))
            taken = time.perf_counter() - start
            assert taken >= expected - 0.001
            if taken < expected + 2 * LATE:
                return
    pytest.fail("it was late each time")


def test_the_relay_itself_can_be_told_to_hurry() -> None:
    with (
        EmbeddedRelay(Simulation(speed=10)) as relay,
        httpx.Client(base_url=relay.base_url, headers=KEY, trust_env=False) as client,
    ):
        expected = (0.42 + 399 / 68) / 10
        for _ in range(5):
            start = time.perf_counter()
            client.post("/chat/completions", json=body("[simulate tokens=400]", "gpt-4.1", stream=True))
            taken = time.perf_counter() - start
            assert taken >= expected - 0.001
            if taken < expected * 1.2:
                return
    pytest.fail("it was late each time")


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_must_be_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be above 0"):
        Simulation(speed=speed)


def test_the_stamp_of_the_first_token_is_that_of_its_writing(base_url: str) -> None:
    delays = []
    with httpx.Client(base_url=base_url, headers=KEY, trust_env=False) as client:
        for _ in range(3):
            with client.stream(
                "POST", "/chat/completions", json=body("[simulate tokens=3]", stream=True)
            ) as reply:
                arrived = next(time.time() for line in reply.iter_lines() if '"delta":{"content":' in line)
            delays.append(arrived - client.get("/simulation/stats").json()["first_token_epoch"])
    assert 0 <= min(delays) < LATE


def test_without_waiting_frames_come_by_the_ten_thousand(base_url: str) -> None:
    """A sanity bound: unburdened it is 30,000 frames a second and more, each an HTTP chunk of its own."""
    tokens = 40_000
    question = request(f"[simulate tokens={tokens} speed=inf]")
    url = httpx.URL(base_url)
    rates: list[float] = []
    while len(rates) < 5 and max(rates, default=0) <= 10_000:
        with socket.create_connection((url.host, url.port or 0)) as connection:
            start = time.perf_counter()
            connection.sendall(question)
            received = b"".join(iter(partial(connection.recv, 1 << 20), b""))
            rates.append(tokens / (time.perf_counter() - start))
        assert received.count(b"\r\ndata: ") == tokens + 3  # a chunk for every frame
    assert max(rates) > 10_000
