"""``--dry-run``: what would be sent, and what it would cost."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hs_notebook.display.visible import visible
from hs_notebook.errors import MissingKeyError
from hs_notebook.pricing.cost import MILLION
from hs_notebook.pricing.limit import longest_answer
from hs_notebook.pricing.money import at_most, money
from hs_notebook.pricing.price import KINDS
from hs_notebook.pricing.quotes import Quotes, today
from hs_notebook.pricing.tokens import estimate_messages
from hs_notebook.settings import BASE_URL_NAME, DEFAULT_BASE_URL, normal_base_url

if TYPE_CHECKING:
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options
    from hs_notebook.pricing.price import Price
    from hs_notebook.pricing.tokens import Estimate
    from hs_notebook.types import ChatRequest

_SHOWN = 20_000  # characters of a message


def dry_run(magics: HolySheepMagics, request: ChatRequest, options: Options) -> str:
    """Return in words what `request` would send and cost."""
    base_url = _base_url(magics, options.base_url)
    book = magics.purse.book
    quotes = Quotes(book, book.seller_of(urlsplit(base_url).hostname or ""))
    counted = estimate_messages(request.messages, request.model)
    sent = magics.session.calibration.apply(request.model, counted)
    price = quotes.price(request.model, today(), input_tokens=sent.tokens)
    rows = {
        "to": f"{request.model} at {base_url}",
        **({"with": json.dumps(request.params, ensure_ascii=False)} if request.params else {}),
        "input": f"≈{sent.tokens:,} tokens (estimated: {sent.low:,} to {sent.high:,}, by {sent.method})",
        "cost": "; ".join(_costs(sent, price, longest_answer(request))),
        "price": _price(price, quotes.seller),
    }
    head = "".join(f"{name:<6} {value}\n" for name, value in rows.items())
    messages = "".join(
        f"\n[{turn.get('role', '')}]\n{_content(turn.get('content'))}\n" for turn in request.messages
    )
    return visible(f"Dry run: nothing was sent.\n{head}{messages}")


def _base_url(magics: HolySheepMagics, named: str | None) -> str:
    asked = named or magics.base_url or None
    try:
        return magics.session.credentials(asked, ask=False).base_url
    except MissingKeyError:  # nothing is sent, so none is needed
        return normal_base_url(asked or os.environ.get(BASE_URL_NAME) or DEFAULT_BASE_URL)


def _costs(sent: Estimate, price: Price | None, longest: int | None) -> list[str]:
    if price is None:
        return ["unknown"]
    parts = ["input unknown"]
    if price.input is not None:
        low, likely, high = (
            money(tokens * price.input / MILLION) for tokens in (sent.low, sent.tokens, sent.high)
        )
        parts = [f"input ≈{likely} ({low} to {high})"]
    longest, why = (longest, "") if longest else (price.largest_output, ", the model's longest answer")
    if price.output is None or longest is None:
        return [*parts, "output unknown"]
    parts.append(f"output at most {at_most(longest * price.output / MILLION)} ({longest:,} tokens{why})")
    if price.input is not None:
        worst = (sent.high * price.input + Decimal(longest) * price.output) / MILLION
        parts.append(f"together at most {at_most(worst)}")
    return parts


def _price(price: Price | None, seller: str) -> str:
    if price is None:
        return f"unknown at {seller or 'this relay'}"
    asked = ", ".join(
        f"{name} {'unknown' if amount is None else format(amount, 'f')}"
        for name, amount in (("input", price.input), ("output", price.output))
    )
    source = f"{KINDS[price.kind]}, {price.source}, checked {price.checked_on}"
    return f"{asked} USD per million tokens ({price.seller}: {source})"


def _content(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    left = len(text) - _SHOWN
    return text if left <= 0 else f"{text[:_SHOWN]}\n… and {left:,} characters more"
