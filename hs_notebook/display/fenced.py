"""An answer that is no Markdown, on a screen that shows Markdown: what arrives stands in a fence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hs_notebook.answers import Answer
    from hs_notebook.display import Display, Stop

_MARKS = "`" * 40  # while text arrives nobody knows its longest run of backticks


class Fenced:
    """Puts each round of an answer into a fence; what is shown between two rounds stays Markdown."""

    def __init__(self, display: Display, language: str) -> None:
        self._display = display
        self._language = language
        self._reading = self._open = False

    def begin(self, stop: Stop) -> None:
        self._display.begin(stop)

    def sending(self) -> None:
        self._reading = True
        self._display.sending()

    def notice(self, text: str) -> None:
        self._display.notice(text)

    def text(self, new: str) -> None:
        if self._reading and not self._open:
            self._open = True
            new = f"{_MARKS}{self._language}\n{new}"
        self._display.text(new)

    def done(self) -> None:
        if self._open:
            self._display.text(f"\n{_MARKS}\n")
        self._reading = self._open = False
        self._display.done()

    def finish(self, answer: Answer) -> None:
        self._display.finish(answer)

    def fail(self, error: BaseException) -> None:
        self._display.fail(error)
