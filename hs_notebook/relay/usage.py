"""The usage of a stream, which the relay always asks for: taken out again for who did not."""

from __future__ import annotations

import re

import msgspec

from hs_notebook.errors import HolySheepError
from hs_notebook.relay.events import WholeEvents, events_of
from hs_notebook.wire.sse import SSEDecoder

_FIGURES = re.compile(rb'"usage"\s*:\s*\{')


class WithoutUsage(WholeEvents):
    """Leaves out the event that is only a usage; all others stay as they are."""

    def edited(self, data: bytes) -> bytes:
        """Return some events without a usage that stands alone."""
        if data.count(b'"usage"') == data.count(b'"usage":null') or not _FIGURES.search(data):
            return data  # the usual frames; the counting is quick
        return b"".join(event for event in events_of(data) if not _is_usage(event))


def _is_usage(event: bytes) -> bool:
    """Tell whether an event has figures, and no choices: what a client gets that asks for the usage."""
    if not _FIGURES.search(event):
        return False
    try:
        (read,) = SSEDecoder().feed(event + b"\n\n")
        frame = msgspec.json.decode(read.data)
    except (ValueError, RecursionError, HolySheepError):  # none or several, no JSON, or too large
        return False
    return isinstance(frame, dict) and frame.get("choices") == [] and isinstance(frame.get("usage"), dict)
