"""Interrupts that wait: what must not be left half done is done, and then the interrupt is heard.

An interrupt raises `KeyboardInterrupt` between any two steps of the main thread, also in the midst of putting
an answer away. In `uninterrupted` it waits for the end of the block, or for the next `interruptible` one in
it, which is where an answer is waited for or the user's own code runs. Nothing else in it may take long.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

Handler = Callable[[int, "FrameType | None"], Any]


class _Waiting:
    """Stands in for a handler of SIGINT, and remembers that one came."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True

    def let_through(self) -> None:
        """Handle what came."""
        if self.came:
            self.came = False
            self.handler(signal.SIGINT, None)


class uninterrupted:  # noqa: N801 - read as the words of a `with`
    """Within the block an interrupt waits for its end. Only the main thread hears of any."""

    _waiting: _Waiting | None = None

    def __enter__(self) -> None:
        handler = _handler()
        if handler is None or isinstance(handler, _Waiting):
            return  # nothing to hold back, or an outer block does
        self._waiting = _Waiting(handler)
        signal.signal(signal.SIGINT, self._waiting)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting is not None:
            signal.signal(signal.SIGINT, self._waiting.handler)
            if error is None or isinstance(error, Exception):  # which the user may catch, and go on
                self._waiting.let_through()


class interruptible:  # noqa: N801 - as above
    """Within this part of an `uninterrupted` block an interrupt is heard at once, one that waited too."""

    _waiting: _Waiting | None = None

    def __enter__(self) -> None:
        handler = _handler()
        if isinstance(handler, _Waiting):
            handler.let_through()
            self._waiting = handler
            signal.signal(signal.SIGINT, handler.handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting is not None:
            signal.signal(signal.SIGINT, self._waiting)


def has_waited() -> bool:
    """Tell whether an interrupt waits, which the caller answers to: it waits no longer."""
    handler = _handler()
    if not isinstance(handler, _Waiting):
        return False
    came, handler.came = handler.came, False
    return came


def _handler() -> Handler | None:
    """Return what handles an interrupt, where it can come and Python hears of it."""
    if threading.current_thread() is not threading.main_thread():
        return None
    handler = signal.getsignal(signal.SIGINT)
    return handler if callable(handler) else None
