"""A relay server put together from its settings, and one beside other code."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hs_notebook.pricing.quotes import Quotes
from hs_notebook.recording import Recorder
from hs_notebook.relay.app import create_app
from hs_notebook.relay.gateway import Gateway
from hs_notebook.relay.keys import KeyFile, without_keys
from hs_notebook.relay.metrics import Metrics
from hs_notebook.relay.serving import Embedded
from hs_notebook.relay.settings import MEMORY
from hs_notebook.relay.state.memory import MemoryState
from hs_notebook.relay.upstream import Upstream
from hs_notebook.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from starlette.types import ASGIApp

    from hs_notebook.ledger import Ledger
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.relay.settings import RelaySettings
    from hs_notebook.relay.state import State


_NOTEBOOK = "(relay)"  # a notebook without a name is another one


def application(settings: RelaySettings, *, ledger: Ledger, prices: PriceBook) -> ASGIApp:
    """Return the relay as an ASGI application; its lifespan opens and closes what it stands on."""
    return create_app(build(settings, ledger=ledger, prices=prices))


def build(settings: RelaySettings, *, ledger: Ledger, prices: PriceBook) -> Gateway:
    """Return a gateway that prices by `prices` and writes each call into `ledger`."""
    host = urlsplit(settings.upstream).hostname or ""
    key = Secret(settings.key)

    def scrub(text: str) -> str:
        return without_keys(key.scrub(text))

    def spent(user: str, since: datetime) -> Decimal:
        return ledger.spent(since=since, user=user).charged

    return Gateway(
        settings=settings,
        keys=KeyFile(settings.keys),
        state=state_of(settings, spent),
        upstream=Upstream(settings),
        metrics=Metrics(),
        recorder=Recorder(ledger, Quotes(prices, host), host=host, notebook=_NOTEBOOK, scrub=scrub),
    )


def state_of(settings: RelaySettings, spent: Callable[[str, datetime], Decimal]) -> State:
    """Return the state that the settings ask for; only one in memory needs to know what was `spent`.

    Raises `ConfigurationError` for a URL that is of no use.
    """
    if settings.state == MEMORY:
        return MemoryState(spent)
    from hs_notebook.relay.state.shared import SharedState

    return SharedState(settings.state)


class RelayServer(Embedded):
    """A relay server on a loopback port, in a daemon thread: a context manager with `base_url` and `port`."""

    def __init__(self, settings: RelaySettings, *, ledger: Ledger, prices: PriceBook, port: int = 0) -> None:
        self.gateway = build(settings, ledger=ledger, prices=prices)
        super().__init__(create_app(self.gateway), port=port, relay=settings, lifespan="on")
