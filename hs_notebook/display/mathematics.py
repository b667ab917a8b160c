r"""The parser's rules for mathematics: ``$…$``, ``\(…\)``, ``$$…$$`` and ``\[…\]``.

Every search for a closer ends at the next delimiter of its kind, so the total work stays linear in the text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

LONGEST_TEX = 5000
"""Longer formulas (in code points) are shown as code: a typesetter may take minutes over them."""

_DEEPEST = 16  # fractions 400 deep end the process of JupyterLab's page

# What is typeset of one answer. The unit is a letter, for which JupyterLab's page takes 25 µs.
_MOST = 8_000
_MOST_ALONE = 3_300
_EACH = 7
_BOX = 10  # more for one on lines of its own: it scrolls
_SIGN = 3  # an operator, a script, a cell, a letter that is not ASCII
_COMMAND = 5
_DEAR = 30
_CHEMISTRY = 5  # what is in such a formula counts so often
_LONG = 3_000  # a formula that counts so much takes twice as long as two halves of it

# Commands that load, link, define, style or attach behaviour.
_DENIED_BEGINNINGS = ("html", "DeclarePairedDelimiter")
DENIED = frozenset(
    """
    href url require unicode class style cssId data includegraphics bbox mmlToken texttip mathtip toggle
    def edef gdef xdef let futurelet newcommand renewcommand providecommand newenvironment renewenvironment
    Newextarrow definecolor newtagform renewtagform usetagform mathtoolsset
    DeclareMathOperator newtheorem csname endcsname expandafter catcode
    verb input include openin openout read write immediate special loop
    """.split()  # noqa: SIM905 - words are easier to read and to keep in order than a list of strings
)
_CLOSERS = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}


@cache
def _token() -> re.Pattern[str]:
    return re.compile(r"\\[\s\S]|\$+|`")


@cache
def _piece() -> re.Pattern[str]:
    return re.compile(r"\\(?:([A-Za-z]+)|[\s\S])|[^ \t\n]")


# In plain text, as in \text{\right}, an end ends nothing: only one of the group's own kind counts.
_ENDS = {"}": "{", r"\right": r"\left", r"\end": r"\begin"}
_OPENERS = frozenset(_ENDS.values())
_CELL_ENDS = frozenset(("&", r"\\", r"\cr"))

# A typesetter takes what follows these, up to the end of their group or cell, as within them.
_DECLARATIONS = frozenset(
    """
    Tiny tiny scriptsize tsize footnotesize small normalsize large Large LARGE huge Huge
    displaystyle textstyle scriptstyle scriptscriptstyle color raise lower moveleft moveright
    rm sf tt bf it cal mit frak scr bbFont oldstyle
    """.split()  # noqa: SIM905 - as above
)

# Commands that are tables or parts of tables within, or many other commands.
_DEAR_COMMANDS = frozenset(
    """
    binom tbinom dbinom choose brace brack genfrac cfrac substack matrix pmatrix cases pmod boxed
    iff implies impliedby Bra Ket Braket TeX LaTeX tripledash ce pu
    """.split()  # noqa: SIM905 - as above
)


def cost(tex: str, *, boxed: bool = False) -> int | None:
    """What it costs to typeset ``tex``, on lines of its own or not; None where it is shown as code."""
    if len(tex) > LONGEST_TEX:
        return None
    depth, weight, times = _Depth(), 0, 1
    for found in _piece().finditer(tex):
        piece, name = found[0], found[1] or ""
        depth.see(piece)
        # A comment could hide from this count what closes a group.
        if name in DENIED or name.startswith(_DENIED_BEGINNINGS) or depth.now > _DEEPEST or piece == "%":
            return None
        weight += depth.now if piece == "{" else _weight(piece, name)
        times = _CHEMISTRY if name in ("ce", "pu") else times
    weight *= times
    costs = _EACH + _BOX * boxed + weight + weight * weight // _LONG
    return costs if costs <= _MOST_ALONE else None


def _weight(piece: str, name: str) -> int:
    if piece[0] == "\\":
        return _DEAR if name in _DEAR_COMMANDS or _is_arrow(name) else _COMMAND
    if piece == "}":
        return 0
    return 1 if piece.isascii() and piece.isalnum() else _SIGN


def _is_arrow(name: str) -> bool:
    """Whether it is an arrow as long as its label, which is made twice: fifteen in one another take 0.2 s."""
    return name.startswith("x") and len(name) > len("xmap") and name != "xcancel"


class _Depth:
    """How deep a formula nests: its groups, and the declarations in force in each."""

    def __init__(self) -> None:
        self.now = 0
        self._groups = [("", 0)]  # what opened each, and the declarations in it

    def see(self, piece: str) -> None:
        opener, declared = self._groups[-1]
        if piece in _OPENERS:
            self._groups.append((piece, 0))
            self.now += 1
        elif opener and _ENDS.get(piece) == opener:
            self._groups.pop()
            self.now -= 1 + declared
        elif piece[1:] in _DECLARATIONS or _is_arrow(piece[1:]):
            self._groups[-1] = (opener, declared + 1)
            self.now += 1
        elif piece in _CELL_ENDS and opener == r"\begin":
            self._groups[-1] = (opener, 0)
            self.now -= declared


def tex_of(source: str, markup: str) -> str:
    """What stands between the delimiters of ``source``."""
    return source[len(markup) : -len(markup)].strip()


def use_mathematics(md: MarkdownIt) -> None:
    """Teach ``md`` the rules; their tokens, ``hs_math`` and ``hs_math_block``, hold the source as content."""
    interrupts = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.inline.ruler.before("escape", "hs_math", _inline)
    md.block.ruler.before("fence", "hs_math_block", _block, interrupts)  # type: ignore[arg-type]
    md.core.ruler.push("hs_typeset", _choose)


def _choose(state: StateCore) -> None:
    """Say of each formula whether it is typeset: it does no harm, and there are not too many before it."""
    for block in state.tokens:
        for token in (block, *(block.children or ())):
            if token.type in ("hs_math", "hs_math_block"):
                _choose_one(token, state.env)


def _choose_one(token: Token, env: MutableMapping[str, Any]) -> None:
    costs = cost(tex_of(token.content, token.markup), boxed=token.markup in ("$$", r"\["))
    token.meta = {"typeset": costs is not None}
    if costs is None:
        return
    env["hs_tex"] = env.get("hs_tex", 0) + costs
    fits = env["hs_tex"] <= _MOST
    token.meta["typeset"] = fits
    kept = "hs_typeset" if fits else "hs_source"
    env[kept] = env.get(kept, 0) + 1
    if not fits and token.type == "hs_math":
        token.type = "text"  # ten thousand elements of code would cost the page as much as the formulas


def formulas_line(env: Mapping[str, Any]) -> str:
    """Return the line under an answer with more formulas than are typeset; empty where all are."""
    typeset, source = env.get("hs_typeset", 0), env.get("hs_source", 0)
    if not source:
        return ""
    every = typeset + source
    return f"Only the first {typeset:,} of {every:,} formulas are typeset; the others stand as written."


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    markup = _opener(state.src, state.pos, state.posMax)
    end = _inline_end(state.src, state.pos, state.posMax, markup)
    if end < 0:
        return _skip_dollars(state, markup, silent)
    if not silent:
        token = state.push("hs_math", "", 0)
        token.content, token.markup = state.src[state.pos : end], markup
    state.pos = end
    return True


def _opener(src: str, pos: int, end: int) -> str:
    """The run of dollars at ``pos``, or the backslash with what it escapes."""
    found = _token().match(src, pos, end)
    return found[0] if found else ""


def _skip_dollars(state: StateInline, run: str, silent: bool) -> bool:
    # Left to themselves, the dollars of a failed run would be tried one by one.
    if not run.startswith("$"):
        return False
    if not silent:
        state.pending += run
    state.pos += len(run)
    return True


def _inline_end(src: str, pos: int, most: int, markup: str) -> int:
    """Where the formula at ``pos`` ends, or -1."""
    start = pos + len(markup)
    if markup not in _CLOSERS or (markup == "$" and not _may_open(src, pos, most)):
        return -1
    for found in _token().finditer(src, start, most):
        verdict = _verdict(found[0], markup)
        if verdict is None:
            continue
        closes = verdict and src[start : found.start()].strip()
        if closes and (markup != "$" or _may_close(src, found.start(), most)):
            return found.end()
        return -1
    return -1


def formulas_in(line: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each formula within a line begins and ends, and what it begins with."""
    pos = 0
    while found := _token().search(line, pos):
        markup, pos = found[0], found.end()
        if (end := _inline_end(line, found.start(), len(line), markup)) > 0:
            yield found.start(), end, markup
            pos = end


