"""What works and what does not, found without a billed call: the checks behind ``doctor``.

The only call lists the models, which costs nothing. The key is never shown.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from hs_notebook import __version__
from hs_notebook.call import suggestion
from hs_notebook.connections import is_loopback
from hs_notebook.errors import AuthenticationError, HolySheepError, MissingKeyError
from hs_notebook.net.transport import Auth, Timeouts, Transport
from hs_notebook.portal import portal
from hs_notebook.pricing.names import same_model
from hs_notebook.pricing.price import OLD_AFTER
from hs_notebook.pricing.quotes import Quotes, today
from hs_notebook.secret import Secret
from hs_notebook.settings import BASE_URL_NAME, DEFAULT_BASE_URL, KEY_NAME, Credentials, named_base_url
from hs_notebook.wire.chunks import decode_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hs_notebook.display.table import Table
    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.types import Model

Mark = Literal["ok", "warning", "problem"]
_MARKS: dict[Mark, str] = {"ok": "✓ ok", "warning": "! warning", "problem": "✗ problem"}
PATIENCE = 5.0  # seconds for the relay to answer
_CLOCK_OFF = 60.0  # seconds: more makes dates and waits wrong
_PACKAGES = ("ipython", "ipykernel", "ipywidgets", "anywidget", "httpx")


class Finding(NamedTuple):
    """One thing that was looked at; `todo` is what to do about it, one sentence."""

    mark: Mark
    subject: str
    words: str
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is examined.

    `credentials` finds the key and asks nobody; `base_url` is used where it finds none, and `named_by` says
    in words what names it. `more` is what only the caller knows: the front end, files of settings.
    """

    credentials: Callable[[], Credentials]
    base_url: str
    named_by: str
    model: str
    book: Callable[[], PriceBook]
    ledger: Ledger | None
    auth: Auth = "bearer"
    more: Sequence[Finding] = ()


@dataclass
class _Reply:
    """What the relay said to a request for its models."""

    models: list[Model] = field(default_factory=list)
    error: HolySheepError | None = None
    seconds: float = 0.0
    ahead: float | None = None  # seconds by which this machine's clock is ahead of the server's


def examine(case: Case) -> list[Finding]:
    """Look at everything and return what was found, in the order in which things depend on each other."""
    key, credentials = _key(case)
    base_url = credentials.base_url if credentials else case.base_url
    sent = credentials or Credentials(Secret("none"), base_url, "nowhere")
    reply = portal().run(_ask(sent, case.auth))
    if isinstance(reply.error, AuthenticationError) and credentials:
        key = Finding("problem", "key", f"refused; it is {key.words}", str(reply.error))
    return [
        key,
        Finding("ok", "base URL", f"{base_url}, from {_named_by(case, base_url)}"),
        Finding("ok", "proxy", _proxy(base_url)),
        _reached(reply, known=credentials is not None),
        *_models(case, base_url, reply),
        _clock(reply),
        *_books(case, base_url),
        *case.more,
        *_versions(),
    ]


def table(findings: Sequence[Finding]) -> Table:
    """Return findings as a table, whose last line is the one thing to do next."""
    from hs_notebook.display.table import Column, Table

    columns = (Column("mark", show=_MARKS.__getitem__), Column("what"), Column("found"))
    rows = tuple((found.mark, found.subject, found.words) for found in findings)
    return Table("What works, and what does not; nothing was billed", columns, rows, (next_step(findings),))


def next_step(findings: Sequence[Finding]) -> str:
    """Return the one thing to do next: about the first problem, else about the first warning."""
    for mark in ("problem", "warning"):
        for found in findings:
            if found.mark == mark and found.todo:
                return f"Next: {found.todo}"
    return "All is well."


