"""The numbers of tool calls, by which their fragments are joined: some servers send none, or 0 for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from hs_notebook.types import ChatCompletionChunk, ChunkChoice, ToolCall


class CallNumbers:
    """Gives each call of one stream a number of its own; a chunk whose numbers are right stays the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], ToolCall] = {}  # what began last at a number of the server's
        self._numbers: dict[int, set[int]] = {}  # taken, by alternative

    def right(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        """Return a chunk with the numbers that its fragments should have."""
        choices = [self._choice(choice) if choice.delta.tool_calls else choice for choice in chunk.choices]
        return chunk if choices == chunk.choices else replace(chunk, choices=choices)

    def _choice(self, choice: ChunkChoice) -> ChunkChoice:
        here: set[int] = set()  # no delta brings two fragments of one call
        calls = []
        for call in choice.delta.tool_calls or ():
            known = self._known.get((choice.index, call.index))
            if known is None or _is_another(call, known, again=call.index in here):
                known = self._begin(choice.index, call)
            here.add(call.index)
            calls.append(replace(call, index=known.index))
        return replace(choice, delta=replace(choice.delta, tool_calls=calls))

    def _begin(self, alternative: int, call: ToolCall) -> ToolCall:
        taken = self._numbers.setdefault(alternative, set())
        number = max(taken) + 1 if call.index in taken else call.index
        taken.add(number)
        began = self._known[alternative, call.index] = replace(call, index=number)
        return began


def _is_another(call: ToolCall, known: ToolCall, *, again: bool) -> bool:
    """Tell whether a call begins where one is under way; some servers give each fragment an id of its own."""
    return bool(call.function.name) and (again or bool(call.id and known.id and call.id != known.id))
