"""The live view gives way to the final picture, and a reader does not notice."""

from __future__ import annotations

from browser.answers import BODY, MARKDOWN, asking

#: Pixels. Below one it is rounding.
TOLERANCE = 1.0
PLACES = """() => {
  const body = hsTest.outputNode(1).querySelector(".hs-body");
  const origin = hsTest.outputNode(1).getBoundingClientRect();
  const blocks = [...body.querySelectorAll("h1, h3, p, li, pre, td, th, hr, blockquote")];
  return blocks.map((block) => {
    const box = block.getBoundingClientRect();
    return [block.tagName, box.left - origin.left, box.top - origin.top, box.width, box.height];
  });
}"""
STYLES = """() => {
  const names = ["color", "background-color", "font-family", "font-size", "font-weight", "line-height"];
  const body = hsTest.outputNode(1).querySelector(".hs-body");
  const blocks = [...body.querySelectorAll("h1, h3, p, li, pre, td, th, blockquote, a, p > code, .hs-code")];
  return blocks.map((block) => [block.tagName, ...names.map((name) => getComputedStyle(block)[name])]);
}"""


def test_the_page_does_not_jump_and_both_look_alike(open_asking):
    notebook = open_asking([asking(MARKDOWN, "speed=inf fault=stall after=100000"), "print('below')"])
    notebook.hide_sidebar()  # so that the receipt of a stopped answer, a long one, fits in a line
    notebook.start(1)
    notebook.wait_for_text(1, "The last words.")
    notebook.page.wait_for_timeout(300)
    live = look(notebook)
    notebook.page.locator(".jp-Cell").nth(2).scroll_into_view_if_needed()
    notebook.record_layout(1)

    # Not `click()`: that scrolls the button into view first.
    notebook.output(1).get_by_role("button", name="Stop").dispatch_event("click")
    notebook.wait_until_done()
    notebook.page.wait_for_timeout(1000)
    frames, final = notebook.stop_layout(), look(notebook)

    assert (frames[0].live, frames[-1].live) == (True, False)
    assert final["text"] == live["text"]
    assert differences(live["styles"], final["styles"]) == []
    assert moved(live["places"], final["places"]) == []
    assert spread(frame.top for frame in frames) <= TOLERANCE
    assert spread(frame.next for frame in frames) <= TOLERANCE


def look(notebook):
    return {
        "text": notebook.text(1, BODY),
        "places": notebook.page.evaluate(PLACES),
        "styles": notebook.page.evaluate(STYLES),
    }


def moved(before, after):
    assert [place[0] for place in before] == [place[0] for place in after]
    return [
        (one, other)
        for one, other in zip(before, after, strict=True)
        if any(abs(a - b) > TOLERANCE for a, b in zip(one[1:], other[1:], strict=True))
    ]


def differences(before, after):
    """Only what differs, with the element's name: `[("TD", [("20.3px", "normal")])]`."""
    pairs = [
        (one[0], [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]])
        for one, other in zip(before, after, strict=True)
    ]
    return [(name, found) for name, found in pairs if found]


def spread(values):
    values = list(values)
    return max(values) - min(values)
