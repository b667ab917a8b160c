"""Settings of a project: the table ``[tool.hs_notebook]`` of its ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "pyproject.toml"
TABLE = "tool.hs_notebook"


class Project(NamedTuple):
    """A file and the settings that its table holds."""

    file: Path
    values: dict[str, Any]


def find_project(folder: Path) -> Project | None:
    """Return the nearest file in a folder or above it that has the table; None where none has.

    Raises `ConfigurationError` for one that cannot be read on the way there.
    """
    for place in (folder, *folder.parents):
        file = place / NAME
        if file.is_file() and (table := _table(file)) is not None:
            return Project(file, table)
    return None


def _table(file: Path) -> dict[str, Any] | None:
    try:
        text = file.read_text(encoding="utf-8")
        if "hs_notebook" not in text:
            return None  # whatever else is wrong with it is no business of ours
        tool = tomllib.loads(text).get("tool", {})
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no TOML
        cause = str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__
        raise ConfigurationError(f"{file} cannot be read: {cause}.") from None
    table = tool.get("hs_notebook") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{file}: {TABLE} is no table.", hint=f"It begins with [{TABLE}].")
    return table
