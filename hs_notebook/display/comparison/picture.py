"""The picture of answers side by side: columns, and a table that compares them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hs_notebook.display.columns import Column
from hs_notebook.display.notes import foreign
from hs_notebook.display.receipt import cost_words, line, seconds
from hs_notebook.display.static import answer_html
from hs_notebook.display.style import stylesheet
from hs_notebook.display.table import Table
from hs_notebook.display.visible import escape, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hs_notebook.answers import Answer
    from hs_notebook.compared import Answers

NO_ANSWER = "no answer"
_LEAST = Decimal("0.1")  # of a multiple that is told
_NOTHING = "–"  # where there is no answer, there is nothing to be known of it


def comparison_bundle(answers: Answers) -> dict[str, str]:
    """Return the final picture of answers side by side: `text/html`, and `text/plain` with their Markdown."""
    columns = [(model, _answer(model, answers)) for model in answers.models]
    return {
        "text/html": f"{columns_html(columns)}\n{comparison_table(answers).html()}",
        "text/plain": comparison_text(answers, 120),
    }


def comparison_text(answers: Answers, width: int | None = None) -> str:
    """Return the answers as Markdown and the table as text, for a terminal or `width` cells of a screen."""
    return f"{visible(answers.text)}\n\n{comparison_table(answers).plain(width)}"


def comparison_metadata(answers: Answers) -> dict[str, Any]:
    """Return the metadata of the output: the receipts in the order of the models."""
    return {"holysheep": [_receipt(model, answers) for model in answers.models]}


def columns_html(columns: Iterable[tuple[str, str]]) -> str:
    """Return columns as HTML: each the model's name and what stands under it."""
    sections = "\n".join(
        f'<section class="hs-column">\n<p class="hs-heading"><strong>{_text(model)}</strong></p>\n{body}\n'
        "</section>"
        for model, body in columns
    )
    styles = "".join(f"<style>{stylesheet(name)}</style>\n" for name in ("answer.css", "comparison.css"))
    return f'{styles}<div class="hs-columns mathjax_ignore tex2jax_ignore">\n{sections}\n</div>'


def comparison_table(answers: Answers) -> Table:
    """Return the figures of answers side by side, a row for each model."""
    relative = answers.relative_costs()
    receipts = answers.receipts.values()
    partly = any(receipt.cost is None and receipt.costs.known for receipt in receipts)
    notes = {
        "Costs are compared by what the output cost: prices of input are unknown.": partly and relative,
        "Simulated answers: nothing was billed.": any(receipt.simulated for receipt in receipts),
    }
    return Table(
        title=f"{len(answers.models)} models side by side",
        columns=_COLUMNS,
        rows=tuple(_row(model, answers.get(model), relative) for model in answers.models),
        notes=tuple(note for note, holds in notes.items() if holds),
    )


_COLUMNS = (
    Column("Model"),
    Column("State"),
    Column("First token", "right"),
    Column("Tokens/s", "right"),
    Column("Tokens in", "right"),
    Column("Tokens out", "right"),
    Column("Cost", "right"),
    Column("Relative cost", "right"),
)


def _row(model: str, answer: Answer | None, relative: dict[str, Decimal]) -> tuple[Any, ...]:
    if answer is None:
        return (model, NO_ANSWER, *[_NOTHING] * (len(_COLUMNS) - 2))
    receipt, about = answer.receipt, "≈" * answer.usage.estimated
    rate = receipt.tokens_per_second
    return (
        model,
        f"{receipt.state}, replayed" if receipt.replayed else receipt.state,
        seconds(receipt.ttft),
        "unknown" if math.isnan(rate) else f"{rate:,.0f}",
        f"{about}{receipt.usage.prompt_tokens:,}",
        f"{about}{receipt.usage.completion_tokens:,}",
        cost_words(receipt.costs, brief=True),
        _NOTHING if receipt.cost == 0 else _multiple(model, relative),
    )


def _multiple(model: str, relative: dict[str, Decimal]) -> str | None:
    if (times := relative.get(model)) is None:
        return None
    told = f"{times:,.1f}×" if times >= _LEAST else f"<{_LEAST}×"
    return f"cheapest {told}" if times == min(filter(None, relative.values())) == 1 else told


def _answer(model: str, answers: Answers) -> str:
    answer, error = answers.get(model), answers.errors.get(model)
    said = f"{type(error).__name__}: {error}" if error is not None else ""
    if answer is None:
        return answer_html("", receipt=NO_ANSWER, state="error", note=said)
    receipt = answer.receipt
    if error is not None and error.message in receipt.note:
        said = ""
    return answer_html(
        answer.picture or foreign(answer.text),
        receipt=line(receipt, under=model),
        state=receipt.state,
        note=" · ".join(filter(None, [receipt.note, said])),
    )


def _receipt(model: str, answers: Answers) -> dict[str, Any]:
    answer, error = answers.get(model), answers.errors.get(model)
    told = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
    receipt = {"request_model": model, "state": "error"} if answer is None else answer.receipt.as_dict()
    return receipt | told


def _text(text: str) -> str:
    return escape(visible(text))
