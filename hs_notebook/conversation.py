"""A conversation: what was asked and answered, and what of it is sent again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hs_notebook.answers import Answer

_MARKS = {
    "stopped": "[The user stopped this answer here.]",
    "truncated": "[This answer broke off here.]",
    "error": "[This answer ended in an error.]",
}


class Turn(msgspec.Struct, frozen=True):
    """One question and its answer, which may have been stopped or have broken off: see its `state`."""

    content: str | list[dict[str, Any]]
    answer: Answer

    @property
    def question(self) -> str:
        """The text of the question."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.get("text") or f"[{part.get('type')}]" for part in self.content)


class Conversation:
    """Turns in order, and the system message that they share."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.system: str | None = None
        self.turns: list[Turn] = []
        self._lock = threading.Lock()
        self._speaker: object = None

    def messages(self, *, most: int) -> list[Mapping[str, Any]]:
        """Return the last turns as messages, `most` of them; an answer that is no whole one is marked."""
        sent: list[Mapping[str, Any]] = []
        if self.system is not None:
            sent.append({"role": "system", "content": self.system})
        for turn in self.turns[len(self.turns) - most if most < len(self.turns) else 0 :]:
            said = "\n\n".join(filter(None, (turn.answer.text, _MARKS.get(turn.answer.state))))
            sent += [{"role": "user", "content": turn.content}, {"role": "assistant", "content": said}]
        return sent

    def begin(self, speaker: object) -> None:
        """Give a speaker the word; raises `UsageError` while another has it."""
        with self._lock:
            if self._speaker is not None:
                raise UsageError(
                    f"An answer is still arriving in {self}.",
                    hint="Wait for it, or stop it: %holysheep stop.",
                )
            self._speaker = speaker

    def end(
        self, speaker: object, turn: Turn | None = None, *, anew: bool = False, system: str | None = None
    ) -> None:
        """Take the word back from a speaker who has it, with the turn that was made of it, if any.

        Only with a turn does the conversation begin `anew`, and have another `system` message.
        """
        with self._lock:
            if self._speaker is not speaker:
                return
            self._speaker = None
            if turn is None:
                return
            if anew:
                self.clear()
            if system is not None:
                self.system = system
            self.turns.append(turn)

    def clear(self) -> None:
        """Forget all that was said."""
        self.turns.clear()
        self.system = None

    def __str__(self) -> str:
        return f"the conversation {self.name}" if self.name else "the conversation"


class Conversations:
    """The conversations of one notebook, by name; the one without a name is ``""``."""

    def __init__(self) -> None:
        self._known: dict[str, Conversation] = {}

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._known.values())

    def named(self, name: str) -> Conversation:
        """Return a conversation, a new one where there is none of this name."""
        return self._known.setdefault(name, Conversation(name))

    def copy(self, name: str) -> Conversation:
        """Return one that says the same, and changes nothing here."""
        copy, known = Conversation(name), self._known.get(name)
        if known is not None:
            copy.system, copy.turns = known.system, list(known.turns)
        return copy

    def find(self, name: str) -> Conversation:
        """Return a conversation that exists; raises `UsageError`."""
        if name not in self._known:
            there = ", ".join(known or "the one without a name" for known in self._known)
            hint = f"There are: {there}." if there else "Begin one with %%holysheep --chat."
            raise UsageError(
                f"There is no conversation {name}." if name else "There is no conversation yet.", hint=hint
            )
        return self._known[name]
