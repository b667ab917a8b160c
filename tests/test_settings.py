"""Where the key comes from, where it may go, and that it is never seen."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import keyring
import keyring.backend
import keyring.errors
import msgspec
import pytest

from hs_notebook import AsyncHolySheep, HolySheep
from hs_notebook.connections import is_loopback
from hs_notebook.errors import ConfigurationError, HolySheepError, MissingKeyError
from hs_notebook.secret import Secret
from hs_notebook.settings import (
    DEFAULT_BASE_URL,
    Credentials,
    find_credentials,
    given_credentials,
    normal_base_url,
    origin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "cr_canary_8f3a77d1c04b"
OTHER = "https://other.example/v1"
LOCAL = "http://127.0.0.1:8123/v1"


class Keyring(keyring.backend.KeyringBackend):
    """A keyring in memory; one that is locked raises."""

    priority = 1  # type: ignore[assignment]  # a property there

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def kept() -> Iterator[Keyring]:
    """The system's keyring, for the time of a test one of our own."""
    before, backend = keyring.get_keyring(), Keyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Credentials]:
    """`find_credentials` in an empty folder and an empty environment; `dotenv` is a file's text."""

    def find(
        wanted: str | None = None, *, dotenv: str = "", prompt: Any = None, **environ: str
    ) -> Credentials:
        if dotenv:
            (tmp_path / ".env").write_text(dotenv, "utf-8")
        folder = tmp_path / "deep" / "folder"
        folder.mkdir(parents=True, exist_ok=True)
        named = {f"HOLYSHEEP_{name.upper()}": value for name, value in environ.items()}
        return find_credentials(wanted, environ=named, folder=folder, prompt=prompt)

    return find


