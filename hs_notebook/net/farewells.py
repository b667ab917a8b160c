"""What a relay is told in the background: that nobody wants an answer any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hs_notebook.connections import undisturbed
from hs_notebook.errors import APIConnectionError, APIError

if TYPE_CHECKING:
    import httpx

_PATIENCE = 1.0  # seconds


class Ask(Protocol):
    """Sends a request without a body; raises `APIError`."""

    async def __call__(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response: ...


class Farewells:
    """Requests that nobody waits for. Where one is lost the relay notices by itself, later."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._under_way: set[asyncio.Task[None]] = set()

    def say(self, path: str, headers: dict[str, str] | None = None) -> None:
        """Send DELETE, soon."""
        task = asyncio.create_task(self._say(path, headers or {}))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def said(self) -> None:
        """Wait for those under way, which is not long."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _say(self, path: str, headers: dict[str, str]) -> None:
        with suppress(APIError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                try:
                    response = await self._ask("DELETE", path, headers)
                except APIConnectionError:  # a connection that was idle may be closed
                    response = await self._ask("DELETE", path, headers)
                await undisturbed(response.aclose())
