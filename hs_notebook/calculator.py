"""What another model or another seller would save: `roi(...)`, the calculator's numbers without a widget."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.errors import UsageError
from hs_notebook.prices import load_book
from hs_notebook.pricing.catalog import Catalog, read_catalog
from hs_notebook.pricing.names import plain_name, shortened
from hs_notebook.pricing.quotes import today
from hs_notebook.pricing.report import numbers
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import changed_inputs, plain_inputs, scenario_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from hs_notebook.ledger import Usual
    from hs_notebook.pricing.book import PriceBook
    from hs_notebook.pricing.report import Report


_EXACT = Context(prec=64)


class Preset(NamedTuple):
    """A scenario to begin from."""

    title: str
    inputs: dict[str, Any]


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


def own_calls(usual: Usual, book: PriceBook, at: date) -> Preset | None:
    """Return a preset of a notebook's own calls; None where it cannot be one.

    The calls are those of models that have a list price, and their tokens are the means over all.
    """
    mix = _listed(usual.models, read_catalog(book, at))
    if not mix:
        return None
    cached = round(usual.cached_share, 4)
    calls = round(usual.calls * sum(mix.values()))
    inputs = {
        "calls": calls,
        "input_tokens": round(usual.input_tokens),
        "output_tokens": round(usual.output_tokens),
        "cached_share": cached,
        "cache_write_share": min(round(usual.written_share, 4), round(1 - cached, 4)),
        "now": shares(mix),
        "then": shares(mix),
        "assume_official_input": True,
    }
    try:
        scenario_of(book, **inputs)
    except UsageError:  # such as a call of a thousand million tokens
        return None
    made = (
        f"{calls:,} so far"
        if calls == usual.calls
        else f"{calls:,} of {usual.calls:,}: no list has the others"
    )
    simulated = ", simulated" if usual.simulated == usual.calls else ""
    return Preset(f"This notebook's own calls ({made}{simulated}), as if made each month", inputs)


def _listed(models: Mapping[str, float], found: Catalog) -> dict[str, float]:
    """Return the shares of the models that have a list price, by the catalog's names."""
    listed: dict[str, float] = {}
    for name, share in models.items():
        model = found.names.get(plain_name(name), "")
        if found.offer(model, "official"):
            listed[model] = listed.get(model, 0) + share
    return listed


def shares(parts: Mapping[str, float]) -> dict[str, float]:
    """Return shares of one in whole hundredths, the first of them making up for what is left."""
    total = sum(parts.values())
    first, *others = parts
    hundredths = {name: round(100 * parts[name] / total) for name in others}
    hundredths = {first: 100 - sum(hundredths.values()), **hundredths}
    return {name: number / 100 for name, number in hundredths.items() if number}


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


def roi(preset: str | None = None, /, *, prices: Sequence[dict[str, Any]] = (), **inputs: Any) -> Roi:
    """Return what a scenario costs now and then, and what it saves; the inputs are the fields of `Scenario`.

    `preset` names one of `PRESETS` to begin from. The prices are those of today, with the rows of the user's
    price file in them, and `prices`: rows as `%config HolySheepMagics.prices` has them, which the magic alone
    sees. Raises `UsageError` for what cannot be meant, and `ConfigurationError` for a price that is wrong.
    """
    return roi_of(preset_inputs(preset) | inputs, load_book(prices), today())


def roi_of(inputs: Mapping[str, Any], book: PriceBook, at: date) -> Roi:
    """Return what a scenario costs and saves at the prices of a book on a day."""
    return Roi(evaluate(scenario_of(book, **inputs), book, at))


def preset_inputs(name: str | None) -> dict[str, Any]:
    """Return the inputs of a preset; of None, none."""
    if name is None:
        return {}
    if not isinstance(name, str):
        raise UsageError("A preset is a name.", hint="Inputs are given by theirs: roi(calls=1000).")
    if name not in PRESETS:
        raise UsageError(f"There is no preset {shortened(name)}.", hint=f"There are {', '.join(PRESETS)}.")
    return PRESETS[name].inputs


def _short(number: Decimal) -> Decimal:
    """Return the same number without zeros at its end."""
    whole = number == number.to_integral_value()
    return number.quantize(Decimal(1)) if whole else number.normalize(_EXACT)
