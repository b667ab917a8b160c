"""An answer's Markdown as HTML that can do no harm.

CommonMark with tables and strikethrough. All of the result comes from escaped text: raw HTML is shown, not
obeyed; images are links; links lead to http, https or mailto; control characters are visible. The page's own
renderer gives the same HTML, held by ``tests/vectors/markdown.json``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from .notes import AS_IS, MARK
from .visible import escape, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.parser_block import RuleFuncBlockType
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_DEEPEST = 16
_EMPTY_CELLS = 10_000
_HEADINGS = 60
_SPANS = 12_000  # coloured pieces of code
_LABEL = 80


def to_html(source: str, *, colour: bool = True) -> str:
    """``source`` as HTML blocks, each ended by a newline.

    ``colour`` gives code its pygments spans; without, the result is the live view's. Time is linear in
    the text.
    """
    return html_and_line(source, colour=colour)[0]


def html_and_line(source: str, *, colour: bool = True) -> tuple[str, str]:
    """``source`` as HTML, and the line under it that tells which formulas are not typeset."""
    from .mathematics import formulas_line

    env: dict[str, Any] = {"colour": colour}
    parts = [str(_parser().render(part, env)) for part in visible(source).split(MARK)]
    # A note ends what is open before it: else a fence that the model leaves open would hide it.
    parts[1::2] = [f'<div class="hs-note">\n{part}</div>\n' for part in parts[1::2]]
    return visible("".join(parts)), formulas_line(env)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdurl import encode

    from .bars import beside_formulas
    from .destinations import like_the_page
    from .mathematics import use_mathematics

    md = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False})
    md.helpers = like_the_page(md.helpers)
    md.enable(["table", "strikethrough"])
    md.normalizeLink = lambda url: encode(url, exclude=";/?:@&=+$,-_.!~*'()#[]")  # type: ignore[method-assign]
    md.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    md.validateLink = lambda url: True  # type: ignore[method-assign] # noqa: ARG005
    table = md.block.ruler.getRules("")[0]
    md.block.ruler.at("table", _frugal(beside_formulas(table)), {"alt": ["paragraph", "reference"]})
    md.block.ruler.before("table", "hs_depth", _stop_nesting)
    md.inline.ruler.before("escape", "hs_backslash", _backslash)
    md.core.ruler.push("hs_links", _filter_links)
    md.core.ruler.push("hs_headings", _few_headings)
    use_mathematics(md)
    for name, rule in (
        ("fence", _code),
        ("code_block", _code),
        ("image", _image),
        ("hs_math", _math),
        ("hs_math_block", _math_block),
    ):
        md.add_render_rule(name, rule)
    return md


def _frugal(table: RuleFuncBlockType) -> RuleFuncBlockType:
    """``table``, unless the empty cells that the parser adds to short rows are too many: then it is text.

    A kilobyte can ask for 65,000 of them, again and again.
    """

    def rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        spent = state.env.get("hs_empty_cells", 0)
        before = len(state.tokens)
        if spent > _EMPTY_CELLS or not table(state, start, end, silent):
            return False
        empty = sum(token.type == "inline" and not token.content for token in state.tokens[before:])
        state.env["hs_empty_cells"] = spent + empty
        if spent + empty <= _EMPTY_CELLS:
            return True
        del state.tokens[before:]
        state.line = start
        return False

    return rule


def _stop_nesting(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    # Beyond its nesting limit the parser drops text; ours is lower and keeps it as a paragraph.
    if state.level < _DEEPEST:
        return False
    paragraph = state.md.block.ruler.getRules("")[-1]
    return paragraph(state, start, end, silent)


def _backslash(state: StateInline, silent: bool) -> bool:
    # Two spaces break the line after a backslash too: so says CommonMark, and so does the page's parser.
    if state.src[state.pos : state.pos + 2] != "\\ ":
        return False
    if not silent:
        state.push("text_special", "", 0).content = "\\"
    state.pos += 1
    return True


def _filter_links(state: StateCore) -> None:
    for block in state.tokens:
        if block.children:
            block.children = _safe_links(block.children)


def _few_headings(state: StateCore) -> None:
    """Let headings that are too many only look so: JupyterLab's table of contents takes 1 ms over each."""
    for token in state.tokens:
        if token.type == "heading_open":
            state.env["hs_headings"] = state.env.get("hs_headings", 0) + 1
        if token.type in ("heading_open", "heading_close") and state.env["hs_headings"] > _HEADINGS:
            if token.nesting > 0:
                token.attrSet("class", f"hs-h hs-{token.tag}")
            token.tag = "p"


