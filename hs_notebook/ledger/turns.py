"""Whose turn it is at the ledger's file: one thread of a process, also of one that was forked meanwhile.

SQLite notes for the whole process which locks it holds. A child that is forked in the middle of another
thread's work has the notes without the locks: what it reads may be half written, and for its turn to write it
would wait for ever. So a fork waits for work that takes a moment, as nearly all does. Where it takes longer,
the child lets SQLite lock nothing, and holds by itself all that SQLite would have locked, read or write.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from hs_notebook.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

LOCKED = ("is locked by another program", "Close the one that holds it.")
_A_MOMENT = 0.1  # seconds that a fork waits
_LOOK_SECONDS = 0.005
_CAN_HOLD = sys.platform == "linux"  # elsewhere a fork waits as long as it takes


class Turn:
    """A lock for the threads of a process, each of which may take it again while it holds it."""

    astray = False  # of the process: SQLite's notes are of a thread that is not in it

    def __init__(self) -> None:
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._wait, after_in_parent=self._go_on, after_in_child=self._begin_anew
            )

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _wait(self) -> None:
        # One that is astray holds the file by a descriptor, which its child would share and never close.
        self._lock.acquire(timeout=_A_MOMENT if _CAN_HOLD and not self.astray else -1)

    def _go_on(self) -> None:
        with suppress(RuntimeError):  # it was not to be had in time
            self._lock.release()

    def _begin_anew(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            self._lock, Turn.astray = threading.RLock(), True


@contextmanager
def held(path: Path, timeout: float) -> Iterator[None]:
    """Hold all locks of a file; raises `ConfigurationError` where they are not free within `timeout` seconds.

    Makes the file where there is none.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + timeout
        while not _is_ours(file):
            if time.monotonic() > deadline:
                raise ConfigurationError(LOCKED[0], hint=LOCKED[1])
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(file)


def _is_ours(file: int) -> bool:
    import fcntl

    # Where SQLite locks: its pending byte, the reserved one and the 510 shared ones. By the open file and not
    # by the process: that would lose them as soon as it closes the file anywhere else.
    everything = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0x40000000, 512, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, everything)
    except (BlockingIOError, PermissionError):
        return False
    return True
