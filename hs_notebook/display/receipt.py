"""A receipt in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hs_notebook.pricing.names import same_model

if TYPE_CHECKING:
    from hs_notebook.types import Receipt

_SEPARATOR = " · "


def line(receipt: Receipt) -> str:
    """Return the receipt as one plain line; what is estimated or unknown is called so."""
    parts = [_model(receipt), _tokens(receipt)]
    if not math.isnan(receipt.ttft):
        parts.append(f"first token {_seconds(receipt.ttft)}")
    if not math.isnan(receipt.tokens_per_second):
        parts.append(f"{receipt.tokens_per_second:,.0f} tokens/s")
    parts.append(_seconds(receipt.duration))
    parts.append("cost unknown" if receipt.cost is None else f"${receipt.cost}")
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
    mark, word = ("≈", " (estimated)") if usage.estimated else ("", "")
    return f"{mark}{usage.prompt_tokens:,} in, {mark}{usage.completion_tokens:,} out{word}"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
