"""Language models in notebooks through the HolySheep relay.

``%load_ext hs_notebook`` brings the magics ``%%holysheep`` and ``%holysheep``; `HolySheep` and
`AsyncHolySheep` are the same client in Python, with OpenAI's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hs_notebook.interrupts import uninterrupted

with uninterrupted():  # one in the midst of an import may leave Python's own lock of imports held
    from hs_notebook.answers import Answer
    from hs_notebook.client import AsyncHolySheep, HolySheep
    from hs_notebook.errors import HolySheepError
    from hs_notebook.ledger import Ledger

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.calculator import Roi
    from hs_notebook.mapping import map as map  # noqa: A004 - its name here, too
    from hs_notebook.measuring import bench as bench

__version__ = "0.1.0"
__all__ = ["Answer", "AsyncHolySheep", "HolySheep", "HolySheepError", "Ledger", "__version__", "roi"]


def __getattr__(name: str) -> Any:
    if name == "map":
        from hs_notebook import mapping

        return mapping.map
    if name == "bench":
        from hs_notebook import measuring

        return measuring.bench
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def roi(preset: str | None = None, /, **inputs: Any) -> Roi:
    """Return what a scenario costs a month, now and then, and what it saves: the calculator without a widget.

    The inputs are the fields of `hs_notebook.pricing.scenario.Scenario`, for example `calls`,
    `input_tokens`, `output_tokens`, `now` and `then`; `preset` names one of
    `hs_notebook.calculator.PRESETS` to begin from. Money is `Decimal` in USD. Raises `UsageError`.
    """
    from hs_notebook import calculator

    return calculator.roi(preset, **inputs)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext hs_notebook``."""
    with uninterrupted():  # as above
        from hs_notebook.magics import load

        load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop what still streams and take the magics away: ``%unload_ext hs_notebook``."""
    from hs_notebook.magics import unload

    unload(shell)
