"""What came of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.benchmarking import files, pictures
from hs_notebook.benchmarking.compare import as_dict, check_common, differences
from hs_notebook.benchmarking.sample import File, Sample, Setup
from hs_notebook.benchmarking.summary import total_cost
from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from decimal import Decimal
    from pathlib import Path

    from hs_notebook.display.table import Table


class Benchmark:
    """What was measured, and how: `samples` are the requests in the order of their ends, `setup` the run.

    A notebook shows it as a table and distributions. `ended` says in a line why the run ended before its
    time; it is empty where it did not. `interrupted` tells, of a run just made, that the user ended it.
    """

    def __init__(self, setup: Setup, samples: Sequence[Sample] = (), ended: str = "") -> None:
        self.setup = setup
        self.samples = tuple(samples)
        self.ended = ended
        self.interrupted = False
        self.shown = False  # the cell shows it already

    @property
    def table(self) -> Table:
        """For each model, one at a time and at the peak: times, tokens a second, errors, cost."""
        return pictures.table(self.setup, self.samples, self.ended)

    @property
    def simulated(self) -> bool:
        """Whether answers were simulated."""
        return self._file().simulated

    @property
    def cost(self) -> Decimal | None:
        """What all requests cost in USD, the warm-up too; None where a part is unknown."""
        return total_cost(self.samples)

    def compare(self, other: Benchmark) -> Table:
        """Return what differs from an `other` run that was before, with 95 % intervals, and in words.

        Raises `UsageError` where no model was measured in both.
        """
        if not isinstance(other, Benchmark):
            raise UsageError("A benchmark is compared with another.", hint="Benchmark.load(path) reads one.")
        return differences(self._file(), other._file())

    def check_comparable(self, models: Sequence[str]) -> None:
        """Raise `UsageError` where none of `models` was measured."""
        check_common(models, self._file())

    def svg(self) -> str:
        """Return the distributions as a file of SVG; raises `UsageError` where nothing was measured."""
        drawn = self._drawn()
        if not drawn:
            raise UsageError("Nothing was measured that could be drawn.")
        return drawn

    def _drawn(self) -> str:
        return pictures.svg(self.setup, self.samples, alone=True)

    def to_json(self, before: Benchmark | None = None) -> str:
        """Return all of it as JSON: seconds, tokens a second, USD as text, unknown as null.

        With a run `before`, what differs from that is in it as ``comparison``; raises as `compare` does.
        """
        now = self._file()
        comparison = None if before is None else as_dict(now, before._file())  # noqa: SLF001 - its own class's
        return files.as_json(now, comparison)

    def to_csv(self) -> str:
        """Return the samples as CSV, the warm-up's too."""
        return files.as_csv(self.samples)

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        return files.as_markdown(self.table)

    def to_dataframe(self) -> Any:
        """Return the samples as a `pandas.DataFrame`, one row each; raises `UsageError` without pandas.

        `started` is `datetime64` in UTC, tokens are `Int64`, seconds and costs (USD) `float64` with NaN for
        unknown.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError:
            raise UsageError(
                "A DataFrame needs pandas.", hint="Install it with %pip install pandas."
            ) from None
        rows = [{**msgspec.structs.asdict(sample), "mended": list(sample.mended)} for sample in self.samples]
        frame = pd.DataFrame(rows, columns=list(Sample.__struct_fields__))
        numbers = ("ttft", "tokens_per_second", "duration", "cost", "known_cost", "waited")
        tokens = ("input_tokens", "output_tokens")
        kinds = dict.fromkeys(numbers, "float64") | dict.fromkeys(tokens, "Int64")
        frame["started"] = pd.to_datetime(frame["started"], utc=True)
        return frame.astype(kinds)

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write it by the suffix of `path`: .json, .csv, .md or .svg; into a folder all that there is.

        Raises `UsageError` for another suffix, `ConfigurationError` where it cannot be written.
        """
        written = {".json": self.to_json, ".csv": self.to_csv, ".md": self.to_markdown}
        if drawn := self._drawn():
            written[".svg"] = lambda: drawn
        return files.save(path, written)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Benchmark:
        """Read one that was saved as .json; raises `UsageError` for a file that holds none."""
        found = files.from_json(path)
        return cls(found.setup, found.samples, found.ended)

    def _file(self) -> File:
        return File(setup=self.setup, ended=self.ended, samples=self.samples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Benchmark) and self._file() == other._file()

    def __hash__(self) -> int:
        return hash(self.setup)

    def __str__(self) -> str:
        drawn = pictures.text(self.setup, self.samples)
        return "\n\n".join(filter(None, (self.table.plain(), drawn)))

    def __repr__(self) -> str:
        return f"<Benchmark: {len(self.samples):,} requests to {', '.join(self.setup.models)}>"

    def _ipython_display_(self) -> None:
        if not self.shown:
            raise NotImplementedError  # IPython's way to be told: show it as you would

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        drawn = pictures.svg(self.setup, self.samples)
        return {"text/html": "\n".join(filter(None, (self.table.html(), drawn))), "text/plain": str(self)}
