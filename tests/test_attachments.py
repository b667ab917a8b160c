"""Images and files that go with a prompt: what is taken, in which form, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.display import Image as Shown
from matplotlib.figure import Figure
from PIL import Image
from shell import KEY, Shell

from hs_notebook.errors import UsageError
from hs_notebook.magics.attachments import LARGEST_IMAGE, LONGEST_FILE, file_block, image_part

if TYPE_CHECKING:
    from hs_notebook.relay import EmbeddedRelay

ASK = "[simulate tokens=3 speed=inf]\nWhat is this?"


def drawn(kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> bytes:
    to = io.BytesIO()
    Image.new(mode, size, 1).save(to, kind)
    return to.getvalue()


def noise(side: int) -> bytes:
    """A picture that no format makes small."""
    to = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(to, "PNG")
    return to.getvalue()


def figure() -> Figure:
    made = Figure(figsize=(2, 1))
    made.subplots().plot([1, 2])
    return made


def opened(part: dict[str, Any]) -> Image.Image:
    """The image that a part of a message holds, and that it is of the kind it says."""
    head, _, data = part["image_url"]["url"].partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{(image.format or '').lower()};base64"
    return image


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *[(drawn(kind), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP")],
        (bytearray(drawn()), "PNG"),
        (memoryview(drawn()), "PNG"),
        *[(Image.new(mode, (8, 6)), "PNG") for mode in ("RGB", "RGBA", "L", "1", "P", "CMYK", "F", "YCbCr")],
        (figure(), "PNG"),
        (figure().axes[0], "PNG"),
        (Shown(data=drawn("JPEG")), "JPEG"),
    ],
)
def test_a_value_of_the_notebook(value: Any, kind: str) -> None:
    image = opened(image_part("picture", {"picture": value}))
    image.load()
    assert image.format == kind
    assert opened(image_part("Out[3]", {"Out": {3: value}})).size == image.size


def test_a_path_by_what_it_holds_and_not_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("photo.png").write_bytes(drawn("JPEG"))
    for ref in ("photo.png", "~/photo.png", str(tmp_path / "photo.png"), "named", "path"):
        names = {"named": "photo.png", "path": Path("photo.png")}
        assert opened(image_part(ref, names)).format == "JPEG"


@pytest.mark.parametrize("ref", ["https://example.com/a.png", "http://example.com/a", "there"])
def test_an_address_goes_as_it_is(ref: str) -> None:
    named = "https://example.com/there"
    part = image_part(ref, {"there": named})
    assert part == {"type": "image_url", "image_url": {"url": ref if "/" in ref else named}}
    for url in (named, "data:image/png;base64,iVBORw0KGgo="):
        assert image_part("picture", {"picture": Shown(url=url)})["image_url"]["url"] == url


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("nowhere.png", "nowhere.png is not there (looked in "),
        ("Out[7]", "There is no Out[7]."),
        ("number", "number is no image but of the type int."),
        ("text", "text is no image but of the type list."),
        ("empty", "empty is no PNG, JPEG, GIF or WebP image."),
        ("broken", "broken cannot be drawn: ZeroDivisionError"),
        ("notes.txt", "notes.txt is no PNG, JPEG, GIF or WebP image."),
        (".", ". is a folder."),
        ("drawn", "drawn has no image that can be sent: 'ftp://example.com/x.png'."),
    ],
)
def test_what_is_no_image(ref: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def _repr_png_(self) -> bytes:
            return bytes(1 // 0)

    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("GIF, but no GIF8")
    names = {
        "number": 3,
        "text": ["x"],
        "empty": b"",
        "broken": Broken(),
        "Out": {},
        "drawn": Shown(url="ftp://example.com/x.png"),
    }
    with pytest.raises(UsageError) as raised:
        image_part(ref, names)
    assert str(raised.value).startswith(says)


def test_a_large_image_is_made_smaller_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    large = noise(2100)
    assert len(large) > LARGEST_IMAGE
    image = opened(image_part("large", {"large": large}))
    assert (max(image.size), image.format) == (2048, "JPEG")
    said = capsys.readouterr().err
    assert "large has 13.2 MB, above the 5 MB of an image. It is sent with 2048 × 2048 pixels." in said


def test_a_large_file_that_is_no_image_inside() -> None:
    with pytest.raises(UsageError, match="It cannot be made smaller"):
        image_part("large", {"large": drawn()[:40] + bytes(LARGEST_IMAGE)})


def test_without_pillow_a_large_image_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from hs_notebook.magics.attachments import image_part\n"
        "try: image_part('x', {'x': b'\\x89PNG\\r\\n\\x1a\\n' + bytes(5_000_000)})\n"
        "except Exception as error: print(error)\n"
        "print(len(image_part('x', {'x': b'GIF89a...'})))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "install hs-notebook[images]" in done.stdout
    assert done.stdout.endswith("\n2\n")


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_folder")
def test_a_file_stands_in_a_fence_under_its_name() -> None:
    Path("a.py").write_bytes("\ufeffx = '```'\r\ny = 'é'\r\n".encode())
    assert file_block("a.py") == "a.py:\n````py\nx = '```'\ny = 'é'\n````"


@pytest.mark.usefixtures("_in_folder")
def test_a_long_file_is_cut_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("long.txt").write_text("é" * (LONGEST_FILE + 5), "utf-8")
    block = file_block("long.txt")
    assert f"é\n[cut here, after 200,000 characters; it has {2 * (LONGEST_FILE + 5):,} bytes]\n" in block
    assert block.count("é") == LONGEST_FILE
    assert capsys.readouterr().err.startswith(
        "long.txt is cut: the model gets 200,000 characters of 400,010 bytes. "
    )


@pytest.mark.usefixtures("_in_folder")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (drawn(), "f is no text in UTF-8. An image goes with --image."),
        (b"a\0b", "f is no text in UTF-8."),
        ("Grün".encode("latin-1"), "f is no text in UTF-8."),
        (b"key = sk-0123456789abcdefghij", "f holds what looks like a key; nothing was sent."),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx", "f holds what looks like a key; nothing was sent."),
        (None, "f is not there (looked in "),
    ],
)
def test_what_is_no_file_for_a_model(content: bytes | None, says: str) -> None:
    if content is not None:
        Path("f").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        file_block("f")
    assert str(raised.value).startswith(says)


def test_the_folder_of_nobody_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"^~nosuchuser/x is not there \(looked in "):
        file_block("~nosuchuser/x")


@pytest.mark.usefixtures("_in_folder")
@pytest.mark.parametrize(
    "name", ["sk-toggleable__content fitted", "sk-estimator-doc-link", "#sk-container-id-1000 div"]
)
def test_the_classes_of_scikit_learn_are_no_keys(name: str) -> None:
    Path("model.html").write_text(f'<div class="{name}"></div>')
    assert name in file_block("model.html")


@pytest.mark.usefixtures("_in_folder")
def test_neither_a_folder_nor_a_pipe_is_read() -> None:
    os.mkfifo("pipe")
    for name in (".", "pipe"):
        with pytest.raises(UsageError):
            file_block(name)


# --- in a cell -----------------------------------------------------------------------------------


def test_a_cell_sends_its_text_then_files_then_images(
    shell: Shell, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("{x},1\n")
    (tmp_path / "my picture.png").write_bytes(drawn())
    shell.run("x = 3")
    ran = shell.run(f'%%holysheep --file a.csv --file a.csv --image "my picture.png" --image x\n{ASK}')
    assert str(ran.error) == (
        "x is no image but of the type int. Name a path, an image or figure of the notebook, or Out[n]."
    )
    assert relay.stats.requests == 0
    ran = shell.run(f'%%holysheep --chat --file a.csv --image "my picture.png"\n{ASK} {{x}}')
    assert ran.error is None
    text, image = json.loads(relay.stats.seen[-1].body)["messages"][0]["content"]
    assert text == {"type": "text", "text": f"{ASK} 3\n\na.csv:\n```csv\n{{x}},1\n```"}
    assert opened(image).format == "PNG"
    shell.run("%%holysheep --chat\nAnd now? [simulate tokens=3 speed=inf]")
    assert json.loads(relay.stats.seen[-1].body)["messages"][0]["content"] == [text, image]


def test_a_file_with_the_key_is_not_sent(shell: Shell, relay: EmbeddedRelay, tmp_path: Path) -> None:
    (tmp_path / "odd").write_text(f"{KEY[:8]}\n")
    (tmp_path / "env").write_text(f"HOLYSHEEP_API_KEY={KEY}\n")
    ran = shell.run(f"%%holysheep --file env\n{ASK}")
    assert isinstance(ran.error, UsageError)
    assert KEY not in ran.out + ran.err
    assert relay.stats.requests == 0
    assert shell.run(f"%%holysheep --file odd\n{ASK}").error is None


def test_a_dry_run_shows_an_image_in_a_few_words(shell: Shell) -> None:
    shell.names["picture"] = noise(64)
    out = shell.run(f"%%holysheep --dry-run --image picture --image https://example.com/a\n{ASK}").out
    assert out.endswith(f"[user]\n{ASK}\n[image: png, 12 kB]\n[image: https://example.com/a]\n")
    assert "images guessed" in out
    assert len(out) < 1500


def test_a_budget_counts_images(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.names["picture"] = drawn()
    shell.run("%config HolySheepMagics.prices = [{'model': 'gpt-4.1', 'input': 1000, 'output': 1000}]\n")
    line = "%%holysheep --max-cost 0.2 --max-tokens 3"
    assert shell.run(f"{line}\n{ASK}").error is None
    ran = shell.run(f"{line} --image picture\n{ASK}")
    assert type(ran.error).__name__ == "BudgetError"
    assert relay.stats.requests == 1
