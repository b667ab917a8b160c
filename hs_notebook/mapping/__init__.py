"""The same question for every row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hs_notebook.mapping.job import Job
from hs_notebook.mapping.mapped import Mapped
from hs_notebook.mapping.rows import as_frame, fill_in, find_gaps, read_rows
from hs_notebook.schemas import Schema
from hs_notebook.types import ChatRequest, prompt_messages

if TYPE_CHECKING:
    import os
    from decimal import Decimal

    from hs_notebook.client import AsyncHolySheep, HolySheep

__all__ = ["Mapped", "map"]


def map(  # noqa: A001 - what it does is called so everywhere
    rows: Any,
    template: str,
    *,
    model: str,
    system: str | None = None,
    schema: Any = None,
    concurrency: int = 5,
    max_cost: Decimal | float | str | None = None,
    keep: str | os.PathLike[str] | None = None,
    client: HolySheep | AsyncHolySheep | None = None,
    progress: bool = True,
    dry_run: bool = False,
    **params: Any,
) -> Mapped:
    """Ask a model the same question about every row, and return the answers in the order of the rows.

    `rows` is a pandas or polars DataFrame, a list of dicts, or any other iterable, whose values are then
    the column `row`. In `template` `{column}` stands for a row's value (`{row['a name']}` where the name
    holds a space); nothing is evaluated, and braces that name no column stay. Those that begin with a column
    and name nothing in a row, as with a format, are refused: they would be sent as they are. With a `schema`,
    a class or a JSON schema, each answer is read into its `.parsed`. `params` go with every request.

    What it may cost is said before it starts, and with `dry_run` nothing else is done: `.resume()` starts
    it. `max_cost` in USD holds for all rows together; where it is reached no more are asked. Without a
    `max_tokens` among `params` the first row is then asked alone: it shows what a row costs. `concurrency`
    rows are asked at a time, within the limits of `client`: by default the notebook's own, with its prices,
    ledger, budget and replay, or else one made as `HolySheep()` is.

    A row without a value that the template uses (None, NaN) is not asked, and its error says so. One that
    fails has its error in `.errors`, and the others go on; a mistake that all share (a refused key, an
    unknown model) ends the run at once, as an interrupt or `max_cost` does. What is done is kept then: the
    `Mapped` is returned, a line says how to go on, and `.ended` why it ended. Only where the run brought no
    answer at all is the reason raised: `HolySheepError` or `KeyboardInterrupt`.

    With `keep`, a file, every answer is on disk as soon as it is whole, and the same call asks only what is
    missing there, also after the kernel was killed. Two equal rows are two questions. Rows that were under
    way when it was killed are asked again; the ledger shows the first attempt as pending.
    """
    values = read_rows(rows)
    gaps = find_gaps(template, values)
    prompts = fill_in(template, values, gaps)
    form = None if schema is None else Schema.of(schema)
    given = (form.params() if form else {}) | params
    asked = {row: prompt_messages(prompt, system) for row, prompt in enumerate(prompts) if row not in gaps}
    requests = {row: ChatRequest.of(model, messages, given) for row, messages in asked.items()}
    job = Job(requests, form, client=client, keep=keep, concurrency=concurrency, progress=progress)
    mapped = Mapped(values, model=model, resume=job.run, frame=as_frame(rows), gaps=gaps)
    job.begin(mapped, max_cost, dry_run=dry_run)
    return mapped
