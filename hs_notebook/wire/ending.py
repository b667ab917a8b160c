"""How a stream of chunks ends: the one reader of its events, for who shows an answer and who hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.errors import (
    EmptyAnswerError,
    HolySheepError,
    ProtocolError,
    StreamTruncatedError,
    UpstreamError,
)
from hs_notebook.wire.chunks import IDLE, decode_chunk, reported
from hs_notebook.wire.surrogates import Surrogates
from hs_notebook.wire.tool_calls import CallNumbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.types import ChatCompletionChunk, State
    from hs_notebook.wire.sse import ServerSentEvent

DONE = "[DONE]"
CUT = {
    "length": "cut at the largest number of tokens",
    "content_filter": "cut by the content filter",
    "insufficient_system_resource": "cut for want of the model's servers",  # DeepSeek's
    "malformed_function_call": "cut at a malformed call of a function",  # Gemini's
}
_MAY_BE_EMPTY = frozenset({"length", "content_filter"})
WHOLE = frozenset({"stop", "tool_calls", "function_call"})


class Ending:
    """Watches a stream for its end, of as many `alternatives` as were asked for; keeps one chunk at most."""

    def __init__(self, alternatives: int = 1) -> None:
        self.begun = False  # something to keep has come: sending again would bill twice
        self.moved = False  # a chunk said something; who waits for that sets it back
        self.finish_reason: str | None = None
        self.telling: ChatCompletionChunk | None = None  # the last chunk with a usage, else the first
        self.done = False  # [DONE] was seen
        self.broken = False  # it ended by itself, and not well
        self.error: HolySheepError | None = None  # that ended it
        self._asked = alternatives - 1  # the highest number of an alternative that is waited for
        self._last = 0  # the highest that was seen
        self._finished: set[int] = set()
        self._surrogates = Surrogates()
        self._calls = CallNumbers()

    def see(self, chunk: ChatCompletionChunk) -> None:
        """Take note of a chunk; raises `UpstreamError` where its finish reason is an error."""
        if chunk.usage is not None and chunk.usage.tells:
            self.telling, self.moved = chunk, True
        elif self.telling is None:
            self.telling = chunk
        for choice in chunk.choices:
            delta = choice.delta
            if delta.content or delta.tool_calls or delta.reasoning_content or delta.refusal:
                self.begun = self.moved = True
                if self._finished:
                    self._finished.discard(choice.index)  # what goes on was not finished
            if choice.index:
                self._last = max(self._last, choice.index)
            if choice.finish_reason:
                self._finish(choice.index, choice.finish_reason, choice.error)

    def _finish(self, index: int, reason: str, error: str | None) -> None:
        if reason == "error":
            untold = "The relay ended the answer with an error and did not say which."
            raise UpstreamError(f"The relay reports: {error}" if error else untold)
        self.finish_reason, self.moved = reason, True
        self._finished.add(index)

    def read(self, events: Iterable[ServerSentEvent]) -> list[ChatCompletionChunk]:
        """Take note of a stream's next events, and return their chunks, up to its end or an `error` there."""
        chunks = []
        try:
            for event in events:
                text = event.data
                if text == DONE:
                    self.done = self.error is None
                    break
                if event.event != "message":
                    if event.event == "error":
                        raise reported(text)
                    if event.event in IDLE:
                        continue
                chunk = decode_chunk(text, self._surrogates)
                for choice in chunk.choices:
                    if choice.delta.tool_calls:
                        chunk = self._calls.right(chunk)
                        break
                chunks.append(chunk)
                self.see(chunk)
        except HolySheepError as error:
            # After the last word no frame of another kind makes the answer less whole.
            if not (self.whole and isinstance(error, ProtocolError)):
                self.fail(error)
        return chunks

    def take(self, chunk: ChatCompletionChunk) -> None:
        """Take note of an answer that came in one piece."""
        try:
            self.see(chunk)
        except HolySheepError as error:
            self.fail(error)
        self.done = self.error is None

    def fail(self, error: HolySheepError) -> None:
        """Take note that the stream ended in an error."""
        self.broken, self.error = True, error

    @property
    def whole(self) -> bool:
        """Whether all was said: [DONE], or a finish reason for every alternative."""
        return self.done or len(self._finished) > max(self._asked, self._last)

    @property
    def paused(self) -> bool:
        """Whether all that has begun is finished; some relays answer once, however many were asked for."""
        return self.done or len(self._finished) > self._last

    def wait_no_more(self) -> None:
        """Take a pause that was long enough for the end."""
        if self.paused:
            self._asked = self._last

    @property
    def is_billed(self) -> bool:
        """Whether its usage was told."""
        usage = None if self.telling is None else self.telling.usage
        return usage is not None and usage.tells

    @property
    def state(self) -> State:
        """How a stream ended that nobody assembled."""
        if isinstance(self.error, UpstreamError | ProtocolError):
            return "error"
        whole = self.whole or (self.paused and not self.broken)
        if whole and self.finish_reason not in CUT:
            return "complete"
        return "truncated" if whole or self.broken else "stopped"

    def check(self) -> None:
        """Called at the end of the bytes: raises where the stream failed or is not whole."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        if not self.paused:
            if self.begun:
                raise StreamTruncatedError("The stream broke off before its end.", hint="What came is kept.")
            raise EmptyAnswerError("The relay sent an empty stream.", hint="Try again, or another model.")
        if not self.begun and self.finish_reason not in _MAY_BE_EMPTY:
            raise EmptyAnswerError("The answer is empty.", hint="Try again, or another model.")
