"""Installing what tests need from the system's package manager, where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def install(*packages: str) -> bool:
    """Install Debian packages; tell whether that went well."""
    if shutil.which("apt-get") is None:
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and shutil.which("sudo") is None:
        return False
    steps = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    )
    return all(succeeds([*sudo, *step]) for step in steps)


def succeeds(command: list[str]) -> bool:
    """Run a command that installs something, and tell whether that went well."""
    print("Installing for the tests:", " ".join(command), file=sys.stderr)  # noqa: T201
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=os.environ | quiet, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False, timeout=900
    )
    return done.returncode == 0
