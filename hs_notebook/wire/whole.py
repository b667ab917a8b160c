"""An answer that came in one piece: JSON as it should be, or a stream that nobody asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hs_notebook.types import (
    SIMULATED,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChunkChoice,
)
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.chunks import decode_completion
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from hs_notebook.answers import Answer
    from hs_notebook.pricing.quotes import Quotes
    from hs_notebook.types import ChatRequest

_STREAM = "text/event-stream"


def fill(assembler: Assembler, content_type: str, body: bytes) -> str:
    """Add the answer that a reply's body holds, and return its text.

    Raises `HolySheepError` for what is none, is empty or breaks off; the assembler has what came before.
    """
    if content_type != _STREAM:
        return _add(assembler, decode_completion(body))
    ending = Ending(assembler.request.alternatives)
    return assembler.add_whole(ending.read(SSEDecoder().feed(body)), ending)


def _add(assembler: Assembler, completion: ChatCompletion) -> str:
    chunk, ending = as_chunk(completion), Ending()
    ending.take(chunk)
    return assembler.add_whole([chunk], ending)


def read_completion(assembler: Assembler, content_type: str, body: bytes) -> ChatCompletion:
    """Return the completion that a reply's body holds, and add it to an assembler; raises as `fill`."""
    if content_type == _STREAM:
        fill(assembler, content_type, body)
        return as_completion(assembler.finish())
    completion = decode_completion(body)
    _add(assembler, completion)  # refuses an empty one
    return completion


def as_answer(request: ChatRequest, completion: ChatCompletion, quotes: Quotes) -> Answer:
    """Return a whole completion as an answer with its price; its times are unknown."""
    assembler = Assembler(request, quotes=quotes, clock=lambda: math.nan)
    _add(assembler, completion)
    return assembler.finish()


def as_chunk(completion: ChatCompletion) -> ChatCompletionChunk:
    """Return a whole completion as the one chunk that says the same."""
    choices = [
        ChunkChoice(
            ChoiceDelta(
                choice.message.content,
                choice.message.role,
                choice.message.reasoning_content,
                choice.message.refusal,
                choice.message.tool_calls,
            ),
            choice.index,
            choice.finish_reason,
        )
        for choice in completion.choices
    ]
    return ChatCompletionChunk(
        choices,
        completion.id,
        completion.created,
        completion.model,
        system_fingerprint=completion.system_fingerprint,
        usage=completion.usage,
    )


def as_completion(answer: Answer) -> ChatCompletion:
    """Return an answer as the completion that a request without `stream` would have brought."""
    receipt = answer.receipt
    first = ChatCompletionMessage(
        content=answer.text,
        reasoning_content=answer.reasoning or None,
        tool_calls=list(answer.tool_calls) or None,
    )
    others = [ChatCompletionMessage(content=text) for text in answer.alternatives[1:]]
    return ChatCompletion(
        choices=[
            Choice(message=message, index=index, finish_reason=receipt.finish_reason)
            for index, message in enumerate([first, *others])
        ],
        id=receipt.response_id,
        model=receipt.response_model,
        system_fingerprint=SIMULATED if receipt.simulated else None,
        usage=receipt.usage,
    )
