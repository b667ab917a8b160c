"""The keys that a relay gives out: shown once, kept as SHA-256 in a file that only its owner reads."""

from __future__ import annotations

import errno
import hashlib
import hmac
import logging
import os
import re
import secrets
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec

from hs_notebook.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("hs_notebook.relay")

PER_MINUTE = 60
CONCURRENT = 5

_PREFIX = "sk-hs-"
_SHAPED = re.compile(_PREFIX + r"[\w-]{16,}", re.ASCII)
_NAME = re.compile(r"[\w.@][\w.@-]{0,63}")
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a key: `per_minute` requests, `concurrent` at a time, `budget` in USD a month if any.

    With `metrics` he may read the figures of all keys.
    """

    name: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    created: datetime
    per_minute: _Positive = PER_MINUTE
    concurrent: _Positive = CONCURRENT
    budget: Decimal | None = None
    metrics: bool = False

    def __post_init__(self) -> None:
        if self.budget is not None and not (self.budget.is_finite() and self.budget >= 0):
            raise ValueError("a budget is an amount of 0 or more")


class _Revoked(msgspec.Struct, frozen=True, kw_only=True):
    revoked: str
    at: datetime


def without_keys(text: str) -> str:
    """Return `text` without what is shaped like a key of a relay: a client may put his own anywhere."""
    return _SHAPED.sub("[key]", text)


class KeyFile:
    """A file of one line for each key given out or revoked. It only grows, so that nobody's line is lost.

    What reads raises `ConfigurationError` where the file cannot be read, or holds what is no key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._clients: dict[str, Client] = {}

    def add(
        self,
        name: str,
        *,
        per_minute: int = PER_MINUTE,
        concurrent: int = CONCURRENT,
        budget: Decimal | None = None,
        metrics: bool = False,
    ) -> str:
        """Give out a key and return it: nobody can tell it again. Raises `UsageError` for a name in use."""
        if not _NAME.fullmatch(name) or _SHAPED.search(name):
            raise UsageError(f"{name!a} is no name for a key.", hint="Use letters, digits, . _ - and @.")
        if per_minute < 1 or concurrent < 1:
            raise UsageError("The limits of a key are at least 1.")
        if name in self._named():
            raise _in_use(name)
        key = _PREFIX + secrets.token_urlsafe(32)
        client = Client(
            name=name,
            sha256=_digest(key.encode()),
            created=datetime.now(UTC),
            per_minute=per_minute,
            concurrent=concurrent,
            budget=budget,
            metrics=metrics,
        )
        self._append(client)
        if self._named().get(name) != client:  # somebody else wrote the same name at the same moment
            raise _in_use(name)
        return key

    def revoke(self, name: str) -> None:
        """Take a key back; a relay that runs notices with the next request. Raises `UsageError`."""
        if name not in self._named():
            raise UsageError(f"There is no key named {name!a}.", hint="See hs-notebook relay keys list.")
        self._append(_Revoked(revoked=name, at=datetime.now(UTC)))

    def clients(self) -> tuple[Client, ...]:
        """Return who holds a key now; reads the file again where it has changed."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - on the way of every request
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(error.strerror) from None
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if seen != self._seen:
            self._clients, self._seen = self._read(), seen
        return tuple(self._clients.values())

    def holder(self, key: bytes) -> Client | None:
        """Return who holds a key; the time it takes tells nothing of the keys there are."""
        digest = _digest(key)
        holders = [client for client in self.clients() if hmac.compare_digest(client.sha256, digest)]
        return holders[0] if holders else None

    def _named(self) -> dict[str, Client]:
        return {client.name: client for client in self.clients()}

    def _read(self) -> dict[str, Client]:
        clients: dict[str, Client] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise self._unreadable(error.strerror) from None
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    _apply(line, clients)
            except (msgspec.DecodeError, UnicodeError) as error:
                if _is_torn(error):
                    log.warning(
                        "%s: line %d was never written to its end, and is left out.", self.path, number
                    )
                    continue
                raise self._unreadable(f"line {number} is no key") from None
        return clients

    def _append(self, entry: Client | _Revoked) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.chmod(self.path, 0o600)  # noqa: PTH101 - one that was there may have been open to others
                # One piece, with a line end at both ends: where an editor left the last line open, or the
                # disk was full in the middle of one, this line is whole.
                line = b"\n%s\n" % msgspec.json.encode(entry)
                written = os.write(file, line)
                if written < len(line):
                    # Whoever wrote after it stays.
                    end = os.lseek(file, 0, os.SEEK_CUR)
                    if os.fstat(file).st_size == end:
                        os.ftruncate(file, end - written)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}.") from None

    def _unreadable(self, reason: str | None) -> ConfigurationError:
        return ConfigurationError(f"The keys in {self.path} cannot be read: {reason}.")


def _is_torn(error: Exception) -> bool:
    """Tell whether a line broke off: its command failed, or was killed, and said to nobody that it is done.

    It may be any line, since the next command writes after it.
    """
    return isinstance(error, msgspec.DecodeError) and "truncated" in str(error)


def _apply(line: bytes, clients: dict[str, Client]) -> None:
    fields = msgspec.json.decode(line)
    if isinstance(fields, dict) and "revoked" in fields:
        clients.pop(msgspec.convert(fields, _Revoked).revoked, None)
    else:
        client = msgspec.convert(fields, Client)
        clients.setdefault(client.name, client)  # of two at once the first holds the name


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _in_use(name: str) -> UsageError:
    return UsageError(f"There is a key named {name}.", hint="Revoke it first, or use another name.")
