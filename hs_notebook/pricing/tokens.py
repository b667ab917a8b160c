"""Tokens counted without the model's own tokenizer: an estimate, and always called one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CHARS_PER_TOKEN = 4.0  # of Latin text and code, OpenAI's own rule of thumb
_WIDE = "\u2e80"  # from here on (CJK and beyond) a character is about one token
_PER_MESSAGE = 4  # what the chat format adds to a message


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has; 0 only for an empty one."""
    if not text:
        return 0
    wide = 0 if text.isascii() else sum(char >= _WIDE for char in text)
    return max(1, round(wide + (len(text) - wide) / _CHARS_PER_TOKEN))


def estimate_prompt_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Return about how many tokens the messages of a request have; images are not counted."""
    return sum(_PER_MESSAGE + estimate_tokens(_text_of(message.get("content"))) for message in messages)


def _text_of(content: Any) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part, dict) and "text" in part)
    return json.dumps(content, ensure_ascii=False)
