"""An answer's Markdown as HTML: the dialect by its vectors, what no input may do, and what it costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hs_notebook.display.highlight import LANGUAGES, highlight
from hs_notebook.display.markdown import html_and_line, to_html
from hs_notebook.display.mathematics import DENIED, LONGEST_TEX
from hs_notebook.display.visible import visible

VECTORS = json.loads((Path(__file__).parent / "vectors" / "markdown.json").read_text(encoding="utf-8"))
BY_NAME = {vector["name"]: vector for vector in VECTORS}

MATH = {f"hs-math{more} mathjax_process tex2jax_process" for more in ("", " hs-math-display")}
LANG = r"[A-Za-z0-9][A-Za-z0-9_+#.-]{0,31}"
PROSE = "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "blockquote", "br", "hr", "em", "strong", "s"
VOID = {"br", "hr"}
ALLOWED: dict[str, dict[str, str]] = {
    **{tag: {} for tag in (*PROSE, "table", "thead", "tbody", "tr")},
    "p": {"class": "hs-h hs-h[1-6]"},
    "ol": {"start": r"\d{1,9}"},
    "th": {"style": r"text-align:(left|right|center)"},
    "td": {"style": r"text-align:(left|right|center)"},
    "a": {
        "href": r"(?i:https?://|mailto:)[!-~]*",
        "rel": "noopener noreferrer",
        "target": "_blank",
    },
    "pre": {"class": "hs-plain"},
    "code": {"class": f"language-{LANG}"},
    "div": {"class": "|".join(["hs-code( highlight)?", "hs-note", "hs-as-is", *MATH]), "data-lang": LANG},
    "span": {"class": "|".join(["[a-z]{1,2}", *MATH])},
}


class Reader(HTMLParser):
    """Reads HTML, fails on whatever is not allowed or not closed, and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.parts: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert len({name for name, _ in attrs}) == len(attrs)
        for name, value in attrs:
            assert name in ALLOWED[tag], (tag, name)
            assert re.fullmatch(ALLOWED[tag][name], value or ""), (tag, name, value)
        assert tag != "a" or "a" not in self.open
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        self.unknown_decl(decl)

    handle_comment = handle_pi = unknown_decl

    @property
    def text(self) -> str:
        return "".join(self.parts)


# --- the dialect ---------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_vector(vector: dict[str, str]) -> None:
    assert to_html(vector["markdown"], colour=False) == vector["html"]


def test_vector_names_are_unique() -> None:
    assert len(BY_NAME) == len(VECTORS)


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_vector_is_allowed_and_colour_keeps_its_text(vector: dict[str, str]) -> None:
    assert Reader(to_html(vector["markdown"])).text == Reader(vector["html"]).text


def test_colour_marks_the_parts_of_code() -> None:
    html = to_html('```python\ndef f(x):\n    "<"  # y\n```')
    assert html == (
        '<div class="hs-code highlight" data-lang="python"><pre><code class="language-python">'
        '<span class="k">def</span> <span class="nf">f</span>(x):\n'
        '    <span class="s">&quot;&lt;&quot;</span>  <span class="c"># y</span>\n'
        "</code></pre></div>\n"
    )


@pytest.mark.parametrize("code", ["", "\n\n  x = 1  \n\n", "a\tb", "'''", "x" * 50_001])
def test_colour_changes_no_character(code: str) -> None:
    source = f"```python\n{code}\n```"
    assert Reader(to_html(source)).text == Reader(to_html(source, colour=False)).text


def test_unknown_language_is_plain() -> None:
    source = "```nosuchlanguage\nif x: pass\n```"
    assert to_html(source) == to_html(source, colour=False)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_each_language_has_its_lexer(language: str) -> None:
    assert highlight("x\n", language) is not None


# --- what no input may do ---------------------------------------------------------------

PIECES = st.sampled_from(
    [
        piece
        for vector in VECTORS
        if len(vector["markdown"]) < 1000
        for piece in re.split(r"(\W)", vector["markdown"])
    ]
    + [
        "](javascript:alert(1))",
        "<a:b>",
        "$$",
        "\\(",
        "\\]",
        "```",
        "> ",
        "- ",
        "1. ",
        "\n\n",
        "    ",
        "|",
        "~~",
    ]
    + [
        "&#x202e;",
        "&quot;",
        "&#60;",
        '"',
        "'",
        "<",
        ">",
        "\x1b",
        "\u202e",
        "\U000e0041",
        "\ud800",
        "\r",
        "🎉",
    ]
)
MARKDOWN = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=30).map("".join)


@given(MARKDOWN)
@example('[a](http://e.example/"onmouseover=alert(1)) ![](javascript:x)')
def test_any_text_gives_allowed_html_only(source: str) -> None:
    html = to_html(source)
    assert Reader(html).text.split() == Reader(to_html(source, colour=False)).text.split()
    assert visible(html) == html


