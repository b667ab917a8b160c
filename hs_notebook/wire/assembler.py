"""Chunks into an answer, and the decision how it ended."""

from __future__ import annotations

import math
import time
from io import StringIO
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.answers import Answer, Cost, Receipt
from hs_notebook.errors import HolySheepError, ProtocolError, UpstreamError
from hs_notebook.pricing.tokens import as_usage, estimate, estimate_messages
from hs_notebook.types import (
    SIMULATED,
    ChatCompletionChunk,
    ChatRequest,
    ChunkChoice,
    FunctionCall,
    State,
    ToolCall,
    Usage,
    calls_text,
)
from hs_notebook.wire.ending import CUT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.pricing.quotes import Quotes

_SHORTEST_RATE = 0.01  # seconds; what came in less was read at once, and was not written so fast


class Assembler:
    """Builds one answer from its chunks, priced by `quotes`; `clock` gives seconds."""

    def __init__(
        self,
        request: ChatRequest,
        *,
        quotes: Quotes | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.request = request
        self._quotes = quotes
        self._clock = clock
        self._started = clock()
        self._first: float = math.nan
        self._last: float = math.nan
        self._texts: dict[int, StringIO] = {0: StringIO()}
        self._reasoning = StringIO()
        self._tools: dict[int, ToolCall] = {}
        self._usage: Usage | None = None
        self._model = self._id = self._fingerprint = ""
        self._reason: str | None = None
        self.timed = True  # its chunks are taken as they arrive; what comes in one piece has no first token
        self._finished: set[int] = set()  # alternatives
        self.done = False

    def restart_clock(self) -> None:
        """Count the times from now: an attempt begins."""
        self._started = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the last attempt began."""
        return self._clock() - self._started

    @property
    def text(self) -> str:
        """The text so far, of the first alternative."""
        return self._texts[0].getvalue()

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take a chunk and return the text it adds to the first alternative."""
        if chunk.usage is not None:
            self._count(chunk.usage)
        if not (self._id and self._model):
            self._remember(chunk)
        new = ""
        for choice in chunk.choices:
            new += self._add_choice(choice)
        return new

    def _count(self, usage: Usage) -> None:
        if usage.tells:
            self._usage = usage

    def _remember(self, chunk: ChatCompletionChunk) -> None:
        self._id = chunk.id or self._id
        self._model = chunk.model or self._model
        self._fingerprint = chunk.system_fingerprint or self._fingerprint

    def _add_choice(self, choice: ChunkChoice) -> str:
        delta = choice.delta
        if choice.finish_reason:
            self._finished.add(choice.index)
            if choice.index == 0:
                self._reason = choice.finish_reason
        if delta.reasoning_content or delta.tool_calls:
            self._tick()
            self._add_other(choice)
        text = delta.content or delta.refusal
        if not text:
            return ""
        self._tick()
        if choice.index == 0:
            self._texts[0].write(text)
            return text
        self._texts.setdefault(choice.index, StringIO()).write(text)
        return ""

    def _tick(self) -> None:
        self._last = self._clock()
        if self._first != self._first:
            self._first = self._last

    def _add_other(self, choice: ChunkChoice) -> None:
        if choice.index != 0:
            return
        self._reasoning.write(choice.delta.reasoning_content or "")
        for fragment in choice.delta.tool_calls or ():
            known = self._tools.get(fragment.index, ToolCall(index=fragment.index))
            self._tools[fragment.index] = _joined(known, fragment)

    def finish(self, *, stopped: bool = False, error: HolySheepError | None = None, note: str = "") -> Answer:
        """Decide the state and return the answer; `note` is what else its receipt is to say.

        Raises `error` again where nothing was said before it: then there is no answer. With some text an
        error of the connection makes it `truncated`, an error of the model or the protocol `error`.
        """
        text = self.text
        usable = self._tools or self._reasoning.tell() or any(said.tell() for said in self._texts.values())
        if error is not None and not usable:
            raise error
        state, note = self._ending(stopped=stopped, error=error)
        return Answer(
            text,
            self._receipt(state, note, text),
            messages=self.request.messages,
            reasoning=self._reasoning.getvalue(),
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            alternatives=[self._texts[index].getvalue() for index in sorted(self._texts)],
        )

    def billed(self, *, unanswered: int) -> Receipt | None:
        """Return what an answer came to that left nothing to keep; `unanswered` attempts may be billed.

        None where nobody bills it. What it cost is unknown where the relay told no figures.
        """
        if self._usage is None and not unanswered:
            return None
        receipt = self._receipt("error", "", "")
        if self._usage is not None:
            return receipt
        costs = msgspec.structs.replace(receipt.costs, output=None, low=None, high=None)
        return msgspec.structs.replace(receipt, costs=costs)

    def _ending(self, *, stopped: bool, error: HolySheepError | None) -> tuple[State, str]:
        if stopped:
            return "stopped", ""
        if isinstance(error, UpstreamError | ProtocolError):
            return "error", error.message
        if error is not None:
            return "truncated", error.message
        if self._reason in CUT:
            return "truncated", CUT[self._reason]
        came = self._finished | {index for index, said in self._texts.items() if said.tell()}
        asked = self.request.alternatives
        odd = self._reason is not None and self._reason not in WHOLE
        notes = (
            f"it ended with the reason {self._reason}" if odd else "",
            "" if self.done else "the stream had no [DONE]",
            "" if len(came) >= asked else f"{len(came)} of {asked} alternatives came",
        )
        return "complete", "; ".join(filter(None, notes))

    def _receipt(self, state: State, note: str, text: str) -> Receipt:
        usage = self._usage or self._estimate(text)
        model = self._model or self.request.model
        spent = self._last - self._first
        tokens = usage.completion_tokens - 1
        has_rate = self.timed and tokens > 0 and spent >= _SHORTEST_RATE
        return Receipt(
            request_model=self.request.model,
            response_model=self._model,
            state=state,
            usage=usage,
            ttft=self._first - self._started if self.timed else math.nan,
            duration=self.elapsed,
            tokens_per_second=tokens / spent if has_rate else math.nan,
            costs=self._quotes.cost(model, usage) if self._quotes else Cost(),
            finish_reason=self._reason,
            simulated=self._fingerprint.startswith(SIMULATED),
            note=note,
            response_id=self._id,
        )

    def _estimate(self, text: str) -> Usage:
        model = self._model or self.request.model
        others = [said.getvalue() for index, said in self._texts.items() if index]
        calls = calls_text(self._tools.values())
        said = estimate("".join(filter(None, [text, self._reasoning.getvalue(), calls, *others])), model)
        return as_usage(estimate_messages(self.request.messages, model), said)


def _joined(known: ToolCall, fragment: ToolCall) -> ToolCall:
    function = FunctionCall(
        known.function.name or fragment.function.name,
        (known.function.arguments or "") + (fragment.function.arguments or ""),
    )
    return ToolCall(
        index=known.index, id=known.id or fragment.id, type=known.type or fragment.type, function=function
    )
