"""One model, many spellings; and names and values as a message shows them, in one short line."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_LONGEST = 60
_DATED = re.compile(r"-(?:20\d\d-?[01]\d-?[0-3]\d|latest)$")


def plain_name(model: str) -> str:
    """Return a model's id without what tells no models apart: a vendor, dots, capitals, a date."""
    return _DATED.sub("", model.strip().rpartition("/")[2].lower().replace(".", "-"))


def same_model(one: str, other: str) -> bool:
    """Tell whether two ids name the same model."""
    return plain_name(one) == plain_name(other)


def shown_name(name: str) -> str:
    """Return a name as a message shows it: short, and what does not print spelt out."""
    return (name if name.isprintable() else ascii(name))[:_LONGEST]


def shortened(value: Any) -> str:
    """Return a value as a message shows it, whatever it is."""
    try:
        text = f"{value}" if isinstance(value, Decimal) else ascii(value)
    except Exception:  # noqa: BLE001 - a number of too many digits, an object that cannot show itself
        return f"of the type {shown_name(type(value).__name__)}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
