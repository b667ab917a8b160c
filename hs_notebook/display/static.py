"""The final picture of an answer: static HTML that needs no kernel, no script and no network."""

from __future__ import annotations

from .fold import fold, fold_line
from .markdown import html_and_line
from .notes import unmarked
from .style import stylesheet
from .visible import escape, visible


def picture(markdown: str, *, receipt: str, state: str, note: str | None = None) -> dict[str, str]:
    """Return the MIME bundle of an answer that has ended.

    `receipt` is the line of figures under it; `note`, where given, a line above that; both are text.
    A `state` other than "complete" is shown in words beside the receipt. `text/html` has its own stylesheet
    and stays readable without it; `text/plain` is the Markdown with its hidden control characters visible,
    and where there is none the line that says why.
    """
    body = answer_html(markdown, receipt=receipt, state=state, note=note)
    return {
        "text/html": f"<style>{stylesheet('answer.css')}</style>\n{body}",
        "text/plain": visible(unmarked(markdown) or note or ("" if state == "complete" else receipt)),
    }


def answer_html(markdown: str, *, receipt: str, state: str, note: str | None = None) -> str:
    """Return the part of a picture that holds an answer, without the stylesheet that it needs."""
    text = visible(markdown)
    drawn = fold(text)
    html, untypeset = html_and_line(drawn)
    folded = "" if drawn == text else _notice(fold_line(len(drawn), len(text)), "hs-notice hs-fold")
    notice = "".join(_notice(line) for line in (untypeset, note) if line)
    badge = "" if state == "complete" else f'<span class="hs-state">{_text(state)}</span> '
    return (
        f'<div class="hs-answer mathjax_ignore tex2jax_ignore" data-state="{_text(state)}">\n'
        f'<div class="hs-body">\n{html}</div>\n{folded}{notice}'
        f'<div class="hs-receipt">{badge}<span class="hs-summary">{_text(receipt)}</span></div>\n</div>'
    )


def _notice(text: str, kind: str = "hs-notice") -> str:
    return f'<div class="{kind}">{_text(text)}</div>\n'


def _text(text: str) -> str:
    return escape(visible(text))
