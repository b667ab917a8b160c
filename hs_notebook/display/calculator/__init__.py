"""The calculator's picture: figures by name, and the page's fragment and the plain text that they fill."""

from hs_notebook.display.calculator.figures import Figures, figures

__all__ = ["Figures", "figures"]
