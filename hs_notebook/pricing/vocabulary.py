"""Which vocabulary a model's tokens are counted with, where the extra `[tokens]` is installed.

The library `splintr` carries its vocabularies with it, so nothing is downloaded. It is imported for the
first count, not before.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.pricing.names import plain_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from splintr import AnyTokenizer


_LONGEST = 1_000_000  # characters


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """How to count the tokens of a family of models.

    They are `factor` times the count with the vocabulary that splintr calls `name`, and expected between
    `low` and `high` times that count. `framed` tells whether the chat format adds just what OpenAI's does.
    """

    name: str
    method: str
    factor: float = 1.0
    low: float
    high: float
    framed: bool = False

    def count(self, texts: Collection[str]) -> int | None:
        """Return the tokens of all texts in this vocabulary; None where they cannot be counted.

        Nor are very long ones: a million characters take half a second.
        """
        tokenizer = _tokenizer(self.name) if sum(map(len, texts)) <= _LONGEST else None
        if tokenizer is None:
            return None
        try:
            return sum(len(tokenizer.encode_ordinary(text)) for text in texts)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic in Rust is no Exception
            return None


_O200K = Vocabulary(name="o200k_base", method="o200k", low=0.99, high=1.01, framed=True)
_CL100K = Vocabulary(name="cl100k_base", method="cl100k", low=0.99, high=1.01, framed=True)
_DEEPSEEK = Vocabulary(name="deepseek_v3", method="DeepSeek tokens", low=0.97, high=1.03)
# Of Gemini's and Claude's vocabularies neither is public; Gemma's is the first one's sister.
_GEMINI = Vocabulary(name="gemma3", method="Gemma tokens", low=0.95, high=1.05)
_CLAUDE = Vocabulary(name="o200k_base", method="o200k × 1.2", factor=1.2, low=1.0, high=1.65)

# By the beginning of a model's plain name; the first that fits.
_FAMILIES = (
    (("gpt-3-5", "gpt-4-turbo", "gpt-4-0", "gpt-4-1106", "gpt-4-32k"), _CL100K),
    (("gpt-", "chatgpt-", "o1", "o3", "o4"), _O200K),
    (("claude-",), _CLAUDE),
    (("deepseek-",), _DEEPSEEK),
    (("gemini-", "gemma-"), _GEMINI),
)


def vocabulary_of(model: str) -> Vocabulary | None:
    """Return the vocabulary to count a model's tokens with; None where there is none that fits."""
    name = plain_name(model)
    if name == "gpt-4":
        return _CL100K
    return next((vocabulary for begins, vocabulary in _FAMILIES if name.startswith(begins)), None)


@cache  # the failure, too: what cannot be loaded is tried once
def _tokenizer(name: str) -> AnyTokenizer | None:
    try:
        from splintr import Tokenizer

        return Tokenizer.from_pretrained(name)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a panic in Rust is no Exception
        return None
