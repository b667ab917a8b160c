"""A picture brings its own stylesheet, made short."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def stylesheet(name: str) -> str:
    """Return a stylesheet of this folder without comments and needless space."""
    css = Path(__file__).with_name(name).read_text(encoding="utf-8")
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"\s*([{};,>]|: )\s*", lambda found: found[1].strip(), re.sub(r"\s+", " ", css))
    return css.replace(";}", "}").strip()
