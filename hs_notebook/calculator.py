"""What another model or another seller would save: `roi(...)`, the calculator's numbers without a widget."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.errors import UsageError
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.report import numbers
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import Scenario, changed_inputs, plain_inputs, scenario_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.report import Report


_EXACT = Context(prec=64)


class Preset(NamedTuple):
    """A scenario to begin from."""

    title: str
    inputs: dict[str, Any]

    @property
    def scenario(self) -> Scenario:
        """The scenario that the inputs make."""
        return scenario_of(**self.inputs)


# The relay publishes output prices alone: a preset with input takes the makers' price for it, and says so.
PRESETS = {
    "article": Preset(
        title="The vendor's article: 100,000 answers of a million tokens",
        inputs={
            "input_tokens": 0,
            "output_tokens": 1_000_000,
            "now": {"deepseek-v3.2": 1},
            "then": {"deepseek-v3.2": 1},
            "reference": "article",
        },
    ),
    "chat": Preset(
        title="A chat assistant: GPT-4.1 or DeepSeek",
        inputs={"assume_official_input": True},
    ),
    "rag": Preset(
        title="Long documents, mostly from the cache: Claude Sonnet or Gemini Flash",
        inputs={
            "calls": 50_000,
            "input_tokens": 12_000,
            "output_tokens": 800,
            "cached_share": 0.75,
            "now": {"claude-sonnet-4.5": 1},
            "then": {"gemini-2.5-flash": 1},
            "assume_official_input": True,
            "switching_cost": 2000,
        },
    ),
    "mix": Preset(
        title="Four questions of five to a small model, with growth and retries",
        inputs={
            "then": {"gpt-4.1": 0.2, "deepseek-v3.2": 0.8},
            "assume_official_input": True,
            "growth": 0.05,
            "error_rate": 0.05,
            "retries": 3,
            "switching_cost": 5000,
            "running_cost": 51,
        },
    ),
    "batch": Preset(
        title="A nightly batch: the maker's batch discount or the relay",
        inputs={
            "calls": 500_000,
            "input_tokens": 2000,
            "output_tokens": 300,
            "batch_share": 1,
            "then": {"gpt-4.1": 1},
            "assume_official_input": True,
        },
    ),
    "top-up": Preset(
        title="The same model, credit topped up at 1 CNY for $1",
        inputs={"then": {"gpt-4.1": 1}, "assume_official_input": True, "top_up": True},
    ),
}


class Roi:
    """A scenario with its results; what a `Report` has, it has as attributes, money as `Decimal` in USD.

    In a notebook it shows itself as the calculator's picture, elsewhere as plain text.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.scenario = report.scenario

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "report":
            raise AttributeError(name)
        value = getattr(self.report, name)
        return _short(value) if isinstance(value, Decimal) else value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.report.__struct_fields__})

    def as_python(self) -> str:
        """Return the call that makes this: what differs from the defaults."""
        return (
            f"roi({', '.join(f'{name}={value!r}' for name, value in changed_inputs(self.scenario).items())})"
        )

    def as_json(self) -> str:
        """Return scenario and results as JSON, link-free: exact numbers are strings, unknown ones null."""
        on = self.report.catalog.at.isoformat()
        found = {"scenario": plain_inputs(self.scenario), "prices_on": on, "results": numbers(self.report)}
        return json.dumps(found, ensure_ascii=False, indent=1)

    def __repr__(self) -> str:
        return self._bundle()["text/plain"]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return self._bundle()

    def _bundle(self) -> dict[str, str]:
        from hs_notebook.display.calculator import picture

        return picture(self.report)


def roi(preset: str | None = None, /, **inputs: Any) -> Roi:
    """Return what a scenario costs now and then, and what it saves; the inputs are the fields of `Scenario`.

    `preset` names one of `PRESETS` to begin from. Raises `UsageError` for what cannot be meant.
    """
    return roi_of(preset_inputs(preset) | inputs, builtin(), datetime.now(UTC).date())


def roi_of(inputs: Mapping[str, Any], book: PriceBook, at: date) -> Roi:
    """Return what a scenario costs and saves at the prices of a book on a day."""
    return Roi(evaluate(scenario_of(book, **inputs), book, at))


def preset_inputs(name: str | None) -> dict[str, Any]:
    """Return the inputs of a preset; of None, none."""
    if name is None:
        return {}
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}.", hint=f"There are {', '.join(PRESETS)}.")
    return PRESETS[name].inputs


def _short(number: Decimal) -> Decimal:
    """Return the same number without zeros at its end."""
    whole = number == number.to_integral_value()
    return number.quantize(Decimal(1)) if whole else number.normalize(_EXACT)