@given(st.text(alphabet=st.sampled_from("abcdéß漢字 ,;?\n"), max_size=300))
def test_plain_words_are_kept(source: str) -> None:
    assert Reader(to_html(source)).text.split() == source.split()


@given(st.text(alphabet=st.characters(exclude_characters="\r"), max_size=200))
def test_text_is_kept_in_a_fence(source: str) -> None:
    code = visible(source).replace("`", "'")
    assert Reader(to_html(f"```\n{code}\n```")).text.rstrip("\n") == code.rstrip("\n")


@pytest.mark.parametrize("name", sorted(DENIED | {"htmlClass", "htmlId"}))
@pytest.mark.parametrize("template", ["$\\{}{{a}}$", "\\(x \\{} y\\)", "$$\n\\{}{{a}}\n$$", "so \\[\\{} \\]"])
def test_tex_that_could_act_is_code(name: str, template: str) -> None:
    html = to_html(template.format(name))
    assert "mathjax_process" not in html
    assert "<code>" in html
    assert f"\\{name}" in Reader(html).text


@pytest.mark.parametrize(
    ("opening", "closing"), [("\\frac{1}{", "}"), ("\\left(", "\\right)"), ("\\begin{array}", "\\end{array}")]
)
def test_tex_is_typeset_to_a_depth(opening: str, closing: str) -> None:
    """Four hundred fractions within one another end the process of JupyterLab's page."""

    def typeset(depth: int, hidden: str = "") -> bool:
        return "mathjax_process" in to_html(f"${(opening + hidden) * depth}x{closing * depth}$")

    assert typeset(15)
    assert not typeset(17)
    assert not typeset(17, "\\}")
    assert not typeset(17, "\\text{\\right}")
    assert not typeset(1, f"%{closing}")
    assert not typeset(1, f"\\verb|{closing}|")


@pytest.mark.parametrize(
    "declaration", ["\\tiny ", "\\displaystyle ", "\\bf ", "\\color{red} ", "\\raise1em ", "\\xmapsto{a} "]
)
def test_declarations_are_typeset_to_a_depth(declaration: str) -> None:
    """A thousand sizes, each within the one before, freeze JupyterLab's page for half a minute."""

    def typeset(tex: str) -> bool:
        return "mathjax_process" in to_html(f"${tex}x$")

    assert typeset(declaration * 15)
    assert not typeset(declaration * 17)
    assert typeset(f"{{{declaration}x}}" * 50)
    assert typeset(f"\\begin{{matrix}}{f'{declaration}x & {declaration}y {chr(92) * 2}' * 18}\\end{{matrix}}")
    assert not typeset(f"{{{declaration * 9}" * 2)
    assert not typeset(f"\\begin{{matrix}}\\left({f'{declaration} & ' * 17}")


@pytest.mark.parametrize(
    "tex",
    [
        "\\DeclarePairedDelimiterX{\\a}[1]{.}{.}{#1}",
        "\\Newextarrow{\\frac}{5,5}{0x2717}",
        "\\definecolor{red}{named}{blue}",
        "\\newtagform{x}{a}{b}",
        "\\mathtoolsset{multlined-width=1em}",
    ],
)
def test_a_formula_that_would_change_others_of_the_page_is_code(tex: str) -> None:
    assert "mathjax_process" not in to_html(f"${tex}$")


MOST = 8_000


