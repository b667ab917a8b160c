"""How several processes share the tests (`pytest -n 3`): each file is one process's, and browsers run alone.

A Chromium, a JupyterLab and a kernel need the machine for themselves: what they are timed by would else say
how busy the other tests are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

ALONE = "tests/browser"


class ThenAlone(LoadFileScheduling):
    """Files go to whoever is free; when all are done, one process does the rest by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return ALONE if nodeid.startswith(ALONE) else super()._split_scope(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        if list(self.workqueue) != [ALONE]:
            super()._reschedule(node)
            return
        last, *others = self.nodes
        for other in others:
            if not other.shutting_down:
                other.shutdown()  # when it has done what it was given
        if not any(self._pending_of(self.assigned_work[other]) for other in others):
            self._assign_work_unit(last)
            last.shutdown()
