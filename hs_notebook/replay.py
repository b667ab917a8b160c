"""Answers kept in a file, to be given again: nothing is asked and nothing paid a second time.

The file is JSON Lines in UTF-8, one answer a line, found by a SHA-256 of the model, the messages and the
parameters; where a question went and with which key is no part of it. Several processes may write to it at
once. A line that a killed process left unfinished is skipped, and gone with the next answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from hs_notebook.errors import ConfigurationError, ReplayError, UsageError
from hs_notebook.types import FunctionCall, State, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hs_notebook.answers import Answer
    from hs_notebook.types import ChatRequest

Mode = Literal["record", "replay"]

_BEGINNING = b'{"key":"'  # of every line


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file: the answer to the question that `key` stands for.

    `when` it was asked is a date and time in UTC; `cost` is what it cost then, in USD, None where unknown.
    """

    key: str
    when: str
    model: str
    text: str
    state: State = "complete"
    finish_reason: str | None = None
    usage: Usage = Usage()
    response_model: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    alternatives: tuple[str, ...] = ()
    simulated: bool = False
    cost: Decimal | None = None

    @classmethod
    def of(cls, key: str, answer: Answer, scrub: Callable[[str], str]) -> KeptAnswer:
        """Return what is kept of an answer; `scrub` takes the API's key out of a text."""

        def clean(text: str) -> str:
            return scrub(text).encode("utf-8", "replace").decode()  # half a surrogate pair is no UTF-8

        receipt = answer.receipt
        return cls(
            key=key,
            when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            model=clean(receipt.request_model),
            text=clean(answer.text),
            state=receipt.state,
            finish_reason=receipt.finish_reason and clean(receipt.finish_reason),
            usage=receipt.usage,
            response_model=clean(receipt.response_model),
            reasoning=clean(answer.reasoning),
            tool_calls=tuple(_cleaned(call, clean) for call in answer.tool_calls),
            alternatives=tuple(map(clean, answer.alternatives)) if len(answer.alternatives) > 1 else (),
            simulated=receipt.simulated,
            cost=receipt.cost,
        )

    def line(self) -> bytes:
        """Return it as a line of the file."""
        return msgspec.json.encode(self) + b"\n"


def _cleaned(call: ToolCall, clean: Callable[[str], str]) -> ToolCall:
    function = FunctionCall(*(text and clean(text) for text in (call.function.name, call.function.arguments)))
    return msgspec.structs.replace(call, id=call.id and clean(call.id), function=function)


