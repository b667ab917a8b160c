"""The calculator's inputs, and what can be wrong with them."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from hs_notebook.errors import UsageError
from hs_notebook.pricing.names import plain_name, shortened, shown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hs_notebook.pricing.book import PriceBook

ZERO, ONE = Decimal(0), Decimal(1)
_NEAR = Decimal("1e-9")  # thirds written as floats do not sum to 1 exactly


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the calculator. Shares and rates are fractions of 1, money is USD.

    `calls` and costs are a month, tokens a call; `now` and `then` are model → share, and the shares sum to 1.
    `reference` says whose prices `now` is charged at: the maker's list, or what the vendor's article says
    that makers ask. `seller` says whose prices `then` is charged at. With `assume_official_input` an input
    price that the relay does not publish is taken from the maker's list. The top-up's rates (`local_paid`
    local units for $1 of credit, `local_per_usd` for a dollar) and its fees count with `top_up` alone.
    `timeout` is seconds. `uncertainty` is how far inputs are moved in the sensitivity and the range.
    """

    calls: Decimal = Decimal(100_000)
    input_tokens: Decimal = Decimal(1000)
    output_tokens: Decimal = Decimal(500)
    cached_share: Decimal = ZERO
    cache_write_share: Decimal = ZERO
    batch_share: Decimal = ZERO
    now: dict[str, Decimal] = msgspec.field(default_factory=lambda: {"gpt-4.1": ONE})
    then: dict[str, Decimal] = msgspec.field(default_factory=lambda: {"deepseek-v3.2": ONE})
    reference: Literal["official", "article"] = "official"
    seller: Literal["relay", "official"] = "relay"
    assume_official_input: bool = False
    growth: Decimal = ZERO
    error_rate: Decimal = ZERO
    retries: Decimal = ZERO
    switching_cost: Decimal = ZERO
    running_cost: Decimal = ZERO
    top_up: bool = False
    local_paid: Decimal = ONE
    local_per_usd: Decimal = Decimal("7.3")
    markup: Decimal = ZERO
    top_up_fee: Decimal = ZERO
    concurrent_streams: Decimal = Decimal(5)
    requests_per_minute: Decimal = Decimal(60)
    timeout: Decimal = Decimal(1800)
    uncertainty: Decimal = Decimal("0.2")


class Limit(NamedTuple):
    """What a number may be: `whole` numbers only, or `above` the low end."""

    low: Decimal
    high: Decimal
    whole: bool = False
    above: bool = False

    def problem(self, value: Any) -> str:
        """Return what is wrong with a value, as the end of a sentence that its name begins, or nothing."""
        number = number_of(value)
        if number is None:
            return "must be a number"
        low = number > self.low if self.above else number >= self.low
        if low and number <= self.high and not (self.whole and number % 1):
            return ""
        if self.above:
            return f"must be above {self.low:,f} and at most {self.high:,f}"
        return f"must be a {'whole ' if self.whole else ''}number from {self.low:,f} to {self.high:,f}"


_SHARE = Limit(ZERO, ONE)
_TOKENS = Limit(ZERO, Decimal(100_000_000))
_MONEY = Limit(ZERO, Decimal(1_000_000_000))
_RATE = Limit(Decimal("0.0001"), Decimal(1_000_000))
LIMITS = {
    "calls": Limit(ZERO, Decimal(1_000_000_000)),
    "input_tokens": _TOKENS,
    "output_tokens": _TOKENS,
    "cached_share": _SHARE,
    "cache_write_share": _SHARE,
    "batch_share": _SHARE,
    "growth": _SHARE,
    "error_rate": Limit(ZERO, Decimal("0.99")),
    "retries": Limit(ZERO, Decimal(20), whole=True),
    "switching_cost": _MONEY,
    "running_cost": _MONEY,
    "local_paid": _RATE,
    "local_per_usd": _RATE,
    "markup": Limit(ZERO, Decimal(10)),
    "top_up_fee": _SHARE,
    "concurrent_streams": Limit(ONE, Decimal(100_000), whole=True),
    "requests_per_minute": Limit(ONE, Decimal(10_000_000)),
    "timeout": Limit(ZERO, Decimal(1_000_000), above=True),
    "uncertainty": Limit(ZERO, Decimal("0.9")),
}
MIXES = ("now", "then")
FLAGS = ("assume_official_input", "top_up")
CHOICES = {"reference": ("official", "article"), "seller": ("relay", "official")}


