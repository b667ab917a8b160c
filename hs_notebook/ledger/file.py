"""The ledger's file: a connection for each piece of work, and what can go wrong with it in words.

No connection outlives its work, so no thread meets another's and a killed kernel leaves nothing open. A
rollback journal and not a write-ahead log, which needs memory that processes share: a home folder may be on
a network. `synchronous` is FULL: what is committed survives a killed process in any mode, but the file should
survive a power cut, too, and this costs a fraction of a millisecond.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from hs_notebook.errors import ConfigurationError
from hs_notebook.ledger.schema import STEPS, is_empty, upgrade, version_of
from hs_notebook.ledger.turns import LOCKED, Turn, held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from sqlite3 import Connection


class LedgerFile:
    """A SQLite file that many processes may use at once; `timeout` (seconds) is how long one waits."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._turn = Turn()

    @contextmanager
    def writing(self, timeout: float | None = None) -> Iterator[Connection]:
        """Give a connection for one transaction, which is committed at the end and undone on an error.

        Makes the file where there is none. Raises `ConfigurationError` for all that can be wrong with it.
        """
        patience = self.timeout if timeout is None else timeout
        with self._turn, self._in_words("cannot be written"):
            # The folder is the user's alone: notebooks' names are nobody else's business.
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone(patience), closing(self._connect("rwc", _TURN_SECONDS)) as connection:
                _begin(connection, patience)
                upgrade(connection)
                yield connection
                connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the file; an empty one where there is no file.

        Raises `ConfigurationError` for all that can be wrong with it.
        """
        with self._turn, self._in_words("cannot be read"):
            alone = self._alone(self.timeout) if self.path.exists() else nullcontext()
            with alone, closing(self._open()) as connection:
                connection.execute("BEGIN")
                yield connection

    def _alone(self, timeout: float) -> AbstractContextManager[None]:
        return held(self.path, timeout) if self._turn.astray else nullcontext()

    def _open(self) -> Connection:
        if not self.path.exists():
            return _nothing()
        connection = self._connect("rw", self.timeout)
        try:
            version = version_of(connection)
            if version != len(STEPS) and is_empty(connection):
                connection.close()
                return _nothing()
            if version != len(STEPS):
                connection.execute("BEGIN IMMEDIATE")
                upgrade(connection)
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str, timeout: float) -> Connection:
        import sqlite3

        locks = "&vfs=unix-none" if self._turn.astray else ""
        address = f"{self.path.absolute().as_uri()}?mode={mode}{locks}"
        return sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None)

    @contextmanager
    def _in_words(self, otherwise: str) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except ConfigurationError as error:
            raise self._error(error.message, error.hint) from None
        except OSError as error:
            reason = "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
            raise self._error(f"{otherwise} ({reason or type(error).__name__})", _ELSEWHERE) from None
        except sqlite3.Error as error:
            what, hint = _FAULTS.get(
                getattr(error, "sqlite_errorcode", 0) & 0xFF, (f"{otherwise} ({error})", "")
            )
            raise self._error(what, hint or _ELSEWHERE) from None

    def _error(self, what: str, hint: str) -> ConfigurationError:
        return ConfigurationError(f"The ledger {self.path} {what}.", hint=hint)


# SQLite's own waiting comes to look ten times a second in the end: among six that write without pause one may
# not get its turn for seconds. Begun anew this often, it looks every few milliseconds.
_TURN_SECONDS = 0.015
_ELSEWHERE = "Name a file in a folder that can be written."
_DAMAGED = ("is damaged or no ledger", "Move it away: the next call begins a new one.")
_FAULTS = {  # by SQLite's primary result code
    5: LOCKED,
    6: LOCKED,
    8: ("is read-only", _ELSEWHERE),
    11: _DAMAGED,
    13: ("has no room on its disk", "Make room, or name a file on another disk."),
    14: ("cannot be opened", _ELSEWHERE),
    15: ("cannot be locked on this file system", "Name a file on a local disk."),
    26: _DAMAGED,
}


def _begin(connection: Connection, timeout: float) -> None:
    """Take the file for one transaction; raises `sqlite3.OperationalError` where it is not free in time."""
    import sqlite3

    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            # From here on only readers are in the way, and they are soon gone.
            connection.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")
            return


def _nothing() -> Connection:
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    upgrade(connection)
    return connection
