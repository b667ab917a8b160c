"""Where the headless Chromium is, and how a machine without one gets it.

`python tests/browser/chromium.py` installs one when none is there: from the system's package manager where
that is allowed, else Playwright's own build.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import system_packages

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
    return system_packages.install("chromium", "fonts-liberation") and shutil.which("chromium") is not None


def _install_from_playwright() -> bool:
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    return system_packages.succeeds(playwright) and find() is not None


if __name__ == "__main__":
    if find() is None:
        install()
