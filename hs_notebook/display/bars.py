"""Bars within formulas, as in ``$P(A|B)$``, part no cells of a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .mathematics import formulas_in, tex_of

if TYPE_CHECKING:
    from markdown_it.parser_block import RuleFuncBlockType
    from markdown_it.rules_block import StateBlock

_HIDDEN = "\x01"  # a text has none: control characters are made visible before it is read
_BAR = re.compile(r"\\[\s\S]|\|")  # or what a backslash escapes


def beside_formulas(table: RuleFuncBlockType) -> RuleFuncBlockType:
    """``table``, which reads the text without the bars that belong to formulas."""

    def rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        source, before = state.src, len(state.tokens)
        known, hidden = state.env.get("hs_bars", (None, ""))
        if known is not source:
            hidden = _without_bars(source)
            state.env["hs_bars"] = (source, hidden)
        state.src = hidden
        try:
            return table(state, start, end, silent)
        finally:
            state.src = source
            for token in state.tokens[before:]:
                token.content = token.content.replace(_HIDDEN, "|")

    return rule


def _without_bars(source: str) -> str:
    if "|" not in source or not ("$" in source or "\\(" in source):
        return source
    return "\n".join(map(_line, source.split("\n")))


def _line(line: str) -> str:
    if "|" not in line:
        return line
    parts, at = list[str](), 0
    for start, end, markup in formulas_in(line):
        formula = line[start:end]
        tex = tex_of(formula, markup)
        # "|$x|$y|" are two cells, "$|x|$" is an absolute value.
        if tex.startswith("|") == tex.endswith("|"):
            formula = _BAR.sub(_hidden, formula)
        parts += line[at:start], formula
        at = end
    return "".join([*parts, line[at:]])


def _hidden(found: re.Match[str]) -> str:
    return _HIDDEN if found[0] == "|" else found[0]
