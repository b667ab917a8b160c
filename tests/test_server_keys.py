"""The keys that a relay gives out: the file they are kept in, and who gets in with one."""

from __future__ import annotations

import multiprocessing
import os
import stat
import string
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from edge import Edge, edge, replies, request
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_notebook.errors import ConfigurationError, UsageError
from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.keys import KeyFile, without_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with (
        EmbeddedRelay(Simulation(speed=float("inf"))) as upstream,
        edge(tmp_path_factory.mktemp("relay"), upstream.base_url) as running,
    ):
        yield running


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "folder" / "keys")


# --- the file ------------------------------------------------------------------------------------


def test_a_key_is_kept_as_its_hash_for_the_owner_alone(keys: KeyFile) -> None:
    key = keys.add("ann", per_minute=7, concurrent=2, budget=Decimal("2.50"), metrics=True)
    assert key.startswith("sk-hs-")
    assert len(key) > 40
    text = keys.path.read_text()
    assert key not in text
    assert key.removeprefix("sk-hs-")[:12] not in text
    assert keys.holder(key.encode()) == KeyFile(keys.path).holder(key.encode()) == keys.clients()[0]
    (client,) = keys.clients()
    assert (client.name, client.per_minute, client.concurrent) == ("ann", 7, 2)
    assert (client.budget, client.metrics) == (Decimal("2.50"), True)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_file_that_others_could_read_is_closed_to_them(keys: KeyFile) -> None:
    keys.path.parent.mkdir()
    keys.path.touch(0o666)
    keys.path.chmod(0o666)
    keys.add("ann")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    keys.path.unlink()
    keys.add("ann")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_a_name_has_one_key_until_it_is_revoked(keys: KeyFile) -> None:
    first = keys.add("ann")
    with pytest.raises(UsageError, match=r"^There is a key named ann\. Revoke it first"):
        keys.add("ann")
    assert keys.holder(first.encode())
    keys.revoke("ann")
    assert keys.holder(first.encode()) is None
    with pytest.raises(UsageError, match="There is no key named 'ann'"):
        keys.revoke("ann")
    second = keys.add("ann")
    assert keys.holder(first.encode()) is None
    assert keys.holder(second.encode())


@pytest.mark.parametrize("name", ["revoked", "sha256", "Jörg", "a@b.example", "x" * 64, "0"])
def test_a_name_may_be_any_word(keys: KeyFile, name: str) -> None:
    key = keys.add(name)
    holder = KeyFile(keys.path).holder(key.encode())
    assert holder is not None
    assert holder.name == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\n", "-x", "=1", "x" * 65, "a/b", "\u202eann", "sk-hs-0123456789abcdef"]
)
def test_what_is_no_name(keys: KeyFile, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a key"):
        keys.add(name)
    assert not keys.path.exists()


def _add(path: Path, name: str) -> str:
    try:
        return KeyFile(path).add(name)
    except UsageError:
        return ""


def test_two_at_once_lose_nothing_and_a_name_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    names = [name for number in range(20) for name in ("same", f"one-{number}")]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        given = pool.starmap(_add, [(path, name) for name in names], chunksize=1)
    good = [(name, key) for name, key in zip(names, given, strict=True) if key]
    assert len(good) == 21
    file = KeyFile(path)
    for name, key in good:
        holder = file.holder(key.encode())
        assert holder is not None
        assert holder.name == name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "line 2 is no key"),
        (b"[]", "line 2 is no key"),
        (b'{"revoked":1}', "line 2 is no key"),
        (b'{"name":"b","sha256":"\xff","created":"2026-11-25T00:00:00Z"}', "line 2 is no key"),
        (b'{"name":"b","sha256":"' + b"0" * 63 + b'","created":"2026-11-25T00:00:00Z"}', "line 2 is no key"),
        (
            b'{"name":"b","sha256":"' + b"0" * 64 + b'","created":"2026-11-25T00:00:00Z","per_minute":0}',
            "line 2 is no key",
        ),
        (
            b'{"name":"b","sha256":"' + b"0" * 64 + b'","created":"2026-11-25T00:00:00Z","budget":"NaN"}',
            "line 2 is no key",
        ),
    ],
)
def test_a_file_with_a_line_that_is_no_key_opens_nothing(keys: KeyFile, line: bytes, said: str) -> None:
    keys.path.parent.mkdir()
    keys.path.write_bytes(b"\n" + line)
    with pytest.raises(ConfigurationError, match=said):
        keys.holder(b"k")
    with pytest.raises(ConfigurationError, match=said):
        keys.add("ann")


def test_a_last_line_without_an_end_is_not_written_on(keys: KeyFile) -> None:
    first = keys.add("ann")
    keys.path.write_bytes(keys.path.read_bytes().strip())
    second = keys.add("bob")
    assert [keys.holder(key.encode()) is not None for key in (first, second)] == [True, True]