def _safe_links(tokens: Sequence[Token]) -> list[Token]:
    """``tokens`` without the links that lead elsewhere than the web or mail, and without links in links."""
    kept: list[Token] = []
    closers: list[Token | None] = []  # what will stand for the link_close of each link that is open
    for token in tokens:
        within = any(closer and closer.type == "link_close" for closer in closers)
        if token.type == "link_open":
            closers.append(_open_link(token, kept, within=within))
        elif token.type == "link_close":
            closer = closers.pop()
            kept.extend([closer] if closer else [])
        else:
            if token.type == "image":
                token.meta = {"anchor": not within and _allowed(str(token.attrs["src"]))}
            kept.append(token)
    return kept


def _open_link(token: Token, kept: list[Token], *, within: bool) -> Token | None:
    from markdown_it.token import Token

    if not within and _allowed(str(token.attrs["href"])):
        token.attrs = {"href": token.attrs["href"], "rel": "noopener noreferrer", "target": "_blank"}
        kept.append(token)
        return Token("link_close", "a", -1)
    if within or token.markup != "autolink":
        return None
    # "List<std::string>" is no link to std:, so its brackets stay.
    kept.append(Token("text", "", 0, content="<"))
    return Token("text", "", 0, content=">")


def _allowed(url: str) -> bool:
    return re.match(r"(?:https?://|mailto:)", url, re.IGNORECASE) is not None


def _label(tokens: Sequence[Token] | None) -> str:
    """The text of an image's label, without its markup."""
    parts = []
    for token in tokens or ():
        if token.type == "image":
            parts.append(_label(token.children))
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        else:
            parts.append(token.content)
    return "".join(parts)


def _image(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    url = str(token.attrs["src"])
    text = _label(token.children).strip() or (url if len(url) <= _LABEL else f"{url[: _LABEL - 1]}…")
    shown = f"🖼 {escape(text)}"
    if not token.meta.get("anchor"):
        return shown
    return f'<a href="{escape(url)}" rel="noopener noreferrer" target="_blank">{shown}</a>'


def _code(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, env: dict[str, Any]) -> str:
    token = tokens[index]
    if token.info == AS_IS:
        return f'<div class="hs-as-is"><pre><code>{escape(token.content)}</code></pre></div>\n'
    found = re.search(r"[A-Za-z0-9][A-Za-z0-9_+#.-]{0,31}", token.info)
    if not found:
        return f'<div class="hs-code"><pre><code>{escape(token.content)}</code></pre></div>\n'
    inside = None
    if env.get("colour"):
        from .highlight import highlight

        inside = highlight(token.content, found[0], most=_SPANS - env.get("hs_spans", 0))
        env["hs_spans"] = env.get("hs_spans", 0) + (inside or "").count("<span")
    kind = "hs-code" if inside is None else "hs-code highlight"
    return (
        f'<div class="{kind}" data-lang="{found[0]}"><pre><code class="language-{found[0]}">'
        f"{escape(token.content) if inside is None else inside}</code></pre></div>\n"
    )


def _math(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    from .mathematics import tex_of

    token = tokens[index]
    if not token.meta["typeset"]:
        return f"<code>{escape(token.content)}</code>"
    tex = tex_of(token.content, token.markup)
    if token.markup in ("$", r"\("):
        return f'<span class="hs-math mathjax_process tex2jax_process">\\({escape(tex)}\\)</span>'
    return f'<span class="hs-math hs-math-display mathjax_process tex2jax_process">\\[{escape(tex)}\\]</span>'


def _math_block(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    from .mathematics import tex_of

    token = tokens[index]
    if not token.meta["typeset"]:
        return f"<pre><code>{escape(token.content)}</code></pre>\n"
    tex = tex_of(token.content, token.markup)
    return f'<div class="hs-math mathjax_process tex2jax_process">\\[{escape(tex)}\\]</div>\n'
