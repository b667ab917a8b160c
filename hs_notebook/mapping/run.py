"""A run over rows: several questions at a time, each row in its place."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from hs_notebook.call import suggest
from hs_notebook.errors import BudgetError, HolySheepError, NotFoundError, SchemaError
from hs_notebook.portal import in_thread, portal
from hs_notebook.runs.outcome import ends_all, exchanged, settle, to_its_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.answers import Answer
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.exchange import Exchange
    from hs_notebook.mapping.mapped import Mapped
    from hs_notebook.runs.price import Pot
    from hs_notebook.schemas import Schema
    from hs_notebook.types import ChatRequest

_ALIKE = 10  # rows that fail the same way before any was answered: the others would, too
_LOOKS = 0.1  # seconds between two looks at what has come


class Watch(Protocol):
    """Who is shown how a run gets on."""

    def show(self, done: int, failed: int, spent: str) -> None:
        """So many rows are over, so many of them failed, and so much was spent."""


class Run:
    """Asks `questions` (requests, and how often each was asked before, by row) for the rows of `mapped`.

    `stop` may come from any thread: what is under way is stopped, what is done is kept.
    """

    def __init__(
        self,
        client: AsyncHolySheep,
        questions: Mapping[int, tuple[ChatRequest, int]],
        mapped: Mapped,
        *,
        pot: Pot,
        schema: Schema | None,
        concurrency: int,
        charge: Callable[[Exchange], None],
    ) -> None:
        self._client, self._questions, self._mapped = client, questions, mapped
        self._pot, self._schema, self._concurrency, self._charge = pot, schema, concurrency, charge
        missing = mapped.missing
        self._rows, self._total = iter(missing), len(missing)
        self._alike: Counter[type[HolySheepError]] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = portal().loop
        self._stopped = False
        self.done = self.failed = self.answered = 0

    def wait(self, watch: Watch) -> None:
        """Ask all rows while the calling thread waits; an interrupt ends the run and is in `mapped.ended`."""
        future = portal().start(self._run())
        try:
            over = False
            while not over:
                over = bool(concurrent.futures.wait([future], timeout=_LOOKS).done)
                watch.show(self.done, self.failed, self._mapped.spent)
            future.result()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self._mapped.ended = error
            self.stop()  # whatever it was, nobody is waiting any more: nothing may go on spending
            settle(future)
            if not isinstance(error, KeyboardInterrupt):
                raise

    def stop(self) -> None:
        """End the run: close what is under way, and ask no further."""
        if self._mapped.ended is None:
            self._mapped.ended = KeyboardInterrupt("it was stopped.")
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        slots = min(self._concurrency, self._total)
        self._tasks = [asyncio.ensure_future(self._work()) for _ in range(slots)]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        try:
            for row in self._rows:
                if self._mapped.ended is not None:
                    return
                await self._ask(row)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - none that is ours, and what came before it is paid for
            self._end(_ending(error))
            self._cancel()

    async def _ask(self, row: int) -> None:
        request, occurrence = self._questions[row]
        try:
            slots = min(self._concurrency, self._total - self.done)
            limit = await self._pot.take(row, request, slots=slots)
        except BudgetError as spent:
            self._end(spent)
            return
        exchange = self._client.exchange(request, limit=limit, occurrence=occurrence)
        answer: Answer | None = None
        try:
            answer, error = await exchanged(exchange)
        finally:
            receipt = answer.receipt if answer is not None else None
            self._pot.give_back(row, receipt, charge=exchange.charge)
            self._charge(exchange)
        await self._put(row, answer, error)

    async def _put(self, row: int, answer: Answer | None, error: HolySheepError | None) -> None:
        if answer is not None:
            self._mapped.charge(row, answer.receipt.costs)
        if self._stopped and (answer is None or answer.state == "stopped"):
            return  # as good as not asked, but for its cost
        if answer is not None:
            error = error or await self._flaw(answer)
            if error is not None:
                error.answer = answer
        self._mapped.put(row, answer, error)
        self.done += 1
        if error is None:
            self.answered += 1
            return
        self.failed += 1
        if isinstance(error, NotFoundError):
            await suggest(self._client, self._questions[row][0].model, error)
        self._alike[type(error)] += 1
        alike = not self.answered and self._alike[type(error)] >= _ALIKE
        if alike or ends_all(error):
            self._end(error)

    async def _flaw(self, answer: Answer) -> HolySheepError | None:
        """Return what an answer lacks, and read it by the schema."""
        if answer.state == "stopped":
            return BudgetError(f"The answer was {answer.receipt.note}.")
        if (schema := self._schema) is None:
            return None
        # On its own thread: a validator of the user's may take long, or ask and wait for this very loop.
        reading = asyncio.ensure_future(in_thread(lambda: schema.fill(answer)))
        try:
            await to_its_end(reading)
        except SchemaError as misfit:
            return misfit
        return None

    def _end(self, error: HolySheepError | KeyboardInterrupt) -> None:
        if self._mapped.ended is None:
            self._mapped.ended = error


def _ending(error: BaseException) -> HolySheepError | KeyboardInterrupt:
    if isinstance(error, HolySheepError | KeyboardInterrupt):
        return error
    told = HolySheepError(f"The run broke off ({type(error).__name__}).", hint=".resume() goes on.")
    told.__cause__ = error
    return told
