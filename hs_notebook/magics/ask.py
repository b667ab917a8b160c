"""What a cell asks, as its line says: one model or several, waiting or not, or not at all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.magics.cell import in_background, in_cell, read
from hs_notebook.magics.compare import compare, compare_in_background, refuse_chat
from hs_notebook.magics.dry_run import dry_run

if TYPE_CHECKING:
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options


def ask(magics: HolySheepMagics, options: Options, cell: str) -> Any:
    """Ask what a cell says, and return the answer, or what stands for it."""
    models = options.models or [magics.model]
    if len(models) > 1:
        refuse_chat(magics, options)
    question = read(magics, options, cell)
    if options.dry_run:
        for model in models:
            sys.stdout.write(dry_run(magics, question.request(model), options))
        return None
    if len(models) > 1:
        return (compare_in_background if options.bg else compare)(question, models)
    if options.bg:
        return in_background(question, models[0])
    return in_cell(question, models[0])
