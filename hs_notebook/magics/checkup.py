"""``%holysheep doctor``: what a notebook adds to the checks of `hs_notebook.doctor`."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from hs_notebook.magics.parser import Parser, read_words
from hs_notebook.prompt import somebody_is_there
from hs_notebook.settings import DEFAULT_BASE_URL, named_base_url, normal_base_url

if TYPE_CHECKING:
    from hs_notebook.display.table import Table
    from hs_notebook.doctor import Finding
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.net.transport import Auth

# What front ends leave in the environment of their kernels.
_MARKS = {"COLAB_RELEASE_TAG": "Colab", "VSCODE_PID": "VS Code", "JPY_SESSION_NAME": "Jupyter"}


def doctor(magics: HolySheepMagics, words: list[str]) -> Table:
    """Look at everything that an answer needs, without a billed call."""
    from hs_notebook.doctor import Case, examine, named_by_environment, table

    parser = Parser(
        prog="%holysheep doctor",
        usage="%%holysheep doctor [MODEL]",
        description="What works and what does not, and the one thing to do next. Nothing is billed.",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="look for this one; else the default model")
    model = read_words(parser, words).model or magics.model
    relay = magics.relay
    case = Case(
        credentials=lambda: magics.session.credentials(relay, ask=False, named_by=magics.relay_named_by),
        base_url=normal_base_url(relay or named_base_url() or DEFAULT_BASE_URL),
        named_by=(magics.relay_named_by or "%config") if relay else named_by_environment(),
        model=model,
        book=lambda: magics.purse.book,
        ledger=magics.purse.ledger,
        auth=cast("Auth", magics.auth),
        more=[_front_end(magics), _files(magics)],
    )
    return table(examine(case))


def _files(magics: HolySheepMagics) -> Finding:
    from hs_notebook.doctor import Finding

    files = [f"{', '.join(names)} from {file}" for file, names in magics.settings_files().items()]
    return Finding("ok", "settings", "; ".join(files) or "no file sets any")


def _front_end(magics: HolySheepMagics) -> Finding:
    """Return what shows the answers, and what it can do."""
    from hs_notebook.doctor import Finding

    if not hasattr(magics.shell, "kernel"):
        return Finding("ok", "front end", "IPython without a kernel: answers are plain text")
    views = magics.views
    words = [
        f"{_name()}, display {magics.display}",
        f"Stop by {'the control channel' if views.has_control else 'the widget or the interrupt'}",
        "can ask for a key" if somebody_is_there() else "cannot ask for a key",
        f"{'a' if views.heard else 'no'} page has shown a live answer{'' if views.heard else ' yet'}",
    ]
    return Finding("ok", "front end", "; ".join(words))


def _name() -> str:
    name = next((name for mark, name in _MARKS.items() if os.environ.get(mark)), "a Jupyter kernel")
    with suppress(importlib.metadata.PackageNotFoundError):
        return f"{name} (ipykernel {importlib.metadata.version('ipykernel')})"
    return name
