"""The environment of a stranger to this machine, in which every test runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: What a developer may have set and a test must not see.
UNWANTED = ("HOLYSHEEP", "JUPYTER", "IPYTHON", "XDG_", "PYTHON", "OPENAI")


def private_environment(home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """`inherited` with a home of its own, and without keys, proxies or anyone's settings.

    Makes the folders it names, all below `home`.
    """
    places = {
        "HOME": home,
        "IPYTHONDIR": home / ".ipython",
        "JUPYTER_CONFIG_DIR": home / ".jupyter",
        "JUPYTER_DATA_DIR": home / ".local/share/jupyter",
        "JUPYTER_RUNTIME_DIR": home / ".local/share/jupyter/runtime",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_DATA_HOME": home / ".local/share",
        "XDG_STATE_HOME": home / ".local/state",
    }
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in inherited.items() if _is_wanted(name)}
    return kept | {name: os.fspath(place) for name, place in places.items()}


def _is_wanted(name: str) -> bool:
    return not name.startswith(UNWANTED) and not name.lower().endswith("_proxy")
