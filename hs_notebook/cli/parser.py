"""The parser of the command line: it says in one line what is wrong, and what was perhaps meant."""

from __future__ import annotations

import argparse
import difflib
import itertools
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from hs_notebook.settings import without_keys

if TYPE_CHECKING:
    from collections.abc import Iterable


class Parser(argparse.ArgumentParser):
    """As `argparse` has it. What it reads has itself as `parser`: that of the command, where there is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)  # half a word must not begin what costs money
        self.set_defaults(parser=self)
        self._words: list[str] = []

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._words, namespace)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        # It may quote what was typed in a wrong place.
        super().exit(status, message and without_keys(message))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. {self.prog} --help shows how.\n")

    def refuse(self, word: str, there_are: Iterable[str] = ()) -> NoReturn:
        """End, as there is no such word: only those that `there_are`, by default the options."""
        name = word.partition("=")[0]
        if near := difflib.get_close_matches(name, there_are or self._option_string_actions, 1):
            self.exit(2, f"There is no {name} here; did you mean {near[0]}?\n")
        self.exit(2, f"There is no {name} here. {self.prog} --help shows what there is.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.nargs != argparse.PARSER or value in (action.choices or ()):
            super()._check_value(action, value)
            return
        for word, following in itertools.pairwise(self._words):
            option = word.partition("=")[0]
            if following == value and option.startswith("--") and option not in self._option_string_actions:
                self.refuse(word)  # to which the value belongs: it is no command
        self.refuse(value, action.choices or ())
