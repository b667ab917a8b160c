"""Calls into the ledger: pending before they are sent, and then their outcome."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Cost, Receipt
from hs_notebook.ledger import Opening, Outcome
from hs_notebook.pricing.limit import longest_answer
from hs_notebook.types import ChatCompletionChunk, Usage
from hs_notebook.wire.assembler import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.answers import Answer
    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatRequest
    from hs_notebook.wire.assembler import Ending

_PATIENCE = 1.0  # seconds that an answer waits for the disk


class Recorder:
    """Records the calls to one seller at one host. The disk never holds the loop up.

    `scrub` takes the key out of what a server may have echoed.
    """

    def __init__(
        self, ledger: Ledger, quotes: Quotes, *, host: str, notebook: str, scrub: Callable[[str], str]
    ) -> None:
        self._ledger = ledger
        self._quotes = quotes
        self._scrub = scrub
        self._host = host
        self._notebook = notebook

    async def begin(self, request: ChatRequest) -> Entry:
        """Write down that a call is about to be sent."""
        opening = Opening(
            model=request.model,
            provider=self._quotes.seller.lower(),
            server_address=self._host,
            max_tokens=longest_answer(request),
            temperature=request.params.get("temperature"),
            seller=self._quotes.seller,
            notebook=self._notebook,
            prompt=self._prompt(request) if self._ledger.keep_text else None,
        )
        row = await asyncio.to_thread(self._ledger.begin, opening)
        return Entry(self._ledger, self._quotes, self._scrub, opening, row)

    def _prompt(self, request: ChatRequest) -> str:
        return self._scrub(json.dumps(request.messages, ensure_ascii=False))


class Entry:
    """One call in the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        quotes: Quotes,
        scrub: Callable[[str], str],
        opening: Opening,
        row: int | None,
    ) -> None:
        self._ledger = ledger
        self._quotes = quotes
        self._scrub = scrub
        self._opening = opening
        self._row = row

    async def settle(self, answer: Answer) -> None:
        """Write down how it ended."""
        outcome = outcome_of(answer.receipt)
        if self._ledger.keep_text:
            outcome = msgspec.structs.replace(outcome, answer=self._scrub(answer.text))
        await self._settle(outcome)

    async def settle_stream(self, ending: Ending) -> None:
        """Write down how a stream ended whose chunks went to somebody else, by the usage that it brought."""
        chunk = ending.telling or ChatCompletionChunk()
        model, usage = chunk.model or self._opening.model, chunk.usage
        receipt = Receipt(
            request_model=self._opening.model,
            response_model=chunk.model,
            response_id=chunk.id,
            state=ending.state,
            usage=usage or Usage(),
            costs=self._quotes.cost(model, usage) if usage else Cost(),
            finish_reason=ending.finish_reason,
            simulated=(chunk.system_fingerprint or "").startswith(SIMULATED),
        )
        outcome = outcome_of(receipt)
        if usage is None:
            outcome = msgspec.structs.replace(outcome, input_tokens=None, output_tokens=None)
        await self._settle(outcome)

    async def fail(self, error_type: str) -> None:
        """Write down that there was no answer; `error_type` is the name of the error's class."""
        await self._write(lambda: self._ledger.fail(self._row, error_type, opening=self._opening))

    async def _settle(self, outcome: Outcome) -> None:
        clean = msgspec.structs.replace(
            outcome,
            response_model=self._scrub(outcome.response_model),
            response_id=self._scrub(outcome.response_id),
        )
        await self._write(lambda: self._ledger.settle(self._row, clean, opening=self._opening))

    async def _write(self, write: Callable[[], bool]) -> None:
        # An answer is not held back by a slow disk, and a row is not lost to an impatient reader.
        writing = asyncio.ensure_future(asyncio.to_thread(write))
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
