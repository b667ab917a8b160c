"""The embedded simulated relay: a real HTTP server on loopback that answers as the real relay would.

It serves only where it was asked for, and every reply carries `"system_fingerprint": "simulated"`. It needs
the extra `relay` (Starlette and uvicorn), which is imported at the first use of a name below::

    from hs_notebook.relay import EmbeddedRelay, Simulation

    with EmbeddedRelay(Simulation(speed=10)) as relay:
        ...  # relay.base_url, relay.stats

The modules, from the bottom: `passages` and `article` (the text), `models` (speeds), `requests` (body and
prompt directives), `simulated` (the answer), `frames` and `replies` (bytes), `faults`, `stats`, `stream`
(pace and cancelling), `app` (routes), `serve` (running it).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hs_notebook.relay.app import create_app
    from hs_notebook.relay.serve import EmbeddedRelay, run
    from hs_notebook.relay.simulated import Simulation
    from hs_notebook.relay.stats import Stats

__all__ = ["EmbeddedRelay", "Simulation", "Stats", "create_app", "run"]


def __getattr__(name: str) -> object:
    homes = {
        "EmbeddedRelay": "serve",
        "Simulation": "simulated",
        "Stats": "stats",
        "create_app": "app",
        "run": "serve",
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{homes[name]}")
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise ImportError("The relay needs its extra: pip install 'hs-notebook[relay]'") from error
    return getattr(module, name)
