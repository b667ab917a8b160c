"""Answers that the simulated relay is told to give, and how to read them off the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from browser.notebook import Notebook

#: Where an answer's text stands, live and final.
BODY = ".hs-body"
WIDGET = "application/vnd.jupyter.widget-view+json"

#: Plain words, each once, so that a lost or doubled one shows; the paragraphs let blocks settle.
WORDS = "\n\n".join(" ".join(f"word{n}" for n in range(start, start + 15)) for start in range(0, 300, 15))

#: Everything the dialect knows but mathematics, which only the final picture can typeset.
MARKDOWN = """\
# A heading

A paragraph with *emphasis*, **strength**, `code`, ~~second thoughts~~, a [link](https://example.com/) and so
many words that it goes on in a second line and in a third one, wherever the edge of the page happens to be.

- a point
- another, with two below
  1. one
  2. two

> A quotation, with a line that is long enough to be broken somewhere, whatever the width of the window is.

```python
def greet(name: str) -> str:
    return f"hello {name}"  # a comment
```

| left | right |
|:-----|------:|
| 1    | 2     |
| 3    | 4     |

---

### A last heading

The last words."""


def asking(text: str, how: str = "") -> str:
    """A cell whose answer is exactly `text`; `how` adds to the relay's directive."""
    return f"%%holysheep gpt-4.1 --raw\n[simulate text {how}]\n{text}"


def spoken(text: str) -> str:
    """Words only: where lines break on the screen is not the answer's text."""
    return " ".join(text.split())


def receipt(notebook: Notebook, n: int) -> dict[str, object]:
    """The receipt in the saved metadata of a cell's first output."""
    return dict(notebook.outputs(n)[0].metadata.holysheep)
