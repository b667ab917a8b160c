"""The key out of the chunks of a stream, also where they bring it in pieces, and out of a whole answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from hs_notebook.answers import Answer
from hs_notebook.secret import Scrubber
from hs_notebook.types import ChatCompletionChunk, ChoiceDelta, ChunkChoice, FunctionCall, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hs_notebook.secret import Secret

T = TypeVar("T")


class ChunkScrubber:
    """Takes a key out of the chunks of one stream; a chunk without any of it stays the same object.

    The end of a text that may begin the key, once `least` characters of it have come, is held back until
    the next chunk for that text, or the last of its alternative; what was thought no longer than until the
    answer begins. What is said and what is refused are one text, as they are shown as one.
    """

    def __init__(self, key: Secret, *, least: int = 0) -> None:
        self._key = key
        self._least = least
        self._id = self._model = ""  # of the last chunk, that do not say the key
        self._print: str | None = None
        self._may_begin = Scrubber(key).may_begin
        self.waits = False  # for what may be the rest of a key
        self._said: dict[int, Scrubber] = {}
        self._thought: dict[int, Scrubber] = {}
        self._called: dict[tuple[int, int], Scrubber] = {}

    def feed(self, chunks: list[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
        """Take the next chunks, and return what may be shown of them now."""
        if not self.waits and self._are_free(chunks):
            return chunks
        return [
            chunk if not self.waits and self._are_free((chunk,)) else self._cleaned(chunk) for chunk in chunks
        ]

    def rest(self) -> list[ChatCompletionChunk]:
        """Return what is held back, at the end of the stream."""
        indices = {*self._said, *self._thought, *(index for index, _ in self._called)}
        deltas = [(index, self._ended(index, ChoiceDelta())) for index in sorted(indices)]
        choices = [ChunkChoice(delta, index) for index, delta in deltas if delta != ChoiceDelta()]
        return [ChatCompletionChunk(choices)] if choices else []

    def _are_free(self, chunks: Iterable[ChatCompletionChunk]) -> bool:
        """Tell quickly, as of nearly all chunks, that there is nothing to do."""
        for chunk in chunks:
            if chunk.id != self._id or chunk.model != self._model or chunk.system_fingerprint != self._print:
                return False
            for choice in chunk.choices:
                delta = choice.delta
                if choice.finish_reason or delta.tool_calls or delta.refusal:
                    return False
                if delta.content and self._may_begin(delta.content):
                    return False
                if delta.reasoning_content and self._may_begin(delta.reasoning_content):
                    return False
        return True

    def _cleaned(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        names = (chunk.id, chunk.model, chunk.system_fingerprint)
        clean = tuple(self._name(name) for name in names)
        choices = [self._choice(choice) for choice in chunk.choices]
        scrubbers = (*self._said.values(), *self._thought.values(), *self._called.values())
        self.waits = any(scrubber.waits for scrubber in scrubbers)
        if clean == names:
            self._id, self._model, self._print = chunk.id, chunk.model, chunk.system_fingerprint
            if choices == chunk.choices:
                return chunk
        id_, model, fingerprint = clean
        return replace(chunk, choices=choices, id=id_, model=model, system_fingerprint=fingerprint)

    def _choice(self, choice: ChunkChoice) -> ChunkChoice:
        index, delta = choice.index, choice.delta
        thought = self._text(self._thought, index, delta.reasoning_content)
        if index in self._thought and (delta.content or delta.refusal or delta.tool_calls):
            thought = f"{thought or ''}{self._thought[index].release()}" or thought
        delta = replace(
            delta,
            content=self._text(self._said, index, delta.content),
            refusal=self._text(self._said, index, delta.refusal),
            reasoning_content=thought,
            tool_calls=delta.tool_calls and [self._call(index, call) for call in delta.tool_calls],
        )
        if choice.finish_reason:
            delta = self._ended(index, delta)
        reason, error = self._name(choice.finish_reason), self._name(choice.error)
        return replace(choice, delta=delta, finish_reason=reason, error=error)

    def _call(self, index: int, call: ToolCall) -> ToolCall:
        place, function = (index, call.index), call.function
        arguments = self._text(self._called, place, function.arguments)
        function = FunctionCall(self._name(function.name), arguments)
        return replace(call, id=self._name(call.id), type=self._name(call.type), function=function)

    def _ended(self, index: int, delta: ChoiceDelta) -> ChoiceDelta:
        """Return the last delta of an alternative, with what was held back of it."""
        said, thought = _rest(self._said, index), _rest(self._thought, index)
        if said:
            name = "refusal" if delta.refusal else "content"
            delta = replace(delta, **{name: f"{getattr(delta, name) or ''}{said}"})
        if thought:
            delta = replace(delta, reasoning_content=f"{delta.reasoning_content or ''}{thought}")
        calls = [
            ToolCall(index=place[1], function=FunctionCall(arguments=rest))
            for place in self._called
            if place[0] == index and (rest := _rest(self._called, place))
        ]
        return replace(delta, tool_calls=[*(delta.tool_calls or ()), *calls]) if calls else delta

    def _text(self, texts: dict[T, Scrubber], place: T, new: str | None) -> str | None:
        if not new:
            return new
        if place not in texts:
            texts[place] = Scrubber(self._key, least=self._least)
        return texts[place].feed(new)

    def _name(self, name: str | None) -> str | None:
        return name and self._key.scrub(name)


def _rest(texts: dict[T, Scrubber], place: T) -> str:
    return texts[place].rest() if place in texts else ""


def scrubbed(answer: Answer, scrub: Callable[[str], str]) -> Answer:
    """Return an answer in which the relay nowhere gives the key back: it will be shown and saved."""
    receipt = answer.receipt
    return Answer(
        scrub(answer.text),
        replace(
            receipt,
            response_model=scrub(receipt.response_model),
            response_id=scrub(receipt.response_id),
            finish_reason=receipt.finish_reason and scrub(receipt.finish_reason),
            note=scrub(receipt.note),
        ),
        messages=answer.messages[:-1],
        reasoning=scrub(answer.reasoning),
        tool_calls=[_scrubbed_call(call, scrub) for call in answer.tool_calls],
        alternatives=[scrub(text) for text in answer.alternatives],
    )


def _scrubbed_call(call: ToolCall, scrub: Callable[[str], str]) -> ToolCall:
    name, arguments = call.function.name, call.function.arguments
    function = FunctionCall(name=name and scrub(name), arguments=arguments and scrub(arguments))
    return ToolCall(
        index=call.index,
        id=call.id and scrub(call.id),
        type=call.type and scrub(call.type),
        function=function,
    )
