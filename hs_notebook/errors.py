"""Every error this package raises, one tree.

::

    HolySheepError
    ├── UsageError                 what was typed cannot be meant: option, name, empty prompt, bad value
    │   └── ReplayError            an answer that is to come from a file is not in it
    ├── BudgetError                a limit on cost forbids the call, or no price is known to hold it to
    ├── ConfigurationError         a base URL, a setting or a file that cannot work
    │   └── MissingKeyError        no key anywhere, with the places that were looked at
    ├── SchemaError                the answer is not what was asked for: it does not fit, or is no JSON
    ├── ToolError                  the model's calls of functions came to no end
    └── APIError                   the call failed
        ├── APIConnectionError     refused, reset, unknown host, TLS, proxy
        │   └── APITimeoutError    connect, idle or total time is over
        ├── APIStatusError         an HTTP status other than 2xx; `.status_code`
        │   ├── BadRequestError            400, 413, 422
        │   ├── AuthenticationError        401, 403
        │   ├── InsufficientBalanceError   402, or a quota that is used up
        │   ├── NotFoundError              404
        │   ├── RateLimitError             429
        │   └── InternalServerError        5xx
        ├── ProtocolError          the reply is not what the API promises
        │   ├── EventTooLargeError         one event above the decoder's limit
        │   └── EmptyAnswerError           a stream that ended well and said nothing
        ├── UpstreamError          an error frame inside a stream; `.code`
        └── StreamTruncatedError   the stream broke off; what came before it is good

``str(error)`` is one line: what happened, then the way out (`.hint`).
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class HolySheepError(Exception):
    """Base of all; `hint` is the way out, one sentence, and may be empty.

    `answer` is what had come of an answer before the error, where it came in the middle of one.
    """

    answer: Any = None

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(_one_line(message))
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened, one sentence."""
        return str(self.args[0])

    @message.setter
    def message(self, text: str) -> None:
        self.args = (_one_line(text),)  # so that repr never shows more than str does

    def scrub(self, scrub: Callable[[str], str]) -> None:
        """Take a key out of all that is said in it."""
        self.message = scrub(self.message)
        for name, said in vars(self).items():
            if isinstance(said, str):
                setattr(self, name, scrub(said))

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited way calls the class with `args` alone, which a required keyword forbids.
        return self._again, self.args, self.__dict__

    @classmethod
    def _again(cls, *args: Any) -> Self:
        return cls.__new__(cls, *args)

    def __str__(self) -> str:
        return _one_line(f"{self.message} {self.hint}").strip()


def _one_line(text: str) -> str:
    """Return a text without the ends of lines that a file, a server or a name brought."""
    return " ".join(text.splitlines())


class UsageError(HolySheepError):
    """What was typed cannot be meant."""


class ReplayError(UsageError):
    """An answer that is to come from a file is not in it, and nothing may be asked."""


class BudgetError(HolySheepError):
    """A limit on cost forbids the call; nothing was sent."""


class ConfigurationError(HolySheepError):
    """A setting that cannot work."""


class MissingKeyError(ConfigurationError):
    """No key was found."""


class SchemaError(HolySheepError):
    """The answer does not fit what was asked for."""


class ToolError(HolySheepError):
    """The model went on asking for functions."""


class APIError(HolySheepError):
    """A call that failed; `retry_after` is the wait the server asked for, in seconds.

    `final` tells that it asked for no other attempt. `before` are the events that the same bytes of a
    stream completed before it.
    """

    retry_after: float = math.nan
    final: bool = False
    before: Sequence[Any] = ()


class APIConnectionError(APIError):
    """The server could not be reached, or the connection broke before anything came.

    `temporary` tells whether another attempt could help.
    """

    def __init__(self, message: str, *, hint: str = "", temporary: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


class APITimeoutError(APIConnectionError):
    """Nothing came in time."""


class APIStatusError(APIError):
    """An HTTP status other than 2xx; `param` is the request field the server complains of, if it says."""

    def __init__(self, message: str, *, status_code: int, hint: str = "", param: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status_code = status_code
        self.param = param


class BadRequestError(APIStatusError):
    """400, 413, 422: the request is at fault."""


class AuthenticationError(APIStatusError):
    """401, 403: the key was refused."""


class InsufficientBalanceError(APIStatusError):
    """402, or a quota that is used up."""


class NotFoundError(APIStatusError):
    """404: no such model or no such path."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class InternalServerError(APIStatusError):
    """5xx: the server is at fault."""


class ProtocolError(APIError):
    """The reply is not what the API promises."""


class EventTooLargeError(ProtocolError):
    """One event of the stream is above the decoder's limit."""


class EmptyAnswerError(ProtocolError):
    """The stream ended well and said nothing."""


class UpstreamError(APIError):
    """An error frame inside a stream; `code` is the server's, or empty."""

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StreamTruncatedError(APIError):
    """The stream broke off before its end."""


def status_error(status: int) -> type[APIStatusError]:
    """Return the class for an HTTP status."""
    exact: dict[int, type[APIStatusError]] = {
        HTTPStatus.UNAUTHORIZED: AuthenticationError,
        HTTPStatus.PAYMENT_REQUIRED: InsufficientBalanceError,
        HTTPStatus.FORBIDDEN: AuthenticationError,
        HTTPStatus.NOT_FOUND: NotFoundError,
        HTTPStatus.TOO_MANY_REQUESTS: RateLimitError,
        HTTPStatus.BAD_REQUEST: BadRequestError,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: BadRequestError,
        HTTPStatus.UNPROCESSABLE_ENTITY: BadRequestError,
    }
    if status in exact:
        return exact[status]
    return InternalServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIStatusError
