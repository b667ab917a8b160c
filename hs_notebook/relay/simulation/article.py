"""What the simulated models say: a small article about streams, put together from `passages`.

The same seed gives the same article. A token is a piece of about four characters; the tokens of a text
join to it again.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain, count, islice
from random import Random
from typing import TYPE_CHECKING

from hs_notebook.relay.simulation.passages import CLOSINGS, OPENINGS, PASSAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r"\s?\w{1,7}|\s?[^\w\s]{1,6}|\s{1,6}")
_MARKUP = re.compile(r"[\\`*_\]<>&$~|]")  # an opening bracket stays: `\[` would begin mathematics
_GIST = 90  # characters of the prompt that the answer quotes


def tokenize(text: str) -> list[str]:
    """Split `text` into tokens; joined they are `text` again."""
    return _TOKEN.findall(text)


def write(prompt: str, seed: int, tokens: int | None = None) -> list[str]:
    """Return the tokens of the article for `prompt`: exactly `tokens`, or a page where that is None."""
    random = Random(seed)  # noqa: S311 - chosen for being repeatable
    opening = tokenize(_introduction(prompt) + "\n\n" + random.choice(OPENINGS))
    if tokens is None:
        return [*opening, *chain.from_iterable(_part(random)), *_block(random.choice(CLOSINGS))]
    return list(islice(chain(opening, _endless(random)), tokens))


def quote(text: str) -> str:
    """Return the beginning of `text` as one line of Markdown without any markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * _GIST]).split())
    gist = line if len(line) <= _GIST else line[:_GIST].rstrip() + "…"
    return _MARKUP.sub(r"\\\g<0>", gist)


def _introduction(prompt: str) -> str:
    notice = "> **Simulated answer.** No model was asked: the simulated relay of hs_notebook wrote this."
    gist = quote(prompt)
    return f"{notice} Your prompt was: “{gist}”" if gist else notice


def _endless(random: Random) -> Iterator[str]:
    for number in count(1):
        if number > 1:
            yield from tokenize(f"\n\n# Part {number}")
        yield from chain.from_iterable(_part(random))


def _part(random: Random) -> Iterator[tuple[str, ...]]:
    """Yield one passage of each kind: explanation first, the rest in any order."""
    first, *others = PASSAGES
    for kind in (first, *random.sample(others, len(others))):
        yield _block(random.choice(kind))


@cache  # a few dozen passages, however long the answers
def _block(passage: str) -> tuple[str, ...]:
    return tuple(tokenize("\n\n" + passage))
