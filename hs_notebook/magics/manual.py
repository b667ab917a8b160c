"""The manual: what ``%%holysheep?`` and ``%holysheep?`` show."""

from __future__ import annotations

import re

from hs_notebook.magics.commands import HELP
from hs_notebook.magics.parser import parser

_EXAMPLES = """\
Ask language models through the HolySheep relay. Three examples:

    %%holysheep gpt-4.1
    Explain server-sent events in three sentences.

    %%holysheep claude-sonnet-4.5 --chat --max-cost 0.05
    What stands out in these figures? {df}

    x = %holysheep ask deepseek-v3.2 "Name three rivers." -f json
"""


def purposes() -> dict[str, str]:
    """Return the commands, and in a few words what each is for."""
    found = re.findall(r"^%holysheep \[?(\w+)\]?(?: [A-Z]+ \S+)? {2,}([^;(:\n]*)", HELP, re.MULTILINE)
    return {name: purpose.strip() for name, purpose in found}


def manual() -> str:
    """Return the whole manual: three examples, the options of a cell, and the commands."""
    return f"{_EXAMPLES}\n{parser().format_help()}\nCommands:\n\n{HELP}"
