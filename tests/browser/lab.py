"""A JupyterLab server on a free loopback port, with private folders and without a token."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # A test saves when it says so; an autosave in between would make two runs differ.
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},
}


class LabServer:
    """A running JupyterLab: `url` ends in a slash, `notebooks` is its root folder."""

    def __init__(self, port: int, notebooks: Path, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.notebooks = notebooks
        self.log = log

    def get_json(self, path: str) -> object:
        with _opener().open(self.url + path, timeout=5) as reply:
            return json.load(reply)

    def wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.get_json("api/status")
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text(encoding='utf-8')}")


@contextmanager
def lab_server(folder: Path, environment: Mapping[str, str]) -> Iterator[LabServer]:
    """Start JupyterLab with all it writes below `folder`; stop it, and its kernels, at the end."""
    notebooks, log, port = folder / "notebooks", folder / "lab.log", _free_port()
    notebooks.mkdir(parents=True)
    settings = _write_settings(folder / "settings")
    options = [
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={notebooks}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",  # the same server serves Notebook 7
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--LabServerApp.user_settings_dir={settings}",
        f"--LabServerApp.workspaces_dir={folder / 'workspaces'}",
        "--KernelSpecManager.ensure_native_kernel=False",
    ]
    command = [sys.executable, "-m", "jupyter", "lab", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        server = LabServer(port, notebooks, log)
        try:
            server.wait_until_up(process)
            yield server
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server by its own way out, which ends its kernels too."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_settings(folder: Path) -> Path:
    for name, content in SETTINGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _opener() -> urllib.request.OpenerDirector:
    """Without the proxies of the environment: the server is on this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
