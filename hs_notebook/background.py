"""An answer that arrives while the notebook goes on."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hs_notebook.answers import Answer
from hs_notebook.compared import Answers
from hs_notebook.errors import UsageError
from hs_notebook.portal import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


T = TypeVar("T", Answer, Answers)


class Background(Generic[T]):
    """An answer on its way: `wait()` or `await` it, `stop()` it, or look at its `state`.

    `text` is what has come so far. Of several models asked at a time it holds `Answers`. As a `str` it is the
    text when that has ended, also of one that ended in an error, and `UsageError` where there is none.
    """

    def __init__(
        self, model: str, work: Callable[[], T], stop: Callable[[], None], text: Callable[[], str]
    ) -> None:
        self.model = model
        self._stop = stop
        self._text = text
        self.future: Future[T] = Future()
        self._process = os.getpid()
        # What the thread shows belongs to the cell that began it.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run, work), name="hs_notebook answer", daemon=True
        )
        self._thread.start()

    def _run(self, work: Callable[[], T]) -> None:
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self.future.set_exception(error)
        else:
            self.future.set_result(answer)

    def wait(self, timeout: float | None = None) -> T:
        """Return the answer when it has ended; an interrupt ends the waiting, not the answer.

        Raises `HolySheepError` where it ended in one, and `TimeoutError` after `timeout` seconds.
        """
        self._check_process()
        return wait(self.future) if timeout is None else self.future.result(timeout)

    def _check_process(self) -> None:
        if not self.done and self._process != os.getpid():
            raise UsageError(
                f"The answer of {self.model} arrives in another process, of which this one is a fork.",
                hint="Ask for one here.",
            )

    def stop(self) -> T:
        """Stop the answer, keep what came, and return it."""
        self._check_process()
        self._stop()
        return self.wait()

    def __await__(self) -> Generator[Any, None, T]:
        self._check_process()
        return asyncio.shield(asyncio.wrap_future(self.future)).__await__()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.future.done()

    @property
    def answer(self) -> T | None:
        """The answer, or what came of one that ended in an error; None while it arrives."""
        if not self.done:
            return None
        error = self.future.exception()
        return getattr(error, "answer", None) if error else self.future.result()

    @property
    def state(self) -> str:
        """`streaming`, and then how it ended."""
        if not self.done:
            return "streaming"
        return self.answer.state if self.answer is not None else "error"

    @property
    def text(self) -> str:
        """The text so far."""
        return self._text() if self.answer is None else self.answer.text

    def __str__(self) -> str:
        if not self.done:
            raise UsageError(f"The answer of {self.model} is still arriving.", hint="Wait for it: .wait().")
        if self.answer is None:
            error = self.future.exception()
            raise UsageError(f"There is no answer of {self.model}: {type(error).__name__}: {error}")
        return self.answer.text

    def __repr__(self) -> str:
        return f"<{self.model}: {self.state}, {len(self.text):,} characters>"