def number_of(value: Any) -> Decimal | None:
    """Return a finite number as it is written; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):  # numpy's, too
        value = Decimal(int(value))
    elif isinstance(value, Real):
        value = _float(value)
    return value if isinstance(value, Decimal) and value.is_finite() else None


def _float(value: Real) -> Decimal | None:
    try:
        return Decimal(repr(float(value)))
    except OverflowError:  # a fraction may be larger
        return None


def problems(raw: Mapping[str, Any], book: PriceBook) -> dict[str, str]:
    """Return all that is wrong with inputs, by field: each the end of a sentence that its name begins."""
    values = msgspec.structs.asdict(Scenario()) | dict(raw)
    found = {field: limit.problem(values[field]) for field, limit in LIMITS.items()}
    found |= {field: _mix_problem(values[field], book) for field in MIXES}
    found |= {field: _choice_problem(values[field], names) for field, names in CHOICES.items()}
    found |= {field: "" if isinstance(values[field], bool) else "must be true or false" for field in FLAGS}
    if not found["cached_share"] and not found["cache_write_share"]:
        shares = (number_of(values[field]) for field in ("cached_share", "cache_write_share"))
        if sum((share or ZERO for share in shares), ZERO) > 1:
            found["cache_write_share"] = "and cached_share must not sum to more than 1"
    return {field: found[field] for field in Scenario.__struct_fields__ if found[field]}


def _choice_problem(value: Any, names: tuple[str, ...]) -> str:
    return "" if isinstance(value, str) and value in names else f"must be {' or '.join(names)}"


def _mix_problem(mix: Any, book: PriceBook) -> str:
    if not isinstance(mix, dict) or not all(isinstance(model, str) for model in mix):
        return "must give each model a share"
    if not mix:
        return "names no model"
    known = {name for row in book for name in row.names}
    for model, share in mix.items():
        if plain_name(model) not in known:
            return f"names {shown_name(model)}, of which no price is known"
        if problem := _SHARE.problem(share):
            return f"has a share of {shown_name(model)} that {problem}"
    total = sum((number_of(share) or ZERO for share in mix.values()), ZERO)
    return (
        "" if abs(total - 1) <= _NEAR else f"has shares that sum to {round(total, 12).normalize():f}, not 1"
    )


def scenario_of(book: PriceBook | None = None, /, **raw: Any) -> Scenario:
    """Return the scenario of plain values; without a `book` models are those of the built-in one.

    Raises `UsageError`, which names the first field that is wrong.
    """
    if unknown := [name for name in raw if name not in Scenario.__struct_fields__]:
        raise UsageError(f"The calculator has no input {shortened(unknown[0])}.", hint=_nearest(unknown[0]))
    if book is None:
        from hs_notebook.pricing.files import builtin

        book = builtin()
    for field, problem in problems(raw, book).items():
        raise UsageError(f"{field} = {shortened(raw[field])} {problem}.")
    return Scenario(**{field: _exact(value, field) for field, value in raw.items()})


def _exact(value: Any, field: str) -> Any:
    if field in MIXES:
        return {model: number_of(share) for model, share in value.items()}
    return number_of(value) if field in LIMITS else value


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, Scenario.__struct_fields__, n=1)
    return f"Did you mean {near[0]}?" if near else f"It has {', '.join(Scenario.__struct_fields__)}."


def plain_inputs(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as JSON has it: its numbers are numbers."""
    values = msgspec.structs.asdict(scenario)
    return {field: _plain(value) for field, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {model: _plain(share) for model, share in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def changed_inputs(scenario: Scenario) -> dict[str, Any]:
    """Return what of a scenario differs from the defaults, as JSON has it."""
    default = plain_inputs(Scenario())
    return {field: value for field, value in plain_inputs(scenario).items() if value != default[field]}