# --- base URLs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.holysheep.ai/v1", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/v1/", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/v1/chat/completions", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/v1/chat/completions/", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/v1/models", DEFAULT_BASE_URL),
        ("https://api.holysheep.ai/chat/completions", DEFAULT_BASE_URL),
        ("  https://api.holysheep.ai/v1\n", DEFAULT_BASE_URL),
        ("api.holysheep.ai", DEFAULT_BASE_URL),
        ("HTTPS://api.holysheep.ai/v1", DEFAULT_BASE_URL),
        ("https://host.example:8443", "https://host.example:8443/v1"),
        ("https://host.example/proxy/openai", "https://host.example/proxy/openai"),
        ("localhost:8000", "http://localhost:8000/v1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/", "http://[::1]:8000/v1"),
        ("https://bücher.example", "https://bücher.example/v1"),
    ],
)
def test_base_url_is_forgiven(given: str, used: str) -> None:
    assert normal_base_url(given) == used
    assert normal_base_url(used) == used


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "no base URL"),
        ("https://", "no base URL"),
        ("https:///v1", "no base URL"),
        ("ftp://host.example", "no base URL"),
        ("file:///etc/passwd", "no base URL"),
        ("https://host.example:99999", "no base URL"),
        ("https://host.example:port", "no base URL"),
        ("https://[::1", "no base URL"),
        ("https://ho st.example", "no base URL"),
        ("https://host\\@evil.example", "holds no user"),
        ("https://host.example?key=x", "holds no user"),
        ("https://host.example/#x", "holds no user"),
        ("http://host.example/v1", "unprotected"),
        ("http://192.168.0.1/v1", "unprotected"),
        ("http://127.0.0.1.evil.example", "unprotected"),
        ("http://localhost.evil.example", "unprotected"),
    ],
)
def test_base_url_is_refused(given: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        normal_base_url(given)


def test_a_password_in_a_base_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        normal_base_url(f"https://me:{CANARY}@host.example/v1")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/v1", "https://a.example:443/x", True),
        ("https://A.example/v1", "https://a.example/v1", True),
        ("http://localhost/v1", "http://localhost:80/v1", True),
        ("https://a.example/v1", "https://a.example:8443/v1", False),
        ("https://a.example/v1", "http://a.example/v1", False),
        ("https://a.example/v1", "https://b.a.example/v1", False),
    ],
)
def test_origin(one: str, other: str, *, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://127.9.9.9/", "http://[::1]/"])
def test_loopback(url: str) -> None:
    assert is_loopback(url)


# --- precedence ----------------------------------------------------------------------------------

DOTENV = f"HOLYSHEEP_API_KEY={CANARY}\n"


def test_environment_goes_before_all(find: Callable[..., Credentials], kept: Keyring) -> None:
    kept.set_password("hs_notebook", DEFAULT_BASE_URL, "cr_keyring")
    found = find(api_key="cr_environment", dotenv=DOTENV, prompt=lambda _: "cr_typed")
    assert found.key.reveal() == "cr_environment"
    assert (found.base_url, found.source) == (DEFAULT_BASE_URL, "the environment variable HOLYSHEEP_API_KEY")


def test_then_the_file(find: Callable[..., Credentials], kept: Keyring, tmp_path: Path) -> None:
    kept.set_password("hs_notebook", DEFAULT_BASE_URL, "cr_keyring")
    found = find(dotenv=DOTENV, prompt=lambda _: "cr_typed")
    assert (found.key.reveal(), found.source) == (CANARY, f"the file {tmp_path / '.env'}")


def test_then_the_keyring(find: Callable[..., Credentials], kept: Keyring) -> None:
    kept.set_password("hs_notebook", DEFAULT_BASE_URL, "cr_keyring")
    found = find(prompt=lambda _: "cr_typed")
    assert (found.key.reveal(), found.source) == ("cr_keyring", "the system keyring")


def test_then_the_prompt(find: Callable[..., Credentials], kept: Keyring) -> None:
    kept.locked = True
    asked: list[str] = []
    found = find(prompt=lambda text: asked.append(text) or " cr_typed\n")
    assert (found.key.reveal(), found.source) == ("cr_typed", "the prompt")
    assert DEFAULT_BASE_URL in asked[0]


@pytest.mark.parametrize("typed", ["", "  \n"])
def test_nothing_anywhere(find: Callable[..., Credentials], typed: str) -> None:
    with pytest.raises(
        MissingKeyError, match=r"No key for https://api\.holysheep\.ai/v1\. Set HOLYSHEEP_API_KEY"
    ):
        find(prompt=lambda _: typed)


def test_an_empty_variable_is_none(find: Callable[..., Credentials]) -> None:
    assert find(api_key="  ", dotenv=DOTENV).key.reveal() == CANARY


def test_the_nearest_file_counts(find: Callable[..., Credentials], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".env").write_text("HOLYSHEEP_API_KEY=cr_nearer\n")
    assert find(dotenv=DOTENV).key.reveal() == "cr_nearer"


def test_a_file_is_taken_literally(find: Callable[..., Credentials]) -> None:
    assert (
        find(dotenv="export HOLYSHEEP_API_KEY='cr_${HOME}$(id)' # mine\n").key.reveal() == "cr_${HOME}$(id)"
    )


def test_a_file_that_is_no_text(find: Callable[..., Credentials], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HOLYSHEEP_API_KEY=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read"):
        find()


@pytest.mark.parametrize("environ", [{}, {"base_url": LOCAL}])
@pytest.mark.parametrize(
    "broken", ["HOLYSHEEP_API_KEY=cr_é\n", "HOLYSHEEP_API_KEY=cr_x\nHOLYSHEEP_BASE_URL=a b\n"]
)
def test_a_broken_file_is_nothing_to_a_good_environment(
    find: Callable[..., Credentials], environ: dict[str, str], broken: str
) -> None:
    assert find(api_key=CANARY, dotenv=broken, **environ).key.reveal() == CANARY
    with pytest.raises(ConfigurationError):
        find(dotenv=broken)
    with pytest.raises(ConfigurationError):  # here the environment's key does not serve
        find(OTHER, api_key=CANARY, dotenv=broken)


def test_nor_is_one_that_is_no_text_where_the_environment_says_all(
    find: Callable[..., Credentials], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    assert find(api_key=CANARY, base_url=LOCAL).base_url == LOCAL


def test_base_url_of_the_environment(find: Callable[..., Credentials]) -> None:
    assert find(api_key="cr_local", base_url="127.0.0.1:8123").base_url == LOCAL


# --- bound to its origin -------------------------------------------------------------------------


def test_a_file_must_not_lead_a_key_away(find: Callable[..., Credentials]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"names the base URL https://other\.example/v1, but the key from"
    ):
        find(api_key=CANARY, dotenv=f"HOLYSHEEP_BASE_URL={OTHER}\n")


def test_a_file_with_a_key_of_its_own_leads_nothing_away(find: Callable[..., Credentials]) -> None:
    found = find(api_key=CANARY, dotenv=f"HOLYSHEEP_BASE_URL={OTHER}\nHOLYSHEEP_API_KEY=cr_other\n")
    assert (found.key.reveal(), found.base_url) == (CANARY, DEFAULT_BASE_URL)


@pytest.mark.parametrize("empty", ["", "''", "'  '"])
def test_an_empty_key_in_the_file_changes_nothing(find: Callable[..., Credentials], empty: str) -> None:
    try:
        found = find(api_key=CANARY, dotenv=f"HOLYSHEEP_BASE_URL={OTHER}\nHOLYSHEEP_API_KEY={empty}\n")
    except ConfigurationError:
        return
    assert found.base_url == DEFAULT_BASE_URL


def test_a_file_may_name_another_path_of_the_same_origin(find: Callable[..., Credentials]) -> None:
    assert (
        find(api_key=CANARY, dotenv="HOLYSHEEP_BASE_URL=https://api.holysheep.ai/v1/\n").key.reveal()
        == CANARY
    )


def test_each_origin_its_own_key(find: Callable[..., Credentials]) -> None:
    dotenv = f"HOLYSHEEP_BASE_URL={OTHER}\nHOLYSHEEP_API_KEY=cr_other\n"
    for url, key in (
        (DEFAULT_BASE_URL, CANARY),
        (OTHER, "cr_other"),
        ("https://other.example/v2", "cr_other"),
    ):
        found = find(url, api_key=CANARY, dotenv=dotenv)
        assert (found.key.reveal(), found.base_url) == (key, url)


def test_no_key_for_a_third_origin(find: Callable[..., Credentials]) -> None:
    with pytest.raises(MissingKeyError) as caught:
        find("https://third.example", api_key=CANARY)
    assert str(caught.value).startswith("There is no key for https://third.example/v1; the one from")
    assert CANARY not in str(caught.value)


def test_the_keyring_is_asked_for_the_origin_in_question(
    find: Callable[..., Credentials], kept: Keyring
) -> None:
    kept.set_password("hs_notebook", OTHER, "cr_other")
    assert find("other.example", api_key=CANARY).key.reveal() == "cr_other"
    with pytest.raises(MissingKeyError):
        find()


def test_a_key_in_code_is_bound_to_the_base_url_in_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLYSHEEP_BASE_URL", OTHER)
    assert AsyncHolySheep(CANARY).base_url == DEFAULT_BASE_URL
    assert AsyncHolySheep(CANARY, base_url=LOCAL).base_url == LOCAL


# --- keys that cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize("key", [f" {CANARY} ", f"{CANARY}\n", f"\t{CANARY}\r\n"])
def test_white_space_around_a_key_goes(find: Callable[..., Credentials], key: str) -> None:
    assert given_credentials(key).key.reveal() == CANARY
    assert find(api_key=key).key.reveal() == CANARY
    assert find(prompt=lambda _: key).key.reveal() == CANARY


@pytest.mark.parametrize(
    "key", [f"{CANARY}\nX-Evil: 1", f"{CANARY} b", f"{CANARY}é", f"{CANARY}\x00", f"{CANARY}\u200b"]
)
def test_other_characters_are_refused_unseen(
    find: Callable[..., Credentials], kept: Keyring, key: str
) -> None:
    kept.set_password("hs_notebook", DEFAULT_BASE_URL, key)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("api_key", lambda: given_credentials(key)),
        ("HOLYSHEEP_API_KEY", lambda: find(api_key=key)),
        ("keyring", find),
    ]
    for source, way in ways:
        with pytest.raises(ConfigurationError, match=source) as caught:
            way()
        assert CANARY not in str(caught.value)
        assert "Copy it again" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "base_url", "odd"), [("cr_x", None, False), ("sk-x", None, True), ("sk-x", LOCAL, False)]
)
def test_odd_keys_are_accepted(key: str, base_url: str | None, *, odd: bool) -> None:
    assert given_credentials(key, base_url).odd is odd


