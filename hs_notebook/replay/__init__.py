"""Answers kept in a file, to be given again: nothing is asked and nothing paid a second time.

The file is JSON Lines in UTF-8, one answer a line, found by a SHA-256 of the model, the messages and the
parameters; where a question went and with which key is no part of it. Several processes may write to it at
once. A line that a killed process left unfinished is skipped, and gone with the next answer.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from hs_notebook.connections import is_loopback
from hs_notebook.errors import ConfigurationError, ReplayError, UsageError
from hs_notebook.replay.file import AnswerFile
from hs_notebook.replay.kept import KeptAnswer, key_of, replayed

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from hs_notebook.answers import Answer
    from hs_notebook.types import ChatRequest

__all__ = ["AnswerFile", "KeptAnswer", "Mode", "Replay", "key_of", "replayed"]

Mode = Literal["record", "replay"]

_CUT = ("truncated", "length")  # all that was asked for


class Replay:
    """A file of answers, and what is done where it has none.

    With `record` the question is asked and its answer kept if it is whole and `accepts` takes it; one in the
    file that it does not take is asked anew, and with `anew` all are. With `replay` the file is all there is,
    and what it has not is an error.
    """

    def __init__(
        self,
        file: AnswerFile | str | os.PathLike[str],
        mode: Mode = "record",
        *,
        accepts: Callable[[Answer], bool] = lambda _answer: True,
        anew: bool = False,
    ) -> None:
        if mode not in {"record", "replay"}:
            raise UsageError(f"mode is 'record' or 'replay', not {mode!r}.")
        self.file = file if isinstance(file, AnswerFile) else AnswerFile(file)
        self.mode = mode
        self._accepts = accepts
        self._anew = anew
        self._takes_simulated = True

    def before(self, base_url: str) -> Replay:
        """Return the same before a relay: a real one is asked what a simulated one, on loopback, answered."""
        other = copy.copy(self)
        other._takes_simulated = is_loopback(base_url)  # noqa: SLF001 - of this class
        return other

    def accepting(self, accepts: Callable[[Answer], bool]) -> Replay:
        """Return the same with answers alone that `accepts` takes."""
        other = copy.copy(self)
        other._accepts = accepts  # noqa: SLF001 - of this class
        return other

    def is_free(self, request: ChatRequest) -> bool:
        """Tell whether a request will not be sent."""
        return self.mode == "replay" or self.has(request)

    def has(self, request: ChatRequest) -> bool:
        """Tell whether a request is answered from the file."""
        return self._find(request, 0) is not None

    def find(self, request: ChatRequest, occurrence: int = 0) -> KeptAnswer | None:
        """Return the answer that is kept; None where the question is to be asked.

        Raises `ReplayError` where it may not be asked, `ConfigurationError` where the file is no use.
        """
        kept = self.kept(request, occurrence)
        if kept is None and self.mode == "replay":
            raise ReplayError(
                f"This question to {request.model} has no answer in {self.file.path.name}, and nothing is "
                "asked in the mode replay.",
                hint="Record it once: %config HolySheepMagics.replay = 'record'; or name the right file.",
            )
        if kept is None:
            self.file.prepare()
        return kept

    def kept(self, request: ChatRequest, occurrence: int = 0) -> KeptAnswer | None:
        """Return the answer that is kept, if any."""
        kept = self._find(request, occurrence)
        self.file.used += kept is not None
        return kept

    def _find(self, request: ChatRequest, occurrence: int) -> KeptAnswer | None:
        kept = self.file.find(key_of(request, occurrence))
        if kept is None or self.mode == "replay":
            return kept
        if self._anew or (kept.simulated and not self._takes_simulated):
            return None
        return kept if self._accepts(replayed(kept, request)) else None

    def keep(self, request: ChatRequest, occurrence: int, answer: Answer, scrub: Callable[[str], str]) -> str:
        """Keep an answer if it is whole, and return in words what went wrong."""
        receipt = answer.receipt
        whole = receipt.state == "complete" or (receipt.state, receipt.finish_reason) == _CUT
        if whole and self._accepts(answer):
            try:
                self.file.keep(KeptAnswer.of(key_of(request, occurrence), answer, scrub))
            except ConfigurationError as error:
                return error.message
        return ""
