"""What every test shares: a private environment, and a simulated relay to talk to."""

from __future__ import annotations

import json
import math
import os
import signal
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from environment import private_environment
from published import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis_server import RedisServer
    from shell import Shell

    from hs_notebook.relay import EmbeddedRelay

TIME_LIMIT = pytest.StashKey[Any]()


def pytest_configure() -> None:
    """Hear interrupts, to which a shell makes deaf what is in the background; let a busy machine be slow."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "patient", hypothesis.settings.default, deadline=None, suppress_health_check=slow
    )
    hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests, and run them last: what is quick to fail comes first.

    Real sockets, processes and browsers on a shared machine are late at times: what fails is tried once more,
    and the report names it (R). What is wrong fails twice. What is drawn at random is tried once: another
    draw would hide what was found.
    """
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker("browser")
        if "publish" in getattr(item, "fixturenames", ()):
            item.add_marker("reliability")
        if item.get_closest_marker("flaky") is None:
            is_drawn = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
            item.add_marker(pytest.mark.flaky(reruns=0 if is_drawn else 1))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Remember the time limit of a test; the plug-in goes on from here."""
    item.stash[TIME_LIMIT] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bound what is tried once more, too: the plug-in sets its timer once for all tries."""
    if getattr(item, "execution_count", 1) > 1 and TIME_LIMIT in item.stash:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[TIME_LIMIT])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let several processes share the tests, and the browser's run alone."""
    from scheduling import ThenAlone

    return ThenAlone(config, log)


@pytest.fixture(scope="session", autouse=True)
def _stranger_to_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's key, settings, history or proxy, for this process and all that it starts."""
    before = dict(os.environ)
    private = private_environment(tmp_path_factory.mktemp("home"), before)
    os.environ.clear()
    os.environ.update(private)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def publish(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Say what was found, as a row of a table in docs/reliability.md: `publish("faults", fault=…)`."""

    def row(table: str, **columns: object) -> None:
        record_property(MARK + table, json.dumps({name.replace("_", " "): columns[name] for name in columns}))

    return row


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis on loopback that all tests share: each asks for a `.database()` of its own."""
    from redis_server import NONE_TO_BE_HAD, RedisServer, find

    if find() is None:
        pytest.skip(NONE_TO_BE_HAD)
    with RedisServer() as running:
        yield running


@pytest.fixture
def relay() -> Iterator[EmbeddedRelay]:
    """A simulated relay on loopback, fresh for this test: `.base_url`, `.stats`."""
    from hs_notebook.relay import EmbeddedRelay

    with EmbeddedRelay() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Iterator[EmbeddedRelay]:
    """A simulated relay that waits for nothing, behind a relay server: one for each file of tests."""
    from hs_notebook.relay import EmbeddedRelay, Simulation

    with EmbeddedRelay(Simulation(speed=math.inf)) as running:
        yield running


@pytest.fixture
def shell(relay: EmbeddedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """IPython's own shell with the extension loaded, on `relay`, in a folder and with a ledger of its own."""
    from shell import Shell, settings

    monkeypatch.chdir(tmp_path)
    for name, value in settings(relay.base_url).items():
        monkeypatch.setenv(name, value)
    running = Shell()
    running.magics.ledger = str(tmp_path / "ledger.db")
    yield running
    running.close()
