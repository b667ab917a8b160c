"""Answers that are hostile by their size or their depth: units that are repeated to the size asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Large:
    """An answer of any size: `head`, then `unit` again and again, then `tail`."""

    family: str
    unit: str
    head: str = ""
    tail: str = ""

    def text(self, size: int) -> str:
        """The answer of about `size` characters."""
        return self.head + self.unit * (size // len(self.unit)) + self.tail


LINE, NESTED, TABLE, TEX, MANY = "one line", "deep nesting", "tables", "mathematics", "very many"

LARGE = {
    "letters": Large(LINE, "x"),
    "words": Large(LINE, "word "),
    "spaces": Large(LINE, " ", head="a", tail="b"),
    "digits": Large(LINE, "7"),
    "emoji": Large(LINE, "🎉"),
    "combining marks": Large(LINE, "e" + "\u0301\u0337\u0489" * 8),
    "backticks": Large(LINE, "`"),
    "backticks of all lengths": Large(LINE, "`a``b```c````d`````e"),
    "brackets": Large(LINE, "["),
    "brackets that close": Large(LINE, "[]"),
    "images": Large(LINE, "!["),
    "links half open": Large(LINE, "[a]("),
    "stars and underscores": Large(LINE, "*_"),
    "stars and words": Large(LINE, "*a _b "),
    "angles": Large(LINE, "<"),
    "bars": Large(LINE, "|"),
    "dollars": Large(LINE, "$"),
    "dollars and words": Large(LINE, "$a "),
    "ampersands": Large(LINE, "&"),
    "entities": Large(LINE, "&amp;"),
    "backslashes": Large(LINE, "\\"),
    "controls": Large(LINE, "\u202e"),
    "quotes": Large(NESTED, ">", tail=" deep"),
    "lists": Large(NESTED, "- ", tail="deep"),
    "numbers": Large(NESTED, "1. ", tail="deep"),
    "quotes and lists": Large(NESTED, "> - ", tail="deep"),
    "emphasis": Large(NESTED, "*a **b ", tail="c"),
    "tags": Large(NESTED, "<div><b>"),
    "lines of quotes": Large(NESTED, "> > > > > > > > a\n- - - - - - - b\n"),
    "a wide table": Large(TABLE, "|a", tail="|\n"),
    "wide rows": Large(TABLE, "|" + "b|" * 500 + "\n", head="|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n"),
    "a long table": Large(TABLE, "|1|2|\n", head="|a|b|\n|-|-|\n"),
    "short rows": Large(TABLE, "|x\n", head="|a" * 180 + "|\n" + "|-" * 180 + "|\n"),
    "many tables": Large(TABLE, "|a|\n|-|\n\n"),
    "a long formula": Large(TEX, "x+", head="$$\n", tail="x\n$$\n"),
    "many formulas": Large(TEX, "$x^{2}$ and "),
    "formulas in blocks": Large(TEX, "$$\nx\n$$\n\n"),
    "an open formula": Large(TEX, "a\n", head="$$\n"),
    "a definition of itself": Large(TEX, "$\\def\\x{\\x\\x}\\x$ "),
    "growth by new commands": Large(TEX, "$\\newcommand{\\a}{\\b\\b}\\a$ "),
    "a tower of powers": Large(TEX, "x^{", head="$", tail="$"),
    "fractions in fractions": Large(TEX, "$" + "\\frac{1}{" * 400 + "x" + "}" * 400 + "$ "),
    "fractions as deep as may be": Large(TEX, "$" + "\\frac{1}{" * 15 + "x" + "}" * 15 + "$ "),
    "matrices as deep as may be": Large(
        TEX, "$" + "\\begin{matrix}a&b\\\\" * 15 + "\\end{matrix}" * 15 + "$ "
    ),
    "roots and powers as deep as may be": Large(TEX, "$" + "\\sqrt{x^{" * 7 + "2" + "}}" * 7 + "$ "),
    "brackets that grow": Large(TEX, "$" + "\\left(" * 300 + "x" + "\\right)" * 300 + "$ "),
    "sizes within sizes": Large(TEX, "$" + "\\tiny" * 990 + " x$ "),
    "styles within styles": Large(TEX, "$" + "\\displaystyle" * 380 + " x$ "),
    "sizes as deep as may be": Large(TEX, "$" + "\\tiny" * 15 + " x$ "),
    "accents on accents": Large(TEX, "$" + "\\overline{\\hat{" * 7 + "x" + "}}" * 7 + "$ "),
    "arrows within arrows": Large(TEX, "$" + "\\xrightarrow{" * 7 + "x" + "}" * 7 + "$ "),
    "sums as long as may be": Large(TEX, "$" + "x+" * 450 + "x$ "),
    "binomials": Large(TEX, "$\\binom12$ "),
    "chemistry": Large(TEX, "$\\ce{A->[x]B}$ "),
    "accents within accents": Large(TEX, "$" + "\\hat{" * 15 + "x" + "}" * 15 + "$ "),
    "great spaces": Large(
        TEX, "$\\rule{99999em}{99999em} \\kern99999em \\hspace{99999em} \\raise99999em{x}$ "
    ),
    "a fence": Large(MANY, "x = 1\n", head="```python\n"),
    "a fence of one line": Large(MANY, "x=1;", head="```python\n"),
    "fences": Large(MANY, "```js\nx\n```\n"),
    "fences of colours": Large(MANY, "```js\n" + "x=1;" * 12_000 + "\n```\n"),
    "links": Large(MANY, "[a](https://e.invalid/) "),
    "autolinks": Large(MANY, "<https://e.invalid/>\n"),
    "headings": Large(MANY, "# a\n"),
    "paragraphs": Large(MANY, "a\n\n"),
    "rules": Large(MANY, "---\n"),
    "items": Large(MANY, "- a\n"),
    "emphases": Large(MANY, "*a* "),
    "code spans": Large(MANY, "`a` "),
    "breaks": Large(MANY, "a\\\n"),
    "definitions": Large(MANY, "[a]: https://e.invalid/\n"),
    "all at once": Large(
        MANY,
        "# a\n- b\n> c\n\n```js\nx=1;y=2\n```\n|1|2|\n|-|-|\n|3|4|\n\n$x^2$ *d* `e` [f](https://e/) 🎉\n\n",
    ),
}
