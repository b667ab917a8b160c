"""Code out of fences, and text into fences that it cannot break."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hs_notebook.fences import Fence, fenced, fences, json_in, unfenced


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("no code", []),
        ("a\n```python\nx = 1\n```\nb", [Fence("x = 1\n", "python")]),
        ("```\na\n```\n~~~r\nb\n~~~", [Fence("a\n"), Fence("b\n", "r")]),
        ("```py\nnot closed", [Fence("not closed", "py", closed=False)]),
        ("````\n```\ninner\n```\n````", [Fence("```\ninner\n```\n")]),
        ("```\na\n`````\nafter", [Fence("a\n")]),
        ("1. So:\n\n   ```python\n   if x:\n       y\n   ```", [Fence("if x:\n    y\n", "python")]),
        ('```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n```', None),
        ("```a ` b\n", []),  # no fence: a backtick in its first line
        ("``\nx\n``", []),
        ("```\n```", [Fence("")]),
        ("``` python title=x\r\na\r\n```\r\n", [Fence("a\r\n", "python")]),
    ],
)
def test_found(markdown: str, found: list[Fence] | None) -> None:
    if found is None:
        found = [Fence(markdown.removeprefix("```python\n").removesuffix("```"), "python")]
    assert fences(markdown) == found


def test_a_megabyte_of_backticks_is_no_matter() -> None:
    start = time.process_time()
    assert unfenced("`" * 1_000_000) == ""
    assert time.process_time() - start < 0.5


@given(st.text(alphabet="`~ab \n", max_size=60))
def test_no_text_breaks_its_fence(text: str) -> None:
    shown = [token for token in MarkdownIt().parse(fenced(text, "text")) if token.type != "inline"]
    assert [token.type for token in shown] == ["fence"]
    assert shown[0].content.removesuffix("\n") == text.removesuffix("\n")
    assert fences(fenced(text, "text"))[0].code.removesuffix("\n") == text.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("```json\n{}\n```", "{}\n"),
        (" ```\n{}\n``` \n", "{}\n"),
        ("{}", "{}"),
        ("```\na\n```\nand\n```\nb\n```", "```\na\n```\nand\n```\nb\n```"),
        ("```{}```", "```{}```"),
    ],
)
def test_unfenced(text: str, inner: str) -> None:
    assert unfenced(text) == inner


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Here it is:\n\n```json\n{}\n```", "{}\n"),
        ("```JSON\n{}\n```\n\nHope this helps!", "{}\n"),
        ("So:\n```\n[1]\n```\nby\n```python\nx\n```", "[1]\n"),
        ("1. So:\n\n   ```json\n   {}\n   ```\n", "{}\n"),
        ("```yaml\n{}\n```", "{}\n"),
        ('{"a": "```json"}', None),
        ("Either\n```json\n{}\n```\nor\n```\n[]\n```", None),
        ("Here:\n```json\n{}", None),
        ("Here:\n```yaml\na: 1\n```", None),
        ("no JSON", None),
    ],
)
def test_json_beside_words(text: str, found: str | None) -> None:
    assert json_in(text) == (text if found is None else found)
