"""The usage that a frame tells, by whichever names."""

from __future__ import annotations

from typing import Any

_MOST_TOKENS = 10**12

# The parts of a usage, and where servers put them: OpenAI's place first, then the Responses API's, DeepSeek's
# and Anthropic's names.
_PARTS = {
    ("prompt_tokens_details", "cached_tokens"): (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("prompt_cache_hit_tokens",),
        ("cache_read_input_tokens",),
    ),
    ("prompt_tokens_details", "cache_creation_tokens"): (
        ("prompt_tokens_details", "cache_creation_tokens"),
        ("prompt_tokens_details", "cache_write_tokens"),
        ("cache_creation_input_tokens",),
    ),
    ("completion_tokens_details", "reasoning_tokens"): (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("reasoning_tokens",),
    ),
}


def clean_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a usage; none where input or output is no number of tokens."""
    names = ("prompt_tokens", "completion_tokens")
    if any(_tokens(usage.get(name)) is None for name in names):
        return {}
    clean: dict[str, Any] = {name: _tokens(usage.get(name)) or 0 for name in (*names, "total_tokens")}
    for (details, figure), places in _PARTS.items():
        found = [tokens for place in places if (tokens := _tokens(at(usage, place))) is not None]
        if found:
            clean.setdefault(details, {})[figure] = found[0]
    return _within(clean)


def _within(usage: dict[str, Any]) -> dict[str, Any]:
    """Count in what some servers tell beside input and output, and not within: caches, and reasoning."""
    sent, said = usage["prompt_tokens"], usage["completion_tokens"]
    cached = sum(usage.get("prompt_tokens_details", {}).values())
    thought = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    if cached > sent:  # as Anthropic's does
        usage["prompt_tokens"] += cached
    if usage["total_tokens"] == sent + said + thought:
        usage["completion_tokens"] += thought
    least = usage["prompt_tokens"] + usage["completion_tokens"]
    if usage["total_tokens"]:
        usage["total_tokens"] = max(least, usage["total_tokens"])
    return usage


def _tokens(value: Any) -> int | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value <= _MOST_TOKENS else None  # so NaN is none


def at(source: Any, place: tuple[str, ...]) -> Any:
    """Return what lies in nested objects at a place; None where there is no such place."""
    for name in place:
        source = source.get(name) if isinstance(source, dict) else None
    return source
