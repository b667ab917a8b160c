"""Everything that can go wrong on demand: `[simulate fault=NAME]`, see `FAULTS` for the names.

A fault either answers in place of the model (`reply`), or bends the answer on its way (`bend`, `stream`,
`usage`, `responses`). Nothing here acts without its directive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse, Response

from hs_notebook.relay.replies import compact, error, error_object
from hs_notebook.relay.simulation.frames import DONE
from hs_notebook.wire import sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class End(Enum):
    """How the connection is left after the last frame."""

    CLOSED = auto()  # as HTTP wants it
    CUT = auto()  # dropped in mid-reply
    STALLED = auto()  # open and silent until the client goes away


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """All bytes of an answer in order. A `whole` one is JSON in `closing`, due at `closing_due` seconds."""

    opening: bytes = b""
    tokens: Iterable[bytes] = ()
    closing: tuple[bytes, ...] = ()
    closing_due: float = 0.0
    whole: bool = False
    end: End = End.CLOSED


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One way of going wrong.

    `reply` answers at once. `bend` changes the script, from token `after` on. `stream` overrides what the
    client asked for. `usage` False leaves the usage out. `responses` speaks the dialect of OpenAI's
    Responses.
    """

    reply: Callable[[], Response] | None = None
    bend: Callable[[Script, int], Script] | None = None
    stream: bool | None = None
    usage: bool = True
    responses: bool = False


def _until(script: Script, after: int) -> Script:
    """Leave out all from token `after` on; of a whole body the second half."""
    rest = tuple(body[: len(body) // 2] for body in script.closing) if script.whole else ()
    return replace(script, tokens=islice(script.tokens, after), closing=rest)


def _cut(script: Script, after: int) -> Script:
    return replace(_until(script, after), end=End.CUT)


def _stall(script: Script, after: int) -> Script:
    return replace(_until(script, after), end=End.STALLED)


def _no_done(script: Script, _after: int) -> Script:
    return replace(script, closing=tuple(frame for frame in script.closing if frame != DONE))


def _bad_json(script: Script, after: int) -> Script:
    if script.whole:
        return _until(script, after)
    tokens = iter(script.tokens)
    broken = sse.encode('{"choices":[{"index":0,"delta":{"content":"half a fra')
    return replace(script, tokens=chain(islice(tokens, after), [broken], tokens))


def _error_frame(script: Script, after: int) -> Script:
    body = compact(error_object("The simulated model broke off.", kind="server_error", code="upstream_error"))
    return replace(_until(script, after), closing=(body.encode() if script.whole else sse.encode(body),))


def _empty(script: Script, _after: int) -> Script:
    return Script(whole=script.whole)


def _done_only(script: Script, _after: int) -> Script:
    return Script(whole=script.whole, closing=() if script.whole else (DONE,))


def _page(status: int) -> Response:
    title = "Bad gateway" if status == 502 else "Welcome"
    head = f"<head><title>{title}</title></head>"
    body = f"<body><h1>{title}</h1><p>This page comes from a simulated proxy, not from the API.</p></body>"
    return HTMLResponse(f"<!doctype html><html>{head}{body}</html>", status)


def _failure(status: int, kind: str, code: str, message: str) -> Fault:
    wait = {"retry-after": "1"} if status == 429 else None
    return Fault(reply=partial(error, status, f"{message} (simulated)", kind=kind, code=code, headers=wait))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "400": _failure(400, "invalid_request_error", "bad_request", "The request cannot be meant."),
        "401": _failure(401, "authentication_error", "invalid_api_key", "Incorrect API key provided."),
        "402": _failure(402, "insufficient_quota", "insufficient_balance", "The balance is used up."),
        "403": _failure(403, "permission_error", "forbidden", "This key may not use this model."),
        "429": _failure(429, "rate_limit_error", "rate_limit_exceeded", "Too many requests."),
        "500": _failure(500, "server_error", "internal_error", "The server had an error."),
        "503": _failure(503, "server_error", "overloaded", "The model is overloaded."),
        "html": Fault(reply=partial(_page, 200)),
        "html502": Fault(reply=partial(_page, 502)),
        "redirect": Fault(reply=partial(RedirectResponse, "/elsewhere", 307)),
        "empty": Fault(bend=_empty),
        "doneonly": Fault(bend=_done_only),
        "cut": Fault(bend=_cut),
        "stall": Fault(bend=_stall),
        "nodone": Fault(bend=_no_done),
        "badjson": Fault(bend=_bad_json),
        "errorframe": Fault(bend=_error_frame),
        "nousage": Fault(usage=False),
        "wholejson": Fault(stream=False),
        "sse_for_nonstream": Fault(stream=True),
        "responses": Fault(responses=True),
    }
)
NO_FAULT = Fault()
