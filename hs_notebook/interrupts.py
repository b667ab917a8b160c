"""Interrupts that wait: what must not be left half done is done, and then the interrupt is heard.

An interrupt raises `KeyboardInterrupt` between any two steps of the main thread, also in the midst of putting
an answer away. In `uninterrupted` it waits for the end of the block, or for the next `interruptible` one in
it, which is where an answer is waited for or the user's own code runs. Nothing else in it may take long.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

Handler = Callable[[int, "FrameType | None"], Any]

_BURST_SECONDS = 0.5  # longer than a kernel takes to end a cell


class _Waiting:
    """Stands in for a handler of SIGINT: it remembers that one came, or while it is `open` handles it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.came = self.open = False
        self.burst = 0.0  # until when what comes is one with what was heard

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.open:
            self.came = True
        elif time.monotonic() > self.burst:  # else it would meet what answers to the one before
            self.burst = time.monotonic() + _BURST_SECONDS
            self.handler(number, frame)

    def let_through(self) -> None:
        """Handle what came."""
        if self.came:
            self.came = False
            self.handler(signal.SIGINT, None)


class _Burst:
    """Stands in for a handler of SIGINT while a burst of them lasts, of which the first was heard."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.until = time.monotonic() + _BURST_SECONDS

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() > self.until:
            signal.signal(signal.SIGINT, self.handler)
            self.handler(number, frame)


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
            handler.open, handler.burst = True, 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting is not None:
            self._waiting.open = False


def heard_once() -> None:
    """Take the interrupts of the next moment for the one that ends this cell.

    They would meet what a kernel does at the end of a cell, which then never gets its reply. A kernel handles
    interrupts anew in the next cell; elsewhere this is not for.
    """
    handler = _handler()
    if handler is not None and not isinstance(handler, _Waiting):
        inner = handler.handler if isinstance(handler, _Burst) else handler
        signal.signal(signal.SIGINT, _Burst(inner))


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
