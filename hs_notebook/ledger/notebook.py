"""Which notebook, script or shell a call comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def notebook_name(environ: Mapping[str, str], namespace: Mapping[str, Any]) -> str:
    """Return where the user's code lives: the path of a notebook or script, else "IPython", else nothing.

    `namespace` is the user's own. VS Code comes first: a notebook that it opens on a Jupyter server gets a
    session name which is made up.
    """
    candidates = (
        namespace.get("__vsc_ipynb_file__"),
        environ.get("JPY_SESSION_NAME"),  # set by Jupyter's server since its version 2
        namespace.get("__file__"),
    )
    for name in candidates:
        if isinstance(name, str) and name.strip():
            return name
    return "IPython" if "get_ipython" in namespace else ""
