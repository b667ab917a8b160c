"""Answers from a file beside the notebook: which file, in which mode, for which cell."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hs_notebook.client import AsyncHolySheep
from hs_notebook.errors import UsageError
from hs_notebook.magics.purse import NO_NOTEBOOK
from hs_notebook.prices import full_path
from hs_notebook.replay import AnswerFile, Replay
from hs_notebook.settings import without_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from hs_notebook.answers import Answer
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.replay import Mode

_ENDING = "answers.jsonl"
_OFF = "off"
_MODES = {
    "off": "off: every question is asked (--cache records a cell)",
    "record": "record: what was asked before is answered from the file, all else is asked and kept",
    "replay": "replay: all is answered from the file, nothing is asked",
}


class Replays:
    """What `%config HolySheepMagics` says of replay, put to use."""

    def __init__(self, magics: HolySheepMagics) -> None:
        self._magics = magics
        self._files: dict[Path, AnswerFile] = {}

    @property
    def file(self) -> AnswerFile:
        """The file at hand: the one that is set, else the one beside the notebook."""
        named = self._magics.replay_file
        path = full_path(named) if named else usual_file(self._magics.purse.notebook)
        return self._files.setdefault(path, AnswerFile(path))

    @property
    def used(self) -> int:
        """How many answers came from files in this session."""
        return sum(file.used for file in self._files.values())

    def mode(self, cache: bool | None) -> Mode | None:
        """Return the mode for a line with ``--cache``, ``--no-cache`` or neither; None is off.

        Raises `UsageError` where the line would have something asked that may not be.
        """
        mode: str = self._magics.replay
        if cache is False and mode == "replay":
            raise UsageError(
                "--no-cache would ask, and in the mode replay nothing is asked.",
                hint="Take it away, or set %config HolySheepMagics.replay = 'record'.",
            )
        if mode == _OFF:
            return "record" if cache else None
        return "replay" if mode == "replay" else "record"

    def replay(
        self,
        *,
        cache: bool | None = None,
        file: AnswerFile | None = None,
        accepts: Callable[[Answer], bool] = lambda _answer: True,
    ) -> Replay | None:
        """Return where a line's answers come from and are kept; None is nowhere. As `client`."""
        mode = self.mode(True if file is not None else cache)
        if mode is None:
            return None
        return Replay(self.file if file is None else file, mode, accepts=accepts, anew=cache is False)

    def client(
        self,
        base_url: str | None = None,
        *,
        cache: bool | None = None,
        file: AnswerFile | None = None,
        accepts: Callable[[Answer], bool] = lambda _answer: True,
    ) -> AsyncHolySheep:
        """Return the client for a line: it needs no key where nothing is asked.

        With a `file` answers are kept there, whatever the settings say. What `accepts` does not take is asked
        anew, and not kept.
        """
        replay = self.replay(cache=cache, file=file, accepts=accepts)
        if replay is None:
            return self._magics.client(base_url)
        if replay.mode == "record":
            return self._magics.client(base_url).replaying(replay)
        credentials = without_key(base_url or self._magics.relay)
        client = AsyncHolySheep(credentials=credentials, replay=replay, prices=self._magics.purse.book)
        return self._magics.purse.equip(client)


def usual_file(notebook: str) -> Path:
    """Return the file beside a notebook; without a name the one in the working folder.

    Tools that run notebooks do not tell their names: there the only file of answers is meant.
    """
    folder = Path.cwd()
    if notebook and notebook != NO_NOTEBOOK:
        place = folder / notebook
        beside = place.with_name(f"{place.stem}.{_ENDING}")
        return beside if beside.parent.is_dir() else folder / beside.name
    found = [] if (folder / _ENDING).exists() else sorted(folder.glob(f"*.{_ENDING}"))
    return found[0] if len(found) == 1 else folder / _ENDING


def show_replay(magics: HolySheepMagics) -> None:
    """Show where answers are kept, and how many."""
    replays = magics.replays
    file = replays.file
    path = os.path.relpath(file.path) if file.path.is_relative_to(Path.cwd()) else str(file.path)
    rows = {
        "mode": _MODES[magics.replay],
        "file": path if file.path.exists() else f"{path} (not there yet)",
        "answers": f"{len(file):,} kept, {replays.used:,} used in this session",
    }
    sys.stdout.write("".join(f"{name:<8} {value}\n" for name, value in rows.items()))
