"""One model, many spellings."""

from __future__ import annotations

import re

_DATED = re.compile(r"-(?:20\d\d-?[01]\d-?[0-3]\d|latest)$")


def plain_name(model: str) -> str:
    """Return a model's id without what tells no models apart: a vendor, dots, capitals, a date."""
    return _DATED.sub("", model.strip().rpartition("/")[2].lower().replace(".", "-"))


def same_model(one: str, other: str) -> bool:
    """Tell whether two ids name the same model."""
    return plain_name(one) == plain_name(other)
