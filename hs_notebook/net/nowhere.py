"""A transport that sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from hs_notebook.errors import ReplayError
from hs_notebook.net.transport import Timeouts, Transport

if TYPE_CHECKING:
    from hs_notebook.settings import Credentials


class Nowhere(Transport):
    """Refuses every request, for a client whose answers come from a file alone."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials, auth="bearer", timeouts=Timeouts())

    async def prepare(self) -> NoReturn:
        """Raise `ReplayError`: what is not prepared is not sent."""
        raise ReplayError("Nothing is asked in the mode replay.", hint="Use ask(), or another client.")
