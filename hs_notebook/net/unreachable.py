"""Why a host could not be reached, or was lost, from what the HTTP library says."""

from __future__ import annotations

import os
import socket
import ssl

from hs_notebook.errors import APIConnectionError

_CLOSED = ("disconnected", "closed")  # are in the HTTP library's words for a connection that ended


def unreachable(host: str, error: Exception) -> APIConnectionError:
    """Return the plain cause of a failed connection, and whether trying again could help."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _no_tls(host, cause)
        if isinstance(cause, socket.gaierror):
            return _no_address(host, cause)
    return APIConnectionError(
        f"{host} cannot be reached: {_last_words(causes)}.", hint="Check the base URL and the network."
    )


def broken(host: str, said: str) -> APIConnectionError:
    """Return how a connection ended; `said` is what is wrong with the reply, and empty for a mere break."""
    words = said.partition(":")[0]  # what follows are the server's own bytes
    if not words or any(closed in words.lower() for closed in _CLOSED):
        return APIConnectionError(f"{host} broke the connection.", hint="Try again.")
    said = f"{host} sent what is no HTTP: {words[0].lower()}{words[1:]}."
    return APIConnectionError(said, hint="Check the base URL and the proxy.")


def _no_tls(host: str, cause: ssl.SSLError) -> APIConnectionError:
    reason = cause.reason or str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = f"{host} has no certificate that this machine trusts: {cause.verify_message or reason}."
    else:
        said = f"{host} does not speak TLS with this machine: {reason}."
    return APIConnectionError(said, hint="Check the base URL and the proxy.", temporary=False)


def _no_address(host: str, cause: socket.gaierror) -> APIConnectionError:
    temporary = cause.errno == socket.EAI_AGAIN
    said = f"The name {host} cannot be looked up now." if temporary else f"{host} is not known here."
    return APIConnectionError(said, hint="Check the base URL and the network.", temporary=temporary)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _last_words(causes: list[BaseException]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()  # asyncio puts the address into the error's own text
    return str(causes[0]).rstrip(".") or "no reason given"