def well(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing is a problem."""
    return all(found.mark != "problem" for found in findings)


# --- the key and the way to the relay ----------------------------------------------------------------


def _key(case: Case) -> tuple[Finding, Credentials | None]:
    try:
        credentials = case.credentials()
    except MissingKeyError as error:
        return Finding("problem", "key", error.message, error.hint or f"Set {KEY_NAME}."), None
    except HolySheepError as error:
        return Finding("problem", "key", error.message, error.hint or error.message), None
    words = f"from {credentials.source}"
    if credentials.odd:
        todo = "Look whether the key is the relay's: its keys begin with cr_."
        return Finding("warning", "key", f"{words}; it does not begin with cr_", todo), credentials
    return Finding("ok", "key", words), credentials


def _named_by(case: Case, base_url: str) -> str:
    """Return in words what names the base URL: an environment's key does not take a .env file's."""
    return "the default" if base_url == DEFAULT_BASE_URL != case.base_url else case.named_by


async def _ask(credentials: Credentials, auth: Auth) -> _Reply:
    """Ask for the list of models."""
    transport = Transport(
        credentials, auth=auth, timeouts=Timeouts(connect=PATIENCE, idle=PATIENCE, total=PATIENCE)
    )
    reply = _Reply()
    try:
        await transport.prepare()
        began = time.perf_counter()
        try:
            reply.models = decode_models(await transport.get("/models"))
        finally:
            reply.seconds = time.perf_counter() - began
    except HolySheepError as error:
        reply.error = error
    reply.ahead = _ahead(transport.date, reply.seconds)
    await transport.close()
    return reply


def _ahead(date: str, seconds: float) -> float | None:
    with suppress(ValueError, TypeError):
        then = parsedate_to_datetime(date)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        # The date is the start of a second, and was written when the reply was on its way.
        return (datetime.now(UTC) - then).total_seconds() - 0.5 - seconds / 2
    return None


def _proxy(base_url: str) -> str:
    """Return the proxy that requests to a base URL take, as the HTTP library reads the environment."""
    if is_loopback(base_url):
        return "none: this machine is reached directly"
    known = getproxies()
    parts = urlsplit(base_url)
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy:
        return "none"
    if any(_spared(parts.hostname or "", name.strip()) for name in known.get("no", "").split(",")):
        return "none: NO_PROXY names the host"
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return f"{address.scheme}://{address.hostname}:{address.port or 80}"  # without user and password


def _spared(host: str, name: str) -> bool:
    if not name:
        return False
    return name in {"*", host} or host.endswith(name if name.startswith(".") else f".{name}")


def _reached(reply: _Reply, *, known: bool) -> Finding:
    took = f"answers in {reply.seconds * 1000:,.0f} ms"
    if reply.error is None or (isinstance(reply.error, AuthenticationError) and known):
        return Finding("ok", "relay", took)
    if isinstance(reply.error, AuthenticationError):
        return Finding("ok", "relay", f"{took} that it wants a key")
    todo = reply.error.hint or reply.error.message
    return Finding("problem", "relay", reply.error.message, todo)


def _clock(reply: _Reply) -> Finding:
    if reply.ahead is None:
        return Finding("ok", "clock", "not compared: the server told no time")
    off = abs(reply.ahead)
    if off <= _CLOCK_OFF:
        return Finding("ok", "clock", f"within {max(1.0, off):.0f} s of the server's")
    words = f"{off:,.0f} s {'ahead of' if reply.ahead > 0 else 'behind'} the server's"
    return Finding("warning", "clock", words, "Set this machine's clock.")


# --- models, prices, files ---------------------------------------------------------------------------


def _models(case: Case, base_url: str, reply: _Reply) -> Iterator[Finding]:
    if reply.error is not None:
        yield Finding("warning", "models", "not listed")
    else:
        number = len(reply.models)
        yield Finding("ok" if number else "warning", "models", f"{number:,} listed")
    retiring = _retiring(case, base_url)
    if reply.models and not any(model.id == case.model for model in reply.models):
        spelt = [model.id for model in reply.models if same_model(model.id, case.model)]
        todo = f"Did you mean {spelt[0]}?" if spelt else suggestion(case.model, reply.models)
        yield Finding("problem", "model", f"{case.model} is not listed", todo)
    elif retiring:
        yield Finding("warning", "model", retiring, f"Choose another model than {case.model}: {retiring}")
    elif reply.models:
        yield Finding("ok", "model", f"{case.model} is listed")
    else:
        yield Finding("ok", "model", f"{case.model}; not looked up")


def _retiring(case: Case, base_url: str) -> str:
    with suppress(HolySheepError):
        price = Quotes(case.book(), urlsplit(base_url).hostname or "").price(case.model, today())
        return "" if price is None else price.retirement(today())
    return ""


def _books(case: Case, base_url: str) -> Iterator[Finding]:
    try:
        book = case.book()
    except HolySheepError as error:
        yield Finding("problem", "prices", error.message, str(error))
    else:
        yield _age(book, Quotes(book, urlsplit(base_url).hostname or "").seller)
    yield _ledger(case.ledger)


def _age(book: PriceBook, seller: str) -> Finding:
    checked = [row.checked_on for row in book if row.seller == seller and row.holds(today())]
    if not checked:
        return Finding(
            "warning", "prices", f"none of {seller}", "Name your own: HolySheepMagics.prices_file."
        )
    words = f"{len(checked)} of {seller}, the oldest checked on {min(checked)}"
    if today() - min(checked) > OLD_AFTER:
        return Finding("warning", "prices", words, "Prices are old: look for a newer hs-notebook.")
    return Finding("ok", "prices", words)


def _ledger(ledger: Ledger | None) -> Finding:
    if ledger is None:
        return Finding("ok", "ledger", "off: calls are not recorded")
    try:
        ledger.check()
    except HolySheepError as error:
        return Finding("problem", "ledger", error.message, error.hint or error.message)
    return Finding("ok", "ledger", f"{ledger.path} can be written")


def _versions() -> Iterator[Finding]:
    """Return the versions of what matters, without importing any of it."""
    yield Finding("ok", "version", f"hs_notebook {__version__}, Python {platform.python_version()}")
    found = []
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    yield Finding("ok", "packages", ", ".join(found))


def named_by_environment() -> str:
    """Return in words what names the base URL where no setting does."""
    if os.environ.get(BASE_URL_NAME):
        return f"the environment variable {BASE_URL_NAME}"
    return "a .env file" if named_base_url() else "the default"
