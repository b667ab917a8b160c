"""Calls into the ledger: pending before they are sent, and then their outcome."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from hs_notebook.ledger import Opening, Outcome
from hs_notebook.pricing.limit import longest_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.answers import Answer, Receipt
    from hs_notebook.ledger import Ledger
    from hs_notebook.types import ChatRequest

_PATIENCE = 1.0  # seconds that an answer waits for the disk


class Recorder:
    """Records the calls to one seller at one host. The disk never holds the loop up."""

    def __init__(self, ledger: Ledger, *, seller: str, host: str, notebook: str) -> None:
        self._ledger = ledger
        self._seller = seller
        self._host = host
        self._notebook = notebook

    async def begin(self, request: ChatRequest) -> Entry:
        """Write down that a call is about to be sent."""
        opening = Opening(
            model=request.model,
            provider=self._seller.lower(),
            server_address=self._host,
            max_tokens=longest_answer(request),
            temperature=request.params.get("temperature"),
            seller=self._seller,
            notebook=self._notebook,
            prompt=json.dumps(request.messages, ensure_ascii=False) if self._ledger.keep_text else None,
        )
        return Entry(self._ledger, opening, await asyncio.to_thread(self._ledger.begin, opening))


class Entry:
    """One call in the ledger."""

    def __init__(self, ledger: Ledger, opening: Opening, row: int | None) -> None:
        self._ledger = ledger
        self._opening = opening
        self._row = row

    async def settle(self, answer: Answer) -> None:
        """Write down how it ended."""
        outcome = outcome_of(answer.receipt, answer.text if self._ledger.keep_text else None)
        await self._write(lambda: self._ledger.settle(self._row, outcome, opening=self._opening))

    async def fail(self, error_type: str) -> None:
        """Write down that there was no answer; `error_type` is the name of the error's class."""
        await self._write(lambda: self._ledger.fail(self._row, error_type, opening=self._opening))

    async def _write(self, write: Callable[[], bool]) -> None:
        # An answer is not held back by a slow disk, and a row is not lost to an impatient reader.
        writing = asyncio.ensure_future(asyncio.to_thread(write))
        await asyncio.wait([writing], timeout=_PATIENCE)


def outcome_of(receipt: Receipt, text: str | None = None) -> Outcome:
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
        answer=text,
    )
