# ruff: noqa: E501, Q003 - what documents are made of stands close together
"""Documents that two readers of Markdown may read differently, from a seed; and the page's own reader."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = ROOT / "hs_notebook" / "frontend"

#: What stands at the start of a line, and nests.
_PREFIXES = [
    "> ",
    ">",
    "- ",
    "-",
    "* ",
    "+\t",
    "1. ",
    "2) ",
    "10. ",
    "  ",
    "    ",
    "\t",
    " \t",
    "   ",
    "      ",
    "-\t",
    "- - ",
    "> - ",
]
#: What a block stands in: the start of its first line, and of those that follow.
_NESTS = [("", ""), ("", ""), ("", ""), ("> ", "> "), ("> ", ""), ("- ", "  "), ("* ", "* "), ("1. ", "   "), ("2) ", "2) "), ("- > ", "  > "), ("> - ", ">   "), ("- 1. ", "     ")]  # fmt: skip
#: Lines that are blocks, or nearly.
_LINES = [
    "# a", "###### b ##", "#\tc", "#", "#a", "---", "***", "_ _ _", "===", "- - -", "--", "=", "```", "```py", "~~~", "~~~~ js x", "````", "``` a`b",
    "| a | b |", "|---|:-:|", "|:--|--:|", "| 1 | 2 |", "| 3", "a | b", "--|--", "-|-", "|-", "|", "| `a|b` | \\| |", "| $a|b$ | c |", ":-:", "| |",
    "[r]: /u", "[r]: <u v> 'title'", "\ufdd0", "```\ufdd1as-is", "\ufdd0```call", "[r]: https://r.example \"t", "[R]:", "[r]: https://a.example/\"x", "[ẞ]: https://s.example", "[r\\]]: https://b.example",
    "$$", "$$ a", "b $$", "\\[", "\\]", "\\[ c \\]", "$$ d $$", "$$$", "<div>", "</div>", "<!-- c", "-->", "<script>", "<?php", "<![CDATA[",
    "", "", "", " ", "\t", "   \t", "\u00a0", "\u2003", "\x0b", "\x0c", "\ufeff", "\u3000x", "\x00", "    code", "\tcode", "a  ", "a\\", "a\t ", "1.", "-", "+", "*", ">",
]  # fmt: skip
#: Parts of a line.
_PARTS = [
    "a", "b c", "é", "漢字", "🎉", "e\u0301", "\u200d", "*", "**", "***", "_", "__", "~~", "~", "~~~", "`", "``", "`c`", "`` ` ``", "$", "$$", "$5", "5$", "$x$", "US$", "\\$",
    "\\(", "\\)", "\\[", "\\]", "\\\\", "\\*", "\\`", "\\", "\\\n", "  \n", " \n", "\n", "\r\n", "\r", "[", "]", "![", "](", ")", "(", "[r]", "[r][]", "[a][r]", "![r]", "[ẞ]", "[SS]",
    "[a](u)", "[a](https://e.example)", "[a](<https://e.example/ x>)", "[a](https://e.example 't')", "[a](https://e.example \"t\\\"\")", "[a]( https://e.example\n't' )",
    "[a](https://e.example/(b)c)", "[a](https://e.example/%zz%41%)", "[a](https://é.example/ü?q=漢#x)", "[a](mailto:a@b.example)", "[a](HTTPS://E.EXAMPLE)", "[a](https:\\\\e)",
    "[a](https://e.example/\\)\\()", "[a](https://e.example/&amp;&lt;)", "[a](https://e.example/`)", "[a](https://e.example/\u00a0)", "[a](https://[::1]/)", "[a](java&#x0a;script:x)",
    "![a](https://i.example/x.png)", "![*a* `b`](https://i.example 't')", "<https://e.example>", "<https://e.example/é \">", "<a@b.example>", "<x:y>", "<https://e.example/[a]>", "<a+b:c*d*>",
    "https://e.example", "www.e.example", "&amp;", "&lt;b&gt;", "&copy", "&copy;", "&ngE;", "&#65;", "&#x41;", "&#0;", "&#xD800;", "&#x110000;", "&#99999999;", "&#x202e;", "&nbsp;", "&Tab;", "&NewLine;",
    "&AMP;", "&nosuch;", "&#;", "&#x;", "&ZeroWidthSpace;", "&#128;", "&#x9b;", "&#xFFFE;", "&quot;", "&num;", "&ast;x&ast;", "&lbrack;r&rsqb;", "&bsol;", "&#96;c&#96;", "&dollar;x&dollar;",
    "<b>", "</b>", "<b", "<b a=\"", "<!--", "<br/>", "<", ">", "\"", "'", "|", " | ", ":", "#", "-", "=", "+", ".", "!", " ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "\u2028", "\u2029", "\ufdd0", "\ufdd1",
    "\x85", "\x1b[2J", "\x00", "\u202e", "\ud800", "\udc00", "\ufeff", "\u00ad", "\u200b", "\x1f", "\x7f", "“", "…", "—", "٣", "²", "½", "Ⅷ", "İ", "ß", "ﬀ", "\\href{x}{y}", "\\def\\a{b}", "x^2", "\\frac{a}{b}", "\\text{\\$}",
]  # fmt: skip


def document(random: Random) -> list[str]:
    """A document in its parts, of which any may be left out."""
    parts: list[str] = []
    for _ in range(random.randint(1, 4)):
        first, rest = random.choice(_NESTS)
        for number in range(random.randint(1, random.choice([3, 3, 12]))):
            if random.random() < 0.9:
                parts.append(rest if number else first)
            parts += random.choices(_PREFIXES, k=max(0, random.randint(-5, 2)))
            parts += _line(random)
    return parts


def _line(random: Random) -> list[str]:
    block = random.random() < 0.5
    inside = [random.choice(_LINES)] if block else random.choices(_PARTS, k=random.randint(1, 7))
    return [*inside, "\n" if random.random() < 0.9 else random.choice(["\n\n", "\r\n", "\r", ""])]


def cut(text: str, random: Random) -> list[str]:
    """`text` in pieces as a relay might send them: cut anywhere."""
    longest = random.choice([1, 2, 5, 20, 200])
    pieces = []
    while text:
        size = random.randint(1, longest)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def rendered_by_the_page(documents: Iterable[Sequence[str]]) -> list[dict[str, Any]]:
    """What the live view makes of each document, in one Node process: `html`, `whole` and `grown`."""
    done = subprocess.run(
        ["node", "dialects.mjs"],
        cwd=FRONTEND,
        env=os.environ | {"PATH": os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]])},
        input="".join(json.dumps(pieces) + "\n" for pieces in documents),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
