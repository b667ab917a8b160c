"""An answer that came in one piece: JSON as it should be, or a stream that nobody asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.wire.assembler import Assembler, as_chunk, as_completion
from hs_notebook.wire.chunks import decode_chunk, decode_completion
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from hs_notebook.types import ChatCompletion, ChatRequest

_STREAM = "text/event-stream"


def fill(assembler: Assembler, content_type: str, body: bytes) -> str:
    """Add the answer that a reply's body holds, and return its text.

    Raises `HolySheepError` for what is none, is empty or breaks off; the assembler has what came before.
    """
    if content_type != _STREAM:
        return assembler.add_whole([as_chunk(decode_completion(body))], done=True)
    frames = [event.data for event in SSEDecoder().feed(body)]
    done = "[DONE]" in frames
    return assembler.add_whole((decode_chunk(frame) for frame in frames if frame != "[DONE]"), done=done)


def read_completion(request: ChatRequest, content_type: str, body: bytes) -> ChatCompletion:
    """Return the completion that a reply's body holds; raises as `fill`."""
    assembler = Assembler(request)
    if content_type == _STREAM:
        fill(assembler, content_type, body)
        return as_completion(assembler.finish())
    completion = decode_completion(body)
    assembler.add_whole([as_chunk(completion)], done=True)  # refuses an empty one
    return completion
