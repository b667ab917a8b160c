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


def line(receipt: Receipt) -> str:
    """Return the receipt as one plain line; what is estimated or unknown is called so."""
    parts = [_model(receipt), _tokens(receipt)]
    if not math.isnan(receipt.ttft):
        parts.append(f"first token {_seconds(receipt.ttft)}")
    if not math.isnan(receipt.tokens_per_second):
        parts.append(f"{receipt.tokens_per_second:,.0f} tokens/s")
    if not receipt.replayed:
        parts.append(_seconds(receipt.duration))
    parts.append(_cost(receipt.costs))
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


def _cost(costs: Cost) -> str:
    if not costs.known and costs.total is None:
        return "cost unknown"  # nothing came of the part whose price is known
    about = "" if costs.low is None else "≈"  # as far off as the tokens
    if costs.total is not None:
        return about + money(costs.total)
    part, other = ("output", "input") if costs.input is None else ("input", "output")
    return f"{about}{money(costs.known)} ({part} only, {other} unknown)"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
