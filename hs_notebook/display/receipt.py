"""A receipt in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hs_notebook.pricing.money import money
from hs_notebook.pricing.names import same_model

if TYPE_CHECKING:
    from hs_notebook.answers import Cost, Receipt
    from hs_notebook.types import Usage

_SEPARATOR = " · "
UNKNOWN = "unknown"


def line(receipt: Receipt, *, under: str = "") -> str:
    """Return the receipt as one plain line; what is estimated or unknown is called so.

    It stands `under` the name of a model, which it need not say again.
    """
    parts = [_tokens(receipt)] if under == _model(receipt) else [_model(receipt), _tokens(receipt)]
    if not math.isnan(receipt.ttft):
        parts.append(f"first token {seconds(receipt.ttft)}")
    if not math.isnan(receipt.tokens_per_second):
        parts.append(f"{receipt.tokens_per_second:,.0f} tokens/s")
    if not receipt.replayed:
        parts.append(seconds(receipt.duration))
    parts.append("cost unknown" if (cost := cost_words(receipt.costs)) == UNKNOWN else cost)
    if receipt.replayed:
        parts.append("replayed")
    if receipt.simulated:
        parts.append("simulated")
    return _SEPARATOR.join(parts)


def _model(receipt: Receipt) -> str:
    answered, asked = receipt.response_model, receipt.request_model
    if not answered:
        return f"{asked} (the relay did not say which model answered)"
    return answered if same_model(answered, asked) else f"{answered} (asked for {asked})"


def _tokens(receipt: Receipt) -> str:
    usage = receipt.usage
    if not usage.estimated:
        return f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out"
    how = f" {_interval(usage)}, {usage.method}" if usage.method else ""
    return f"≈{usage.prompt_tokens:,} in, ≈{usage.completion_tokens:,} out (estimated{how})"


def _interval(usage: Usage) -> str:
    below, above = f"{100 * (1 - usage.low):.0f}", f"{100 * (usage.high - 1):.0f}"
    return f"±{above} %" if below == above else f"−{below}/+{above} %"


def cost_words(costs: Cost, *, brief: bool = False) -> str:
    """Return a cost in words; what is unknown of it is called so, or left out where it is to be `brief`."""
    if not costs.known and costs.total is None:
        return UNKNOWN  # nothing came of the part whose price is known
    about = "" if costs.low is None else "≈"  # as far off as the tokens
    if costs.total is not None:
        return about + money(costs.total)
    part, other = ("output", "input") if costs.input is None else ("input", "output")
    unknown = "" if brief else f", {other} unknown"
    return f"{about}{money(costs.known)} ({part} only{unknown})"


def seconds(value: float) -> str:
    """Return a time in words; NaN is unknown."""
    if math.isnan(value):
        return UNKNOWN
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"
