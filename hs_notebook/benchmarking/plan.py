"""What is to be measured: which requests, in which order."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hs_notebook.benchmarking.numbers import NUMBERS, PARALLEL, REQUESTS, TOKENS, WARMUP
from hs_notebook.errors import UsageError
from hs_notebook.pricing.quotes import today
from hs_notebook.types import ChatRequest, prompt_messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hs_notebook.benchmarking.sample import Phase
    from hs_notebook.pricing.quotes import Quotes

PROMPT = (
    "Write an essay of at least 3,000 words on the history of measurement, from the cubit to the second. "
    "Begin at once, without a heading, and do not stop before the end."
)
_SEED = 20_261_125
_MOST = 100_000  # requests of a run


class Turn(NamedTuple):
    """One request of a run: `number` counts all, `place` those of a model and phase."""

    number: int
    model: str
    phase: Phase
    place: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run over `models`, of answers of at most `tokens` output tokens.

    For each model `warmup` requests that do not count, `requests` one at a time, and at the end a peak of
    `parallel` at once.
    """

    models: tuple[str, ...]
    requests: int = REQUESTS.default
    tokens: int = TOKENS.default
    parallel: int = PARALLEL.default
    warmup: int = WARMUP.default
    prompt: str = PROMPT
    params: dict[str, Any] = {}

    @classmethod
    def of(cls, models: str | Iterable[str], **settings: Any) -> Plan:
        """Check and freeze a plan; raises `UsageError` for what cannot be meant."""
        plan = cls(models=names(models), **settings)
        for name, (_, least) in NUMBERS.items():
            value = getattr(plan, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name} is a whole number from {least}, not {value!r}.")
        if plan.total > _MOST:
            raise UsageError(f"{plan.total:,} requests are more than {_MOST:,}.", hint="Ask for fewer.")
        for turn in plan.turns()[0]:
            plan.request(turn)
        return plan

    @property
    def total(self) -> int:
        """How many requests there are in all."""
        return len(self.models) * (self.warmup + self.requests + self.parallel)

    @property
    def longest(self) -> int:
        """How many tokens an answer may have: of the parameters, where they say it."""
        given = self.params.get("max_completion_tokens", self.params.get("max_tokens"))
        return given if isinstance(given, int) else self.tokens

    @property
    def digest(self) -> str:
        """What tells two prompts apart without saying them."""
        said = f"{self.prompt}\0{sorted(self.params.items())}"
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def request(self, turn: Turn) -> ChatRequest:
        """Return what is asked; the number in front keeps an answer or its beginning from a cache."""
        kind = "w" if turn.phase == "warm-up" else turn.phase[0]
        prompt = f"({kind}{turn.place + 1}) {self.prompt}" if self.prompt.strip() else ""
        given = {"max_tokens": self.tokens} if "max_completion_tokens" not in self.params else {}
        return ChatRequest.of(turn.model, prompt_messages(prompt), given | self.params)

    def turns(self) -> list[tuple[Turn, ...]]:
        """Return the requests in their order; those of one tuple are sent at once."""
        turns: list[tuple[Turn, ...]] = [(turn,) for turn in self._one_at_a_time()]
        number = len(turns)
        for model in self.models if self.parallel else ():
            peak = range(self.parallel)
            turns.append(tuple(Turn(number + index, model, "parallel", index) for index in peak))
            number += self.parallel
        return turns

    def _one_at_a_time(self) -> Iterator[Turn]:
        number = 0
        phases: list[tuple[Phase, int]] = [("warm-up", self.warmup), ("sequential", self.requests)]
        for phase, rounds in phases:
            for index, order in zip(range(rounds), orders(self.models), strict=False):
                for model in order:
                    yield Turn(number, model, phase, index)
                    number += 1

    def check(self, quotes: Quotes, requests_per_minute: int) -> None:
        """Raise `UsageError` where a model cannot say so much, or the limit leaves no room for the peak."""
        if self.parallel > requests_per_minute:
            raise UsageError(
                f"A peak of {self.parallel} at once is above the {requests_per_minute} requests a minute.",
                hint="Ask for fewer, or set requests_per_minute to what your plan allows.",
            )
        for model in self.models:
            price = quotes.price(model, today())
            largest = price.largest_output if price else None
            if largest and self.longest > largest:
                raise UsageError(f"{model} answers with at most {largest:,} tokens, not {self.longest:,}.")


def names(models: str | Iterable[str]) -> tuple[str, ...]:
    """Return the models that are named, by commas or spaces or in a list, once each."""
    listed = [models] if isinstance(models, str) else list(models)
    if not all(isinstance(name, str) for name in listed):
        raise UsageError("A model is a name.", hint="For example gpt-4.1.")
    found = tuple(dict.fromkeys(name for text in listed for name in text.replace(",", " ").split()))
    if not found:
        raise UsageError("No model was named.", hint="Name one or more, for example gpt-4.1.")
    return found


def orders(models: tuple[str, ...], seed: int = _SEED) -> Iterator[tuple[str, ...]]:
    """Yield the order of each round: in as many rounds as there are models each stands once in each place."""
    random = Random(seed)  # noqa: S311 - chosen for being repeatable
    while True:
        mixed = random.sample(models, len(models))
        for first in random.sample(range(len(mixed)), len(mixed)):
            yield (*mixed[first:], *mixed[:first])
