"""Where a run is watched: the bar, and in a page the table and distributions so far."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from hs_notebook.benchmarking.benchmark import Benchmark
from hs_notebook.benchmarking.summary import spent
from hs_notebook.runs.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from hs_notebook.benchmarking.sample import Sample, Setup

_INTERVAL = 0.5  # seconds between two pictures, at least
_SHARE = 10  # and so many times as long as one takes


class Place:
    """Shows a run of `total` requests in `file` (None: nowhere) and, where it has a `page`, in that."""

    def __init__(
        self,
        setup: Setup,
        total: int,
        file: TextIO | None,
        *,
        watched: bool,
        page: InteractiveShell | None,
    ) -> None:
        self._setup, self._page = setup, page
        self._live = page if watched and file is not None else None
        self._bar = Watched(total, file, watched=watched, shell=self._live, unit="request")
        self._display_id = ""
        self._next = time.monotonic() + _INTERVAL

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, samples: Sequence[Sample], *, waiting: bool) -> None:
        """Show what is over."""
        begun = time.monotonic()
        self._count(samples, waiting=waiting)
        if self._live is not None:
            with suppress(Exception):  # whatever a screen may raise, what is measured is worth more
                self._publish(self._live, Benchmark(self._setup, samples)._repr_mimebundle_())
        now = time.monotonic()
        self._next = now + max(_INTERVAL, _SHARE * (now - begun))

    def _count(self, samples: Sequence[Sample], *, waiting: bool) -> None:
        waits = ", waiting for the limit of requests a minute" if waiting else ""
        failed = sum(sample.failed for sample in samples)
        self._bar.show(len(samples), failed, spent(samples) + waits)

    def close(self, samples: Sequence[Sample]) -> None:
        """Leave the bar as it stands."""
        self._count(samples, waiting=False)
        self._bar.close()

    def finish(self, benchmark: Benchmark) -> None:
        """Let the page keep the final picture; at the end of its cell it is not shown once more."""
        page = self._page
        if page is None:
            return
        with suppress(Exception):
            self._publish(page, benchmark._repr_mimebundle_())
            benchmark.shown = True

            def forget(_result: Any = None) -> None:
                benchmark.shown = False
                page.events.unregister("post_run_cell", forget)

            page.events.register("post_run_cell", forget)

    def _publish(self, page: InteractiveShell, data: dict[str, str]) -> None:
        begun = bool(self._display_id)
        self._display_id = self._display_id or uuid.uuid4().hex
        page.display_pub.publish(data=data, transient={"display_id": self._display_id}, update=begun)
