"""A run: one request after the other, the models by turns, and a peak of several at once."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from hs_notebook.benchmarking.sample import Sample
from hs_notebook.call import suggest
from hs_notebook.errors import BadRequestError, BudgetError, HolySheepError, NotFoundError
from hs_notebook.exchange import Screen
from hs_notebook.interrupts import interruptible
from hs_notebook.portal import POLL_SECONDS, portal
from hs_notebook.runs.outcome import ends_all, exchanged, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hs_notebook.answers import Answer
    from hs_notebook.benchmarking.plan import Plan, Turn
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.exchange import Exchange
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.runs.price import Pot

_DRAWING = 1.0  # seconds that the next request waits for the screen, at most


class Watch(Protocol):
    """Who is shown how a run gets on."""

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""

    def show(self, samples: Sequence[Sample], *, waiting: bool) -> None:
        """These are over; with `waiting` the limit of requests has the next one wait."""


class Run:
    """Sends the requests of `plan`, and keeps what was measured in `samples`.

    `stop` may come from any thread: what is under way is stopped, what is measured is kept. `ended` is why
    the run ended before its time.
    """

    def __init__(
        self, client: AsyncHolySheep, plan: Plan, *, pot: Pot, charge: Callable[[Exchange], None]
    ) -> None:
        self.samples: list[Sample] = []
        self.ended: HolySheepError | KeyboardInterrupt | None = None
        self._client, self._plan, self._pot, self._charge = client, plan, pot, charge
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = portal().loop
        self._task: asyncio.Task[None] | None = None
        self._news = threading.Event()
        self._waiting = False
        self._shown = asyncio.Event()

    def wait(self, watch: Watch) -> None:
        """Send all while the calling thread waits; an interrupt ends the run and is in `ended`."""
        future = portal().start(self._run(watch))
        future.add_done_callback(lambda _: self._news.set())
        try:
            with interruptible():
                while not future.done():
                    if self._news.wait(POLL_SECONDS):
                        self._show(watch)
            future.result()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.ended = error
            self.stop()  # nobody is waiting any more: nothing may go on spending
            settle(future)
            if not isinstance(error, KeyboardInterrupt):
                raise

    def stop(self) -> None:
        """End the run: close what is under way, and send no more."""
        if self.ended is None:
            self.ended = KeyboardInterrupt("it was stopped.")
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._task is not None and not any(not task.done() for task in self._tasks):
            self._task.cancel()  # it waits for the limit, or for the screen

    def _show(self, watch: Watch) -> None:
        self._news.clear()
        try:
            watch.show(self.samples, waiting=self._waiting)
        finally:
            self._loop.call_soon_threadsafe(self._shown.set)

    # --- on the loop -----------------------------------------------------------------------------

    async def _run(self, watch: Watch) -> None:
        self._task = asyncio.current_task()
        try:
            for turns in self._plan.turns():
                if self.ended is not None:
                    return
                await self._send(turns)
                if watch.due:
                    await self._let_draw()
        except asyncio.CancelledError:
            if self.ended is None:
                raise

    async def _let_draw(self) -> None:
        """Let the screen be drawn between two requests: what draws is not to be measured."""
        self._shown.clear()
        self._news.set()
        try:
            async with asyncio.timeout(_DRAWING):
                await self._shown.wait()
        except TimeoutError:
            pass

    async def _send(self, turns: Sequence[Turn]) -> None:
        limits = await self._limits(turns)
        if limits is None:
            return
        if len(turns) > 1:
            # All or none: a peak that the limit of requests stretches is none.
            self._waiting = True
            self._news.set()
            await self._client.room_for(len(turns))
            self._waiting = False
        self._tasks = [
            asyncio.ensure_future(self._measure(*each)) for each in zip(turns, limits, strict=True)
        ]
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    async def _limits(self, turns: Sequence[Turn]) -> list[Limit | None] | None:
        """Return what each may cost; None where there is not enough for all of them."""
        limits = []
        for turn in turns:
            try:
                request = self._plan.request(turn)
                limits.append(await self._pot.take(turn.number, request, slots=len(turns), waits=False))
            except BudgetError as error:
                self._end(error)
                for taken in turns:
                    self._pot.give_back(taken.number, None)
                return None
        return limits

    async def _measure(self, turn: Turn, limit: Limit | None) -> None:
        failures: list[str] = []
        client = self._client.beside(lambda failure: failures.append(type(failure).__name__))
        clock = Clock()
        exchange = client.exchange(self._plan.request(turn), limit=limit)
        answer: Answer | None = None
        try:
            answer, error = await exchanged(exchange, clock)
        finally:
            self._pot.give_back(turn.number, answer.receipt if answer is not None else None)
            self._charge(exchange)
        if answer is None and self.ended is not None:
            return  # it was stopped before it began
        self.samples.append(sample_of(turn, answer, error, failures, clock))
        if error is not None:
            await self._consider(turn, error)

    async def _consider(self, turn: Turn, error: HolySheepError) -> None:
        if isinstance(error, NotFoundError):
            await suggest(self._client, turn.model, error)
        # All requests of a model are alike: where one is at fault, all are.
        if ends_all(error) or isinstance(error, BadRequestError):
            self._end(error)

    def _end(self, error: HolySheepError) -> None:
        if self.ended is None:
            self.ended = error


class Clock(Screen):
    """Notes when attempts are sent, so that waits for limits and between attempts are known as such."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self.tries = 0
        self.waited = 0.0
        self._begun = time.perf_counter()

    def sending(self) -> None:
        self.tries += 1
        self.started = datetime.now(UTC)
        self.waited = time.perf_counter() - self._begun


def sample_of(
    turn: Turn, answer: Answer | None, error: HolySheepError | None, failures: Sequence[str], clock: Clock
) -> Sample:
    """Return what was measured of one request."""
    kind = "" if error is None else type(error).__name__
    if answer is not None and not kind and answer.state in {"error", "truncated"}:
        reason = answer.receipt.finish_reason or "truncated"
        kind = "" if reason == "length" else reason[:50]
    mended = tuple(failures[:-1] if kind and failures[-1:] == [kind] else failures)
    base = Sample(
        model=turn.model,
        phase=turn.phase,
        index=turn.place,
        started=clock.started,
        error=kind,
        mended=mended,
        tries=clock.tries,
        waited=round(clock.waited, 6),
    )
    return base if answer is None else _with(base, answer)


def _with(sample: Sample, answer: Answer) -> Sample:
    receipt = answer.receipt
    return msgspec.structs.replace(
        sample,
        ttft=_known(receipt.ttft),
        tokens_per_second=_known(receipt.tokens_per_second),
        duration=_known(receipt.duration),
        input_tokens=receipt.usage.prompt_tokens,
        output_tokens=receipt.usage.completion_tokens,
        estimated=receipt.usage.estimated,
        cost=receipt.cost,
        known_cost=receipt.costs.known or 0 * sample.known_cost,
        state=receipt.state,
        finish_reason=receipt.finish_reason,
        simulated=receipt.simulated,
        response_model=receipt.response_model[:500],
    )


def _known(value: float) -> float | None:
    return round(value, 6) if value >= 0 else None  # NaN is neither
