"""The key and the base URL: where they come from, bound together, never shown.

A key belongs to the origin (scheme, host, port) it was given for, and is sent nowhere else. The first
of these that holds a key for the wanted origin wins: the environment, a ``.env`` file in the working
folder or above it, the system's keyring where the package ``keyring`` is installed, a hidden prompt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import msgspec

from hs_notebook.connections import is_loopback
from hs_notebook.errors import ConfigurationError, HolySheepError, MissingKeyError, UsageError
from hs_notebook.secret import Secret

if TYPE_CHECKING:
    from hs_notebook.types import ChatRequest

DEFAULT_BASE_URL = "https://api.holysheep.ai/v1"
DEFAULT_MODEL = "gpt-4.1"
KEY_NAME = "HOLYSHEEP_API_KEY"
BASE_URL_NAME = "HOLYSHEEP_BASE_URL"
KEYRING_SERVICE = "hs_notebook"
_PERHAPS_A_KEY = re.compile(r"\b(?:cr_|sk-)[A-Za-z0-9_-]{16,}")
# What the user is told of: no words, as the classes of scikit-learn's pages are (`sk-toggleable__content`).
KEY_SHAPED = re.compile(
    r"\b(?:cr_|sk-)(?=[A-Za-z0-9_-]{0,99}(?:[0-9][A-Za-z]|[A-Za-z][0-9]))[A-Za-z0-9_-]{16,}"
)
_HOST = re.compile(r"[\w.:-]+")
Prompt = Callable[[str], str]


class Credentials(msgspec.Struct, frozen=True):
    """A key, the base URL it belongs to, and in words where the key was found."""

    key: Secret
    base_url: str
    source: str

    @property
    def odd(self) -> bool:
        """Whether the key lacks the prefix that the relay's keys have; it may be right all the same."""
        return self.base_url == DEFAULT_BASE_URL and not self.key.reveal().startswith("cr_")


def without_keys(text: str) -> str:
    """Return a text without the environment's key and what is shaped like one: a user may quote it."""
    return _PERHAPS_A_KEY.sub("[key]", Secret(os.environ.get(KEY_NAME, "").strip()).scrub(text))


def refuse_key(request: ChatRequest, key: Secret) -> None:
    """Raise `UsageError` for a request that holds the key."""
    sent = request.body(stream=False, usage=False).decode()
    if key.scrub(sent) != sent:
        raise UsageError("The prompt or an option holds your key; nothing was sent.", hint="Take it out.")


def find_credentials(
    base_url: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    prompt: Prompt | None = None,
    named_by: str = "",
) -> Credentials:
    """Find the key for `base_url`, or for the base URL that the environment or a ``.env`` file names.

    `named_by` is the file that names `base_url`, where the user did not: who is asked for a key is told.
    `prompt` asks the user for a key and shows none of it. Raises `MissingKeyError` where there is no key,
    `ConfigurationError` where what there is cannot be used.
    """
    try:
        return _find(
            base_url, os.environ if environ is None else environ, folder or Path.cwd(), prompt, named_by
        )
    except BaseException as error:  # noqa: BLE001 - who is asked for a key may interrupt, too
        # The frames below hold the key in plain variables: a verbose traceback would print them.
        failure = error.with_traceback(None)
    finally:
        del environ  # as this frame does, to what collects all that a frame holds
    raise failure


def named_base_url(folder: Path | None = None) -> str:
    """Return the base URL that the environment or a ``.env`` file names, as it stands there, or nothing."""
    return os.environ.get(BASE_URL_NAME) or _dotenv(folder or Path.cwd())[1].get(BASE_URL_NAME, "")


def _find(
    base_url: str | None, environ: Mapping[str, str], folder: Path, prompt: Prompt | None, named_by: str
) -> Credentials:
    own = _pair(environ, f"the environment variable {KEY_NAME}")
    wanted = base_url or environ.get(BASE_URL_NAME) or ""
    if own and wanted and (bound := _bound(own, normal_base_url(wanted))):
        return bound
    file, values = _dotenv(folder)  # only now, as its pair below: a broken file beats no good environment
    if own and not wanted:
        _refuse_redirection(own, values, file)
        return own
    theirs = _pair(values, f"the file {file}")
    target = normal_base_url(wanted or values.get(BASE_URL_NAME) or DEFAULT_BASE_URL)
    if theirs and (bound := _bound(theirs, target)):
        return bound
    others = [pair for pair in (own, theirs) if pair is not None]
    return _from_keyring(target) or _from_prompt(target, prompt, others, named_by)


def _bound(pair: Credentials, target: str) -> Credentials | None:
    """Return a key for a base URL of the origin it belongs to, and for no other."""
    return msgspec.structs.replace(pair, base_url=target) if origin(pair.base_url) == origin(target) else None


