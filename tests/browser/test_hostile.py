"""A hostile answer runs nothing and asks for nothing: live, final, and in a trusted notebook opened again."""

from __future__ import annotations

from hostile.small import HOSTILE

from browser.answers import BODY, asking
from browser.notebook import trust

END = "The end of the hostile answer."
#: Everything that could run, load or leave, in the output of one cell.
SUSPECTS = """() => {
  const body = hsTest.outputNode(1).querySelector(".hs-body");
  const never = "script, style, link, base, meta, img, svg, video, audio, iframe, object, embed, form, input";
  const outside = (node) => !node.closest("mjx-container");
  const elements = [...body.querySelectorAll("*")].filter(outside);
  const handled = elements.filter((node) => [...node.attributes].some(({ name }) => name.startsWith("on")));
  const links = elements.filter((node) => node.hasAttribute("href") || node.hasAttribute("src"));
  const astray = links.filter((node) => !/^(https?|mailto):/.test(node.getAttribute("href") ?? "src"));
  // JupyterLab shortens our "noopener noreferrer" in a final output.
  const open = links.filter((node) => !node.relList.contains("noopener") || node.target !== "_blank");
  const found = [...elements.filter((node) => node.matches(never)), ...handled, ...astray, ...open];
  return found.map((node) => node.outerHTML);
}"""


def assert_harmless(notebook):
    for link in notebook.output(1).locator(f"{BODY} a").all():
        link.hover()
    notebook.page.wait_for_timeout(500)
    assert notebook.page.evaluate(SUSPECTS) == []
    assert notebook.traffic.dialogs == []
    assert notebook.traffic.foreign == []
    assert [url for url in notebook.traffic.requests if url.endswith("/x")] == []
    assert notebook.page.url.startswith(notebook.traffic.origin)
    assert len(notebook.page.context.pages) == 1


def test_a_hostile_answer_runs_nothing_and_requests_nothing(open_asking, open_notebook):
    notebook = open_asking([asking(HOSTILE, "speed=8 fault=stall after=100000")])
    notebook.start(1)
    notebook.wait_for_text(1, END)
    assert_harmless(notebook)

    notebook.output(1).get_by_role("button", name="Stop").click()
    notebook.wait_until_done()
    assert notebook.outputs(1)[0]["data"]["text/plain"] == HOSTILE
    assert "<script>alert('script')</script>" in notebook.text(1, BODY), "it is shown as the text it is"
    assert_harmless(notebook)

    trust(notebook.path)
    notebook.close()
    reader = open_notebook(None, name=notebook.path.stem, with_kernel=False)
    reader.wait_for_text(1, END)
    assert reader.is_trusted(1)
    assert_harmless(reader)


def test_a_hostile_name_of_a_model_is_text(open_asking):
    name = "<img/src=x/onerror=alert(1)>"
    notebook = open_asking([f"%%holysheep {name}\nHello."])
    notebook.run(1)
    assert name in notebook.text(1)
    assert notebook.output(1).locator("img").count() == 0
    assert notebook.traffic.dialogs == []
    assert [url for url in notebook.traffic.requests if url.endswith("/x")] == []
