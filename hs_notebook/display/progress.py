"""How far a long run has come: a bar in a page or a terminal, plain lines where nobody watches."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LINE_SECONDS = 30.0  # between two lines
_WIDTH = 88


class Progress:
    """A bar of `total` questions, each a `unit`, and in words what was spent and how many failed.

    It moves where it is `watched`: as a widget in the page of `shell`, else as text in `file`. At the end the
    page keeps it as text: a widget would be saved as it began, with 0 %.
    """

    def __init__(
        self,
        total: int,
        file: TextIO,
        *,
        watched: bool,
        shell: InteractiveShell | None,
        unit: str = "row",
    ) -> None:
        self._total = total
        self._unit = unit
        self._file = file
        self._shell = shell
        self._begun = self._told = time.monotonic()
        self._state = (0, "")
        self._bar: Any = None
        self._display_id = ""
        if watched and shell is not None:
            self._bar = self._in_page(shell)
        elif watched:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=unit, dynamic_ncols=True, file=file)

    def _in_page(self, shell: InteractiveShell) -> Any:
        from tqdm.notebook import tqdm_notebook

        bar = tqdm_notebook(total=self._total, unit=self._unit, display=False)
        self._display_id = uuid.uuid4().hex
        self._publish(shell, bar.container._repr_mimebundle_())
        return bar

    def _publish(self, shell: InteractiveShell, data: dict[str, Any], *, update: bool = False) -> None:
        shell.display_pub.publish(data=data, transient={"display_id": self._display_id}, update=update)

    def _say(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()

    def show(self, done: int, failed: int, spent: str) -> None:
        """Show that so many questions are over, so many of them failed, and so much was spent."""
        text = f"{spent}, {failed:,} failed" if failed else spent
        if (done, text) == self._state:
            return
        self._state = (done, text)
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(text, refresh=True)
        elif time.monotonic() - self._told > _LINE_SECONDS:
            self._told = time.monotonic()
            self._say(self._line())

    def close(self) -> None:
        """Leave the last state, as text."""
        if self._bar is None:
            self._say(self._line())
            return
        self._bar.close()
        if self._shell is not None:
            for part in (*self._bar.container.children, self._bar.container):
                part.close()
            self._publish(self._shell, {"text/plain": self._line()}, update=True)

    def _line(self) -> str:
        from tqdm import tqdm

        done, text = self._state
        seconds = time.monotonic() - self._begun
        return tqdm.format_meter(
            done, self._total, seconds, ncols=_WIDTH, unit=self._unit, postfix=text or None, ascii=False
        ).rstrip()


class Unseen:
    """No bar at all."""

    def show(self, done: int, failed: int, spent: str) -> None:
        pass

    def close(self) -> None:
        pass
