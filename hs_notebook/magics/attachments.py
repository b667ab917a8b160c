"""Images and files that go with a prompt: ``--image REF`` and ``--file PATH``."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import UsageError
from hs_notebook.fences import fenced
from hs_notebook.settings import KEY_SHAPED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_IMAGE = 5_000_000  # bytes
LONGEST_SIDE = 2048  # pixels of an image that had to be made smaller
LONGEST_FILE = 200_000  # characters

_KINDS = (
    (rb"\x89PNG\r\n\x1a\n", "png"),
    (rb"\xff\xd8\xff", "jpeg"),
    (rb"GIF8[79]a", "gif"),
    (rb"RIFF....WEBP", "webp"),
)
_OUT = re.compile(r"Out\[(\d+)\]")
_SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_TAKEN = "Name a path, an image or figure of the notebook, or Out[n]."


def with_attachments(
    prompt: str, images: Sequence[str], files: Sequence[str], names: Mapping[str, Any]
) -> str | list[dict[str, Any]]:
    """Return the content of a turn: a prompt, the files' texts below it, and the images.

    Raises `UsageError` for what is not there, is no image or text, or looks as if it held a key.
    """
    text = "\n\n".join([prompt, *map(file_block, files)]) if files else prompt
    if not images:
        return text
    # In OpenAI's form, with the data in the address.
    return [{"type": "text", "text": text}, *(image_part(ref, names) for ref in images)]


# --- files ---------------------------------------------------------------------------------------


def file_block(name: str) -> str:
    """Return a file's text in a fence under its name; raises `UsageError`."""
    path = _existing(name)
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST_FILE + 1)
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from None
    if "\0" in text:
        raise UsageError(f"{name} is no text in UTF-8.", hint="An image goes with --image.")
    if KEY_SHAPED.search(text) or _SECRET.search(text):
        raise UsageError(
            f"{name} holds what looks like a key; nothing was sent.",
            hint="Take it out, or send a part of it.",
        )
    if len(text) > LONGEST_FILE:
        size = path.stat().st_size
        sys.stderr.write(
            f"{name} is cut: the model gets {LONGEST_FILE:,} characters of {size:,} bytes. "
            "Send it in parts, or the part that matters.\n"
        )
        text = f"{text[:LONGEST_FILE]}\n[cut here, after {LONGEST_FILE:,} characters; it has {size:,} bytes]"
    language = path.suffix.removeprefix(".")
    return f"{name}:\n{fenced(text, language if language.isalnum() else '')}".rstrip("\n")


def _existing(name: str) -> Path:
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - which leaves the name of nobody's folder as it is
    if path.is_file():
        return path
    what = "is a folder" if path.is_dir() else f"is not there (looked in {os.fspath(Path.cwd())})"
    raise UsageError(f"{name} {what}.", hint="Name a file.")


# --- images --------------------------------------------------------------------------------------


def image_part(ref: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image as a part of a message; an http(s) address goes as it is, for the model to fetch."""
    named = names.get(ref)
    place = os.fspath(named) if isinstance(named, str | os.PathLike) else ref
    url = place if re.match(r"https?://", place) else _data_url(ref, _image(place, names))
    return {"type": "image_url", "image_url": {"url": url}}


def _data_url(ref: str, data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    if kind_of_image(data) is None:
        raise UsageError(f"{ref} is no PNG, JPEG, GIF or WebP image.", hint=_TAKEN)
    if len(data) > LARGEST_IMAGE:
        data = _smaller(ref, data)
    return f"data:image/{kind_of_image(data)};base64,{base64.b64encode(data).decode()}"


def kind_of_image(data: bytes) -> str | None:
    """Return what an image is by its first bytes: png, jpeg, gif or webp; None for anything else."""
    return next((kind for mark, kind in _KINDS if re.match(mark, data[:12], re.DOTALL)), None)


def _image(ref: str, names: Mapping[str, Any]) -> bytes | str:
    """Return the bytes of what a reference names, or an address."""
    if found := _OUT.fullmatch(ref):
        outputs = names.get("Out", {})
        if int(found[1]) not in outputs:
            raise UsageError(f"There is no {ref}.", hint="The cell must have had a result.")
        return _of_value(ref, outputs[int(found[1])])
    if ref in names:
        return _of_value(ref, names[ref])
    path = _existing(ref)
    if path.stat().st_size > 20 * LARGEST_IMAGE:
        raise UsageError(f"{ref} is too large for an image.", hint="Make it smaller.")
    return path.read_bytes()


def _of_value(ref: str, value: Any) -> bytes | str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    kind = type(value)
    if kind.__module__ == "IPython.core.display" and kind.__name__ == "Image":
        data = value.data if value.data is not None else value.url
        if not isinstance(data, str):
            return bytes(data or b"")
        if re.match(r"https?://|data:image/", data):
            return data
        raise UsageError(f"{ref} has no image that can be sent: {data[:60]!r}.", hint=_TAKEN)
    try:
        drawn = _drawn(value)
    except Exception as error:  # noqa: BLE001 - drawing may fail in any way
        raise UsageError(f"{ref} cannot be drawn: {type(error).__name__}: {error}") from None
    if drawn is None:
        raise UsageError(f"{ref} is no image but of the type {kind.__name__}.", hint=_TAKEN)
    return drawn


def _drawn(value: Any) -> bytes | None:
    """Return a figure, an image of pillow or what shows itself as PNG as the bytes of a PNG."""
    figure: Any = value if hasattr(value, "savefig") else getattr(value, "figure", None)  # axes know theirs
    to = io.BytesIO()
    if hasattr(figure, "savefig"):
        figure.savefig(to, format="png", bbox_inches="tight")
        return to.getvalue()
    if hasattr(value, "save") and type(value).__module__.partition(".")[0] == "PIL":
        plain = value.mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
        (value if plain else value.convert("RGB")).save(to, "PNG")
        return to.getvalue()
    shown = value._repr_png_() if hasattr(value, "_repr_png_") else None
    if isinstance(shown, tuple):
        shown = shown[0]
    return shown if isinstance(shown, bytes) else None


def _smaller(ref: str, data: bytes) -> bytes:
    """Return an image that fits; raises `UsageError` where that cannot be."""
    too_large = f"{ref} has {len(data) / 1e6:.1f} MB, above the {LARGEST_IMAGE / 1e6:.0f} MB of an image."
    try:
        from PIL import Image
    except ImportError:
        raise UsageError(
            too_large, hint="Make it smaller, or install hs-notebook[images], which does it."
        ) from None
    try:
        image = Image.open(io.BytesIO(data))
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        to = io.BytesIO()
        if "A" in image.getbands() or "transparency" in image.info:
            image.convert("RGBA").save(to, "PNG")
        else:
            image.convert("RGB").save(to, "JPEG", quality=90)
    except Exception:  # noqa: BLE001 - a broken image raises anything
        raise UsageError(f"{too_large} It cannot be made smaller.", hint="Is it broken?") from None
    if to.tell() > LARGEST_IMAGE:
        raise UsageError(too_large, hint="Make it smaller.")
    sys.stderr.write(f"{too_large} It is sent with {image.width} × {image.height} pixels.\n")
    return to.getvalue()