def given_credentials(key: str, base_url: str | None = None) -> Credentials:
    """Bind a key that was handed over in code to its base URL, the relay's own if none is named."""
    try:
        return Credentials(_clean(key, "api_key"), normal_base_url(base_url or DEFAULT_BASE_URL), "api_key")
    except HolySheepError as error:
        failure = error.with_traceback(None)
    finally:
        del key  # a verbose traceback prints the arguments of this frame too
    raise failure


def without_key(base_url: str | None = None) -> Credentials:
    """Return no key for a base URL, or for the one that the environment names: for who sends nothing."""
    named = base_url or os.environ.get(BASE_URL_NAME) or DEFAULT_BASE_URL
    return Credentials(Secret(""), normal_base_url(named), "nowhere: answers come from a file")


def normal_base_url(text: str) -> str:
    """Return a base URL as it is used: ``https://host/v1``.

    Forgives white space, a missing scheme, a trailing slash, a missing ``/v1`` and the whole path of an
    endpoint. Raises `ConfigurationError` for what is no URL, or plain http to another machine.
    """
    text = text.strip()
    parts = _split(text if "://" in text else _with_scheme(text))
    path = parts.path.rstrip("/")
    for endpoint in ("/chat/completions", "/models"):
        path = path.removesuffix(endpoint)
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def origin(base_url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL: what a key is bound to."""
    parts = urlsplit(base_url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _with_scheme(text: str) -> str:
    return ("http://" if is_loopback(f"http://{text}") else "https://") + text


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = (
            bool(_HOST.fullmatch(parts.hostname or ""))
            and parts.scheme in {"http", "https"}
            and (parts.port or 1) > 0
        )
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(f"{url!r} is no base URL.", hint=f"It looks like {DEFAULT_BASE_URL}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("A base URL holds no user, password, query or fragment.")
    if parts.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{parts.scheme}://{parts.hostname} would send the key unprotected.", hint="Use https."
        )
    return parts


def _clean(key: str, source: str) -> Secret:
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"The key from {source} holds a character that no key has (white space, a line end, an accent).",
            hint="Copy it again.",
        )
    return Secret(key)


def _pair(values: Mapping[str, str], source: str) -> Credentials | None:
    if not (key := values.get(KEY_NAME, "").strip()):
        return None
    base_url = normal_base_url(values.get(BASE_URL_NAME) or DEFAULT_BASE_URL)
    return Credentials(_clean(key, source), base_url, source)


def _dotenv(folder: Path) -> tuple[Path, dict[str, str]]:
    for place in (folder, *folder.parents):
        if (file := place / ".env").is_file():
            from dotenv import dotenv_values

            try:
                values = dotenv_values(file, interpolate=False)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"The file {file} cannot be read: {type(error).__name__}.") from None
            return file, {name: value for name, value in values.items() if value}
    return folder / ".env", {}


def _refuse_redirection(pair: Credentials, values: Mapping[str, str], file: Path) -> None:
    # A .env that came with somebody's notebook must not lead the user's key to another host.
    if KEY_NAME in values or not (other := values.get(BASE_URL_NAME)):
        return
    if origin(normal_base_url(other)) != origin(pair.base_url):
        raise ConfigurationError(
            f"{file} names the base URL {other}, but the key from {pair.source} belongs to {pair.base_url}.",
            hint=f"Put the key for it into the same file, or set {BASE_URL_NAME} in the environment.",
        )


def _from_keyring(base_url: str) -> Credentials | None:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    try:
        key = keyring.get_password(KEYRING_SERVICE, base_url)
    except keyring.errors.KeyringError:
        return None
    source = "the system keyring"
    return Credentials(_clean(key, source), base_url, source) if key else None


def _from_prompt(
    base_url: str, prompt: Prompt | None, others: list[Credentials], named_by: str
) -> Credentials:
    known = f"named by {named_by}; " if named_by else ""
    key = prompt(f"Key for {base_url} ({known}it stays hidden): ") if prompt else ""
    if key and key.strip():
        return Credentials(_clean(key, "the prompt"), base_url, "the prompt")
    if others:
        where = f"{base_url} ({named_by} names it)" if named_by else base_url
        raise MissingKeyError(
            f"There is no key for {where}; the one from {others[0].source} is for {others[0].base_url}.",
            hint=f"Set {KEY_NAME} and {BASE_URL_NAME} together.",
        )
    raise MissingKeyError(
        f"No key for {base_url}.",
        hint=f"Set {KEY_NAME} in the environment, or in a .env file beside the notebook; "
        "or try without one: make lab, or hs-notebook relay --upstream simulated.",
    )
