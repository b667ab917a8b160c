"""The calculator's picture: figures by name, and the HTML and the plain text that they fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.display.calculator.figures import Figures, figures
from hs_notebook.display.calculator.markup import fragment
from hs_notebook.display.calculator.plain import plain

if TYPE_CHECKING:
    from hs_notebook.pricing.report import Report

__all__ = ["Figures", "figures", "picture"]


def picture(report: Report, *, calculator_id: str = "") -> dict[str, str]:
    """Return the MIME bundle of a report: `text/html` and `text/plain`, of our own numbers alone."""
    found = figures(report)
    return {
        "text/html": fragment(report.catalog, found, calculator_id),
        "text/plain": plain(report.catalog, found),
    }
