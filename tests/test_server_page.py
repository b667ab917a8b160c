"""The files of the relay's page; what it does in a browser is in browser/test_relay_page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from edge import Edge, edge

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {"/": "text/html", "/relay.js": "text/javascript", "/relay.css": "text/css"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("relay"), "http://127.0.0.1:1/v1") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Edge) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client


@pytest.mark.parametrize(("path", "kind"), FILES.items())
def test_a_file_is_served_without_a_key_and_under_a_strict_policy(
    client: httpx.Client, path: str, kind: str
) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
        "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_sent_once(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"if-none-match": '"another"'}).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == first.headers["content-length"]


def test_the_page_holds_no_script_and_no_style_of_its_own_and_asks_nobody_else(client: httpx.Client) -> None:
    page = client.get("/").text
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["relay.css", "relay.js"]
    assert not re.search(r"<style| style=|<script>| on\w+=", page)
    assert "url(" not in client.get("/relay.css").text
    script = client.get("/relay.js").text
    assert not re.search(
        r"localStorage|sessionStorage|indexedDB|document\.cookie|\beval\(|new Function", script
    )
