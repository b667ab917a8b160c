"""The magics of a notebook: ``%%holysheep`` and ``%holysheep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.magics.magic import HolySheepMagics

_KEPT = "hs_notebook"  # in what IPython keeps for extensions


def load(shell: InteractiveShell) -> None:
    """Register the magics and show answers as pictures."""
    from hs_notebook.magics.magic import HolySheepMagics

    if loaded(shell) is None:
        magics = HolySheepMagics(shell)
        magics.go_on(*shell.meta.pop(_KEPT, ()))
        shell.register_magics(magics)
        magics.show_answers()


def unload(shell: InteractiveShell) -> None:
    """Stop what streams and take the magics away, but for what was said and set."""
    if (magics := loaded(shell)) is not None:
        magics.close()
        shell.meta[_KEPT] = magics.conversations, magics.chosen()
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("holysheep", None)
        shell.magics_manager.registry.pop(type(magics).__name__, None)
        shell.configurables.remove(magics)  # type: ignore[arg-type]  # typed too narrowly


def loaded(shell: InteractiveShell) -> HolySheepMagics | None:
    """Return the magics of a shell, where they are loaded."""
    found: HolySheepMagics | None = shell.magics_manager.registry.get("HolySheepMagics")
    return found


def current(shell: InteractiveShell | None) -> HolySheepMagics | None:
    """Return the magics of the shell that runs, with the project's settings, where they are loaded."""
    magics = None if shell is None else loaded(shell)
    if magics is not None:
        magics.read_project()
    return magics
