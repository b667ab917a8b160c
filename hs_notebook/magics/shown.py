"""Answers that are shown again: at the end of a cell, and by ``%holysheep last``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.answers import Answer

if TYPE_CHECKING:
    from hs_notebook.compared import Answers
    from hs_notebook.magics.magic import HolySheepMagics


def text_of(value: Answer | Answers) -> str:
    """Return what a terminal shows at the end of a cell."""
    if isinstance(value, Answer):
        return value.text
    from hs_notebook.display.comparison.picture import comparison_text

    return comparison_text(value)


def picture_of(value: Answer | Answers) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a page shows, and its metadata."""
    if isinstance(value, Answer):
        from hs_notebook.display.page import answer_bundle, answer_metadata

        return answer_bundle(value), answer_metadata(value)
    from hs_notebook.display.comparison.picture import comparison_bundle, comparison_metadata

    return comparison_bundle(value), comparison_metadata(value)


def show(magics: HolySheepMagics, value: Answer | Answers) -> None:
    """Show an answer again, or several side by side."""
    if magics.in_page:
        data, metadata = picture_of(value)
        magics.shell.display_pub.publish(data=data, metadata=metadata)
        return
    from hs_notebook.display.terminal import TerminalDisplay
    from hs_notebook.display.visible import visible

    sys.stdout.write(visible(text_of(value)) + "\n")
    if isinstance(value, Answer):
        TerminalDisplay().finish(value)  # its receipt
