"""The keys that a relay gives out: shown once, kept as SHA-256 in a file that only its owner reads."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PER_MINUTE = 60
CONCURRENT = 5

_NAME = re.compile(r"[\w.@-]{1,64}")


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a key: `per_minute` requests, `concurrent` at a time, `budget` in USD a month if any."""

    name: str
    sha256: str
    created: datetime
    per_minute: int = PER_MINUTE
    concurrent: int = CONCURRENT
    budget: Decimal | None = None


class _Revoked(msgspec.Struct, frozen=True, kw_only=True):
    revoked: str
    at: datetime


class KeyFile:
    """A file of one line for each key given out or revoked. It only grows, so that nobody's line is lost."""

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
    ) -> str:
        """Give out a key and return it: nobody can tell it again. Raises `UsageError` for a name in use."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!a} is no name for a key.", hint="Use letters, digits, . _ - and @.")
        if per_minute < 1 or concurrent < 1:
            raise UsageError("The limits of a key are at least 1.")
        if name in {client.name for client in self.clients()}:
            raise UsageError(f"There is a key named {name}.", hint="Revoke it first, or use another name.")
        key = f"sk-hs-{secrets.token_urlsafe(32)}"
        self._append(
            Client(
                name=name,
                sha256=hashlib.sha256(key.encode()).hexdigest(),
                created=datetime.now(UTC),
                per_minute=per_minute,
                concurrent=concurrent,
                budget=budget,
            )
        )
        return key

    def revoke(self, name: str) -> None:
        """Take a key back; a relay that runs notices with the next request. Raises `UsageError`."""
        if name not in {client.name for client in self.clients()}:
            raise UsageError(f"There is no key named {name}.", hint="See hs-notebook relay keys list.")
        self._append(_Revoked(revoked=name, at=datetime.now(UTC)))

    def clients(self) -> tuple[Client, ...]:
        """Return who holds a key now; reads the file again where it has changed."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - on the way of every request
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(error) from None
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if seen != self._seen:
            self._clients, self._seen = self._read(), seen
        return tuple(self._clients.values())

    def holder(self, key: bytes) -> Client | None:
        """Return who holds a key; the time it takes tells nothing of the keys there are."""
        digest = hashlib.sha256(key).hexdigest()
        holders = [client for client in self.clients() if hmac.compare_digest(client.sha256, digest)]
        return holders[0] if holders else None

    def _read(self) -> dict[str, Client]:
        clients: dict[str, Client] = {}
        try:
            for line in self.path.read_bytes().splitlines():
                if b'"revoked"' in line:
                    clients.pop(msgspec.json.decode(line, type=_Revoked).revoked, None)
                elif line.strip():
                    client = msgspec.json.decode(line, type=Client)
                    clients[client.name] = client
        except (OSError, msgspec.DecodeError, UnicodeError) as error:
            raise self._unreadable(error) from None
        return clients

    def _append(self, entry: Client | _Revoked) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.chmod(self.path, 0o600)  # noqa: PTH101 - one that was there may have been open to others
                os.write(file, msgspec.json.encode(entry) + b"\n")
            finally:
                os.close(file)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}.") from None

    def _unreadable(self, error: Exception) -> ConfigurationError:
        reason = error.strerror if isinstance(error, OSError) else "a line of it is no key"
        return ConfigurationError(f"The keys in {self.path} cannot be read: {reason}.")
