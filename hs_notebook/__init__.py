"""Language models in notebooks through the HolySheep relay.

``%load_ext hs_notebook`` brings the magics ``%%holysheep`` and ``%holysheep``; `HolySheep` and
`AsyncHolySheep` are the same client in Python, with OpenAI's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.answers import Answer
from hs_notebook.client import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"
__all__ = ["Answer", "AsyncHolySheep", "HolySheep", "HolySheepError", "__version__"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext hs_notebook``."""
    from hs_notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop what still streams and take the magics away: ``%unload_ext hs_notebook``."""
    from hs_notebook.magics import unload

    unload(shell)
