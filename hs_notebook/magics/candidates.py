"""What fits on the line of a magic: models with prices, options and their values, names of the notebook."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, is_typeddict
from urllib.parse import urlsplit

from hs_notebook.magics.fields import Item, kind_of
from hs_notebook.pricing.quotes import Quotes, today
from hs_notebook.settings import DEFAULT_BASE_URL, named_base_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hs_notebook.magics.magic import HolySheepMagics

SEVERAL = frozenset({"model", "flag_model", "tools"})  # what may be several, with commas between them
_MOST = 200  # files that are offered
_LONGEST = 60  # characters of a hint
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


def models(magics: HolySheepMagics, _part: str) -> list[Item]:
    """Return the models that are known without asking anybody, the relay's own prices beside them."""
    base_url = magics.relay or named_base_url() or DEFAULT_BASE_URL
    quotes = Quotes(magics.purse.book, urlsplit(base_url).hostname or "")
    at = today()
    sold = [row.model for row in quotes.book if row.seller == quotes.seller]
    others = [row.model for row in quotes.book]
    offered = sorted(model.id for model in magics.session.offered)
    names = dict.fromkeys([magics.model, *sold, *offered, *([] if offered else others)])
    return [Item(name, _price(quotes, name, at)) for name in names]


def _price(quotes: Quotes, model: str, at: Any) -> str:
    price = quotes.book.find(model, quotes.seller, at)
    if price is None or price.output is None:
        return "price unknown"
    known = f"{price.output:.2f} $/MTok out"
    if price.input is not None:
        known = f"{price.input:.2f} in, {known}"
    if price.retires_on is None or not price.retirement(at):
        return known
    return f"{known}, {'retired' if at >= price.retires_on else 'retires'} {price.retires_on}"


def options(parser: argparse.ArgumentParser, given: list[str]) -> list[Item]:
    """Return the long options that may still be given, and in a few words what they do."""
    found = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells of its options in no other way
        again = type(action).__name__ == "_AppendAction"
        if again or not set(action.option_strings) & set(given):
            found += [Item(name, _hint(action.help)) for name in action.option_strings if name[:2] == "--"]
    return found


def _hint(text: str | None) -> str:
    first = (text or "").replace("%%", "%").partition(";")[0].partition(":")[0]
    return first if len(first) <= _LONGEST else first[: _LONGEST - 1] + "…"


def values(magics: HolySheepMagics, action: argparse.Action, part: str) -> list[Item]:
    """Return what may stand for an option or a place of the line, where that is known."""
    if action.choices:
        return [Item(str(choice), "choice") for choice in action.choices]
    known = _VALUES.get(action.dest)
    return [] if known is None else list(known(magics, part))


def conversations(magics: HolySheepMagics, _part: str) -> list[Item]:
    """Return the conversations that have names."""
    known = sorted((talk for talk in magics.conversations if talk.name), key=lambda talk: talk.name)
    return [Item(talk.name, f"conversation of {len(talk.turns):,}") for talk in known]


def presets(_magics: HolySheepMagics, _part: str) -> list[Item]:
    """Return what the calculator may begin from."""
    from hs_notebook.calculator import PRESETS

    return [Item(name, preset.title) for name, preset in PRESETS.items()]


def paths(_magics: HolySheepMagics, part: str, endings: tuple[str, ...] = ()) -> Iterator[Item]:
    """Return the folders and files that begin as `part` does, as a line writes them."""
    folder, begun = os.path.split(part.replace("\\ ", " "))
    kept = part[: len(part) - len(os.path.split(part)[1])]
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:  # noqa: PTH111 - as typed
            known = sorted(entries, key=lambda entry: entry.name)[: 10 * _MOST]
    except (OSError, ValueError):
        return
    for entry in known:
        if not entry.name.startswith(begun) or (entry.name.startswith(".") and not begun):
            continue
        if entry.is_dir():
            yield Item(kept + _escaped(entry.name) + "/", "folder")
        elif not endings or entry.name.lower().endswith(endings):
            yield Item(kept + _escaped(entry.name), "file")


def _escaped(name: str) -> str:
    return "".join(f"\\{char}" if char in " '\"\\" else char for char in name)


def _named(magics: HolySheepMagics, fits: Any) -> list[Item]:
    names = sorted(magics.own_names().items())
    return [Item(name, kind_of(value)) for name, value in names if name[:1] != "_" and fits(value)]


def _is_schema(value: Any) -> bool:
    """Tell whether an answer can be held to a value."""
    if type(value) is dict:
        return isinstance(value.get("type", value.get("schema", value.get("properties"))), str | dict)
    if not issubclass(type(value), type):
        return False
    made_by = {(kind.__module__.partition(".")[0], kind.__name__) for kind in value.__mro__}
    made = {("pydantic", "BaseModel"), ("msgspec", "Struct")} & made_by
    fields = any("__dataclass_fields__" in vars(kind) for kind in value.__mro__)
    return bool(made) or fields or is_typeddict(value)


def _is_function(value: Any) -> bool:
    return type(value).__name__ == "function"


def _is_image(value: Any) -> bool:
    """Tell whether a value is a picture or a figure; asks only its class."""
    kinds = type(value).__mro__
    made_by = {kind.__module__.partition(".")[0] for kind in kinds}
    shown = any(name in vars(kind) for kind in kinds for name in ("savefig", "_repr_png_"))
    return shown or ("PIL" in made_by and any(kind.__name__ == "Image" for kind in kinds))


def _schemas(magics: HolySheepMagics, _part: str) -> list[Item]:
    return _named(magics, _is_schema)


def _functions(magics: HolySheepMagics, _part: str) -> list[Item]:
    return _named(magics, _is_function)


def _images(magics: HolySheepMagics, part: str) -> list[Item]:
    return [*_named(magics, _is_image), *paths(magics, part, _PICTURES)]


_VALUES: Mapping[str, Callable[[HolySheepMagics, str], Iterable[Item]]] = {
    "model": models,
    "models": models,
    "flag_model": models,
    "chat": conversations,
    "name": conversations,
    "preset": presets,
    "schema": _schemas,
    "tools": _functions,
    "image": _images,
    "file": paths,
}
