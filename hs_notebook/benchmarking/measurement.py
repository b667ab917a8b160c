"""A run: one request after the other, the models by turns, and a peak of several at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hs_notebook.benchmarking.numbers import OUT_OF_REACH
from hs_notebook.benchmarking.observation import Clock, sample_of
from hs_notebook.call import suggest
from hs_notebook.errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    BudgetError,
    HolySheepError,
    NotFoundError,
)
from hs_notebook.interrupts import interruptible
from hs_notebook.portal import POLL_SECONDS, portal
from hs_notebook.runs.outcome import ends_all, exchanged, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hs_notebook.answers import Receipt
    from hs_notebook.benchmarking.plan import Plan, Turn
    from hs_notebook.benchmarking.sample import Sample
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.exchange import Exchange
    from hs_notebook.pricing.limit import Limit
    from hs_notebook.runs.price import Pot

_ASKING = 10.0  # seconds for the list of models
_DRAWING = 1.0  # seconds that the next request waits for the screen, at most


class Watch(Protocol):
    """Who is shown how a run gets on."""

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""

    def show(self, samples: Sequence[Sample], *, waiting: bool) -> None:
        """These are over; with `waiting` the limit of requests has the next one wait."""


class Measurement:
    """Sends the requests of `plan`, and keeps what was measured in `samples`.

    `stop` may come from any thread: what is under way is stopped, what is measured is kept. `ended` is why
    the run ended before its time. `simulated` tells of a relay that gave no answer to tell it.
    """

    def __init__(
        self, client: AsyncHolySheep, plan: Plan, *, pot: Pot, charge: Callable[[Exchange], None]
    ) -> None:
        self.samples: list[Sample] = []
        self.ended: HolySheepError | KeyboardInterrupt | None = None
        self.simulated = False
        self._client, self._plan, self._pot, self._charge = client, plan, pot, charge
        self._tasks: list[asyncio.Task[None]] = []
        self._mistaken = False  # it ended in what all requests share
        self._out_of_reach: list[str] = []  # the models of the last requests, where none reached the relay
        self._loop = portal().loop
        self._task: asyncio.Task[None] | None = None
        self._news = threading.Event()
        self._waiting = False
        self._shown = asyncio.Event()

    @property
    def tells(self) -> bool:
        """Whether something is measured: a request that counts ran to its end, well or not.

        A mistake that all requests share tells nothing of the relay.
        """
        mistake = type(self.ended).__name__ if self._mistaken else None
        return any(one.over and one.phase != "warm-up" and one.error_type != mistake for one in self.samples)

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
                    break
                await self._send(turns)
                if watch.due:
                    await self._let_draw()
            if self.ended is None or isinstance(self.ended, BudgetError):
                await self._ask_whether_simulated()
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
        start = Start(len(turns))
        self._tasks = [
            asyncio.ensure_future(self._measure(*each, start)) for each in zip(turns, limits, strict=True)
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

    async def _measure(self, turn: Turn, limit: Limit | None, start: Start) -> None:
        failures: list[str] = []
        client = self._client.beside(lambda failure: failures.append(type(failure).__name__))
        clock = Clock()
        exchange = client.exchange(self._plan.request(turn), limit=limit)
        receipt: Receipt | None = None

        async def prepared() -> None:
            await start.wait_for(exchange.record())
            clock.begin()  # to write a call down is no wait for a limit

        try:
            answer, error = await exchanged(exchange, clock, before=prepared)
            receipt = exchange.unanswered if answer is None else answer.receipt
        finally:
            self._pot.give_back(turn.number, receipt, charge=exchange.charge)
            self._charge(exchange)
        if receipt is None and self.ended is not None:
            return  # it was stopped before it began
        self.samples.append(sample_of(turn, receipt, error, failures, clock))
        await self._consider(turn, error, sent=receipt is not None)

    async def _consider(self, turn: Turn, error: HolySheepError | None, *, sent: bool) -> None:
        # What was sent and not answered in time did reach the relay.
        late = sent and isinstance(error, APITimeoutError)
        if late or not isinstance(error, APIConnectionError):
            self._out_of_reach.clear()
        if error is None:
            return
        if isinstance(error, NotFoundError):
            await suggest(self._client, turn.model, error)
        # All requests of a model are alike: where one is at fault, all are.
        if ends_all(error) or isinstance(error, BadRequestError):
            self._mistaken = self._mistaken or self.ended is None
            self._end(error)
        elif isinstance(error, APIConnectionError) and not late:
            self._out_of_reach.append(turn.model)
            self._end_out_of_reach(error)

    def _end_out_of_reach(self, error: APIConnectionError) -> None:
        number = len(self._out_of_reach)
        if number >= OUT_OF_REACH and {*self._out_of_reach} >= {*self._plan.models}:
            error.hint = f"So did {number} requests in a row; doctor tells why, then begin again."
            self._end(error)

    async def _ask_whether_simulated(self) -> None:
        if any(sample.response_model for sample in self.samples):
            return  # answers tell
        with suppress(HolySheepError, TimeoutError):
            async with asyncio.timeout(_ASKING):
                self.simulated = any(model.simulated for model in await self._client.models.list())

    def _end(self, error: HolySheepError) -> None:
        if self.ended is None:
            self.ended = error


class Start:
    """Where `number` requests wait for each other, to be sent at one moment."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self._all_are_ready = asyncio.Event()

    async def wait_for(self, preparing: Awaitable[None]) -> None:
        """Prepare one, and wait until all are ready or have given up."""
        try:
            await preparing
        finally:
            self._missing -= 1
            if not self._missing:
                self._all_are_ready.set()
        await self._all_are_ready.wait()
