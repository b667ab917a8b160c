"""The bar of a run, which never stands in its way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.display.progress import Progress, Unseen


class Watched:
    """A bar in `file`, or none; where it cannot be shown any more, a closed pipe, the run goes on unseen."""

    def __init__(
        self,
        total: int,
        file: TextIO | None,
        *,
        watched: bool,
        shell: InteractiveShell | None,
        unit: str = "row",
    ) -> None:
        from hs_notebook.display.progress import Progress, Unseen

        self._unseen = Unseen()
        self._bar: Progress | Unseen = self._unseen
        if file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._bar = Progress(total, file, watched=watched, shell=shell, unit=unit)

    def show(self, done: int, failed: int, spent: str) -> None:
        """Show that so many questions are over, so many of them failed, and so much was spent."""
        try:
            self._bar.show(done, failed, spent)
        except Exception:  # noqa: BLE001 - whatever a screen may raise, the answers are worth more
            self.close()
            self._bar = self._unseen

    def close(self) -> None:
        """Leave the last state, as text."""
        with contextlib.suppress(Exception):
            self._bar.close()
