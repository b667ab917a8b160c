"""Colours for code: pygments' tokens as spans with the short classes that the themes know."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .visible import escape

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LARGEST = 50_000
"""Characters of one block beyond which it stays plain: lexers are regular expressions, some of them slow."""

# Only these: looking an unknown name up makes pygments import every plug-in that is installed.
LANGUAGES = frozenset(
    """
    bash bat c c# c++ clojure cmake console cpp csharp css cuda cython dart diff docker dockerfile
    elixir erlang f# fortran fsharp go golang graphql groovy haskell hcl html ini ipython java
    javascript js json jsx julia kotlin latex lua make makefile markdown matlab md nginx nim nix
    objective-c ocaml perl php postgresql powershell properties proto protobuf ps1 py py3 pycon pytb
    python python3 r rb rs ruby rust scala scheme scss sh shell shell-session sql sqlite3 swift tcl
    terraform tex toml ts tsx typescript vim xml yaml yml zig zsh
    """.split()  # noqa: SIM905 - words are easier to read and to keep in order than a list of strings
)


def highlight(code: str, language: str, most: int = LARGEST) -> str | None:
    """``code`` as escaped HTML with spans; None: no lexer, too long, or more spans than ``most``."""
    name = language.lower()
    if name not in LANGUAGES or len(code) > LARGEST or most <= 0:
        return None
    lexer = _lexer(name)
    html = None if lexer is None else _spans(code, lexer)
    return None if html is None or html.count("<span") > most else html


@cache
def _lexer(name: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        # The text must stay as it is: a lexer strips and ends lines unless told otherwise.
        return get_lexer_by_name(name, stripnl=False, ensurenl=False)
    except ClassNotFound:  # an older pygments
        return None


@cache
def _families() -> dict[object, str]:
    """The kinds of token that are coloured; a kind not named has the colour of the kind above it."""
    from pygments import token as t

    return {
        t.Comment: "c",
        t.Keyword: "k",
        t.Operator: "o",
        t.Operator.Word: "ow",
        t.Number: "m",
        t.String: "s",
        t.Name.Attribute: "na",
        t.Name.Builtin: "nb",
        t.Name.Class: "nc",
        t.Name.Decorator: "nd",
        t.Name.Exception: "nc",
        t.Name.Function: "nf",
        t.Name.Tag: "nt",
        t.Generic.Deleted: "gd",
        t.Generic.Heading: "gh",
        t.Generic.Inserted: "gi",
        t.Generic.Prompt: "gp",
        t.Generic.Subheading: "gh",
    }


def _family(kind: Any) -> str:
    families = _families()
    while kind is not None:
        if kind in families:
            return families[kind]
        kind = kind.parent
    return ""


def _spans(code: str, lexer: Lexer) -> str:
    parts: list[str] = []
    runs = groupby(lexer.get_tokens(code), key=lambda pair: _family(pair[0]))
    for family, run in runs:
        text = escape("".join(piece for _, piece in run))
        parts.append(f'<span class="{family}">{text}</span>' if family else text)
    return "".join(parts)
