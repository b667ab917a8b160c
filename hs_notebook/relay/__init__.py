"""The relay server, and the simulated relay behind it or alone.

`app` puts the server together: it keeps the real key, gives out keys of its own, limits each, and numbers
the events of a stream so that a client whose connection broke resumes exactly. `simulation` answers as the
real relay would, where that was asked for::

    from hs_notebook.relay import EmbeddedRelay, Simulation

    with EmbeddedRelay(Simulation(speed=10)) as relay:
        ...  # relay.base_url, relay.stats

It needs the extra `relay`, which is imported at the first use of a name below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hs_notebook.relay.simulation.answering import Simulation
    from hs_notebook.relay.simulation.serve import EmbeddedRelay, run
    from hs_notebook.relay.simulation.stats import Stats

__all__ = ["EmbeddedRelay", "Simulation", "Stats", "run"]

_EXTRA = {"starlette", "uvicorn"}


def __getattr__(name: str) -> object:
    homes = {
        "EmbeddedRelay": "simulation.serve",
        "Simulation": "simulation.answering",
        "Stats": "simulation.stats",
        "run": "simulation.serve",
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{homes[name]}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise ImportError("The relay needs its extra: pip install 'hs-notebook[relay]'") from error
    return getattr(module, name)
