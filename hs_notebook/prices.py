"""The price book at hand: ours, the user's own file, and rows given in code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import ConfigurationError
from hs_notebook.pricing.files import builtin, own_rows, user_hosts, user_rows
from hs_notebook.pricing.quotes import today

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hs_notebook.pricing.book import PriceBook

FILE_NAME = "HOLYSHEEP_PRICES"


def load_book(rows: Sequence[dict[str, Any]] = (), file: str = "") -> PriceBook:
    """Return the book with the user's rows in it, which win: first `rows`, then those of the file.

    The file is `file`, else the one that the environment variable HOLYSHEEP_PRICES names, else
    ``prices.toml`` in the user's configuration folder, where that exists. Raises `ConfigurationError`.
    """
    named = file or os.environ.get(FILE_NAME, "")
    place = full_path(named) if named else usual_file()
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named:
            raise ConfigurationError(
                f"There is no price file {place}.", hint="Name another, or none."
            ) from None
        text = ""
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path
        raise ConfigurationError(f"The price file {place} cannot be read: {type(error).__name__}.") from None
    given = own_rows(list(rows), "%config HolySheepMagics.prices", today())
    if not (given or text):
        return builtin()
    kept = user_rows(text, place.name, today())
    return builtin().with_rows([*given, *kept], user_hosts(text, place.name))


def usual_file() -> Path:
    """Return where the user's own price file is looked for."""
    from platformdirs import user_config_path

    return user_config_path("hs_notebook") / "prices.toml"


def full_path(text: str) -> Path:
    """Return the path that a user wrote, whole; raises `ConfigurationError` for a home that there is not."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(f"There is no home folder for {text!a}.", hint="Write it out.") from None
