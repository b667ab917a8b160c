"""What several models answered to one question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hs_notebook.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from hs_notebook.answers import Receipt
    from hs_notebook.errors import HolySheepError
    from hs_notebook.types import State


class Answers(Mapping[str, Answer]):
    """Answers by the models that were asked, in that order.

    `errors` holds the `HolySheepError` of each model that failed. Of one that failed in the middle of its
    answer there is an answer, too.
    """

    def __init__(
        self,
        models: Sequence[str],
        answers: Mapping[str, Answer],
        errors: Mapping[str, HolySheepError] | None = None,
    ) -> None:
        self.models = tuple(models)
        self.errors = {model: errors[model] for model in models if errors and model in errors}
        self._answers = {model: answers[model] for model in models if model in answers}

    def __getitem__(self, model: str) -> Answer:
        try:
            return self._answers[model]
        except KeyError as missing:
            raise missing from self.errors.get(model)

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<Answers: {'; '.join(f'{model}: {self._told(model)}' for model in self.models)}>"

    @property
    def state(self) -> State:
        """How they ended: the first state that is not `complete`, if there is one."""
        states: list[State] = [
            self._answers[model].state if model in self._answers else "error" for model in self.models
        ]
        return next((state for state in states if state != "complete"), "complete")

    @property
    def text(self) -> str:
        """All of them as Markdown, each under the name of its model."""
        return "\n\n".join(f"## {model}\n\n{self._said(model)}" for model in self.models)

    @property
    def receipts(self) -> dict[str, Receipt]:
        """What each of them came to."""
        return {model: answer.receipt for model, answer in self._answers.items()}

    def relative_costs(self) -> dict[str, Decimal]:
        """Return each cost as a multiple of the smallest that an answer had which was not cut short.

        One that reached its largest number of tokens is what was asked for.

        Costs of which more is known than of others are compared in what is known of all. Who is not in it
        has no cost that could be compared.
        """
        costs = {model: receipt.costs for model, receipt in self.receipts.items()}
        known = {model: cost.total for model, cost in costs.items() if cost.total is not None}
        if any(cost.total is None and cost.output is not None for cost in costs.values()):
            known = {model: cost.output for model, cost in costs.items() if cost.output is not None}
        whole = [cost for model, cost in known.items() if _is_whole(self._answers[model])]
        least = min((cost for cost in whole or known.values() if cost), default=None)
        return {} if least is None else {model: cost / least for model, cost in known.items()}

    def _said(self, model: str) -> str:
        error = self.errors.get(model)
        parts = [self._answers[model].text] if model in self._answers else []
        return "\n\n".join([*parts, *[f"{type(error).__name__}: {error}"] * (error is not None)])

    def _told(self, model: str) -> str:
        if (answer := self._answers.get(model)) is None:
            return type(self.errors[model]).__name__ if model in self.errors else "no answer"
        return f"{answer.state}, {len(answer):,} characters"


def _is_whole(answer: Answer) -> bool:
    """Tell whether an answer is as long as it was to be: it ended by itself or reached its limit."""
    return answer.state == "complete" or answer.receipt.finish_reason == "length"
