"""The tree of errors: as it is drawn, in one line each, and fit to travel."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from hs_notebook import errors
from hs_notebook.errors import APIConnectionError, APIStatusError, HolySheepError, UpstreamError, status_error

CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
}


def made(kind: type[HolySheepError]) -> HolySheepError:
    if issubclass(kind, APIStatusError):
        return kind("It failed.", status_code=418, hint="Make tea.", param="pot")
    return kind("It failed.", hint="Make tea.")


def test_the_drawing_is_the_tree() -> None:
    drawn = {
        found[2]: len(found[1]) // 4
        for found in re.finditer(r"^( {4}[│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    }
    assert set(drawn) == set(CLASSES)
    assert drawn == {
        name: len(kind.__mro__) - len(HolySheepError.__mro__) + 1 for name, kind in CLASSES.items()
    }


@pytest.mark.parametrize("kind", CLASSES.values(), ids=list(CLASSES))
def test_an_error_can_be_pickled(kind: type[HolySheepError]) -> None:
    error = made(kind)
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (kind, "It failed. Make tea.", vars(error))


def test_a_message_that_is_replaced_is_nowhere_any_more() -> None:
    error = UpstreamError("the key is cr_secret", code="x")
    error.message = "the key is [key]"
    assert "cr_secret" not in repr(error) + str(error) + repr(error.args) + repr(vars(error))


def test_what_brings_ends_of_lines_is_one_line_all_the_same() -> None:
    error = APIConnectionError("It\nfailed\u2028here.", hint="Try\r\nagain.")
    assert (str(error), error.message) == ("It failed here. Try again.", "It failed here.")
    error.message = "a\x85b"
    assert (str(error), error.args) == ("a b Try again.", ("a b",))


def test_without_a_hint() -> None:
    assert str(APIConnectionError("It failed.")) == "It failed."


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (413, "BadRequestError"),
        (422, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "AuthenticationError"),
        (402, "InsufficientBalanceError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "InternalServerError"),
        (307, "APIStatusError"),
        (418, "APIStatusError"),
    ],
)
def test_status(status: int, name: str) -> None:
    assert status_error(status) is CLASSES[name]
