"""What a cell asks, as its line says: one model or several, waiting or not, or not at all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.interpolation import interpolate
from hs_notebook.magics.cell import in_background, in_cell, read
from hs_notebook.magics.compare import compare, compare_in_background, refuse_chat
from hs_notebook.magics.dry_run import dry_run
from hs_notebook.settings import KEY_SHAPED

if TYPE_CHECKING:
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options


_IN_CELL = "This cell holds something that looks like a key. It would stay in the notebook and its history"
_IN_VALUE = "What is sent holds something that looks like a key. The relay would read it"


def warn_of_key(typed: str) -> None:
    """Say that a cell holds what looks like a key, where it does."""
    if KEY_SHAPED.search(typed):
        _warn(_IN_CELL)


def _warn_of_values(content: str | list[dict[str, Any]], typed: str) -> None:
    """Say the same of what variables, a traceback or the like have put into the question."""
    parts = [content] if isinstance(content, str) else [str(part.get("text", "")) for part in content]
    if set(KEY_SHAPED.findall("\n".join(parts))) - set(KEY_SHAPED.findall(typed)):
        _warn(_IN_VALUE)


def _warn(of_what: str) -> None:
    sys.stderr.write(f"{of_what}: take it out, and renew the key if it is one.\n")


def _tell_apart(magics: HolySheepMagics, options: Options) -> None:
    """Let what stands behind `--chat` be a model, where one is known by that name.

    Raises `UsageError` where nobody knows it: the answer of another model would be paid.
    """
    word = str(options.chat)
    if " " in word or any(talk.name == word for talk in magics.conversations):
        return
    known = {magics.model, *(model.id for model in magics.session.offered)}
    if all(name in known or name in magics.purse.book for name in word.split(",")):
        options.chat, options.model = "", word
        return
    raise UsageError(
        f"{word} may be the name of a conversation or of a model.",
        hint=f"Write --chat={word} for the conversation; a model goes first: {word} --chat.",
    )


def ask(magics: HolySheepMagics, options: Options, cell: str, *, typed: str = "") -> Any:
    """Ask what a cell says, and return the answer, or what stands for it.

    What looks like a key is warned of, unless it is in `typed` and was warned of already.
    """
    if options.model and "{" in options.model:
        options.model = interpolate(options.model, magics.own_names())
    if options.chat_or_model:
        _tell_apart(magics, options)
    models = options.models or [magics.model]
    if len(models) > 1:
        refuse_chat(magics, options)
    question = read(magics, options, cell)
    _warn_of_values(question.content, typed)
    if options.dry_run:
        for model in models:
            sys.stdout.write(dry_run(magics, question.request(model), options, question.form.keeps))
        return None
    if len(models) > 1:
        return (compare_in_background if options.bg else compare)(question, models)
    if options.bg:
        return in_background(question, models[0])
    return in_cell(question, models[0])
