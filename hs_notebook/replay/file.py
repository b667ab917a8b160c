"""The file: JSON Lines in UTF-8, one answer a line, written to by several processes at once."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import ConfigurationError
from hs_notebook.prices import full_path
from hs_notebook.replay.kept import KeptAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGINNING = b'{"key":"'  # of every line


class AnswerFile:
    """A file of answers; `used` counts those that were taken from it. Any thread may use it.

    What other processes add is seen. Of two answers to one question the later one counts. Raises
    `ConfigurationError` where the file cannot be read or written, or is none of ours.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = full_path(os.fspath(path))
        self.used = 0
        self._process, self._own_lock = os.getpid(), threading.Lock()
        self._prepared = False
        self._forget()

    @property
    def _lock(self) -> threading.Lock:
        # A forked child would wait for a thread that it does not have; what that was doing may be half done.
        # No hook at the fork: those stay for good, and each file would leave some behind.
        if self._process != os.getpid():
            self._process, self._own_lock = os.getpid(), threading.Lock()
            self._forget()
        return self._own_lock

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
        """Make the file where there is none, and see once that it can be written: before money is spent."""
        with self._lock:
            if not self._prepared:
                with self._writing():
                    self._prepared = True

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
