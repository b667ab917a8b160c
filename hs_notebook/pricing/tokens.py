"""Tokens counted without the relay: an estimate, and always called one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import msgspec

from hs_notebook.pricing.vocabulary import vocabulary_of
from hs_notebook.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Tokens a character, by script, as measured over prose, manual pages and code in 15 languages with the
# vocabularies of GPT, DeepSeek and Gemma: the estimate is off by 19 % on the average.
_LETTER = 0.22  # ASCII letters and white space
_MARK = 0.55  # ASCII digits and punctuation
_FOREIGN = 0.38  # accented letters, Greek, Cyrillic, Arabic, Indic …
_WIDE = 0.75  # Chinese, Japanese, Korean, emoji
# In UTF-8 a character's first byte tells its script.
_MARKS = bytes(code for code in range(128) if not (chr(code).isalpha() or chr(code).isspace()))
_FOREIGN_LEADS = bytes(range(0xC2, 0xE3))
_WIDE_LEADS = bytes(range(0xE3, 0x100))

# The true number over the estimate by script, for prose and code. Rows of digits, base64 and, in DeepSeek's
# vocabulary, Hindi have more: up to 2.4 times the estimate.
_LOW, _HIGH = 0.55, 1.5
_BY_SCRIPT = "by script"
TEXT_ALONE = ", text alone"
IMAGES = ", images guessed"

# What OpenAI counts for an image: 85 at low detail, else 170 for each tile of 512 pixels and 85; for one of
# 1,024 × 1,024 that is 765. Other makers stay between the same bounds.
_IMAGE_LOW, _IMAGE, _IMAGE_HIGH = 85, 765, 1600

# What the chat format of OpenAI adds to a message, and to all of them for the answer's beginning.
_PER_MESSAGE = 4
_PER_REPLY = 3
_PIECE = 1_000_000  # characters

_WORDS = ("text", "refusal")  # types of a part, each with its text in a field of that name
_BESIDE = ("name", "reasoning_content", "reasoning", "tool_calls", "function_call")  # text of a message, too


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """About how many tokens a text has: the true number is expected from `low` to `high`, both included.

    `method` says how it was found: the vocabulary that counted, or "by script".
    """

    tokens: int
    low: int
    high: int
    method: str


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, for any model and at once; 0 only for an empty one."""
    if not text:
        return 0
    if len(text) > _PIECE:  # in pieces, or each step would copy all of it
        return sum(estimate_tokens(text[start : start + _PIECE]) for start in range(0, len(text), _PIECE))
    data = text.encode("utf-8", "surrogatepass")
    marks = _among(data, _MARKS)
    if len(data) == len(text):
        return max(1, round(_LETTER * (len(data) - marks) + _MARK * marks))
    foreign, wide = _among(data, _FOREIGN_LEADS), _among(data, _WIDE_LEADS)
    letters = len(text) - marks - foreign - wide
    return max(1, round(_LETTER * letters + _MARK * marks + _FOREIGN * foreign + _WIDE * wide))


def estimate(text: str, model: str) -> Estimate:
    """Return about how many tokens a text has for a model.

    With the extra `[tokens]` they are counted with the model's vocabulary or the nearest that is public, else
    by script. The first count with a vocabulary loads it, which takes 0.05 to 0.2 s.
    """
    return _estimate([text], model, frame=0)


def estimate_messages(messages: Sequence[Mapping[str, Any]], model: str) -> Estimate:
    """Return about how many tokens the messages of a request have for a model.

    What the chat format adds is known of OpenAI's alone; for others the interval reaches from nothing to
    twice as much. An image counts with a guess between wide bounds; sounds and files are not counted.
    `method` says so.
    """
    frame = _PER_MESSAGE * len(messages) + _PER_REPLY if messages else 0
    found = _estimate([_text_of(message) for message in messages], model, frame=frame)
    beside = [part for message in messages for part in beside_text(message.get("content"))]
    images = sum(map(is_image, beside))
    if not beside:
        return found
    return Estimate(
        tokens=found.tokens + images * _IMAGE,
        low=found.low + images * _IMAGE_LOW,
        high=found.high + images * _IMAGE_HIGH,
        method=found.method + (IMAGES if images == len(beside) else TEXT_ALONE),
    )


def beside_text(content: Any) -> list[Any]:
    """Return what of a message's content is no text: images, sounds, files, parts of no known type."""
    if content is None or isinstance(content, str):
        return []
    parts = content if isinstance(content, list) else [content]
    return [part for part in parts if not (isinstance(part, dict) and part.get("type") in _WORDS)]


def is_image(part: Any) -> bool:
    """Tell whether a part of a message's content is an image."""
    return isinstance(part, dict) and part.get("type") == "image_url"


def by_script(tokens: int) -> Estimate:
    """Return what `estimate_tokens` gave, piece by piece, as an estimate."""
    return _between(tokens, tokens * _LOW, tokens * _HIGH, (0, 0, 0), _BY_SCRIPT)


def as_usage(sent: Estimate, said: Estimate) -> Usage:
    """Return two estimates as the usage of a call whose server sent none."""
    return Usage(
        prompt_tokens=sent.tokens,
        completion_tokens=said.tokens,
        total_tokens=sent.tokens + said.tokens,
        estimated=True,
        method=sent.method,
        input_low=sent.low / max(1, sent.tokens),
        input_high=sent.high / max(1, sent.tokens),
        output_low=said.low / max(1, said.tokens),
        output_high=said.high / max(1, said.tokens),
    )


def _estimate(texts: list[str], model: str, *, frame: int) -> Estimate:
    vocabulary = vocabulary_of(model)
    factor = vocabulary.factor if vocabulary else 1.0
    counted = vocabulary.count(texts) if vocabulary else None
    if vocabulary is None or counted is None:
        tokens = sum(map(estimate_tokens, texts)) * factor
        return _between(tokens, tokens * _LOW, tokens * _HIGH, (0, frame, 2 * frame), _BY_SCRIPT)
    frames = (frame, frame, frame) if vocabulary.framed else (0, frame, 2 * frame)
    low, high = counted * vocabulary.low, counted * vocabulary.high
    return _between(counted * factor, low, high, frames, vocabulary.method)


def _between(tokens: float, low: float, high: float, frames: tuple[int, int, int], method: str) -> Estimate:
    return Estimate(
        tokens=round(tokens) + frames[1],
        low=math.floor(low) + frames[0],
        high=math.ceil(high) + frames[2],
        method=method,
    )


def _among(data: bytes, these: bytes) -> int:
    return len(data) - len(data.translate(None, these))


def _text_of(message: Mapping[str, Any]) -> str:
    beside = (value for name in _BESIDE if (value := message.get(name)))
    return "\n".join(filter(None, [_text_in(message.get("content")), *map(_dumped, beside)]))


def _text_in(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        return "\n".join(map(_text_in_part, content))
    return _dumped(content)


def _dumped(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _text_in_part(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    return "\n".join(str(part[name]) for name in _WORDS if name in part)
