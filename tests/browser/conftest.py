"""One JupyterLab and one Chromium for all browser tests; a page of its own for each notebook."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from kernels import DEFAULT_KERNEL, JUPYTER_PATH, KERNEL_NAMES
from playwright.sync_api import sync_playwright

from browser import chromium
from browser.lab import lab_server
from browser.notebook import Notebook, write_notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser, BrowserContext

    from browser.lab import LabServer
    from hs_notebook.relay import EmbeddedRelay

    OpenNotebook = Callable[..., Notebook]


# Playwright's loop occupies the main thread while it lives, so it must be gone before tests elsewhere use
# asyncio: hence "package" and not "session".


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    environment = os.environ | {"JUPYTER_PATH": os.fspath(JUPYTER_PATH)}
    with lab_server(tmp_path_factory.mktemp("lab"), environment) as server:
        yield server


@pytest.fixture(scope="package")
def chromium_browser() -> Iterator[Browser]:
    executable = chromium.find()
    assert executable is not None, chromium.NONE_TO_BE_HAD
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def context(chromium_browser: Browser) -> Iterator[BrowserContext]:
    """One context, so that JupyterLab's 10 MB of scripts are fetched and compiled once."""
    context = chromium_browser.new_context(viewport={"width": 1200, "height": 1000})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def open_notebook(
    context: BrowserContext, lab: LabServer, request: pytest.FixtureRequest
) -> Iterator[OpenNotebook]:
    """`open_notebook(cells, kernel=…)` writes a notebook, opens it and waits for its kernel.

    Without `cells` it opens the file `name` as it is.
    """
    opened: list[Notebook] = []

    def open_one(
        cells: Sequence[str] | None,
        *,
        kernel: str = DEFAULT_KERNEL,
        name: str | None = None,
        with_kernel: bool = True,
    ) -> Notebook:
        name = name or f"{request.node.name}-{len(opened)}".translate(str.maketrans("[]. /", "-----"))
        if cells is not None:
            write_notebook(lab.notebooks / f"{name}.ipynb", cells, kernel)
        opened.append(Notebook(context, lab, f"{name}.ipynb"))
        return opened[-1].open(with_kernel=with_kernel)

    yield open_one
    for notebook in opened:
        notebook.close()


@pytest.fixture
def open_asking(open_notebook: OpenNotebook, relay: EmbeddedRelay) -> OpenNotebook:
    """`open_asking(cells, kernel=…)`: as `open_notebook`, after a cell 0 that has loaded the extension."""

    def open_one(cells: Sequence[str], **options: str) -> Notebook:
        notebook = open_notebook([loading_cell(relay.base_url), *cells], **options)
        notebook.run(0)
        assert notebook.text(0) == "", "loading the extension is silent"
        return notebook

    return open_one


def loading_cell(base_url: str) -> str:
    """The first cell of a user whose key and base URL are in the environment."""
    values = {"HOLYSHEEP_API_KEY": "cr_browser_test", "HOLYSHEEP_BASE_URL": base_url}
    return f"import os; os.environ |= {values}\n%load_ext hs_notebook"


@pytest.fixture(params=KERNEL_NAMES)
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of each kernelspec in turn."""
    return str(request.param)