# --- never seen ----------------------------------------------------------------------------------


def test_no_text_form_shows_the_key() -> None:
    credentials = given_credentials(CANARY)
    for thing in (credentials.key, credentials, AsyncHolySheep(CANARY), HolySheep(CANARY)):
        assert CANARY not in repr(thing) + str(thing) + f"{thing}" + repr(getattr(thing, "__dict__", ""))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_holds_the_key(protocol: int) -> None:
    for thing in (Secret(CANARY), given_credentials(CANARY), HolySheep(CANARY)):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
            pickle.dumps(thing, protocol)
        assert CANARY not in str(caught.value)


def test_no_json_holds_the_key() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(given_credentials(CANARY))


def test_scrub() -> None:
    assert Secret(CANARY).scrub(f"a {CANARY} b{CANARY}") == "a [key] b[key]"
    assert Secret("short").scrub("a short text") == "a short text"


VERBOSE = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell(config=config)
shell.run_line_magic("xmode", "Verbose")
shell.run_cell("from hs_notebook import AsyncHolySheep, HolySheep, settings")
for cell in sys.stdin.read().split("---"):
    print("CELL", cell)
    shell.run_cell(cell)
"""


def test_verbose_tracebacks_do_not_show_the_key(tmp_path: Path) -> None:
    """A real shell with `%xmode Verbose`: every error that carries frames of ours, and none the key."""
    cells = f"""
        def key(): return bytes.fromhex({CANARY.encode().hex()!r}).decode()
        from hs_notebook.wire.retry import RetryPolicy
        once = RetryPolicy(attempts=1)
        messages = [dict(role='user', content='x')]
        ---
        HolySheep(key(), base_url='127.0.0.1:9', retry=once).ask('x', model='m')
        ---
        stream = HolySheep(key(), base_url='127.0.0.1:9', retry=once, auth='x-api-key').chat.completions
        stream.create(model='m', messages=messages, stream=True)
        ---
        HolySheep(key(), base_url='127.0.0.1:9', retry=once).models.list()
        ---
        import asyncio
        asyncio.run(AsyncHolySheep(key(), base_url='127.0.0.1:9', retry=once).ask('x', model='m'))
        ---
        HolySheep(key(), base_url='http://far.example')
        ---
        HolySheep(key() + chr(233))
        ---
        HolySheep(key(), no_such_setting=1)
        ---
        AsyncHolySheep(key(), auth='none')
        ---
        HolySheep()
        ---
        settings.find_credentials('https://third.example')
        ---
        settings.find_credentials(prompt=lambda text: key() + chr(233), base_url='https://third.example')
        ---
        settings.given_credentials(key()).key.__reduce__()
    """
    (tmp_path / ".env").write_text(f"HOLYSHEEP_API_KEY={CANARY}é\n", "utf-8")
    result = subprocess.run(
        [sys.executable, "-c", VERBOSE],
        input=textwrap.dedent(cells),
        env={**os.environ, "NO_COLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = result.stdout + result.stderr
    assert said.count("Traceback (most recent call last)") == 12, said
    assert "calls.py" in said  # frames of ours are there to be searched
    assert CANARY not in said


def test_errors_are_of_one_tree(find: Callable[..., Credentials]) -> None:
    with pytest.raises(HolySheepError):
        find()
