"""An answer in one piece: as the one chunk that says the same, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hs_notebook.types import (
    SIMULATED,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChunkChoice,
    ToolCall,
)

if TYPE_CHECKING:
    from hs_notebook.answers import Answer


def as_chunk(completion: ChatCompletion) -> ChatCompletionChunk:
    """Return a whole completion as the one chunk that says the same."""
    choices = [
        ChunkChoice(
            ChoiceDelta(
                choice.message.content,
                choice.message.role,
                choice.message.reasoning_content,
                choice.message.refusal,
                _numbered(choice.message.tool_calls),
            ),
            choice.index,
            choice.finish_reason,
            choice.error,
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


def _numbered(calls: list[ToolCall] | None) -> list[ToolCall] | None:
    """Number calls by their places: in one piece they need no numbers, and some servers give 0 to each."""
    return calls and [replace(call, index=number) for number, call in enumerate(calls)]


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
