"""The relay's own page in a real browser."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cutting import CuttingProxy
from edge import Edge, edge, within
from hostile.small import HOSTILE

from browser.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

    from hs_notebook.relay import EmbeddedRelay

    OpenPage = Callable[..., "RelayPage"]

NARROW = {"color_scheme": "dark", "viewport": {"width": 360, "height": 700}}
# Where a page could keep what is typed, and what it shows.
KEPT = """async () => JSON.stringify([
  {...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state,
  document.documentElement.outerHTML, await indexedDB.databases(), await caches.keys(), window.name,
])"""


ASKS = """async ([url, key]) => {
  const headers = {authorization: `Bearer ${key}`, "content-type": "application/json"};
  headers["x-stream-resume"] = "1";
  const messages = [{role: "user", content: "[simulate text]\\nyes"}];
  const body = JSON.stringify({model: "gpt-4.1", stream: true, messages});
  try {
    const reply = await fetch(url, {method: "POST", headers, body});
    return [reply.status, reply.headers.has("x-stream-id"), await reply.text()];
  } catch (error) {
    return String(error);
  }
}"""


class RelayPage:
    """The page of one relay, opened by a user who has a key."""

    def __init__(self, browser: Browser, origin: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(30_000)
        self.page: Page = self.context.new_page()
        self.traffic = Traffic(origin)
        self.traffic.watch(self.page)
        self.page.goto(f"{origin}/")

    def ask(self, prompt: str, key: str) -> None:
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_label("Prompt").fill(prompt)
        self.page.get_by_label("Prompt").press("Control+Enter")

    def wait_for(self, state: str) -> None:
        self.page.locator(f".hs-answer[data-state={state}]").wait_for()

    def wait_for_text(self, text: str) -> None:
        self.answer.get_by_text(text).first.wait_for()

    @property
    def answer(self) -> Locator:
        return self.page.locator(".hs-body")

    @property
    def line(self) -> str:
        return self.page.locator(".hs-summary").inner_text()


@pytest.fixture(scope="module")
def server(upstream: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("relay"), upstream.base_url) as running:
        yield running


@pytest.fixture
def open_page(chromium_browser: Browser, server: Edge) -> Iterator[OpenPage]:
    opened: list[RelayPage] = []

    def open_one(port: int = 0, **options: Any) -> RelayPage:
        opened.append(RelayPage(chromium_browser, f"http://127.0.0.1:{port or server.port}", **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.context.close()


MARKDOWN = (
    "[simulate text]\n# Title\n\n**bold** and `code`\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n- one\n- two"
)


def test_an_answer_streams_and_is_shown_as_in_the_notebook(open_page: OpenPage, server: Edge) -> None:
    page = open_page(**NARROW)
    page.ask(MARKDOWN, server.key)
    page.wait_for("complete")
    for selector, text in (("h1", "Title"), ("strong", "bold"), ("p code", "code"), ("li >> nth=1", "two")):
        assert page.answer.locator(selector).inner_text() == text
    cell = page.answer.locator("td").nth(1)
    assert cell.evaluate("(node) => getComputedStyle(node).textAlign") == "right"
    assert "gpt-4.1 · " in page.line
    assert page.line.endswith("simulated")
    assert page.page.locator("#models option").count() > 3
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.traffic.errors == []


def test_stop_keeps_the_text_and_cancels_the_upstream(
    open_page: OpenPage, server: Edge, upstream: EmbeddedRelay
) -> None:
    page, cancelled = open_page(), upstream.stats.cancelled
    for number, stop in enumerate(("press", "click"), 1):
        page.ask("[simulate tokens=100000 tps=100 ttft=1 speed=1]", server.key)
        page.wait_for_text("Simulated answer.")
        if stop == "press":
            page.page.keyboard.press("Escape")
        else:
            page.page.get_by_role("button", name="Stop").click()
        page.wait_for("stopped")
        assert "Simulated answer." in page.answer.inner_text()
        assert page.page.locator(".hs-state").inner_text() == "stopped"
        assert within(10, lambda: upstream.stats.cancelled == cancelled + number)  # noqa: B023 - it is waited for


def test_a_connection_that_breaks_again_and_again_is_resumed(
    open_page: OpenPage, server: Edge, upstream: EmbeddedRelay
) -> None:
    before, words = upstream.stats.requests, [f"word{number}" for number in range(1000)]
    with CuttingProxy([server.port], [120_000] * 8) as proxy:  # the page itself is smaller
        page = open_page(int(proxy.base_url.split(":")[2].removesuffix("/v1")))
        page.ask("[simulate text]\n" + " ".join(words), server.key)
        page.wait_for("complete")
        assert page.answer.inner_text().split() == words
        assert proxy.made >= 2
    assert "resumed" in page.line
    assert upstream.stats.requests == before + 1


def test_the_key_is_kept_nowhere(open_page: OpenPage, server: Edge) -> None:
    page = open_page()
    page.ask("[simulate tokens=3]", server.key)
    page.wait_for("complete")
    assert server.key not in page.page.evaluate(KEPT)
    assert not [url for url in page.traffic.requests if server.key in url]
    assert page.page.get_by_label("Key").get_attribute("type") == "password"
    assert page.context.storage_state() == {"cookies": [], "origins": []}
    page.page.reload()
    assert page.page.get_by_label("Key").input_value() == ""


def test_a_hostile_answer_runs_nothing_and_requests_nothing(open_page: OpenPage, server: Edge) -> None:
    page = open_page()
    page.ask(f"[simulate text]\n{HOSTILE}", server.key)
    page.wait_for("complete")
    page.wait_for_text("The end of the hostile answer.")
    for link in page.answer.locator("a").all():
        link.hover()
    never = "script, style, link, base, meta, img, svg, video, audio, iframe, object, embed, form, input"
    assert page.answer.locator("[style], [onclick], [onerror], [onload]").count() == 0
    assert page.answer.locator(never).count() == 0
    assert page.traffic.dialogs == page.traffic.foreign == page.traffic.errors == []
    paths = {url.removeprefix(page.traffic.origin) for url in page.traffic.requests}
    assert paths == {"/", "/relay.js", "/relay.css", "/v1/models", "/v1/chat/completions"}


def test_what_is_wrong_is_said_once(open_page: OpenPage, server: Edge) -> None:
    page = open_page()
    known, invalid = page.page.locator("#known"), page.page.locator("[aria-invalid=true]")
    page.ask("hello", "sk-hs-wrong")
    known.get_by_text("does not know this key").wait_for()
    page.answer.wait_for(state="detached")  # where it was asked before the relay had said so
    assert invalid.get_attribute("id") == "key"
    asked = len(page.traffic.requests)
    with page.page.expect_response("**/v1/models"):
        page.page.get_by_label("Key").press("Enter")
    page.ask("[simulate tokens=9 fault=errorframe after=3]", server.key)
    page.wait_for("error")
    sent = [url.removeprefix(page.traffic.origin) for url in page.traffic.requests[asked:]]
    assert sorted(sent) == ["/v1/chat/completions", "/v1/models", "/v1/models"]
    assert (known.inner_text(), invalid.count()) == ("", 0)
    page.ask("hello", "")
    known.get_by_text("A key is needed: hs-notebook relay keys add NAME").wait_for()
    assert invalid.get_attribute("id") == "key"
    assert page.answer.count() == 0


def test_a_page_of_another_origin_is_refused(
    chromium_browser: Browser, server: Edge, upstream: EmbeddedRelay, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By the browser and by the relay; one that is listed is served."""
    with elsewhere() as port:
        origin = f"http://127.0.0.1:{port}"
        page = RelayPage(chromium_browser, origin)
        before = upstream.stats.requests
        url = f"{server.server.base_url}/chat/completions"
        assert page.page.evaluate(ASKS, [url, server.key]) == "TypeError: Failed to fetch"
        assert upstream.stats.requests == before
        with edge(tmp_path_factory.mktemp("listed"), upstream.base_url, origins=(origin,)) as listed:
            url = f"{listed.server.base_url}/chat/completions"
            status, named, said = page.page.evaluate(ASKS, [url, listed.key])
        assert (status, named) == (200, True)
        assert "yes" in said
        page.context.close()


class elsewhere:  # noqa: N801 - used as a function
    """An empty page of another server: a context manager, its port."""

    def __enter__(self) -> int:
        class Empty(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "0")
                self.send_header("content-type", "text/html")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self._server.server_address[1]

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
