"""Every call and what it cost, in a file of the user's own."""

from hs_notebook.ledger.entries import Opening, Outcome
from hs_notebook.ledger.export import export, to_dataframe
from hs_notebook.ledger.ledger import Ledger
from hs_notebook.ledger.moments import parse_since
from hs_notebook.ledger.notebook import notebook_name
from hs_notebook.ledger.spending import Spending, Spent
from hs_notebook.ledger.unsettled import Unsettled
from hs_notebook.ledger.usual import Usual

__all__ = [
    "Ledger",
    "Opening",
    "Outcome",
    "Spending",
    "Spent",
    "Unsettled",
    "Usual",
    "export",
    "notebook_name",
    "parse_since",
    "to_dataframe",
]
