"""``hs-notebook relay keys``: who may ask a relay."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.cli.values import count
from hs_notebook.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hs_notebook.display.table import Table
    from hs_notebook.ledger import Ledger, Spent
    from hs_notebook.relay.keys import Client, KeyFile

FILE_NAME = "HOLYSHEEP_RELAY_KEYS"
NONE_YET = "No key was given out yet: hs-notebook relay keys add NAME."


def add(options: argparse.Namespace) -> int:
    """Give out a key: it goes to standard output, alone."""
    from hs_notebook.pricing.limit import amount

    keys = _keys(options)
    budget = None if options.budget is None else amount(options.budget)
    key = keys.add(
        options.name,
        per_minute=options.per_minute,
        concurrent=options.concurrent,
        budget=budget,
        metrics=options.metrics,
    )
    sys.stdout.write(f"{key}\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"The key of {options.name} is shown this once: {keys.path} keeps no more than its hash.\n"
    )
    return 0


def revoke(options: argparse.Namespace) -> int:
    """Take a key back."""
    _keys(options).revoke(options.name)
    sys.stderr.write(f"The key of {options.name} is taken back: it opens nothing from the next request on.\n")
    return 0


def forgive(options: argparse.Namespace) -> int:
    """Give back what calls hold of a budget whose relay was killed before they ended."""
    from hs_notebook.errors import UsageError
    from hs_notebook.ledger import Ledger

    if options.name not in {client.name for client in _keys(options).clients()}:
        raise UsageError(f"There is no key named {options.name!a}.", hint="See hs-notebook relay keys list.")
    number = Ledger().forgive(options.name)
    sys.stderr.write(
        f"{number} calls of {options.name} whose end is unknown count nothing, once the relay starts again. "
        "Where its state is in a Redis, the budget is kept there.\n"
    )
    return 0


def show(options: argparse.Namespace) -> int:
    """Show who holds a key, and what they spent this month."""
    from hs_notebook.ledger import Ledger

    keys = _keys(options)
    sys.stdout.write(f"{key_table(keys.clients(), Ledger(), keys.path)}\n")
    return 0


def key_table(clients: Sequence[Client], ledger: Ledger, path: Path) -> Table:
    """Return the holders of keys, with what counts against their budgets this month (in UTC) by a ledger."""
    from hs_notebook.display.table import Column, Table
    from hs_notebook.pricing.money import exactly
    from hs_notebook.relay.budget import this_month, unknown_charge

    month = this_month()
    notes = [] if clients else [NONE_YET]
    spent: dict[str, Spent] | None = None
    try:
        spent = {row.name: row for row in ledger.spending("user", since=month, relay=True).rows}
    except ConfigurationError as error:  # who wants to see whom to revoke sees that all the same
        notes.append(str(error))
    notes += [
        f"{exactly(unknown)} of {client.name} are held for calls whose end is unknown: "
        f"hs-notebook relay keys forgive {client.name} gives them back."
        for client in clients
        if (unknown := unknown_charge(ledger, client.name))
    ]
    numbers = [Column(heading, "right") for heading in ("Calls this month", "Spent", "Budget")]
    limits = [Column(heading, "right", quiet=True) for heading in ("Per minute", "At a time")]
    return Table(
        title=f"Keys in {path}",
        columns=(Column("Name"), Column("Since"), *limits, *numbers),
        rows=tuple(_row(client, spent) for client in clients),
        notes=tuple(notes),
    )


def _row(client: Client, spent: dict[str, Spent] | None) -> tuple[object, ...]:
    from hs_notebook.ledger import Spent
    from hs_notebook.pricing.money import exactly, money

    known = None if spent is None else spent.get(client.name, Spent())
    return (
        client.name,
        client.created.astimezone().date(),
        client.per_minute,
        client.concurrent,
        known and known.calls + known.simulated,
        known and money(known.charged),
        "none" if client.budget is None else exactly(client.budget),
    )


def _keys(options: argparse.Namespace) -> KeyFile:
    from hs_notebook.relay.keys import KeyFile

    return KeyFile(key_path(options))


def key_path(options: argparse.Namespace) -> Path:
    """Return where the keys are kept."""
    from platformdirs import user_config_path

    from hs_notebook.prices import full_path

    named = options.keys or os.environ.get(FILE_NAME, "")
    return full_path(named) if named else user_config_path("hs_notebook") / "relay-keys.jsonl"


def add_commands(made: argparse.ArgumentParser) -> None:
    """Add what stands below ``keys``."""
    below = made.add_subparsers(metavar="COMMAND", required=True)
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("--keys", metavar="FILE", default=argparse.SUPPRESS, help="the file of the keys")

    def command(name: str, run: Any, said: str, *, named: bool = True) -> Any:
        one = below.add_parser(name, parents=[file], help=said)
        if named:
            one.add_argument("name", metavar="NAME", help="whose it is")
        one.set_defaults(command=run)
        return one.add_argument

    option = command("add", add, "give out a key and print it, once")
    option("--per-minute", type=count, default=60, metavar="N", help="requests a minute; default: 60")
    option("--concurrent", type=count, default=5, metavar="N", help="answers at a time; default: 5")
    option("--budget", metavar="USD", help="at most in a month; default: any amount")
    option("--metrics", action="store_true", help="let it read GET /metrics, which tells of all keys")
    command("list", show, "show who holds a key, and what they spent", named=False)
    command("forgive", forgive, "charge nothing for calls whose relay was killed before they ended")
    command("revoke", revoke, "take a key back; a relay that runs notices at once")
