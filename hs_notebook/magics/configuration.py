"""What ``%config HolySheepMagics`` sets, and the files that settings may come from, too.

The first that says something wins: the line's own option, ``%config``, the environment, the project's
``pyproject.toml``, ``ipython_config.py``. The project's file is read when a magic first runs: loading
touches none.
"""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics

from hs_notebook.errors import ConfigurationError
from hs_notebook.magics.formats import FORMATS
from hs_notebook.prices import FILE_NAME
from hs_notebook.project import Project, find_project
from hs_notebook.settings import DEFAULT_MODEL, KEY_NAME, named_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTION = "HolySheepMagics"
_NO_PATH = {"", "off"}
_WHERE_KEYS_BELONG = f"A key belongs into {KEY_NAME}, in the environment or in a .env file."
_SECRET = ("key", "token", "secret", "password")


class Configuration(Magics):
    """The settings of the magics, and where each comes from."""

    shell: Any  # not optional here, as it is for traitlets

    model = traitlets.Unicode(DEFAULT_MODEL, help="The model of a %%holysheep line that names none.").tag(
        config=True
    )
    base_url = traitlets.Unicode(
        "", help="The relay; empty: HOLYSHEEP_BASE_URL, else https://api.holysheep.ai/v1."
    ).tag(config=True)
    display = traitlets.Enum(
        ["auto", "widget", "page", "text"],
        "auto",
        help="Where answers appear: a live widget, pictures in the page, or plain text; auto chooses.",
    ).tag(config=True)
    format = traitlets.Enum(
        FORMATS,
        "markdown",
        help="What answers are, unless the line says -f: markdown; text, shown as it is; code, offered as a "
        "new cell; json, in .parsed.",
    ).tag(config=True)
    tool_rounds = traitlets.Int(
        5, min=1, help="Rounds in which a model may ask for the functions of --tools, at most."
    ).tag(config=True)
    auth = traitlets.Enum(["bearer", "x-api-key"], "bearer", help="The header that carries the key.").tag(
        config=True
    )
    requests_per_minute = traitlets.Int(60, min=1, help="Requests a minute that the plan allows.").tag(
        config=True
    )
    concurrent_streams = traitlets.Int(5, min=1, help="Answers at a time that the plan allows.").tag(
        config=True
    )
    attempts = traitlets.Int(5, min=1, help="Requests sent for one answer, at most.").tag(config=True)
    connect_timeout = traitlets.Float(10.0, min=0.1, help="Seconds to connect.").tag(config=True)
    idle_timeout = traitlets.Float(60.0, min=0.1, help="Seconds without a word from the model.").tag(
        config=True
    )
    total_timeout = traitlets.Float(1800.0, min=0.1, help="Seconds for a whole answer.").tag(config=True)
    nest_asyncio = traitlets.Bool(
        default_value=False, help="Let the notebook's own asyncio tasks run while a cell waits for an answer."
    ).tag(config=True)

    budget_usd = traitlets.Float(
        None, allow_none=True, min=0, help="The most that this notebook may spend, in USD; None: no limit."
    ).tag(config=True)
    prices = traitlets.List(
        traitlets.Dict(),
        help="Your own prices, which win: [{'model': 'gpt-4.1', 'input': 2.0, 'output': 8.0}], in USD per "
        "million tokens.",
    ).tag(config=True)
    prices_file = traitlets.Unicode(
        "",
        help="A TOML file of your own prices; empty: HOLYSHEEP_PRICES, else your prices.toml.",
    ).tag(config=True, path=True)
    replay = traitlets.Enum(
        ["off", "record", "replay"],
        "off",
        help="record: answers are kept in a file and not asked again; replay: they come from it alone, no "
        "key is needed and nothing asked.",
    ).tag(config=True)
    replay_file = traitlets.Unicode(
        "", help="That file; empty: the notebook's name with .answers.jsonl, beside it."
    ).tag(config=True, path=True)
    ledger = traitlets.Unicode(
        "", help="The file in which calls are recorded; empty: the usual one; off: nowhere."
    ).tag(config=True, path=True)
    chat = traitlets.Unicode(
        None, allow_none=True, help="The conversation that every cell continues; None: each stands alone."
    ).tag(config=True)
    history_turns = traitlets.Int(
        20, min=0, help="Turns of a conversation that are sent again, at most."
    ).tag(config=True)
    keep_text = traitlets.Bool(
        default_value=False, help="Record prompts and answers, too; without it the ledger holds no text."
    ).tag(config=True)

    def __init__(self, shell: Any) -> None:
        self._chosen: set[str] | None = None  # by %config or in code; None while it is being made
        self.project: Project | None = None
        self._project_read = False
        super().__init__(shell)
        self._chosen = set()
        self.observe(self._note, list(self.traits(config=True)))

    def _note(self, change: Any) -> None:
        if self._chosen is not None:
            self._chosen.add(change["name"])

    # --- %config ---------------------------------------------------------------------------------

    def update_config(self, config: Any) -> None:
        """Take what ``%config`` sets; what cannot be is told in one line and changes nothing."""
        given = config.get(_SECTION, {})
        for name, value in given.items():
            if problem := self._problem(name, value):
                sys.stderr.write(f"HolySheepMagics: {problem} Nothing was changed.\n")
                return
        self._chosen = (self._chosen or set()) | set(given)
        super().update_config(config)

    @classmethod
    def class_get_help(cls, inst: Any = None) -> str:
        """Return all settings with their defaults and, for ``%config HolySheepMagics``, what holds now."""
        if inst is not None:
            inst.read_project()
        return super().class_get_help(inst)

    @classmethod
    def class_get_trait_help(cls, trait: Any, inst: Any = None, helptext: str | None = None) -> str:
        """Return what a setting is for, its default and, of an instance, its value and who set it."""
        about = super().class_get_trait_help(trait, None, helptext)
        if inst is None:
            return about
        return f"{about}\n    Current: {getattr(inst, trait.name)!r} ({inst.origin(trait.name)})"

    def _problem(self, name: str, value: Any) -> str:
        """Return what is wrong with a setting, in one line, or nothing."""
        trait = self.traits(config=True).get(name)
        if trait is None:
            near = difflib.get_close_matches(name, self.traits(config=True), 1)
            hint = f"Did you mean {near[0]}?" if near else "%config HolySheepMagics lists them."
            return f"There is no setting {name}. {hint}"
        try:
            trait._validate(self, value)  # noqa: SLF001 - traitlets has no other way to try a value
        except traitlets.TraitError:
            return f"{name} must be {_expected(trait)}."
        return ""

    # --- the project's file ----------------------------------------------------------------------

    def read_project(self) -> None:
        """Read the project's settings once; what is wrong with them is told, and the rest holds."""
        if self._project_read:
            return
        self._project_read = True
        try:
            self.project = find_project(Path.cwd())
        except (ConfigurationError, OSError) as error:
            sys.stderr.write(f"{error}\n")
        if self.project is None:
            return
        chosen, self._chosen = self._chosen or set(), None
        try:
            wanted = self._wanted(self.project)
            kept = {name: value for name, value in wanted.items() if name not in chosen}
            super().update_config(traitlets.config.Config({_SECTION: kept}))
        finally:
            self._chosen = chosen
        self.project = self.project._replace(values=wanted)

    def _wanted(self, project: Project) -> dict[str, Any]:
        """Return what the file sets, and tell of what it cannot."""
        wanted = {}
        for name, value in project.values.items():
            known = self.traits(config=True).get(name)
            problem = self._problem(name, value)
            if known is None and any(word in name.lower() for word in _SECRET):
                problem = f"{name} is not read. {_WHERE_KEYS_BELONG}"
            if known is None or problem:
                sys.stderr.write(f"{project.file}: {problem}\n")
            elif known.metadata.get("path") and value.strip().lower() not in _NO_PATH:
                wanted[name] = str(project.file.parent / Path(value).expanduser())
            else:
                wanted[name] = value
        return wanted

    def chosen(self) -> dict[str, Any]:
        """Return what was set by %config or in code."""
        return {name: getattr(self, name) for name in sorted(self._chosen or ())}

    def choose(self, values: Mapping[str, Any]) -> None:
        """Set what was so chosen before."""
        for name, value in values.items():
            setattr(self, name, value)
        self._chosen = (self._chosen or set()) | set(values)

    # --- where a setting comes from --------------------------------------------------------------

    def origin(self, name: str) -> str:
        """Return in words where a setting comes from."""
        if name in (self._chosen or ()):
            return "set here"
        if self.project is not None and name in self.project.values:
            return f"from {self.project.file}"
        return "from ipython_config.py" if name in self._ipython() else "default"

    def _ipython(self) -> Mapping[str, Any]:
        section: Mapping[str, Any] = self.shell.config.get(_SECTION, {})
        return section

    @property
    def relay(self) -> str | None:
        """The base URL that a setting names; None where the environment has the say, or nobody."""
        if "base_url" not in (self._chosen or ()) and named_base_url():
            return None
        return self.base_url or None

    @property
    def relay_named_by(self) -> str:
        """The file that names the base URL, or nothing: who is asked for a key must know it."""
        origin = "" if self.relay is None else self.origin("base_url")
        return origin.removeprefix("from ") if origin.startswith("from ") else ""

    @property
    def own_price_file(self) -> str:
        """The file of the user's prices that a setting names; empty where the environment has the say."""
        chosen = "prices_file" in (self._chosen or ())
        return "" if os.environ.get(FILE_NAME) and not chosen else self.prices_file

    def settings_files(self) -> dict[str, list[str]]:
        """Return the files that settings came from, and which ones."""
        found: dict[str, list[str]] = {}
        for name in self.traits(config=True):
            origin = self.origin(name)
            if origin.startswith("from "):
                found.setdefault(origin.removeprefix("from "), []).append(name)
        return found


def _expected(trait: Any) -> str:
    """Return in words what a setting may be."""
    if isinstance(trait, traitlets.Enum):
        return " or ".join(map(str, trait.values or ()))
    bounds = [f"at least {trait.min:g}"] if getattr(trait, "min", None) is not None else []
    kinds = {
        traitlets.Unicode: "text",
        traitlets.Bool: "True or False",
        traitlets.Int: "a whole number",
        traitlets.Float: "a number",
        traitlets.List: "a list",
    }
    kind = next((words for known, words in kinds.items() if isinstance(trait, known)), trait.info())
    return ", ".join([kind, *bounds]) + (" or None" if trait.allow_none else "")
