"""The kernels the tests run on, each ipykernel a kernelspec of its own.

A click reaches a busy kernel by different ways on ipykernel 6, 7.0 to 7.3 and 7.4, and one kernel alone would
hide the difference. Each version lies in a folder of its own that holds nothing else, put before the
environment's packages, whose ipykernel it hides. `python tests/kernels.py` installs what is missing and
checks all of it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".kernels"
#: What JUPYTER_PATH must hold for Jupyter to find the kernelspecs.
JUPYTER_PATH = HOME / "share" / "jupyter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One ipykernel: its version and the SHA-256 of its wheel."""

    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The kernelspec's name, such as `ipykernel-6.31`."""
        return f"ipykernel-{self.version.rpartition('.')[0]}"

    @property
    def packages(self) -> Path:
        return HOME / f"ipykernel-{self.version}"


KERNELS = (
    Kernel(version="6.31.0", sha256="abe5386f6ced727a70e0eb0cf1da801fa7c5fa6ff82147747d5a0406cd8c94af"),
    Kernel(version="7.3.0", sha256="897eb64da762549ef610698fca5e9675195ec6ac8ec7f19d81ce1ca20c876057"),
    Kernel(version="7.4.0", sha256="a6757f790ddc5a6006b813d82da1a9dbb65b3a00f2b6607df776418c6566ec1c"),
)
KERNEL_NAMES = tuple(kernel.name for kernel in KERNELS)
DEFAULT_KERNEL = KERNEL_NAMES[-1]


def install(kernel: Kernel) -> None:
    """Put this ipykernel alone into its folder; the environment's lock supplies what it needs."""
    if kernel.packages.exists() and _installed_version(kernel) == kernel.version:
        return
    shutil.rmtree(kernel.packages, ignore_errors=True)
    uv = Path(sys.executable).with_name("uv")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--python", sys.executable]
    subprocess.run(
        [uv, "pip", "install", "--quiet", *options, "--target", kernel.packages, "--requirement", "-"],
        input=f"ipykernel=={kernel.version} --hash=sha256:{kernel.sha256}\n",
        text=True,
        check=True,
    )


def write_spec(kernel: Kernel) -> None:
    """Write the kernelspec; it holds absolute paths, hence is made on each machine."""
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": kernel.name,
        "language": "python",
        "env": {"PYTHONPATH": os.fspath(kernel.packages)},
        "interrupt_mode": "signal",
        "metadata": {"debugger": False},
    }
    folder = JUPYTER_PATH / "kernels" / kernel.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")


def unmet_requirements(kernel: Kernel) -> list[str]:
    """What this ipykernel asks for and the environment does not hold."""
    lines = _distribution(kernel).requires or []
    return [str(req) for req in map(Requirement, lines) if _applies(req) and not _is_met(req)]


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _is_met(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _distribution(kernel: Kernel) -> importlib.metadata.Distribution:
    return next(importlib.metadata.distributions(name="ipykernel", path=[os.fspath(kernel.packages)]))


def _installed_version(kernel: Kernel) -> str:
    try:
        return _distribution(kernel).version
    except StopIteration:
        return ""


def main() -> None:
    for kernel in KERNELS:
        install(kernel)
        write_spec(kernel)
        if unmet := unmet_requirements(kernel):
            sys.exit(f"{kernel.name} needs {', '.join(unmet)}: add it to the dev group in pyproject.toml")


if __name__ == "__main__":
    main()
