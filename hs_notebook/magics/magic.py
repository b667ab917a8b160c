"""``%%holysheep`` and ``%holysheep``; what ``%config HolySheepMagics`` sets is in `configuration`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand

from hs_notebook.answers import Answer
from hs_notebook.background import Background
from hs_notebook.compared import Answers
from hs_notebook.conversation import Conversations
from hs_notebook.errors import HolySheepError
from hs_notebook.interpolation import is_history
from hs_notebook.interrupts import heard_once
from hs_notebook.magics import commands
from hs_notebook.magics.ask import ask, warn_of_key
from hs_notebook.magics.completion import attach
from hs_notebook.magics.configuration import Configuration
from hs_notebook.magics.fix import Mishap, watch
from hs_notebook.magics.manual import manual
from hs_notebook.magics.options import parse
from hs_notebook.magics.parser import HelpRequested
from hs_notebook.magics.purse import Purse
from hs_notebook.magics.replay import Replays
from hs_notebook.magics.short import shorten
from hs_notebook.magics.shown import picture_of, text_of
from hs_notebook.net.transport import Timeouts
from hs_notebook.portal import portal, wait
from hs_notebook.prompt import hidden_prompt, somebody_is_there
from hs_notebook.session import Session
from hs_notebook.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.display import Display
    from hs_notebook.display.views import Views


@magics_class
class HolySheepMagics(Configuration):
    """Ask language models through the HolySheep relay."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        shell.input_transformers_cleanup.insert(0, keep_empty_cell)
        self.session = Session(prompt=hidden_prompt)
        self.conversations = Conversations()
        self.purse = Purse(self)
        self.replays = Replays(self)
        self._shown: Any = None
        # Not an attribute alone: functions in several threads may ask at a time.
        self._local: ContextVar[Mapping[str, Any] | None] = ContextVar("local names", default=None)
        self._views: Views | None = None
        self.mishap: Mishap | None = None  # the last error of a cell
        self._detach = [attach(self), watch(self)]

    # --- the magics ------------------------------------------------------------------------------

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def holysheep(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Ask a model. ``%%holysheep --help`` shows the options, ``%holysheep help`` the commands."""
        self.read_project()
        try:
            with self._within(local_ns):
                if cell is None:
                    return commands.run(self, line)
                warn_of_key(line + cell)
                ask(self, parse(line), cell, typed=line + cell)
        except HelpRequested as request:
            sys.stdout.write(request.text)
        except (HolySheepError, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) and hasattr(self.shell, "kernel"):
                heard_once()
            raise shorten(error) from None
        return None

    @contextlib.contextmanager
    def _within(self, local_ns: Mapping[str, Any] | None) -> Iterator[None]:
        """Let the names of the function that asks, if it is one, come before those of the notebook."""
        before = self._local.set(None if local_ns is self.shell.user_ns else local_ns)
        try:
            yield
        finally:
            self._local.reset(before)

    def own_names(self) -> dict[str, Any]:
        """What the user has named, and the shell's histories: nothing else that the shell put there."""
        hidden = self.shell.user_ns_hidden
        names = {
            name: value
            for name, value in self.shell.user_ns.items()
            if is_history(name) or name not in hidden or hidden[name] is not value
        }
        if type(shown := names.get("_")) is str and not shown:
            del names["_"]  # nothing was shown yet
        return names | dict(self._local.get() or {})

    def put(self, name: str | None, value: Any) -> None:
        """Put an answer, or what stands for it, into a variable, and into `_` and `Out`."""
        if name:
            self.shell.user_ns[name] = value
        self.shell.displayhook.update_user_ns(value)

    def is_shown(self, value: Any) -> None:
        """Keep the end of this cell from showing what the cell has shown already."""
        self._shown = value

        def forget(_result: Any = None) -> None:
            self._shown = None
            self.shell.events.unregister("post_run_cell", forget)

        self.shell.events.register("post_run_cell", forget)

    # IPython asks for it at %%holysheep? alone: loading need not write it.
    holysheep.getdoc = manual  # type: ignore[union-attr]

    # --- what they stand on ----------------------------------------------------------------------

    def client(self, base_url: str | None = None) -> AsyncHolySheep:
        """Return the client that the settings ask for."""
        client = self.session.client(
            base_url or self.relay,
            named_by="" if base_url else self.relay_named_by,
            prices=self.purse.book,
            auth=self.auth,
            timeouts=Timeouts(connect=self.connect_timeout, idle=self.idle_timeout, total=self.total_timeout),
            retry=RetryPolicy(attempts=self.attempts),
            requests_per_minute=self.requests_per_minute,
            concurrent_streams=self.concurrent_streams,
        )
        return self.purse.equip(client)

    @property
    def in_page(self) -> bool:
        """Whether outputs go to a page and not to a terminal."""
        return self.display != "text" and hasattr(self.shell, "kernel")

    @property
    def has_widgets(self) -> bool:
        """Whether answers appear in a widget, while they arrive."""
        # A tool that runs notebooks would save the widget, and its readers are sent to the network for it.
        return self.display == "widget" or (self.display == "auto" and somebody_is_there())

    def display_for(self, model: str, *, in_background: bool = False) -> Display:
        """Return the place on the screen for an answer; one in the background tells its own errors."""
        if not self.in_page:
            from hs_notebook.display.terminal import Announcement, TerminalDisplay

            return Announcement() if in_background else TerminalDisplay()
        from hs_notebook.display.page import PageDisplay
        from hs_notebook.display.widget import WidgetDisplay

        place = (
            WidgetDisplay(self.shell, model, self.views, portal().loop)
            if self.has_widgets
            else PageDisplay(self.shell, model)
        )
        place.tells_errors = in_background
        return place

    @property
    def views(self) -> Views:
        """What is live in this kernel's pages."""
        from hs_notebook.display.views import Views

        if self._views is None:
            self._views = Views(self.shell)
        return self._views

    def wait(self, future: Future[Answer]) -> Answer:
        """Wait in the cell, and let the notebook's own tasks run meanwhile where it asked for that."""
        loop = _running_loop()
        if loop is None or not self.nest_asyncio:
            return wait(future)
        from hs_notebook.magics.nested import wait_and_run

        return wait_and_run(future, loop)

    @traitlets.observe("nest_asyncio")
    def _prepare_loop(self, _change: Any) -> None:
        if self.nest_asyncio and (loop := _running_loop()):
            from hs_notebook.magics.nested import patch

            patch(loop)

    def show_answers(self) -> None:
        """Show an answer, or several, at the end of a cell as a picture, and in a terminal as text."""
        formatter = self.shell.display_formatter
        for kind in (Answer, Answers):
            formatter.formatters["text/plain"].for_type(
                kind, lambda value, printer, _cycle: printer.text(text_of(value))
            )
            formatter.mimebundle_formatter.for_type(kind, self._bundle)
            formatter.ipython_display_formatter.for_type(kind, self._unless_shown)
        formatter.mimebundle_formatter.for_type(Background, self._bundle_of_background)

    def _unless_shown(self, value: Any) -> None:
        if value is not self._shown:
            raise NotImplementedError  # IPython's way to be told: show it as you would

    def _bundle(self, value: Answer | Answers, **_: Any) -> Any:
        return picture_of(value) if self.in_page else {"text/plain": text_of(value)}

    def _bundle_of_background(self, value: Background[Any], **_: Any) -> Any:
        return {} if value.answer is None else self._bundle(value.answer)  # while it arrives: its repr

    def go_on(
        self, conversations: Conversations | None = None, chosen: Mapping[str, Any] | None = None
    ) -> None:
        """Go on with what was said and set before the extension was loaded anew."""
        self.conversations = conversations or self.conversations
        self.choose(chosen or {})

    def close(self) -> None:
        """Stop what streams, and forget how to show answers."""
        for running in list(self.session.running):
            running.stop()
        self.shell.input_transformers_cleanup.remove(keep_empty_cell)
        for detach in self._detach:
            detach()
        if self._views is not None:
            self._views.close()
        for formatter in (
            self.shell.display_formatter.formatters["text/plain"],
            self.shell.display_formatter.mimebundle_formatter,
            self.shell.display_formatter.ipython_display_formatter,
        ):
            for kind in (Answer, Answers, Background):
                formatter.pop(kind, None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a terminal: there is no loop to keep going
        return None


def keep_empty_cell(lines: list[str]) -> list[str]:
    """Give a ``%%holysheep`` line without a cell an empty one: --help and our own error can answer then."""
    if len(lines) == 1 and lines[0].startswith("%%holysheep"):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


# A terminal asks with the same transformers whether a cell is complete: there the line alone is not.
keep_empty_cell.has_side_effects = True  # type: ignore[attr-defined]  # IPython's own mark
