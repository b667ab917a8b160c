"""A hostile answer runs nothing and asks for nothing: live, final, and in a trusted notebook opened again."""

from __future__ import annotations

from hostile.small import FORGED, HOSTILE

from browser.answers import BODY, asking
from browser.notebook import trust
from hs_notebook.display.visible import visible

END = "The end of the hostile answer."
#: The elements that our renderers make of an answer, with their attributes and what these may say.
LANG = r"[A-Za-z0-9][A-Za-z0-9_+#.-]{0,31}"
PLAIN = "p br hr em strong s blockquote ul li pre table thead tbody tr"
ALLOWED: dict[str, dict[str, str]] = {
    **{tag: {} for tag in PLAIN.split()},
    "p": {"class": "hs-h hs-h[1-6]"},
    # JupyterLab gives the headings of a final output their anchors.
    **{f"h{level}": {} for level in range(1, 7)},
    "ol": {"start": r"\d{1,9}"},
    **{tag: {"style": r"text-align: ?(left|center|right);?"} for tag in ("th", "td")},
    "a": {
        "href": r"([hH][tT]{2}[pP][sS]?://|[mM][aA][iI][lL][tT][oO]:)[^\s\"<>]*",
        "rel": r"noopener( noreferrer)?",  # JupyterLab shortens ours in a final output
        "target": "_blank",
    },
    "code": {"class": rf"language-{LANG}"},
    "div": {"class": r"hs-code( highlight)?|hs-plain|hs-part", "data-lang": LANG},
    "span": {"class": r"[a-z]{1,2}|hs-math( hs-math-display)? mathjax_process tex2jax_process"},
}
#: How many elements of the body of cell 1 were looked at, and those outside the list or outside the output.
LOOK = """(allowed) => {
  const output = hsTest.outputNode(1);
  const area = output.getBoundingClientRect();
  const scrolls = getComputedStyle(output).overflowY !== "visible"; // as Notebook 7 lets long outputs do
  const wrong = [];
  const all = [...output.querySelector(".hs-body").querySelectorAll("*")];
  // What MathJax makes is its own, but it must not lead, load or act.
  const typeset = all.filter((node) => node.closest("mjx-container"));
  const nodes = all.filter((node) => !typeset.includes(node));
  for (const node of typeset) {
    const acts = [...node.attributes].some(({ name }) => /^on|href$|src$|^id$/.test(name));
    const never = node.matches("a, script, style, link, img, iframe, form");
    if (acts || never) wrong.push(`typeset ${node.outerHTML}`);
  }
  for (const node of nodes) {
    const tag = node.localName;
    const attributes = allowed[tag];
    if (!attributes) { wrong.push(`element ${tag}`); continue; }
    for (const { name, value } of node.attributes) {
      const pattern = attributes[name];
      if (pattern === undefined || !new RegExp(`^(?:${pattern})$`).test(value))
        wrong.push(`${tag} ${name}=${value}`);
    }
    if (tag === "a" && !["href", "rel", "target"].every((name) => node.hasAttribute(name)))
      wrong.push(`bare ${node.outerHTML}`);
    const box = node.getBoundingClientRect();
    const clipped = node.closest("pre, table");
    if (box.width && !clipped && (box.left < area.left - 1 || box.right > area.right + 1
        || (!scrolls && (box.top < area.top - 1 || box.bottom > area.bottom + 1))))
      wrong.push(`${tag} lies outside`);
  }
  return { looked: all.length, wrong };
}"""


def assert_harmless(notebook):
    """Nothing but the list is there, nothing ran, nothing left; the number of elements looked at."""
    for link in notebook.output(1).locator(f"{BODY} a").all():
        link.hover()
    notebook.page.wait_for_timeout(500)
    found = notebook.page.evaluate(LOOK, ALLOWED)
    assert found["wrong"] == []
    assert found["looked"] > 50
    assert notebook.traffic.dialogs == []
    assert notebook.traffic.foreign == []
    assert [url for url in notebook.traffic.requests if url.endswith("/x")] == []
    assert notebook.page.url.startswith(notebook.traffic.origin)
    assert len(notebook.page.context.pages) == 1
    return found["looked"]


def test_a_hostile_answer_runs_nothing_and_requests_nothing(open_asking, open_notebook):
    notebook = open_asking([asking(HOSTILE, "speed=8 fault=stall after=100000")])
    notebook.start(1)
    notebook.wait_for_text(1, END)
    assert_harmless(notebook)

    notebook.output(1).get_by_role("button", name="Stop").click()
    notebook.wait_until_done()
    assert notebook.outputs(1)[0]["data"]["text/plain"] == visible(HOSTILE)
    assert "<script>alert('script')</script>" in notebook.text(1, BODY), "it is shown as the text it is"
    assert_harmless(notebook)

    trust(notebook.path)
    notebook.close()
    reader = open_notebook(None, name=notebook.path.stem, with_kernel=False)
    reader.wait_for_text(1, END)
    assert reader.is_trusted(1)
    assert_harmless(reader)


def test_an_answer_cannot_look_like_a_note_or_a_receipt(open_asking):
    notebook = open_asking([asking("\n\n".join(FORGED), "speed=8 fault=stall after=100000")])
    notebook.start(1)
    notebook.wait_for_text(1, "to hide what is ours")
    for live in (True, False):
        assert notebook.output(1).locator(f"{BODY} :is(.hs-note, .hs-as-is, .hs-receipt)").count() == 0
        assert notebook.output(1).locator(".hs-live").count() == live
        assert notebook.output(1).locator(".hs-receipt").count() == 1
        assert "⟦U+FDD0⟧" in notebook.text(1, BODY)
        if live:
            notebook.output(1).get_by_role("button", name="Stop").click()
            notebook.wait_until_done()


def test_a_hostile_name_of_a_model_is_text(open_asking):
    name = "<img/src=x/onerror=alert(1)>"
    notebook = open_asking([f"%%holysheep {name}\nHello."])
    notebook.run(1)
    assert name in notebook.text(1)
    assert notebook.output(1).locator("img").count() == 0
    assert notebook.traffic.dialogs == []
    assert [url for url in notebook.traffic.requests if url.endswith("/x")] == []
