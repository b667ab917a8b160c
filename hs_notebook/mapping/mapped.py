"""What came of a run over rows."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, overload

import msgspec

from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.pricing.money import at_least, money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hs_notebook.answers import Answer, Cost
    from hs_notebook.display.table import Table

    Resume = Callable[["Mapped", Any], None]

_SHOWN = 5  # errors in the notes of a table


class Mapped(Sequence["Answer | None"]):
    """The answers to rows, in their order; None where there is none.

    `rows` are the rows as columns and values. `errors` holds what went wrong, by the number of the row; the
    text that came all the same, cut short or unfit for the schema, is in its place among the answers. `gaps`
    are the rows that are not asked, and the field of the template for which each has no value.
    `costs` is what each row has cost by now, in USD, and `cost` all of it; None is unknown. `ended` is why
    the run ended before all rows were asked, or None.
    """

    def __init__(
        self,
        rows: Sequence[dict[Any, Any]],
        *,
        model: str,
        resume: Resume,
        frame: Any = None,
        gaps: Mapping[int, str] | None = None,
    ) -> None:
        self.rows = rows
        self._frame = frame
        self.model = model
        self.gaps = gaps or {}
        self.errors: dict[int, HolySheepError] = {
            row: UsageError(
                f"{path} has no value, so the row was not asked.", hint="Fill it in, or drop the row."
            )
            for row, path in self.gaps.items()
        }
        self.ended: HolySheepError | KeyboardInterrupt | None = None
        self._answers: list[Answer | None] = [None] * len(rows)
        self._costs: list[list[Cost]] = [[] for _ in rows]
        self._known, self._unknown = Decimal(0), 0
        self._resume = resume

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, row: int) -> Answer | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[Answer | None]: ...

    def __getitem__(self, row: int | slice) -> Answer | list[Answer | None] | None:
        return self._answers[row]

    def put(self, row: int, answer: Answer | None, error: HolySheepError | None = None) -> None:
        """Take what came of a row, in the place of what came of it before."""
        self.errors.pop(row, None)
        if error is not None:
            self.errors[row] = error
        self._answers[row] = answer

    def charge(self, row: int, cost: Cost) -> None:
        """Add to what a row has cost."""
        self._costs[row].append(cost)
        self._known += cost.known or Decimal(0)
        self._unknown += cost.total is None

    @property
    def missing(self) -> list[int]:
        """The rows that have no answer, or one with an error, and can be asked."""
        asked = (row for row in range(len(self)) if row not in self.gaps)
        return [row for row in asked if self._answers[row] is None or row in self.errors]

    @property
    def answered(self) -> int:
        """How many rows have their answer."""
        return len(self) - len(self.missing) - len(self.gaps)

    @property
    def complete(self) -> bool:
        """Whether every row has its answer that can be asked."""
        return not self.missing

    @property
    def costs(self) -> list[Decimal | None]:
        """What each row has cost, in USD: nothing where it was not asked, None where that is unknown."""
        return [_total(costs) for costs in self._costs]

    @property
    def cost(self) -> Decimal | None:
        """What all rows have cost, in USD; None where a part is unknown."""
        return None if self._unknown else self._known

    @property
    def spent(self) -> str:
        """What all rows have cost, in words: a part of which is unknown is never shown as the whole."""
        return money(self._known) if not self._unknown else at_least(self._known)

    @property
    def text(self) -> str:
        """The rows and beside them their answers as CSV, which a prompt may hold."""
        came = [self._fields(answer) for answer in self._answers]
        columns = _columns(_names(came), _names(self.rows))
        rows = [
            {**row, **{columns[name]: value for name, value in fields.items()}}
            for row, fields in zip(self.rows, came, strict=True)
        ]
        written = io.StringIO()
        writer = csv.DictWriter(written, list(_names(rows)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return written.getvalue()

    def resume(self, *, max_cost: Decimal | float | str | None = None) -> Mapped:
        """Ask the rows that are missing, and return the same object; nothing that is there is asked again.

        What was left of the run's `max_cost` still holds, unless another is given for what is asked now.
        Raises as `hs_notebook.map`.
        """
        if not self.complete:
            self._resume(self, max_cost)
        return self

    def to_dataframe(self) -> Any:
        """Return a `pandas.DataFrame`: the rows, and beside them what came.

        The columns are `answer`, or the fields of the schema, then `state`, `cost` (USD, NaN where unknown)
        and `error` (one line, None where all is well). The columns of the rows keep their names. A field
        whose name they have, and one of ours whose name they or the fields have, is called `holysheep_…`, and
        where that is taken as well `holysheep_…_2` and so on: none replaces another. Raises `UsageError`
        where pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError:
            raise UsageError(
                "A DataFrame needs pandas.", hint="Install it with %pip install pandas."
            ) from None
        frame = pd.DataFrame(list(self.rows)) if self._frame is None else self._frame
        new = pd.DataFrame([*map(self._fields, self._answers)], columns=None if self else ["answer"])
        new = new.rename(columns=_columns(new.columns, frame.columns))
        ours = {
            "state": [self._state(row) for row in range(len(self))],
            "cost": pd.Series(self.costs, dtype="object").astype("float64"),
            "error": [str(self.errors[row]) if row in self.errors else None for row in range(len(self))],
        }
        for name, column in _columns(ours, [*frame.columns, *new.columns]).items():
            new[column] = ours[name]
        new.index = frame.index
        return pd.concat([frame, new], axis=1)

    def _state(self, row: int) -> str | None:
        if (answer := self._answers[row]) is not None:
            return answer.state
        return "error" if row in self.errors and row not in self.gaps else None

    def _fields(self, answer: Answer | None) -> dict[str, Any]:
        fields = None if answer is None else as_fields(answer.parsed)
        if fields is not None:
            return fields
        if any(one is not None and as_fields(one.parsed) is not None for one in self._answers):
            return {}  # it has none of the fields, and the text is among the answers
        if answer is None:
            return {"answer": None}
        return {"answer": answer.text if answer.parsed is None else answer.parsed}

    def __repr__(self) -> str:
        parts = [f"{self.answered:,} of {len(self):,} rows answered"]
        if failed := len(self.errors) - len(self.gaps):
            parts.append(f"{failed:,} failed")
        if self.gaps:
            parts.append(f"{len(self.gaps):,} not asked")
        return f"<Mapped: {', '.join([*parts, f'cost {self.spent}'])}>"

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        return self.table()._repr_mimebundle_()

    def table(self) -> Table:
        """Return a summary: how many rows ended how, their tokens and their cost."""
        from hs_notebook.display.table import Column, Table

        number = Column("Rows", "right")
        tokens = (Column("Tokens in", "right"), Column("Tokens out", "right"))
        return Table(
            title=f"{self.answered:,} of {len(self):,} rows answered by {self.model}",
            columns=(Column("State"), number, *tokens, Column("Cost", "right")),
            rows=tuple(self._groups()),
            notes=tuple(self._notes()),
        )

    def _groups(self) -> list[tuple[Any, ...]]:
        groups: dict[str, list[int]] = {}
        for row in range(len(self)):
            groups.setdefault(self._kind(row), []).append(row)
        return [self._group(kind, groups[kind]) for kind in sorted(groups)]

    def _kind(self, row: int) -> str:
        answer, error = self._answers[row], self.errors.get(row)
        if row in self.gaps:
            return "not asked: no value"
        if error is not None:
            return f"failed: {type(error).__name__}"
        if answer is None:
            return "not asked" if not self._costs[row] else "stopped"
        return "from the file" if answer.receipt.replayed else answer.state

    def _group(self, kind: str, rows: Sequence[int]) -> tuple[Any, ...]:
        usages = [answer.usage for row in rows if (answer := self._answers[row]) is not None]
        costs = [cost for row in rows for cost in self._costs[row]]
        total = _total(costs)
        known = sum((cost.known or Decimal(0) for cost in costs), Decimal(0))
        return (
            kind,
            len(rows),
            sum(usage.prompt_tokens for usage in usages),
            sum(usage.completion_tokens for usage in usages),
            at_least(known) if total is None else money(total),
        )

    def _notes(self) -> list[str]:
        notes = []
        if any(answer is not None and answer.receipt.simulated for answer in self._answers):
            notes.append("Answers were simulated: nothing was billed.")
        if any(answer is not None and answer.usage.estimated for answer in self._answers):
            notes.append("Some tokens were estimated, as the relay sent no figures.")
        if self.cost is None:
            notes.append("A price is unknown. %config HolySheepMagics.prices takes prices of your own.")
        if self.ended is not None:
            notes.append(f"The run ended early: {str(self.ended) or 'it was interrupted'}")
        failures = Counter(map(str, self.errors.values())).most_common(_SHOWN)
        notes += [f"{line} ({_rows(count)})" for line, count in failures]
        if left := len(self.missing):
            notes.append(f".resume() asks the {_rows(left)} without an answer.")
        return notes


def as_fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of what an answer was read into, where it has fields."""
    if isinstance(value, Mapping):
        return {str(name): field for name, field in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if hasattr(value, "model_dump"):  # pydantic; the root of a model may be anything
        fields = value.model_dump()
        return fields if isinstance(fields, dict) else None
    return None


def _names(rows: Iterable[Iterable[Any]]) -> dict[Any, None]:
    """Return the columns of rows, each once and in their order."""
    return dict.fromkeys(name for row in rows for name in row)


def _columns(names: Iterable[str], taken: Iterable[Any]) -> dict[str, str]:
    """Return the column of each name: itself, or where that is `taken` a free one, `holysheep_…`."""
    theirs, names = set(taken), list(names)
    used = theirs | set(names)
    columns = {}
    for name in names:
        column, number = name, 1
        if name in theirs:
            column = f"holysheep_{name}"
            while column in used:
                number += 1
                column = f"holysheep_{name}_{number}"
        used.add(column)
        columns[name] = column
    return columns


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _total(costs: Sequence[Cost]) -> Decimal | None:
    totals = [cost.total for cost in costs]
    known = [total for total in totals if total is not None]
    return sum(known, Decimal(0)) if len(known) == len(totals) else None
