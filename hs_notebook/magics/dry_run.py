"""``--dry-run``: what would be sent, and what it would cost."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hs_notebook.display.visible import visible
from hs_notebook.errors import BudgetError, MissingKeyError
from hs_notebook.pricing.forecast import costs
from hs_notebook.pricing.limit import estimate_request, longest_answer
from hs_notebook.pricing.price import KINDS
from hs_notebook.pricing.quotes import Quotes, today
from hs_notebook.settings import BASE_URL_NAME, DEFAULT_BASE_URL, normal_base_url, refuse_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.answers import Answer
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options
    from hs_notebook.pricing.price import Price
    from hs_notebook.replay import Replay
    from hs_notebook.types import ChatRequest

_SHOWN = 20_000  # characters of a message


def dry_run(
    magics: HolySheepMagics,
    request: ChatRequest,
    options: Options,
    accepts: Callable[[Answer], bool] = lambda _answer: True,
) -> str:
    """Return in words what `request` would send and cost.

    An answer that is kept costs nothing, where `accepts` takes it.
    """
    base_url = _base_url(magics, request, options.base_url)
    quotes = Quotes(magics.purse.book, urlsplit(base_url).hostname or "")
    sent = estimate_request(request, magics.session.calibration)
    price = quotes.price(request.model, today(), input_tokens=sent.tokens)
    ceiling = quotes.ceiling(request.model, today(), input_tokens=sent.tokens)
    rows = {
        "to": f"{request.model} at {base_url}",
        **({"with": json.dumps(request.params, ensure_ascii=False)} if request.params else {}),
        "input": f"≈{sent.tokens:,} tokens (estimated: {sent.low:,} to {sent.high:,}; {sent.method})",
    }
    if kept := _from_file(magics.replays.replay(cache=options.cache, accepts=accepts), request, base_url):
        rows["cost"] = kept
    else:
        rows["cost"] = "; ".join(costs(sent, price, ceiling, longest_answer(request)))
        rows["price"] = _price(price, quotes.seller)
        rows |= _limit(magics, request, quotes, options)
    head = "".join(f"{name:<6} {value}\n" for name, value in rows.items())
    turns = ((turn.get("role", ""), _content(turn.get("content"))) for turn in request.messages)
    messages = "".join(f"\n[{role}]\n{content}\n" for role, content in turns)
    return visible(f"Dry run: nothing was sent.\n{head}{messages}")


def _from_file(replay: Replay | None, request: ChatRequest, base_url: str) -> str:
    """Say what a request costs that is not asked; nothing of one that is."""
    if replay is None or not (replay := replay.before(base_url)).is_free(request):
        return ""
    name = replay.file.path.name
    if replay.has(request):
        return f"$0, answered from {name}"
    return f"$0: {name} has no answer, and nothing is asked in the mode replay"


def _base_url(magics: HolySheepMagics, request: ChatRequest, named: str | None) -> str:
    asked = named or magics.relay
    try:
        credentials = magics.session.credentials(asked, ask=False)
    except MissingKeyError:  # nothing is sent, so none is needed
        return normal_base_url(asked or os.environ.get(BASE_URL_NAME) or DEFAULT_BASE_URL)
    refuse_key(request, credentials.key)
    return credentials.base_url


def _limit(magics: HolySheepMagics, request: ChatRequest, quotes: Quotes, options: Options) -> dict[str, str]:
    """Return whether the call would be held to a limit, or refused by it."""
    try:
        limit = magics.purse.limit(request, quotes, options.max_cost, among=max(1, len(options.models)))
        if limit is None:
            return {}
        limit.check(streaming=options.stream)
    except BudgetError as error:
        return {"limit": f"it would be refused: {error}"}
    return {"limit": f"the {limit.words} has room for {limit.room:,} output tokens"}


def _price(price: Price | None, seller: str) -> str:
    if price is None:
        return f"unknown at {seller}"
    asked = ", ".join(
        f"{name} {'unknown' if amount is None else format(amount, 'f')}"
        for name, amount in (("input", price.input), ("output", price.output))
    )
    source = f"{KINDS[price.kind]}, {price.source}, checked {price.checked_on}"
    return f"{asked} USD per million tokens ({price.seller}: {source})"


def _content(content: Any) -> str:
    text = "\n".join(map(_part, content)) if isinstance(content, list) else _part(content)
    left = len(text) - _SHOWN
    return text if left <= 0 else f"{text[:_SHOWN]}\n… and {left:,} characters more"


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part, dict) and part.get("type") == "image_url":
        return _image(str(part.get("image_url", {}).get("url", "")))
    return json.dumps(part, ensure_ascii=False)


def _image(url: str) -> str:
    kind, found, data = url.removeprefix("data:image/").partition(";base64,")
    return f"[image: {kind}, {max(1, round(len(data) * 3 / 4000)):,} kB]" if found else f"[image: {url}]"
