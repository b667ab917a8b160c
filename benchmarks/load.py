"""What loading costs: time, modules, packages.

    python benchmarks/load.py [--rounds 5] [--check]

Each is loaded into an IPython shell of a fresh process, in turn; the shell itself is left out of the figures,
which are medians. Packages and MB are what a fresh environment gets by its installation, with all that it
needs. A peer that is not installed has no figures. `--check` fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple


class Loading(NamedTuple):
    """A line for the shell, and the package that brings it."""

    line: str
    package: str


MINE, WIDGETS = "hs_notebook", "ipywidgets"
LOADINGS = {
    WIDGETS: Loading("import ipywidgets", "ipywidgets"),
    MINE: Loading("%load_ext hs_notebook", "hs-notebook"),
    "openai": Loading("import openai", "openai"),
    "chatlas": Loading("import chatlas", "chatlas"),
    "litellm": Loading("import litellm", "litellm"),
    "jupyter-ai 2": Loading("%load_ext jupyter_ai_magics", "jupyter-ai-magics"),
    "jupyter-ai 3": Loading("%load_ext jupyter_ai_magic_commands", "jupyter-ai-magic-commands"),
}
OVER_WIDGETS = 0.1  # CPU s, at most
JUPYTER_AI = 15.0  # times our CPU, at least


# --- in a fresh process --------------------------------------------------------------------------


def measure(name: str) -> dict[str, float]:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_cell("1", store_history=False)
    modules, cpu, wall = len(sys.modules), time.process_time(), time.perf_counter()
    result = shell.run_cell(LOADINGS[name].line, store_history=False)
    figures = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "modules": len(sys.modules) - modules,
    }
    result.raise_error()
    return figures


# --- measuring -----------------------------------------------------------------------------------


def measured(name: str, home: Path) -> dict[str, float]:
    # Else the import of litellm asks the network.
    environment = os.environ | {"HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, __file__, "--measure", name]
    result = subprocess.run(
        command, check=True, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def rounds(names: list[str], count: int) -> dict[str, dict[str, float]]:
    """Measure everyone `count` times in turn, after once for nothing: bytecode is written then."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as home:
        for number in range(count + 1):
            for name in names:
                figures = measured(name, Path(home))
                if number:
                    runs[name].append(figures)
    return {
        name: {figure: statistics.median(run[figure] for run in of_one) for figure in of_one[0]}
        for name, of_one in runs.items()
    }


def found(package: str) -> Distribution | None:
    try:
        return distribution(package)
    except PackageNotFoundError:
        return None


def installed(package: str) -> dict[str, Distribution]:
    """Return what the installation of a package brings, by its canonical name."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    brought: dict[str, Distribution] = {}
    wanted = [Requirement(package)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        one = wanted.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen or (it := found(name)) is None:
            continue
        seen.add((name, extras))
        brought[name] = it
        for needed in map(Requirement, it.requires or ()):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                wanted.append(needed)
    return brought


def size(brought: dict[str, Distribution]) -> float:
    """Return their MB on the disk, without bytecode; of an editable package its own folder's."""
    total = 0
    for one in brought.values():
        files = [Path(str(file.locate())) for file in one.files or () if file.suffix != ".pyc"]
        if one.metadata["Name"] == "hs-notebook":
            import hs_notebook

            folder = Path(hs_notebook.__file__).parent
            files = [*folder.rglob("*.py"), *(folder / "static").rglob("*"), *folder.rglob("*.toml")]
        total += sum(file.stat().st_size for file in files if file.is_file())
    return total / 1e6


def table(figures: dict[str, dict[str, float]]) -> str:
    lines = [
        "| loading | CPU s | times hs_notebook | wall s | modules | packages | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, loading in LOADINGS.items():
        if name not in figures:
            lines.append(f"| `{loading.line}` | not installed | | | | | |")
            continue
        f, brought = figures[name], installed(loading.package)
        times = f["cpu"] / figures[MINE]["cpu"]
        shown = f"{f['cpu']:.2f} | {times:.1f} | {f['wall']:.2f} | {f['modules']:.0f}"
        version = brought[loading.package].version if name != MINE else "here"
        lines.append(f"| `{loading.line}` ({version}) | {shown} | {len(brought)} | {size(brought):.0f} |")
    return "\n".join(lines)


def missed(figures: dict[str, dict[str, float]]) -> list[str]:
    """Say for each goal that is missed by how much."""
    mine = figures[MINE]["cpu"]
    over = mine - figures[WIDGETS]["cpu"]
    faults = (
        [f"- {over:.2f} s of CPU over ipywidgets alone, goal {OVER_WIDGETS}"] if over > OVER_WIDGETS else []
    )
    for name in ("jupyter-ai 2", "jupyter-ai 3"):
        if name not in figures:
            faults.append(f"- {name} is not here to be compared with")
        elif figures[name]["cpu"] < JUPYTER_AI * mine:
            faults.append(f"- {name} costs {figures[name]['cpu'] / mine:.1f} times ours, goal {JUPYTER_AI:g}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    figures = rounds([name for name, one in LOADINGS.items() if found(one.package)], options.rounds)
    print(table(figures))
    faults = missed(figures)
    print("", *faults, sep="\n")
    return bool(options.check and faults)


if __name__ == "__main__":
    sys.exit(main())
