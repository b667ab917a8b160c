"""Where the headless Chromium is, and how a machine without one gets it.

`python tests/browser/chromium.py` installs one when none is there: from the system's package manager where
that is allowed, else Playwright's own build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NONE_TO_BE_HAD = (
    "No Chromium was found, and neither the system's package manager nor Playwright could install one. "
    "Install Chromium or Chrome, or name one in HS_TEST_CHROMIUM."
)
#: Without these Chromium looks up its maker's hosts, and needs a sandbox that root does not have.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
)


def find() -> Path | None:
    """The browser to use: the one named by HS_TEST_CHROMIUM, the system's, or Playwright's own."""
    candidates = [os.environ.get("HS_TEST_CHROMIUM"), *map(shutil.which, NAMES), _playwrights_own()]
    return next((Path(name) for name in candidates if name and Path(name).exists()), None)


def _playwrights_own() -> str:
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def install() -> None:
    if not (_install_from_system() or _install_from_playwright()):
        sys.exit(NONE_TO_BE_HAD)


def _install_from_system() -> bool:
    if shutil.which("apt-get") is None:
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and shutil.which("sudo") is None:
        return False
    steps = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-liberation"],
    )
    return all(_succeeds([*sudo, *step]) for step in steps) and shutil.which("chromium") is not None


def _install_from_playwright() -> bool:
    return _succeeds([sys.executable, "-m", "playwright", "install", "chromium"]) and find() is not None


def _succeeds(command: list[str]) -> bool:
    print("Installing a headless browser:", " ".join(command), file=sys.stderr)  # noqa: T201
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=os.environ | quiet, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False, timeout=900
    )
    return done.returncode == 0


if __name__ == "__main__":
    if find() is None:
        install()