@pytest.mark.parametrize(
    ("tex", "costs"),
    [
        ("$x$", 7 + 1),
        ("$x^2$", 7 + 5),
        ("$\\alpha_{1}$", 7 + 10),
        ("$漢'$", 7 + 6),
        ("$\\binom12$", 7 + 32),
        ("${{x}}$", 7 + 1 + 2 + 1),
        ("$\\ce{H2O}$", 7 + 5 * 34 + (5 * 34) ** 2 // 3_000),
        (f"${'x+' * 100}$", 7 + 400 + 400**2 // 3_000),
        ("$$x$$", 17 + 1),
    ],
)
def test_so_much_of_an_answer_is_typeset(tex: str, costs: int) -> None:
    html, line = html_and_line(f"{tex} " * 1_200)
    assert html.count("mathjax_process") == MOST // costs
    assert Reader(html).text.count(tex) == 1_200 - MOST // costs, "the others are text"
    assert line == (
        f"Only the first {MOST // costs:,} of 1,200 formulas are typeset; the others stand as written."
    )


def test_a_formula_that_is_too_much_alone_takes_nothing_from_others() -> None:
    html, line = html_and_line(f"${'x+' * 1_000}$ and $y$")
    assert html.count("mathjax_process") == 1
    assert line == ""


def test_so_many_headings_are_headings() -> None:
    html = to_html("# a\n" * 60 + "## b\n" * 10)
    tags = Reader(html).tags
    assert (tags.count("h1"), tags.count("p")) == (60, 10)
    assert html.count('<p class="hs-h hs-h2">b</p>') == 10, "it looks like one"


def test_so_many_pieces_of_code_are_coloured() -> None:
    html = to_html(f"```python\n{'x=1;' * 1_000}\n```\n" * 10)
    assert 9_000 < html.count("<span") <= 12_000
    assert Reader(html).text.count("x=1;") == 10_000


def test_tex_of_the_longest_length_is_typeset() -> None:
    assert "mathjax_process" in to_html(f"$x{' ' * (LONGEST_TEX - 2)}y$")
    assert "mathjax_process" not in to_html(f"$x{' ' * (LONGEST_TEX - 1)}y$")


HIDDEN = (
    "\0\x08\x0b\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u202a\u202e\u2066\u2069\u206f\ufeff\ufffb"
    "\U000e0001\U000e007f\ud800\udfff"
)


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_hidden_character_is_shown_everywhere(character: str) -> None:
    shown = f"⟦U+{ord(character):04X}⟧"
    for template in (
        "{}",
        "`{}`",
        "```\n{}\n```",
        "${}$",
        "# {}",
        "[{}](http://e.example)",
        "![{}](http://e.example)",
    ):
        html = to_html(template.format(character))
        assert character not in html
        assert shown in Reader(html).text


@given(st.text())
def test_visible_is_idempotent_and_leaves_nothing_hidden(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not set(shown) & set(HIDDEN)


def test_visible_keeps_ordinary_text() -> None:
    text = "a\tb\n👩‍👩‍👧 ❤️ नमस्ते می‌خواهم é"
    assert visible(text) == text
    assert visible("a\r\nb\rc") == "a\nb\nc"


# --- what it costs -------------------------------------------------------------------------------

HOSTILE = {
    "one line": "word ",
    "dollars": "$",
    "open dollars": "$a ",
    "display on every line": "$$ a\n",
    "open brackets of mathematics": "\\[ a\n",
    "parentheses of mathematics": "\\( \\[ ",
    "brackets": "[",
    "images": "![",
    "links half open": "[a](",
    "links to nowhere": "[a](<b",
    "titles": '[a](b "',
    "stars": "*a ",
    "stars and underscores": "*a_ ",
    "backticks": "`a``b",
    "angles": "<a:",
    "entities": "&#x",
    "backslashes": "\\",
    "quotes": "> a\n",
    "lists": "- a\n",
    "lists in quotes": "> - a\n",
    "tables": "a|b\n-|-\n\n",
    "table rows": "|a|b|\n|-|-|\n",
    "references": "[a]: <b\n",
    "labels over lines": "[a\n",
    "headings": "# a\n",
    "blank lines": "\n",
    "mixed": "*a `b $c [d ![e <f &g \\(h ",
    "controls": "\u202e",
}


def _seconds(source: str) -> float:
    """CPU time of the fastest of three renderings."""
    times = []
    for _ in range(3):
        start = time.process_time()
        to_html(source)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear(unit: str) -> None:
    size = 4_000
    small, large = (_seconds(unit * (n // len(unit))) for n in (size, 4 * size))
    # Linear is 4, quadratic 16.
    assert large < 8 * small + 0.005


@pytest.mark.parametrize(
    "source",
    [
        ">" * 5_000 + "deep",
        "- a\n" + "".join(f"{'  ' * i}- deep\n" for i in range(60)),
        "1. " * 2_000 + "deep",
    ],
    ids=["quotes", "lists", "numbers"],
)
def test_nesting_is_bounded_and_drops_nothing(source: str) -> None:
    reader = Reader(to_html(source))
    assert reader.text.count("deep") == source.count("deep")
    assert sum(tag in ("blockquote", "ul", "ol") for tag in reader.tags) <= 20


@pytest.mark.parametrize(
    "source",
    [
        "![" * 3_000 + "x" + "](u)" * 3_000,
        "[" * 3_000 + "x" + "]" * 3_000,
        "*a " * 3_000 + "x" + " a*" * 3_000,
    ],
    ids=["images", "brackets", "emphasis"],
)
def test_deep_labels_do_not_overflow(source: str) -> None:
    assert "x" in Reader(to_html(source)).text


def test_empty_cells_do_not_explode() -> None:
    table = "|a" * 180 + "|\n" + "|-" * 180 + "|\n" + "|x\n" * 370 + "\n"
    assert len(to_html(table * 8)) < 1_000_000


def test_importing_loads_no_parser() -> None:
    code = (
        "import sys, hs_notebook.display.markdown, hs_notebook.display.static\n"
        "print([name for name in ('markdown_it', 'pygments', 'mdurl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