@pytest.mark.parametrize("cut", [1, 2, 30, 90])
def test_a_line_that_was_never_written_to_its_end_is_left_out(
    keys: KeyFile, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = keys.add("ann"), keys.add("bob")
    keys.path.write_bytes(keys.path.read_bytes()[: -1 - cut])
    assert [KeyFile(keys.path).holder(key.encode()) is not None for key in (ann, bob)] == [True, False]
    assert "line 4 was never written to its end" in caplog.text
    again = keys.add("bob")
    assert [keys.holder(key.encode()) is not None for key in (ann, bob, again)] == [True, False, True]


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
@pytest.mark.parametrize("room", [1, 50, -1])
def test_what_there_was_no_room_for_is_taken_back(keys: KeyFile, room: int) -> None:
    import resource

    keys.add("ann")
    before = keys.path.read_bytes()
    largest, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(before) + (room if room > 0 else len(before) + room)  # all but the end of the line, at last
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(ConfigurationError, match=r"cannot be written: No space left"):
            keys.add("bob")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    assert keys.path.read_bytes() == before
    keys.add("bob")


@given(st.binary(max_size=80))
@settings(max_examples=30)
def test_only_the_key_itself_opens(server: Edge, guess: bytes) -> None:
    file = server.server.gateway.keys
    assert file.holder(guess) is None
    assert file.holder(server.key.encode() + guess) is (None if guess else file.clients()[0])


@given(st.text(string.printable, max_size=20), st.text(string.printable, max_size=20))
@settings(max_examples=30)
def test_a_key_is_taken_out_of_any_text(server: Edge, before: str, after: str) -> None:
    assert server.key[6:] not in without_keys(before + server.key + after)


# --- at the door ---------------------------------------------------------------------------------

MISSING, INVALID = "MISSING_AUTH", "INVALID_KEY"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["Authorization: Bearer {key}"], None),
        (["authorization: bearer {key}"], None),
        (["Authorization: BEARER   {key}"], None),
        (["X-API-Key: {key}"], None),
        (["x-api-key:   {key}  "], None),
        ([], MISSING),
        (["Authorization: {key}"], MISSING),
        (["Authorization: Basic {key}"], MISSING),
        (["Authorization: Bearer"], MISSING),
        (["Authorization: Bearer  "], MISSING),
        (["Authorization:"], MISSING),
        (["X-API-Key:"], MISSING),
        (["Cookie: key={key}"], MISSING),
        (["Proxy-Authorization: Bearer {key}"], MISSING),
        (["Api-Key: {key}"], MISSING),
        (["Authorization: Bearer {key}", "X-API-Key: {key}"], INVALID),
        (["X-API-Key: {key}", "Authorization: Bearer wrong"], INVALID),
        (["X-API-Key: {key}", "Authorization: Basic x"], INVALID),
        (["X-API-Key: {key}", "X-API-Key: {key}"], INVALID),
        (["Authorization: Bearer {key}", "authorization: Bearer {key}"], INVALID),
        (["Authorization: Bearer {key}", "Authorization: Bearer wrong"], INVALID),
        (["Authorization: Bearer {key}, Bearer {key}"], INVALID),
        (["Authorization: Bearer {key} {key}"], INVALID),
        (["X-API-Key: {key},"], INVALID),
        (["X-API-Key: Bearer {key}"], INVALID),
        (["X-API-Key: {key}x"], INVALID),
        (["X-API-Key: wrong"], INVALID),
        (["X-API-Key: sk-hs-"], INVALID),
        (["X-API-Key: K\u00e9y"], INVALID),
        (["X-API-Key: \u00ff\u00fe"], INVALID),
        (["Authorization: Bearer \u00a0{key}"], INVALID),
        (["X-API-Key: " + "k" * 20_000], INVALID),
    ],
)
def test_who_gets_in(server: Edge, lines: list[str], code: str | None) -> None:
    head = "\r\n".join([f"Host: 127.0.0.1:{server.port}", "Connection: close", *lines])
    (reply,) = replies(server.exchange(request("GET", "/v1/models", head.format(key=server.key))))
    assert reply.status == (200 if code is None else 401)
    if code is not None:
        assert reply.code == code
        assert reply.header("www-authenticate") == "Bearer"
        assert server.key.encode() not in reply.body


@pytest.mark.parametrize("line", ["X-API-Key: \0", "X-API-Key: a\0b", "X-API-Key : {key}", "X-API-Key {key}"])
def test_a_header_that_is_none_is_no_request(server: Edge, line: str) -> None:
    head = f"Host: 127.0.0.1:{server.port}\r\n" + line.format(key=server.key)
    (reply,) = replies(server.exchange(request("GET", "/v1/models", head)))
    assert reply.status == 400


def test_a_key_in_the_address_opens_nothing_and_is_not_said_again(server: Edge) -> None:
    head = f"Host: 127.0.0.1:{server.port}\r\nConnection: close"
    (reply,) = replies(server.exchange(request("GET", f"/v1/models?api_key={server.key}", head)))
    assert (reply.status, reply.code) == (401, MISSING)
    assert server.key.encode() not in reply.body


def test_a_running_relay_sees_at_once_who_was_let_in_and_who_was_not(server: Edge) -> None:
    def status(key: str) -> int:
        head = f"Host: 127.0.0.1:{server.port}\r\nConnection: close\r\nX-API-Key: {key}"
        (reply,) = replies(server.exchange(request("GET", "/v1/models", head)))
        return reply.status

    others = KeyFile(server.server.gateway.keys.path)
    key = others.add("late")
    assert status(key) == 200
    others.revoke("late")
    assert status(key) == 401
    again = others.add("late")
    assert [status(key), status(again), status(server.key)] == [401, 200, 200]


def test_a_relay_that_cannot_read_its_keys_lets_nobody_in_and_says_so(
    server: Edge, capfd: pytest.CaptureFixture[str]
) -> None:
    path = server.server.gateway.keys.path
    good = path.read_bytes()
    path.write_bytes(good + b"nonsense\n")
    try:
        asked = request("GET", "/v1/models", server.headers("Connection: close"))
        (reply,) = replies(server.exchange(asked))
        assert (reply.status, reply.code) == (503, "keys_unreadable")
        assert str(path).encode() not in reply.body
    finally:
        path.write_bytes(good)
    assert server.is_well()
    assert server.key not in capfd.readouterr().err
