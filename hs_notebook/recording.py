"""Calls into the ledger: pending before they are sent, and then their outcome."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import warnings
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Cost, Receipt
from hs_notebook.ledger import Opening, Outcome
from hs_notebook.pricing.quotes import Quotes
from hs_notebook.pricing.tokens import as_usage, by_script, estimate_messages, estimate_tokens
from hs_notebook.types import SIMULATED, ChatCompletionChunk, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from decimal import Decimal

    from hs_notebook.answers import Answer
    from hs_notebook.errors import HolySheepError
    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.secret import Secret
    from hs_notebook.types import ChatRequest
    from hs_notebook.wire.ending import Ending

_PATIENCE = 1.0  # seconds that an answer waits for the disk
_UNSENT = Outcome(state="stopped", input_tokens=0, output_tokens=0, cost=Cost.nothing().total)


class Account:
    """What the calls to one host are priced by, and where they are recorded.

    `key` is taken out of what a user or a server may have put somewhere.
    """

    def __init__(self, host: str, key: Secret, prices: PriceBook, ledger: Ledger | None) -> None:
        self._host = host
        self.key = key
        self.simulated = False  # as the last answer said; what has no answer cannot say it
        self.use(prices, ledger)

    def use(self, prices: PriceBook, ledger: Ledger | None, *, notebook: str = "") -> None:
        """Price by another book, record in another ledger."""
        self.quotes = Quotes(prices, self._host)
        self.recorder = (
            Recorder(ledger, self.quotes, host=self._host, notebook=notebook, scrub=self.key.scrub)
            if ledger
            else None
        )

    async def record(self, request: ChatRequest) -> Entry | None:
        """Write down that a call is about to be sent, where a ledger is kept."""
        entry = await self.recorder.begin(request) if self.recorder else None
        self.warn()
        return entry

    def warn(self) -> None:
        """Tell once, as Python warns, that calls could not be recorded."""
        if self.recorder is not None and (line := self.recorder.ledger.warning()):
            warnings.warn(line, stacklevel=3)


class Recorder:
    """Records the calls to one host. The disk never holds the loop up."""

    def __init__(
        self, ledger: Ledger, quotes: Quotes, *, host: str, notebook: str, scrub: Callable[[str], str]
    ) -> None:
        self.ledger = ledger
        self.quotes = quotes
        self.scrub = scrub
        self._host = host
        self._notebook = notebook

    async def begin(self, request: ChatRequest, *, charge: Decimal | None = None, user: str = "") -> Entry:
        """Write down that a call is about to be sent.

        `charge` is what it may cost at most, in USD, and `user` who asks, where a relay serves several.
        """
        asked = request.params.get("max_completion_tokens", request.params.get("max_tokens"))
        prompt = json.dumps(request.messages, ensure_ascii=False) if self.ledger.keep_text else None
        opening = Opening(
            model=self.scrub(request.model),
            provider=self.quotes.seller.lower(),
            server_address=self._host,
            max_tokens=asked if isinstance(asked, int) else None,
            temperature=request.params.get("temperature"),
            seller=self.quotes.seller,
            notebook=self.scrub(self._notebook),
            prompt=None if prompt is None else self.scrub(prompt),
            charge=charge,
            user=user,
        )
        row = _Row(self.ledger, opening)
        try:
            number = await asyncio.to_thread(row.write)
        except asyncio.CancelledError:
            # On a thread, which a loop that is about to close waits for, as it does not for a task.
            asyncio.get_running_loop().run_in_executor(None, row.withdraw)
            raise
        return Entry(self, request, opening, number)


class _Row:
    """A call that is being written down, and may be given up meanwhile: then it was never sent.

    Who comes last settles it, its writer or who gives it up.
    """

    def __init__(self, ledger: Ledger, opening: Opening) -> None:
        self._ledger = ledger
        self._opening = opening
        self._lock = threading.Lock()
        self._first = True

    def write(self) -> int | None:
        self._number = self._ledger.begin(self._opening)
        self._settle_if_last()
        return self._number

    def withdraw(self) -> None:
        self._settle_if_last()

    def _settle_if_last(self) -> None:
        with self._lock:
            first, self._first = self._first, False
        if not first:
            self._ledger.settle(self._number, _UNSENT)


class Entry:
    """One call in the ledger."""

    def __init__(self, recorder: Recorder, request: ChatRequest, opening: Opening, row: int | None) -> None:
        self._recorder = recorder
        self._request = request
        self._opening = opening
        self._row = row
        self._said = 0  # tokens, as they are estimated

    @property
    def kept(self) -> bool:
        """Whether the call is written down already."""
        return self._row is not None

    async def settle(
        self, answer: Answer, *, charge: Decimal | None = None, error: HolySheepError | None = None
    ) -> None:
        """Write down how it ended, and in which error.

        `charge` is what it counts against a budget, else what it cost.
        """
        kept = answer.text if self._recorder.ledger.keep_text else None
        await self._settle(answer.receipt, text=kept, charge=charge, error=error)

    async def count(
        self, batches: AsyncIterator[list[ChatCompletionChunk]]
    ) -> AsyncGenerator[list[ChatCompletionChunk], None]:
        """Pass on the chunks of a stream that nobody assembles, and estimate their tokens."""
        async for batch in batches:
            for chunk in batch:
                self.add(chunk)
            yield batch

    def add(self, chunk: ChatCompletionChunk) -> None:
        """Estimate the tokens of a chunk that goes to somebody else."""
        for choice in chunk.choices:
            self._said += estimate_tokens(choice.delta.billed)

    async def settle_stream(
        self, ending: Ending, *, ttft: float = math.nan, duration: float = math.nan, aside: bool = False
    ) -> Decimal:
        """Write down how a stream ended whose chunks went to somebody else; return its charge in USD.

        With `aside` the prompt is estimated in a thread: a large one would hold up whom the loop serves.
        """
        chunk = ending.telling or ChatCompletionChunk()
        usage = chunk.usage if chunk.usage and chunk.usage.tells else None
        if usage is None:
            usage = await asyncio.to_thread(self._estimate) if aside else self._estimate()
        model = chunk.model or self._request.model
        receipt = Receipt(
            request_model=self._request.model,
            response_model=chunk.model,
            response_id=chunk.id,
            state=ending.state,
            usage=usage,
            costs=self._recorder.quotes.cost(model, usage),
            finish_reason=ending.finish_reason,
            simulated=(chunk.system_fingerprint or "").startswith(SIMULATED),
            ttft=ttft,
            duration=duration,
        )
        charge = self._recorder.quotes.charge(receipt)
        await self._settle(receipt, charge=charge, error=ending.error)
        return charge

    async def withdraw(self) -> None:
        """Write down that it was stopped before it was sent."""
        await self._write(_UNSENT)

    async def settle_unknown(self, error_type: str = "", *, charge: Decimal | None = None) -> None:
        """Write down that nobody saw the answer: what it came to is unknown; `charge` as in `settle`."""
        await self._write(Outcome(state="stopped", error_type=error_type, charge=charge))

    async def settle_failed(
        self,
        error: Exception,
        receipt: Receipt | None,
        *,
        charge: Decimal | None = None,
        simulated: bool = False,
    ) -> None:
        """Write down that there was no answer, and what it came to all the same; `charge` as in `settle`."""
        if receipt is None:
            await self.fail(type(error).__name__, simulated=simulated)
        else:
            await self._settle(receipt, charge=charge, error=error)

    async def fail(self, error_type: str, *, simulated: bool = False) -> None:
        """Write down that there was no answer; `error_type` is the name of the error's class."""
        await self._write(Outcome(state="error", error_type=error_type, simulated=simulated))

    def _estimate(self) -> Usage:
        return as_usage(estimate_messages(self._request.messages, self._request.model), by_script(self._said))

    async def _settle(
        self,
        receipt: Receipt,
        *,
        text: str | None = None,
        charge: Decimal | None = None,
        error: Exception | None = None,
    ) -> None:
        scrub = self._recorder.scrub
        outcome = outcome_of(receipt)
        await self._write(
            msgspec.structs.replace(
                outcome,
                response_model=scrub(outcome.response_model),
                response_id=scrub(outcome.response_id),
                finish_reasons=tuple(map(scrub, outcome.finish_reasons)),
                charge=self._recorder.quotes.charge(receipt) if charge is None else charge,
                error_type="" if error is None else type(error).__name__,
                answer=None if text is None else scrub(text),
            )
        )

    async def _write(self, outcome: Outcome) -> None:
        # An answer is not held back by a slow disk, and a row is not lost to an impatient reader.
        settle = self._recorder.ledger.settle
        writing = asyncio.ensure_future(asyncio.to_thread(settle, self._row, outcome, opening=self._opening))
        await asyncio.wait([writing], timeout=_PATIENCE)


def outcome_of(receipt: Receipt) -> Outcome:
    """Return what the ledger keeps of a receipt."""
    usage, costs = receipt.usage, receipt.costs
    sent, said = usage.prompt_tokens_details, usage.completion_tokens_details
    return Outcome(
        state=receipt.state,
        response_model=receipt.response_model,
        response_id=receipt.response_id,
        finish_reasons=(receipt.finish_reason,) if receipt.finish_reason else (),
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=sent.cached_tokens if sent else None,
        written_tokens=sent.cache_creation_tokens if sent else None,
        reasoning_tokens=said.reasoning_tokens if said else None,
        estimated=usage.estimated,
        cost=costs.total,
        known_cost=costs.known,
        seller=costs.seller,
        simulated=receipt.simulated,
        ttft=receipt.ttft,
        duration=receipt.duration,
    )