def _verdict(piece: str, markup: str) -> bool | None:
    """True: ``piece`` closes ``markup``; False: no closer can follow; None: look on."""
    if piece == _CLOSERS[markup]:
        return True
    if piece in ("`", markup) or (piece[0] == markup[0] == "$" and len(piece) > len(markup)):
        return False
    return None


def _may_open(src: str, pos: int, end: int) -> bool:
    # "5$" and "US$" are money; so is "$ 5".
    before = src[pos - 1] if pos else " "
    return not (before.isascii() and before.isalnum()) and pos + 1 < end and src[pos + 1] not in " \t\n"


def _may_close(src: str, pos: int, end: int) -> bool:
    return src[pos - 1] not in " \t\n" and not (pos + 1 < end and src[pos + 1] in "0123456789")


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = _line(state, start)
    markup = first[:2]
    if markup not in ("$$", r"\[") or first.startswith("$$$"):
        return False
    last = _block_end(state, start, end, markup)
    source = "\n".join(_line(state, line) for line in range(start, last + 1)).rstrip(" \t")
    if last < 0 or not tex_of(source, markup):
        return False
    if silent:
        return True
    token = state.push("hs_math_block", "", 0)
    token.content, token.markup, token.map = source, markup, [start, last + 1]
    state.line = last + 1
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _block_end(state: StateBlock, start: int, end: int, markup: str) -> int:
    """The line with the closer, when it comes before a blank line and nothing follows it; else -1."""
    for number in range(start, end):
        line = _line(state, number)
        if not line or (number > start and state.sCount[number] < state.blkIndent):
            return -1
        for found in _token().finditer(line, 2 if number == start else 0):
            verdict = _verdict(found[0], markup)
            if verdict is not None:
                return number if verdict and not line[found.end() :].strip() else -1
    return -1
