"""What a command needs beside the core."""

from __future__ import annotations

import importlib.util

from hs_notebook.errors import ConfigurationError


def need(module: str, extra: str) -> None:
    """Raise `ConfigurationError`, which names the extra to install, where a module is missing."""
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(f"{module} is not installed.", hint=f"pip install 'hs-notebook[{extra}]'")
