"""F8: what the relay's limits and the models allow of a scenario."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.pricing.formulas import (
    HOURS,
    Attempts,
    calls_a_minute,
    ceil,
    seconds,
    streams_needed,
    total,
)
from hs_notebook.pricing.words import count

if TYPE_CHECKING:
    from hs_notebook.pricing.catalog import Catalog
    from hs_notebook.pricing.scenario import Scenario

_MINUTES = 60 * HOURS  # in a month


class ModelCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One model's part: `seconds` an answer takes, parallel `streams` for its calls; None is unknown.

    `allowed_output` is how much of the output the model and the timeout let through, in tokens.
    """

    model: str
    share: Decimal
    seconds: Decimal | None
    streams: Decimal | None
    calls_a_minute: Decimal | None
    allowed_output: Decimal
    problems: tuple[str, ...]


class Feasibility(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the limits allow all calls: None as `feasible` is an unknown speed, and nothing else forbids.

    `possible_calls` are those of a month that fit when each answer is as long as it is allowed to be.
    """

    feasible: bool | None
    problems: tuple[str, ...]
    models: tuple[ModelCheck, ...]
    streams: Decimal | None
    asked_a_minute: Decimal
    calls_a_minute: Decimal | None
    possible_calls: Decimal


def feasibility(scenario: Scenario, mix: dict[str, Decimal], found: Catalog, made: Attempts) -> Feasibility:
    """Return what speeds, streams, rate, timeout and the models' largest outputs allow."""
    models = tuple(_model(scenario, model, share, found, made) for model, share in mix.items())
    took = _mean(models, [one.seconds for one in models])
    streams = None if took is None else streams_needed(scenario.calls, made.tries, took)
    asked = scenario.calls * made.tries / _MINUTES
    problems = tuple(_limits(scenario, streams, asked)) + tuple(p for one in models for p in one.problems)
    return Feasibility(
        feasible=False if problems else None if took is None else True,
        problems=problems,
        models=models,
        streams=streams,
        asked_a_minute=asked,
        calls_a_minute=took
        and calls_a_minute(scenario.requests_per_minute, scenario.concurrent_streams, took),
        possible_calls=_possible(scenario, models, found, made),
    )


def _limits(scenario: Scenario, streams: Decimal | None, asked: Decimal) -> list[str]:
    found = []
    if streams is not None and streams > scenario.concurrent_streams:
        found.append(f"{count(streams)} streams needed, {count(scenario.concurrent_streams)} allowed")
    if asked > scenario.requests_per_minute:
        allowed = count(scenario.requests_per_minute)
        found.append(f"{count(ceil(asked))} calls a minute needed, {allowed} allowed")
    return found


def _model(scenario: Scenario, model: str, share: Decimal, found: Catalog, made: Attempts) -> ModelCheck:
    took = _seconds(found, model, scenario.output_tokens)
    calls = scenario.calls * share
    rate, parallel = scenario.requests_per_minute, scenario.concurrent_streams
    return ModelCheck(
        model=model,
        share=share,
        seconds=took,
        streams=None if took is None else streams_needed(calls, made.tries, took),
        calls_a_minute=None if took is None else calls_a_minute(rate, parallel, took),
        allowed_output=_allowed(scenario, model, found),
        problems=tuple(_answer_problems(scenario, model, found.largest_output(model), took)),
    )


def _answer_problems(scenario: Scenario, model: str, largest: int | None, took: Decimal | None) -> list[str]:
    problems = []
    if largest is not None and scenario.output_tokens > largest:
        asked = count(scenario.output_tokens)
        problems.append(f"{model} answers with {count(Decimal(largest))} tokens at most, {asked} asked")
    if took is not None and took > scenario.timeout:
        problems.append(
            f"{model} takes {count(took)} s for an answer, the limit is {count(scenario.timeout)} s"
        )
    return problems


def _seconds(found: Catalog, model: str, output: Decimal) -> Decimal | None:
    speed = found.speeds.get(model)
    return None if speed is None else seconds(speed.ttft, speed.tokens_per_second, output)


def _allowed(scenario: Scenario, model: str, found: Catalog) -> Decimal:
    largest, speed = found.largest_output(model), found.speeds.get(model)
    allowed = scenario.output_tokens if largest is None else min(scenario.output_tokens, Decimal(largest))
    if speed is not None:
        in_time = (scenario.timeout - speed.ttft) * speed.tokens_per_second
        allowed = min(allowed, max(Decimal(0), in_time.to_integral_value(ROUND_FLOOR)))
    return allowed


def _possible(scenario: Scenario, models: tuple[ModelCheck, ...], found: Catalog, made: Attempts) -> Decimal:
    took = _mean(models, [_seconds(found, one.model, one.allowed_output) for one in models])
    rate, parallel = scenario.requests_per_minute, scenario.concurrent_streams
    a_minute = rate if took is None else calls_a_minute(rate, parallel, took)
    return min(scenario.calls, (a_minute * _MINUTES / made.tries).to_integral_value(ROUND_FLOOR))


def _mean(models: tuple[ModelCheck, ...], took: list[Decimal | None]) -> Decimal | None:
    return total(
        *(None if one is None else model.share * one for model, one in zip(models, took, strict=True))
    )
