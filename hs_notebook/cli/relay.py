"""``hs-notebook relay``: the relay server, and the keys that it gives out."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.cli import keys
from hs_notebook.cli.needs import need
from hs_notebook.cli.values import count, number, port, seconds, speed
from hs_notebook.connections import is_loopback
from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.settings import find_credentials, origin

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hs_notebook.relay.settings import RelaySettings
    from hs_notebook.relay.upstream import Upstream

STATE_NAME = "HOLYSHEEP_RELAY_STATE"  # its URL may hold a password, which is not for the list of processes

_SIMULATED = "simulated"
_ANY_KEY = "any"  # too short to be taken out of an answer as a secret
_MEMORY = "memory"
_LOOPBACK = "127.0.0.1"


def relay(options: argparse.Namespace) -> int:
    """Run the relay server in the foreground."""
    need("uvicorn", "relay")
    from hs_notebook.relay.processes import run
    from hs_notebook.relay.serving import listen

    _check(options)
    with _upstream(options) as upstream:
        served = _Served(settings=_settings(options, upstream), simulated=options.upstream == _SIMULATED)
        served.check()
        try:
            listener = listen(options.host, options.port)
        except OSError as error:
            reason = error.strerror or str(error)
            where = f"Port {options.port}" if options.host == _LOOPBACK else f"{options.host}:{options.port}"
            raise ConfigurationError(f"{where} cannot be used: {reason.rstrip('.')}.") from None
        address = _address(options.host, listener.getsockname()[1])
        return run(
            served,
            listener,
            workers=options.workers,
            grace=options.grace,
            ready=lambda: _announce(address, served),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Served:
    """What a worker makes its application from. The key is not in it, but found again."""

    settings: RelaySettings
    simulated: bool

    def __call__(self) -> Any:
        from hs_notebook.ledger import Ledger
        from hs_notebook.prices import load_book
        from hs_notebook.relay.access import log_to
        from hs_notebook.relay.server import application

        key = _ANY_KEY if self.simulated else find_credentials(self.settings.upstream).key.reveal()
        log_to(sys.stderr, key=key)
        return application(replace(self.settings, key=key), ledger=Ledger(), prices=load_book())

    def check(self) -> None:
        """Raise `ConfigurationError` for what a worker could not begin with; a Redis may still come."""
        from hs_notebook.ledger import Ledger
        from hs_notebook.prices import load_book
        from hs_notebook.relay.keys import KeyFile
        from hs_notebook.relay.server import state_of
        from hs_notebook.relay.upstream import Upstream

        KeyFile(self.settings.keys).clients()
        state_of(self.settings, lambda *_: Decimal(0))
        Ledger().check()
        load_book()
        asyncio.run(_try(Upstream(self.settings)))
        if self.settings.state != _MEMORY:
            _warn_of_absent(self.settings.state)


async def _try(upstream: Upstream) -> None:
    await upstream.open()
    await upstream.close()


def _warn_of_absent(state: str) -> None:
    from hs_notebook.relay.state.presence import absence

    if reason := absence(state):
        sys.stderr.write(f"{reason}: until it does, every request is refused.\n")


def _check(options: argparse.Namespace) -> None:
    if options.speed is not None and options.upstream != _SIMULATED:
        raise UsageError("--speed is of simulated answers.", hint="Add --upstream simulated.")
    options.state = options.state or os.environ.get(STATE_NAME) or _MEMORY
    if options.workers > 1 and options.state == _MEMORY:
        raise UsageError(
            "Several workers must share limits and budgets.", hint="Add --state redis://127.0.0.1:6379/0."
        )


@contextlib.contextmanager
def _upstream(options: argparse.Namespace) -> Iterator[str]:
    """Give the base URL to ask: a simulated relay beside this one, or one that there is a key for."""
    if options.upstream == _SIMULATED:
        from hs_notebook.relay import EmbeddedRelay, Simulation

        with EmbeddedRelay(Simulation(speed=options.speed or 1.0)) as simulated:
            yield simulated.base_url
        return
    upstream = find_credentials(options.upstream).base_url
    if is_loopback(upstream) and origin(upstream)[2] == options.port:
        raise ConfigurationError(
            f"The upstream {upstream} would be the relay itself.", hint="Name another with --upstream."
        )
    yield upstream


def _settings(options: argparse.Namespace, upstream: str) -> RelaySettings:
    from hs_notebook.relay.guard import host_name, web_origin
    from hs_notebook.relay.settings import RelaySettings

    return RelaySettings(
        upstream=upstream,
        key="",
        keys=keys.key_path(options),
        hosts=tuple(map(host_name, [*_own_name(options.host), *options.allow_host])),
        origins=tuple(map(web_origin, options.allow_origin)),
        state=options.state,
        linger=options.linger,
        connections=options.connections,
    )


def _own_name(host: str) -> list[str]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return [host]
    return []  # who calls an address calls by it


def _announce(address: str, served: _Served) -> None:
    from hs_notebook.relay.keys import KeyFile

    settings = served.settings
    upstream = "simulated answers" if served.simulated else settings.upstream
    sys.stdout.write(f"relay on {address}/v1, for {upstream}; keys in {settings.keys}\n")
    sys.stdout.flush()
    if not KeyFile(settings.keys).clients():
        sys.stderr.write(f"{keys.NONE_YET}\n")
    if not is_loopback(address):
        sys.stderr.write("Other machines can reach it by plain http: put TLS before it, as nginx does.\n")
    sys.stderr.flush()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# --- the command line ----------------------------------------------------------------------------


def add_commands(commands: Any) -> None:
    """Add ``relay`` and what stands below it to the commands of a parser."""
    made = commands.add_parser("relay", help="run the relay server: the key stays here, others get their own")
    _add_options(made)
    made.set_defaults(command=relay, keys=None)
    below = made.add_subparsers(metavar="COMMAND", title="or, instead of running it")
    keys.add_commands(below.add_parser("keys", help="give out keys, list and revoke them"))


def _add_options(made: argparse.ArgumentParser) -> None:
    def add(name: str, said: str, **kind: Any) -> None:
        made.add_argument(f"--{name}", help=said, **kind)

    listed: dict[str, Any] = {"action": "append", "default": []}
    span: dict[str, Any] = {"type": seconds, "metavar": "SECONDS"}
    add("host", "the address to listen on; default: this machine alone", default=_LOOPBACK)
    add("port", "default: 8787; 0 takes a free one", type=port, default=8787, metavar="N")
    add(
        "upstream",
        "whom to ask, or `simulated`; default: the base URL that your key belongs to",
        metavar="URL",
    )
    add("speed", "of simulated answers: 2 is twice as fast, inf does not wait", type=speed, metavar="TIMES")
    add("workers", "processes; several need --state redis://…", type=count, default=1, metavar="N")
    add("state", f"memory, or redis://… to share; default: ${STATE_NAME}, else memory", metavar="URL")
    add("keys", f"the keys given out; default: ${keys.FILE_NAME}, else in your configuration", metavar="FILE")
    add("allow-origin", "pages that may call it; may be repeated", metavar="URL", **listed)
    add("allow-host", "a name it is called by; may be repeated", metavar="NAME", **listed)
    add("grace", "how long streams may go on at the end; default: 30", default=30.0, **span)
    add("linger", "how long an answer goes on after its reader left; default: 60", default=60.0, **span)
    several: dict[str, Any] = {"type": number, "default": 100, "metavar": "N"}
    add("connections", "at most, of one address; default: 100; 0 is any number", **several)