def key_of(request: ChatRequest, occurrence: int = 0) -> str:
    """Return what stands for a question: a SHA-256 of its JSON with sorted names, as hexadecimal digits.

    `occurrence` counts the same question among its likes, where each is to have an answer of its own.
    """
    asked = json.loads(request.body(stream=False, usage=False))
    del asked["stream"]
    if occurrence:
        asked["occurrence"] = occurrence
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class AnswerFile:
    """A file of answers; `used` counts those that were taken from it. Any thread may use it.

    What other processes add is seen. Of two answers to one question the later one counts. Raises
    `ConfigurationError` where the file cannot be read or written, or is none of ours.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.used = 0
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._answers: dict[str, KeptAnswer] = {}
        self._identity = (0, 0)
        self._read = 0  # bytes: all whole lines so far

    def __len__(self) -> int:
        with self._lock:
            self._catch_up()
            return len(self._answers)

    def find(self, key: str) -> KeptAnswer | None:
        """Return the answer to a question, where there is one."""
        with self._lock:
            self._catch_up()
            return self._answers.get(key)

    def prepare(self) -> None:
        """Make the file where there is none, and see that it can be written, before money is spent."""
        with self._lock, self._writing():
            pass

    def keep(self, kept: KeptAnswer) -> None:
        """Write an answer to the end of the file; when this returns, the system has it."""
        with self._lock, self._writing() as file:
            _mend(file)
            rest = memoryview(kept.line())
            while rest:
                rest = rest[os.write(file, rest) :]

    @contextmanager
    def _writing(self) -> Iterator[int]:
        with self._in_words("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            file = os.open(self.path, flags, 0o666)
            try:
                with _locked(file):
                    self._catch_up()
                    yield file
            finally:
                os.close(file)

    def _catch_up(self) -> None:
        """Read what has come to the file since it was looked at last."""
        with self._in_words("read"):
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                self._forget()
                return
            with file:
                found = os.fstat(file.fileno())
                identity = (found.st_dev, found.st_ino)
                if identity != self._identity or found.st_size < self._read:
                    self._forget()
                    self._identity = identity
                file.seek(self._read)
                self._take(file.read())

    def _take(self, new: bytes) -> None:
        *lines, rest = new.split(b"\n")
        if self._read == 0 and new:
            self._check(lines[0] if lines else None, rest)
        self._read += len(new) - len(rest)
        for line in (*lines, rest):  # an editor may have taken the last line end away
            if (kept := _decoded(line)) is not None:
                self._answers[kept.key] = kept

    def _check(self, first: bytes | None, rest: bytes) -> None:
        """Refuse a file that is not ours: what is written to it must be known to be no harm."""
        ours = rest.startswith(_BEGINNING[: len(rest)]) if first is None else _decoded(first) is not None
        if not ours:
            raise ConfigurationError(
                f"{self.path} is no file of answers; it is left as it is.", hint="Name another file."
            )

    @contextmanager
    def _in_words(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(
                f"The file of answers {self.path} cannot be {done}: {reason}.",
                hint="Name one in a folder that can be written.",
            ) from None


class Replay:
    """A file of answers, and what is done where it has none.

    With `record` the question is asked and its answer kept, with `replay` it is an error.
    """

    def __init__(self, file: AnswerFile | str | os.PathLike[str], mode: Mode = "record") -> None:
        if mode not in {"record", "replay"}:
            raise UsageError(f"mode is 'record' or 'replay', not {mode!r}.")
        self.file = file if isinstance(file, AnswerFile) else AnswerFile(file)
        self.mode = mode

    def is_free(self, request: ChatRequest) -> bool:
        """Tell whether a request will not be sent."""
        return self.mode == "replay" or self.file.find(key_of(request)) is not None

    def find(self, request: ChatRequest, occurrence: int = 0) -> KeptAnswer | None:
        """Return the answer that is kept; None where the question is to be asked.

        Raises `ReplayError` where it may not be asked, `ConfigurationError` where the file is no use.
        """
        kept = self.file.find(key_of(request, occurrence))
        if kept is not None:
            self.file.used += 1
        elif self.mode == "replay":
            raise ReplayError(
                f"This question to {request.model} has no answer in {self.file.path.name}, and nothing is "
                "asked in the mode replay.",
                hint="Record it once: %config HolySheepMagics.replay = 'record'; or name the right file.",
            )
        else:
            self.file.prepare()
        return kept

    def keep(self, request: ChatRequest, occurrence: int, answer: Answer, scrub: Callable[[str], str]) -> str:
        """Keep an answer if it is whole, and return in words what went wrong."""
        receipt = answer.receipt
        if (receipt.state, receipt.finish_reason) == ("truncated", "length") or receipt.state == "complete":
            try:
                self.file.keep(KeptAnswer.of(key_of(request, occurrence), answer, scrub))
            except ConfigurationError as error:
                return error.message
        return ""


def _decoded(line: bytes) -> KeptAnswer | None:
    try:
        return msgspec.json.decode(line, type=KeptAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _mend(file: int) -> None:
    """Take away the last line where a killed process left it unfinished; the file is ours, and locked."""
    end = os.lseek(file, 0, os.SEEK_END)
    rest = b""
    at = end
    while at and b"\n" not in rest:
        size = min(at, 65536)
        at -= size
        os.lseek(file, at, os.SEEK_SET)
        rest = os.read(file, size) + rest
    rest = rest.rpartition(b"\n")[2]
    if rest and _decoded(rest) is None:
        os.ftruncate(file, end - len(rest))
    elif rest:
        os.write(file, b"\n")


if sys.platform == "win32":
    import msvcrt

    @contextmanager
    def _locked(file: int) -> Iterator[None]:
        # The byte that is locked lies far beyond the end: what is there cannot be read by others.
        os.lseek(file, 2**30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            os.lseek(file, 2**30, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    @contextmanager
    def _locked(file: int) -> Iterator[None]:
        with suppress(OSError):  # a file system that knows no locks: there one process writes at a time
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file lets it go
